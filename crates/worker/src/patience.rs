//! How long a peer may do nothing while a body moves, and the timer that tells.

use std::time::Duration;

use fairwater_net::Timer;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    pub timer: &'a Timer,
    /// Without a byte, in either direction.
    pub stall: Duration,
}

/// Of peers on Unix sockets and on loopback is only seen when they have taken tens of kilobytes: a
/// reader at a kilobyte a second takes 64 s for such a step.
const LARGE_STEPS: u32 = 4;

impl Patience<'_> {
    /// Gives a peer that sends the whole time.
    pub(crate) fn renew(self) {
        self.timer.set(self.stall);
    }

    /// For a peer that takes bytes in large steps.
    pub(crate) fn for_large_steps(self) -> Duration {
        self.stall * LARGE_STEPS
    }
}
