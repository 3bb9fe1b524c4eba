//! How much may come, and when: the generic cell rate algorithm (ITU-T I.371). All that is known of
//! a key is one number, the time at which everything that it has used is made up for. Who is beyond
//! that time by less than the burst may come.

/// What a limit allows: so much in a period, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub count: u64,
    pub period_ns: u64,
    pub burst: u64,
}

/// How far a budget of bytes may be overdrawn, as the time that it takes to make up for it: five
/// minutes. Long enough that who does nothing but large downloads gains little, and short enough
/// that one of them shuts nobody out for the day.
pub const DEBT_NS_MAX: u64 = 300 * SECOND_NS;

pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// What can be saved up at the most: 146 years. Beyond the end of time nothing could be denied.
const CAPACITY_NS_MAX: u64 = u64::MAX / 4;

/// A quota in units of time: what is used is paid for with nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    quota: Quota,
    /// What one costs.
    unit_ns: u64,
    /// What can be saved up.
    capacity_ns: u64,
}

/// Why something is not let in: it has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub ns: u64,
}

impl Gcra {
    /// Where a number is not whole, it is rounded so that less is allowed, never more.
    pub(crate) fn new(quota: Quota) -> Self {
        let unit_ns = quota.period_ns.div_ceil(quota.count.max(1)).max(1);
        // Of bytes one costs less than can be told; many together are told exactly.
        let capacity_ns = cost(quota, quota.burst).min(CAPACITY_NS_MAX);
        Self { quota, unit_ns, capacity_ns }
    }

    /// The same for things that come one by one.
    pub(crate) fn of_units(quota: Quota) -> Self {
        let new = Self::new(quota);
        let capacity_ns = new.unit_ns.saturating_mul(quota.burst.max(1)).min(CAPACITY_NS_MAX);
        Self { capacity_ns, ..new }
    }

    /// The time at which a key is made up for after one more.
    pub(crate) fn take(&self, made_up_ns: u64, now_ns: u64) -> Result<u64, Wait> {
        let next = made_up_ns.max(now_ns).saturating_add(self.unit_ns);
        match next.checked_sub(now_ns.saturating_add(self.capacity_ns)) {
            None | Some(0) => Ok(next),
            Some(ns) => Err(Wait { ns }),
        }
    }

    /// The same with one less.
    pub(crate) fn give_back(&self, made_up_ns: u64) -> u64 {
        made_up_ns.saturating_sub(self.unit_ns)
    }

    /// Whether something may begin of which is not known yet how much it takes.
    pub(crate) fn has_left(&self, made_up_ns: u64, now_ns: u64) -> Result<(), Wait> {
        match made_up_ns.checked_sub(now_ns.saturating_add(self.capacity_ns)) {
            None => Ok(()),
            Some(ns) => Err(Wait { ns: ns + 1 }),
        }
    }

    /// The time at which a key is made up for after what it has taken, whether it might or not.
    pub(crate) fn charge(&self, made_up_ns: u64, now_ns: u64, amount: u64) -> u64 {
        let latest = now_ns.saturating_add(self.capacity_ns).saturating_add(DEBT_NS_MAX);
        // What was charged before is not forgotten.
        let next = made_up_ns.max(now_ns).saturating_add(cost(self.quota, amount));
        next.min(latest.max(made_up_ns))
    }

    /// How much may come at once.
    pub(crate) fn left(&self, made_up_ns: u64, now_ns: u64) -> u64 {
        let used = made_up_ns.saturating_sub(now_ns);
        let left = u128::from(self.capacity_ns.saturating_sub(used));
        let left = left * u128::from(self.quota.count) / u128::from(self.quota.period_ns.max(1));
        u64::try_from(left).unwrap_or(u64::MAX).min(self.quota.burst)
    }
}

