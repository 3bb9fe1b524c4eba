//! Pauses between attempts that fail again and again.

use std::time::Duration;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// A port that nobody serves for longer would be found by hand before.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Whatever ran for so long has not failed at its start.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After so many failures.
    pub(crate) fn after(failures: u32) -> Self {
        Self { failures }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause before the next attempt, after one that ran for so long, or did not come so far.
    /// None after the first failure.
    pub(crate) fn next(&mut self, ran: Option<Duration>) -> Duration {
        if ran.is_some_and(|ran| ran >= LONG_ENOUGH) {
            self.failures = 0;
        }
        self.failures += 1;
        match self.failures {
            1 => Duration::ZERO,
            failures => FIRST.saturating_mul(1 << (failures - 2).min(16)).min(PAUSE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_something_runs() {
        let mut backoff = Backoff::default();
        let mut next = |ran: Option<u64>| backoff.next(ran.map(Duration::from_secs)).as_millis();
        assert_eq!([next(None), next(None), next(Some(1)), next(None)], [0, 100, 200, 400]);
        assert_eq!([next(Some(10)), next(None)], [0, 100]);
        assert_eq!((0..40).map(|_| next(None)).last(), Some(30_000));
    }
}
