//! So many a second, over all threads: each one takes the next place of a timetable (the generic
//! cell rate algorithm, ITU-T I.371).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND_US: u64 = 1_000_000;

/// What may come at once after a pause, as a part of a second.
const BURST_US: u64 = SECOND_US / 10;

#[derive(Debug, Default)]
pub struct Rate {
    /// Nanoseconds between two places; 0 without a limit. A microsecond is too coarse for the
    /// distance of hundreds of thousands a second.
    distance_ns: AtomicU64,
    /// The first place that is free, in nanoseconds.
    free_ns: AtomicU64,
}

impl Rate {
    /// Sets how many come a second; `None` for as many as there are.
    pub fn set(&self, per_second: Option<u32>) {
        let distance = per_second.map_or(0, |rate| SECOND_US * 1000 / u64::from(rate.max(1)));
        self.distance_ns.store(distance, Ordering::Relaxed);
    }

    /// Takes the next place, and says how far away it is; nothing, if that is more than `patience`.
    pub fn book(&self, now_us: u64, patience: Duration) -> Option<Duration> {
        let distance = self.distance_ns.load(Ordering::Relaxed);
        if distance == 0 {
            return Some(Duration::ZERO);
        }
        let now = now_us * 1000;
        // One at a time may always come early.
        let burst = (BURST_US * 1000).max(distance) - distance;
        let latest = now + patience.as_nanos() as u64;
        let after = |free: u64| {
            let place = free.max(now);
            (place.saturating_sub(burst) <= latest).then_some(place + distance)
        };
        let free = self.free_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
        Some(Duration::from_nanos(free.saturating_sub(burst).saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn rate(per_second: u32) -> Rate {
        let rate = Rate::default();
        rate.set(Some(per_second));
        rate
    }

    #[test]
    fn over_a_second_come_as_many_as_may() {
        for per_second in [1_u32, 7, 100, 250_000] {
            let rate = rate(per_second);
            let many = per_second * 3;
            let waits: Vec<_> =
                (0..many).map(|_| rate.book(5_000_000, PATIENCE).unwrap()).collect();
            assert_eq!(waits[0], Duration::ZERO);
            for second in 1..3 {
                let end = Duration::from_secs(second);
                let count = waits.iter().filter(|wait| **wait < end).count() as u64;
                let due = second * u64::from(per_second);
                assert!((due..=due + due.div_ceil(10) + 1).contains(&count), "{count} of {due}");
            }
        }
    }

    #[test]
    fn a_pause_earns_a_burst_and_no_more() {
        let rate = rate(100);
        let now_us = 3_600 * SECOND_US;
        let at_once = (0..100).filter(|_| rate.book(now_us, PATIENCE).unwrap().is_zero()).count();
        assert_eq!(at_once, 10);
        assert_eq!(rate.book(now_us + 950_000, PATIENCE).unwrap(), Duration::ZERO);
    }

    #[test]
    fn who_would_wait_too_long_takes_no_place() {
        let rate = rate(10);
        let patience = Duration::from_secs(1);
        let booked = (0..100).map_while(|_| rate.book(0, patience)).count();
        assert_eq!(booked, 11);
        assert_eq!(rate.book(0, patience), None);
        assert!(rate.book(SECOND_US, patience).is_some());
        rate.set(None);
        assert_eq!(rate.book(0, Duration::ZERO), Some(Duration::ZERO));
    }
}