fn cost(quota: Quota, amount: u64) -> u64 {
    let ns = u128::from(amount) * u128::from(quota.period_ns);
    u64::try_from(ns.div_ceil(u128::from(quota.count.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_000 * SECOND_NS;

    fn quota(count: u64, seconds: u64, burst: u64) -> Quota {
        Quota { count, period_ns: seconds * SECOND_NS, burst }
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate() {
        for (count, seconds, burst) in
            [(100, 1, 20), (3, 1, 3), (7, 1, 100), (5, 60, 5), (1, 1, 1), (10_000_000, 1, 1_000)]
        {
            let gcra = Gcra::of_units(quota(count, seconds, burst));
            let mut made_up = 0;
            for _ in 0..burst {
                made_up = gcra.take(made_up, START).unwrap();
            }
            let wait = gcra.take(made_up, START).unwrap_err();
            assert_eq!(wait.ns, (seconds * SECOND_NS).div_ceil(count), "{count} {seconds} {burst}");
            assert_eq!(gcra.left(made_up, START), 0);
            assert!(gcra.take(made_up, START + wait.ns - 1).is_err());
            assert!(gcra.take(made_up, START + wait.ns).is_ok());
            assert_eq!(gcra.take(gcra.give_back(made_up), START), Ok(made_up));
            assert_eq!(gcra.left(0, START), burst);
        }
    }

    #[test]
    fn the_longest_burst_has_an_end() {
        let gcra = Gcra::of_units(quota(1, 86_400, 1_000_000));
        let (mut made_up, mut count) = (0, 0);
        while let Ok(next) = gcra.take(made_up, START) {
            (made_up, count) = (next, count + 1);
            assert!(count <= 1_000_000);
        }
        assert!(count > 50_000, "{count}");
        assert!(gcra.take(gcra.give_back(made_up), START).is_ok());
    }

    #[test]
    fn bytes_are_charged_afterwards_and_debts_have_an_end() {
        let gcra = Gcra::new(quota(1_000_000, 1, 500_000));
        assert_eq!(gcra.has_left(0, START), Ok(()));
        let made_up = gcra.charge(0, START, 499_999);
        assert_eq!((gcra.has_left(made_up, START), gcra.left(made_up, START)), (Ok(()), 1));
        let made_up = gcra.charge(made_up, START, 1_000_001);
        let wait = gcra.has_left(made_up, START).unwrap_err();
        assert_eq!(wait.ns, SECOND_NS + 1);
        assert!(gcra.has_left(made_up, START + wait.ns).is_ok());
        let made_up = gcra.charge(made_up, START, u64::MAX);
        assert_eq!(gcra.has_left(made_up, START).unwrap_err().ns, DEBT_NS_MAX + 1);
        assert_eq!(gcra.charge(made_up, START, 1), made_up);
    }

    proptest! {
        /// Whatever comes when, in no window there is more than the burst and what the rate gives.
        #[test]
        fn no_window_has_more_than_burst_and_rate(
            count in 1_u64..2_000,
            seconds in prop::sample::select(vec![1_u64, 60, 3600]),
            burst in 1_u64..50,
            gaps in prop::collection::vec(0_u64..3, 1..400),
            scale in prop::sample::select(vec![1_u64, 1_000_000, 40_000_000, 2_000_000_000]),
        ) {
            let quota = quota(count, seconds, burst);
            let gcra = Gcra::of_units(quota);
            let (mut now, mut made_up) = (START, 0);
            let mut let_in = Vec::new();
            for gap in gaps {
                now += gap * scale;
                match gcra.take(made_up, now) {
                    Ok(next) => {
                        made_up = next;
                        let_in.push(now);
                    }
                    // Who is told to wait is let in then, if nobody else comes.
                    Err(wait) => prop_assert!(gcra.take(made_up, now + wait.ns).is_ok()),
                }
            }
            for (first, start) in let_in.iter().enumerate() {
                for (last, end) in let_in.iter().enumerate().skip(first) {
                    let many = (last - first + 1) as u128;
                    let rate = u128::from(end - start) * u128::from(count);
                    let due = u128::from(burst) + rate / u128::from(quota.period_ns);
                    prop_assert!(many <= due, "{many} of {due}");
                }
            }
        }

        #[test]
        fn what_is_charged_is_paid_for_at_the_rate(
            count in 1_u64..10_000_000_000,
            amounts in prop::collection::vec(0_u64..10_000_000, 1..50),
        ) {
            let gcra = Gcra::new(quota(count, 1, count));
            let all: u64 = amounts.iter().sum();
            let made_up = amounts.iter().fold(0, |at, amount| gcra.charge(at, START, *amount));
            let paid = u128::from(made_up.saturating_sub(START)) * u128::from(count);
            let due = u128::from(all) * u128::from(SECOND_NS);
            let debt = u128::from(SECOND_NS + DEBT_NS_MAX) * u128::from(count);
            prop_assert!(paid >= due.min(debt));
        }
    }
}
