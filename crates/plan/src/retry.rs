//! When a request is sent once more, after which pause, and how often at most: a share of the
//! requests, so that an upstream which fails as a whole is not asked three times as much.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What a request adds and a retry takes: one in seven requests, so that with what was saved a
/// storm has less than a fifth more than its requests.
const COST: u32 = 7;
/// What comes in each second at the least: ten retries.
const RESERVE: u32 = 10 * COST;
/// What can be saved up: a hundred retries, which are there at the start, or those of ten seconds
/// of traffic.
const SAVINGS_MIN: u32 = 100 * COST;
const SAVINGS_SECONDS: u32 = 10;
/// Requests that a thread counts by itself before it tells the others.
const BATCH: u32 = 32;
/// A pause grows to so many times the first one.
const PAUSES_MAX: u32 = 10;

/// When requests to an upstream are sent once more, beyond what does no harm in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryRules {
    /// Replies that are as good as none, as ranges of their statuses.
    pub statuses: Vec<(u16, u16)>,
    /// Which requests may reach two endpoints although their method does not say that it does no
    /// harm.
    pub marked: Marked,
    /// For the head of a reply, while another endpoint can be tried.
    pub patience: Option<Duration>,
    /// The first pause, at the longest.
    pub pause: Duration,
}

/// How a request says that it may be sent twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Marked {
    /// By its method.
    #[default]
    Method,
    /// Any may.
    All,
    /// By a field of this name, in lower case.
    Field(String),
}

impl RetryRules {
    /// Whether anything is asked for that needs a look before a request is sent.
    pub fn is_plain(&self) -> bool {
        self.statuses.is_empty() && self.patience.is_none()
    }

    /// Whether a reply with this status is as good as none.
    pub fn refuses(&self, status: u16) -> bool {
        self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// Before the next try, of which this is the number: anything from nothing to twice as much as
    /// before, so that those that failed together do not come again together.
    pub fn pause(&self, number: u32, random: u64) -> Duration {
        let doublings = 1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.pause.saturating_mul(doublings.min(PAUSES_MAX)).as_micros() as u64;
        Duration::from_micros(random % (longest + 1))
    }
}

/// The retries that an upstream may have, over all threads. Those of requests that no endpoint can
/// have seen cost nothing and do not ask for it.
#[derive(Debug)]
pub struct RetryBudget {
    savings: AtomicU32,
    savings_max: AtomicU32,
    /// What came in since the last refill.
    income: AtomicU32,
    /// The second of that.
    second: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            savings: AtomicU32::new(SAVINGS_MIN),
            savings_max: AtomicU32::new(SAVINGS_MIN),
            income: AtomicU32::new(0),
            second: AtomicU64::new(0),
        }
    }
}

/// The requests of one thread that it has not told of yet.
#[derive(Clone, Debug, Default)]
pub struct Deposits(Cell<u32>);

impl Deposits {
    #[inline]
    pub fn add_request(&self, budget: &RetryBudget) {
        let count = self.0.get() + 1;
        self.0.set(count);
        if count >= BATCH {
            self.hand_over(budget);
        }
    }

    #[cold]
    pub fn hand_over(&self, budget: &RetryBudget) {
        budget.deposit(self.0.take());
    }
}

impl RetryBudget {
    fn deposit(&self, count: u32) {
        self.income.fetch_add(count, Ordering::Relaxed);
        let max = self.savings_max.load(Ordering::Relaxed);
        let more = |savings: u32| Some(savings.saturating_add(count).min(max));
        // Cannot fail: there is always something to set.
        self.savings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).unwrap_or_default();
    }

    /// Retries that are left.
    pub fn left(&self) -> u32 {
        self.savings.load(Ordering::Relaxed) / COST
    }

    pub fn has_any(&self) -> bool {
        self.left() > 0
    }

    /// Takes a retry, if there is one.
    pub fn take(&self) -> bool {
        let less = |savings: u32| savings.checked_sub(COST);
        self.savings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// To be called once a second, by each thread: the first one of them does it.
    pub fn refill(&self, now_s: u64) {
        let before = self.second.swap(now_s, Ordering::Relaxed);
        if before >= now_s {
            return;
        }
        let a_second = self.income.swap(0, Ordering::Relaxed);
        let max = a_second.saturating_mul(SAVINGS_SECONDS).max(SAVINGS_MIN);
        self.savings_max.store(max, Ordering::Relaxed);
        let more = RESERVE.saturating_sub(a_second);
        let at_least = |savings: u32| Some(savings.max(more).min(max));
        let savings = &self.savings;
        savings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, at_least).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &RetryBudget) -> u32 {
        (0..).take_while(|_| budget.take()).count() as u32
    }

    fn requests(budget: &RetryBudget, count: u32) {
        let deposits = Deposits::default();
        (0..count).for_each(|_| deposits.add_request(budget));
        deposits.hand_over(budget);
    }

    #[test]
    fn retries_are_a_seventh_of_the_requests_or_ten_a_second() {
        let budget = RetryBudget::default();
        assert_eq!(retries(&budget), 100);
        assert_eq!(retries(&budget), 0);
        requests(&budget, 70);
        assert!(budget.has_any());
        assert_eq!(retries(&budget), 10);
        requests(&budget, 100_000);
        assert_eq!(retries(&budget), 100);
        budget.refill(1);
        assert_eq!(retries(&budget), 0, "many requests came in");
        budget.refill(2);
        assert_eq!(retries(&budget), 10);
        assert!(!budget.has_any());
        budget.refill(2);
        assert_eq!(retries(&budget), 0, "it was done in this second");
    }

    /// 1 400 requests a second for long: 2 000 retries are saved.
    #[test]
    fn savings_are_those_of_ten_seconds() {
        let budget = RetryBudget::default();
        for second in 1..60 {
            budget.refill(second);
            requests(&budget, 1400);
        }
        assert_eq!(retries(&budget), 2000);
    }

    #[test]
    fn threads_share_what_there_is() {
        let budget = RetryBudget::default();
        requests(&budget, 1000);
        let taken: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| retries(&budget))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }

    #[test]
    fn pauses_grow_up_to_ten_times() {
        let rules = RetryRules {
            statuses: Vec::new(),
            marked: Marked::Method,
            patience: None,
            pause: Duration::from_millis(25),
        };
        let longest = |number| {
            let all = (0..1000).map(|step| rules.pause(number, step * 977));
            all.max().unwrap().as_millis() / 5 * 5
        };
        assert_eq!([1, 2, 3, 4, 5, 99].map(longest), [20, 45, 95, 195, 245, 245]);
        assert_eq!(rules.pause(1, 0), Duration::ZERO);
        let none = RetryRules { pause: Duration::ZERO, ..rules };
        assert_eq!(none.pause(7, u64::MAX), Duration::ZERO);
    }
}
