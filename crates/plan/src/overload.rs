//! What is done when memory or descriptors run short: levels, one after another, from what costs
//! nobody anything to what costs most. What runs is never ended.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far it has come. Each level does what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    #[default]
    Normal,
    /// Idle connections are closed, those first that have been idle for longest.
    Shedding,
    /// Connections end with the request that they have.
    Closing,
    /// No new connections.
    RefusingConnections,
    /// No new requests either.
    RefusingRequests,
}

impl Level {
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::Shedding,
        Self::Closing,
        Self::RefusingConnections,
        Self::RefusingRequests,
    ];

    /// As it is called in status and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shedding => "shedding",
            Self::Closing => "closing",
            Self::RefusingConnections => "refusing_connections",
            Self::RefusingRequests => "refusing_requests",
        }
    }

    /// What it does, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Normal => "all is served",
            Self::Shedding => "idle connections are closed",
            Self::Closing => "connections end with their request",
            Self::RefusingConnections => "new connections are refused",
            Self::RefusingRequests => "new requests are refused",
        }
    }

    fn below(self) -> Self {
        Self::ALL[(self as usize).saturating_sub(1)]
    }
}

/// How much of something is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    /// Where the first level begins.
    pub watermark: u64,
    /// Where nothing is left. The levels divide what lies between into equal parts.
    pub end: u64,
    /// No higher level is reached for its sake.
    pub most: Level,
}

impl Usage {
    /// Of something that has an end; the watermark is so much of it.
    pub fn of_share(used: u64, end: u64, percent: u32, most: Level) -> Self {
        let watermark = (u128::from(end) * u128::from(percent) / 100) as u64;
        Self { used, watermark, end, most }
    }

    /// Of what may be used up to a watermark, wherever it ends: as if that was four fifths.
    pub fn of_amount(used: u64, watermark: u64, most: Level) -> Self {
        Self { used, watermark, end: watermark.saturating_add(watermark / 4), most }
    }

    /// The level for what is used now, or, with a margin in eighths of the way from the watermark
    /// to the end, for so much more.
    fn level(self, margin_eighths: u64) -> Level {
        let way = u128::from(self.end.saturating_sub(self.watermark));
        // All in eighths, so that nothing is lost in small numbers.
        let used = 8 * u128::from(self.used) + way * u128::from(margin_eighths);
        let begins = |parts: u128| 8 * u128::from(self.watermark) + 2 * parts * way;
        let parts = (0..4).filter(|parts| used >= begins(*parts)).count();
        Level::ALL[parts].min(self.most)
    }
}

/// A level is left for the one below when for half of its part less is used than where it begins:
/// else each connection that is closed would change it.
const MARGIN_EIGHTHS: u64 = 1;
/// And not before it has held for so long: what it has ended shows in what is measured next.
const HOLD_MS: u64 = 1_000;

/// Decides on the level, from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overload {
    level: Level,
    since_ms: u64,
}

impl Overload {
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes in what is used now. Goes up as far as that asks for, and down a level at a time.
    pub fn look(&mut self, usages: impl IntoIterator<Item = Usage>, now_ms: u64) -> Level {
        let (mut asked, mut held) = (Level::Normal, Level::Normal);
        for usage in usages {
            asked = asked.max(usage.level(0));
            held = held.max(usage.level(MARGIN_EIGHTHS));
        }
        if asked > self.level {
            (self.level, self.since_ms) = (asked, now_ms);
        } else if held < self.level && now_ms >= self.since_ms.saturating_add(HOLD_MS) {
            (self.level, self.since_ms) = (self.level.below(), now_ms);
        }
        self.level
    }
}

/// Of so many idle connections, how many are closed at a time: some eighths of a second later the
/// next. All at once would be more than it takes, and come back at once.
pub fn shed(idle: usize) -> usize {
    const LEAST: usize = 16;
    idle.div_ceil(8).max(LEAST).min(idle)
}

/// The level that is in force, for all threads.
#[derive(Debug, Default)]
pub struct CurrentLevel(AtomicU8);

impl CurrentLevel {
    pub fn get(&self) -> Level {
        Level::ALL[usize::from(self.0.load(Ordering::Relaxed)).min(Level::ALL.len() - 1)]
    }

    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(used: u64) -> Usage {
        Usage::of_share(used, 1000, 80, Level::RefusingRequests)
    }

