//! Outliers: endpoints that fail where others do not are left alone for a while, each time for
//! longer, and never too many of them at once.

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierRules {
    /// Failures in a row.
    pub consecutive: Option<u32>,
    pub success: Option<SuccessRules>,
    /// Of the first ejection; each further one takes twice as long.
    pub base_ms: u64,
    pub max_ms: u64,
    /// Of the endpoints of a tier that could have traffic.
    pub percent_max: u32,
}

/// When the rate of success tells against an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRules {
    /// Points of percent below all others together.
    pub points: u32,
    /// Exchanges in a window, below which a rate says nothing.
    pub requests_min: u64,
    pub window_ms: u64,
}

/// How often an endpoint was left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejection {
    /// The end of the current one, or of the last.
    pub until_ms: u64,
    /// In close succession; 0 if there was none.
    pub times: u32,
}

impl Ejection {
    pub fn is_on(self, now_ms: u64) -> bool {
        self.times > 0 && now_ms < self.until_ms
    }

    /// Begins another one, for longer than the last if that is not long ago: for each time of its
    /// length that the endpoint was good since, one is forgotten.
    pub fn begin(&mut self, now_ms: u64, rules: &OutlierRules) {
        let last_ms = length_ms(self.times, rules);
        let calm_ms = now_ms.saturating_sub(self.until_ms);
        let forgotten = u32::try_from(calm_ms / last_ms.max(1)).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(forgotten).saturating_add(1);
        self.until_ms = now_ms.saturating_add(length_ms(self.times, rules));
    }
}

fn length_ms(times: u32, rules: &OutlierRules) -> u64 {
    let doublings = times.saturating_sub(1).min(32);
    rules.base_ms.saturating_mul(1 << doublings).min(rules.max_ms.max(rules.base_ms))
}

/// How many of so many endpoints of a tier may be ejected at a time: never all, unless those of a
/// later one stand in for them.
pub fn ejections_max(candidates: usize, percent_max: u32, has_stand_in: bool) -> usize {
    if has_stand_in && percent_max > 0 {
        return candidates;
    }
    (candidates * percent_max as usize / 100).min(candidates.saturating_sub(1))
}

/// Exchanges of an endpoint in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub good: u64,
    pub bad: u64,
}

impl Tally {
    fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    fn good_permille(self) -> u64 {
        self.good.saturating_mul(1000) / self.total().max(1)
    }
}

/// The places of endpoints that succeed less often than the others do, the worst first.
pub fn stragglers(tallies: &[Tally], rules: &SuccessRules) -> Vec<usize> {
    let counts = |tally: &&Tally| tally.total() >= rules.requests_min.max(1);
    let all = tallies.iter().filter(counts).fold(Tally::default(), |sum, tally| Tally {
        good: sum.good.saturating_add(tally.good),
        bad: sum.bad.saturating_add(tally.bad),
    });
    let lags = |(_, tally): &(usize, &Tally)| {
        let others = Tally { good: all.good - tally.good, bad: all.bad - tally.bad };
        let behind = others.good_permille().saturating_sub(tally.good_permille());
        others.total() > 0 && behind > u64::from(rules.points) * 10
    };
    let mut found: Vec<_> =
        tallies.iter().enumerate().filter(|(_, tally)| counts(tally)).filter(lags).collect();
    found.sort_by_key(|(_, tally)| tally.good_permille());
    found.into_iter().map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: OutlierRules = OutlierRules {
        consecutive: Some(5),
        success: None,
        base_ms: 10_000,
        max_ms: 300_000,
        percent_max: 50,
    };

    #[test]
    fn ejections_grow_and_are_forgotten() {
        let mut ejection = Ejection::default();
        let mut now_ms = 1000;
        let mut lengths = Vec::new();
        for _ in 0..7 {
            ejection.begin(now_ms, &RULES);
            assert!(ejection.is_on(now_ms) && !ejection.is_on(ejection.until_ms));
            lengths.push((ejection.until_ms - now_ms) / 1000);
            now_ms = ejection.until_ms + 1;
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
        // Three times the length of the last.
        ejection.begin(now_ms + 900_000, &RULES);
        assert_eq!(ejection.times, 5);
        ejection.begin(u64::MAX / 2, &RULES);
        assert_eq!(ejection.times, 1);
    }

    #[test]
    fn half_may_go_and_never_the_last() {
        let max = [0, 1, 2, 3, 4, 5].map(|count| ejections_max(count, 50, false));
        assert_eq!(max, [0, 0, 1, 1, 2, 2]);
        assert_eq!(ejections_max(3, 100, false), 2);
        assert_eq!([0, 50].map(|percent| ejections_max(3, percent, true)), [0, 3]);
        assert_eq!(ejections_max(3, 0, false), 0);
    }

    fn check(tallies: &[(u64, u64)], expected: &[usize]) {
        let rules = SuccessRules { points: 20, requests_min: 50, window_ms: 10_000 };
        let tallies: Vec<_> = tallies.iter().map(|&(good, bad)| Tally { good, bad }).collect();
        assert_eq!(stragglers(&tallies, &rules), expected, "{tallies:?}");
    }

    #[test]
    fn those_who_lag_behind_the_others_are_found() {
        check(&[(100, 0), (100, 0), (70, 30)], &[2]);
        check(&[(100, 0), (100, 0), (81, 19)], &[]);
        check(&[(1000, 0), (1000, 0), (40, 60), (30, 70)], &[3, 2]);
        check(&[(50, 50), (50, 50), (50, 50)], &[]);
        check(&[(0, 100)], &[]);
        check(&[(100, 0), (0, 49)], &[]);
        check(&[(100, 0), (0, 50)], &[1]);
        check(&[], &[]);
    }
}
