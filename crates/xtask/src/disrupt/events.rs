//! What happens to a proxy while it serves, and when.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::clients::Load;
use super::peers::Peer;
use crate::Failure;
use crate::bench::Contender;

/// Between two events: the windows behind them must not overlap.
const PAUSE: Duration = Duration::from_millis(300);
/// One that is killed again and again is started after longer and longer pauses.
const PAUSE_AFTER_KILL: Duration = Duration::from_millis(10_500);
/// Before the first: what is steady.
const STEADY: Duration = Duration::from_secs(5);
/// The load does not go on longer than this for its number of requests.
const LOAD_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Reload,
    Upgrade,
    Kill,
}

impl Event {
    pub(crate) const ALL: [Self; 3] = [Self::Reload, Self::Upgrade, Self::Kill];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reloads",
            Self::Upgrade => "upgrades",
            Self::Kill => "kill -9 of a worker",
        }
    }

    pub(crate) fn is_known_to(self, peer: Contender) -> bool {
        self != Self::Upgrade || peer == Contender::Ours
    }
}

/// When things happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) events: Vec<Instant>,
    /// All processes were gone, and started again by hand.
    pub(crate) downs: u32,
    /// The most processes that finished what ran.
    pub(crate) workers_max: usize,
}

#[allow(clippy::disallowed_methods, reason = "a harness has no other clock")]
pub(crate) fn run(
    peer: &mut Peer,
    event: Event,
    count: u32,
    load: &Load,
    requests: u64,
) -> Result<Happened, Failure> {
    let begun = Instant::now();
    let mut happened = Happened::default();
    sleep(STEADY);
    for _ in 0..count {
        happened.events.push(Instant::now());
        match event {
            Event::Reload => peer.reload()?,
            Event::Upgrade => peer.upgrade()?,
            Event::Kill => peer.kill()?,
        }
        sleep(if event == Event::Kill { PAUSE_AFTER_KILL } else { PAUSE });
        happened.workers_max = happened.workers_max.max(peer.workers()?);
        happened.downs += u32::from(peer.mend()?);
    }
    while load.requests() < requests && begun.elapsed() < LOAD_MAX {
        sleep(PAUSE);
    }
    Ok(happened)
}
