//! What can go wrong, and what is expected of a proxy then.

use std::time::Duration;

/// One check interval of two seconds, plus one.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Kill,
    BlackHole,
    Reset,
    Silent,
    Error,
    Slow,
    Flap,
    Dns,
    AllDead,
    Rolling,
    Backlog,
    Storm,
    Overload,
    SlowHeads,
    SlowReaders,
}

/// What is expected.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Bar {
    None,
    /// No request that may be sent twice fails.
    NoError,
    /// Nothing that begins later than this behind the fault, or behind its end, fails or is late.
    Recovery,
    /// Endpoints get no more than so many attempts for each request of a client.
    Storm(f64),
    /// Goodput of what the endpoints can do, and waits as many times as long as at 70 % of it.
    Overload {
        goodput: f64,
        waits: f64,
    },
    /// Waits of others: so many times as long, or shorter than this.
    Others {
        waits: f64,
        good: Duration,
    },
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::Kill,
        Self::BlackHole,
        Self::Reset,
        Self::Silent,
        Self::Error,
        Self::Slow,
        Self::Flap,
        Self::Dns,
        Self::AllDead,
        Self::Rolling,
        Self::Backlog,
        Self::Storm,
        Self::Overload,
        Self::SlowHeads,
        Self::SlowReaders,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::BlackHole => "black-hole",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Flap => "flap",
            Self::Dns => "dns",
            Self::AllDead => "all-dead",
            Self::Rolling => "rolling",
            Self::Backlog => "backlog",
            Self::Storm => "storm",
            Self::Overload => "overload",
            Self::SlowHeads => "slow-heads",
            Self::SlowReaders => "slow-readers",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kill => "one of three is killed",
            Self::BlackHole => "packets to one of three are dropped",
            Self::Reset => "one of three resets in the middle of bodies, its check is good",
            Self::Silent => "one of three accepts and says nothing",
            Self::Error => "one of three answers 500 at once, its check is good",
            Self::Slow => "one of three takes 50 ms instead of 5 ms",
            Self::Flap => "one of three is killed and started each second",
            Self::Dns => "the name server says nothing more",
            Self::AllDead => "all three are killed, and come back",
            Self::Rolling => "all three are restarted in order, one after the other",
            Self::Backlog => "one of three accepts nothing, its queue is full",
            Self::Storm => "all three close half of the requests without an answer",
            Self::Overload => "twice as much as two endpoints of 10 slots and 20 ms can do",
            Self::SlowHeads => "5000 clients send heads byte by byte",
            Self::SlowReaders => "500 clients hardly read their replies of 4 MiB",
        }
    }

    pub(crate) fn bars(self) -> &'static [Bar] {
        const OTHERS: Bar = Bar::Others { waits: 1.5, good: Duration::from_millis(5) };
        match self {
            Self::Kill | Self::BlackHole => &[Bar::NoError, Bar::Recovery],
            Self::Flap | Self::Rolling | Self::Dns => &[Bar::NoError],
            Self::Reset | Self::Silent | Self::Error | Self::AllDead | Self::Backlog => {
                &[Bar::Recovery]
            }
            Self::Slow => &[Bar::None],
            Self::Storm => &[Bar::Storm(1.2)],
            Self::Overload => &[Bar::Overload { goodput: 0.95, waits: 2.0 }],
            Self::SlowHeads | Self::SlowReaders => &[OTHERS],
        }
    }

    /// Endpoints are asked for by their name.
    pub(crate) fn has_names(self) -> bool {
        self == Self::Dns
    }
}
