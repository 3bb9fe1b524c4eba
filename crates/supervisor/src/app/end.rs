//! The end of all apps, when nobody sends to them any more.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fairwater_sys::poll;
use fairwater_sys::signal::{Signal, Signals};

use super::Apps;

/// For all that must stop now.
const STOP_NOW: Duration = Duration::from_secs(2);
/// Between looks at the clock.
const LOOK: Duration = Duration::from_millis(500);

impl Apps {
    /// Has all processes stop, and waits until they have: for their `stop_timeout` at most, or for
    /// a moment if it `is_urgent`. A signal to stop, once more, kills what is left.
    pub(crate) fn end(&mut self, signals: &Signals, is_urgent: bool, now: fn() -> Instant) {
        self.close(now());
        if is_urgent {
            self.hurry(now() + STOP_NOW);
        }
        loop {
            self.turn(now());
            if self.are_gone() {
                return;
            }
            let wait = self.next_turn(now()).map_or(LOOK, |due| due.duration_since(now()));
            let mut fds = vec![signals.as_fd()];
            fds.extend(self.fds());
            if poll::readable(&fds, wait.min(LOOK)).is_err() {
                // It cannot be waited for, and must not be left behind.
                self.hurry(now());
            }
            while let Some(signal) = signals.next() {
                if let Signal::Terminate | Signal::Interrupt = signal {
                    self.hurry(now());
                }
            }
        }
    }
}