    #[test]
    fn levels_divide_what_is_left() {
        for (used, expected) in [
            (0, Level::Normal),
            (799, Level::Normal),
            (800, Level::Shedding),
            (849, Level::Shedding),
            (850, Level::Closing),
            (900, Level::RefusingConnections),
            (949, Level::RefusingConnections),
            (950, Level::RefusingRequests),
            (2000, Level::RefusingRequests),
        ] {
            assert_eq!(share(used).level(0), expected, "{used}");
            let amount = Usage::of_amount(used, 800, Level::RefusingRequests);
            assert_eq!(amount.level(0), expected, "{used}");
            let capped = Usage { most: Level::Closing, ..share(used) };
            assert_eq!(capped.level(0), expected.min(Level::Closing), "{used}");
        }
    }

    #[test]
    fn small_and_empty_resources_have_levels_too() {
        let of = |used, end| Usage::of_share(used, end, 90, Level::RefusingRequests).level(0);
        assert_eq!(
            (of(8, 10), of(9, 10), of(10, 10)),
            (Level::Normal, Level::Shedding, Level::ALL[4])
        );
        assert_eq!(of(u64::MAX, u64::MAX), Level::RefusingRequests);
        let amount = Usage::of_amount(1, u64::MAX, Level::RefusingRequests);
        assert_eq!(amount.level(0), Level::Normal);
    }

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let mut overload = Overload::default();
        assert_eq!(overload.look([share(960)], 10_000), Level::RefusingRequests);
        // Not for a little less, however long that lasts.
        assert_eq!(overload.look([share(930)], 60_000), Level::RefusingRequests);
        // Not within the time that it holds.
        let mut overload = Overload::default();
        assert_eq!(overload.look([share(960)], 10_000), Level::RefusingRequests);
        assert_eq!(overload.look([share(100)], 10_999), Level::RefusingRequests);
        assert_eq!(overload.look([share(100)], 11_000), Level::RefusingConnections);
        assert_eq!(overload.look([share(100)], 11_999), Level::RefusingConnections);
        assert_eq!(overload.look([share(100)], 12_000), Level::Closing);
        assert_eq!(overload.look([share(960)], 12_250), Level::RefusingRequests);
        for at_ms in [14_000, 16_000, 18_000] {
            overload.look([share(100)], at_ms);
        }
        assert_eq!(overload.look([share(100)], 20_000), Level::Normal);
        assert_eq!(overload.look([], 30_000), Level::Normal);
    }

    #[test]
    fn the_worst_decides() {
        let mut overload = Overload::default();
        let connections = Usage::of_share(1000, 1000, 90, Level::Closing);
        assert_eq!(overload.look([share(0), connections], 1), Level::Closing);
        assert_eq!(overload.look([share(905), connections], 2), Level::RefusingConnections);
        assert_eq!(overload.look([share(0), connections], 2_000), Level::Closing);
        assert_eq!(overload.look([share(0), connections], 9_000), Level::Closing);
    }

    /// Whatever is measured: the level never falls by more than one, nor within its time; it is
    /// never below what is asked for; and once all is quiet it comes back.
    #[test]
    fn levels_are_sound_whatever_is_measured() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for _ in 0..200 {
            let (mut overload, mut now_ms, mut changed_ms) = (Overload::default(), 5_000, 0);
            for _ in 0..200 {
                let usages = [share(next() % 1200), share(next() % 900)];
                let before = overload.level();
                now_ms += next() % 700;
                let level = overload.look(usages, now_ms);
                assert!(usages.iter().all(|usage| level >= usage.level(0)));
                assert!(level >= before.below());
                if level < before {
                    assert!(now_ms - changed_ms >= HOLD_MS);
                }
                if level != before {
                    changed_ms = now_ms;
                }
            }
            for _ in 0..4 {
                now_ms += HOLD_MS;
                overload.look([share(0)], now_ms);
            }
            assert_eq!(overload.level(), Level::Normal);
        }
    }

    #[test]
    fn a_part_is_shed_at_a_time() {
        for (idle, expected) in [(0, 0), (1, 1), (16, 16), (100, 16), (1000, 125), (1001, 126)] {
            assert_eq!(shed(idle), expected);
        }
    }

    #[test]
    fn a_level_goes_from_thread_to_thread() {
        let current = CurrentLevel::default();
        for level in Level::ALL {
            current.set(level);
            assert_eq!(current.get(), level);
        }
    }
}
