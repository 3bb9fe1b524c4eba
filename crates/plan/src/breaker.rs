//! A circuit breaker: while most requests to an upstream fail, it is left alone, and its clients
//! have an answer at once. After a while a few requests find out whether it is back.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Alarm;

/// Requests in a row that must succeed while others are still refused.
const TRIALS: u32 = 3;
/// Between two of them: a slow answer holds up nobody.
const TRIAL_MS: u64 = 100;
/// How often the time for which it is open may double.
const DOUBLINGS_MAX: u32 = 4;
/// Changes that wait to be told.
const NEWS_MAX: usize = 16;

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// Of the requests in a window.
    pub failed_percent: u32,
    /// Requests below which a rate says nothing.
    pub requests_min: u32,
    pub window_ms: u64,
    /// The first time; each further one in a row takes twice as long.
    pub open_ms: u64,
}

/// The breaker of an upstream, shared by all threads. A closed one costs two atomic operations for
/// each request.
#[derive(Debug, Default)]
pub struct Breaker {
    is_closed_no_more: AtomicBool,
    window_ends_ms: AtomicU64,
    good: AtomicU32,
    bad: AtomicU32,
    inner: Mutex<Inner>,
    /// Rung when the state changes.
    alarm: Arc<Alarm>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// What became of it since somebody asked last; there is nothing new to say of more.
    news: Vec<Change>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Closed,
    /// Nothing is let through until then.
    Open { until_ms: u64, times: u32 },
    /// A request at a time is, and not before then. What began before `since_ms` is no trial.
    Trying { since_ms: u64, next_ms: u64, times: u32, succeeded: u32 },
}

/// What became of it, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many of so many requests have failed.
    Opened {
        failed: u32,
        requests: u32,
    },
    /// One of those that were let through has failed.
    OpenedAgain,
    Closed,
}

impl Breaker {
    pub fn new(alarm: Arc<Alarm>) -> Self {
        Self { alarm, ..Self::default() }
    }

    pub fn state(&self) -> State {
        self.lock().state
    }

    /// How long it lets nobody through from now on.
    pub fn wait_ms(&self, now_ms: u64) -> u64 {
        match self.state() {
            State::Closed => 0,
            State::Open { until_ms, .. } => until_ms.saturating_sub(now_ms),
            State::Trying { next_ms, .. } => next_ms.saturating_sub(now_ms),
        }
    }

    /// What became of it since the last call.
    pub fn take_news(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().news)
    }

    /// Whether a request may go to the upstream.
    #[inline]
    pub fn admits(&self, now_ms: u64) -> bool {
        !self.is_closed_no_more.load(Ordering::Relaxed) || self.admits_one(now_ms)
    }

    #[cold]
    fn admits_one(&self, now_ms: u64) -> bool {
        let state = &mut self.lock().state;
        match *state {
            State::Closed => true,
            State::Open { until_ms, .. } if now_ms < until_ms => false,
            State::Open { times, .. } => {
                let (since_ms, next_ms) = (now_ms, now_ms + TRIAL_MS);
                *state = State::Trying { since_ms, next_ms, times, succeeded: 0 };
                true
            }
            State::Trying { next_ms, .. } if now_ms < next_ms => false,
            State::Trying { since_ms, times, succeeded, .. } => {
                let next_ms = now_ms + TRIAL_MS;
                *state = State::Trying { since_ms, next_ms, times, succeeded };
                true
            }
        }
    }

    /// Takes in how a request has ended that was let through at `begun_ms`.
    #[inline]
    pub fn observe(&self, is_good: bool, rules: &BreakerRules, begun_ms: u64, now_ms: u64) {
        if self.is_closed_no_more.load(Ordering::Relaxed) {
            return self.observe_trial(is_good, rules, begun_ms, now_ms);
        }
        let ends_ms = self.window_ends_ms.load(Ordering::Relaxed);
        if now_ms >= ends_ms {
            let next_ms = now_ms + rules.window_ms;
            let (this, order) = (&self.window_ends_ms, Ordering::Relaxed);
            if this.compare_exchange(ends_ms, next_ms, order, order).is_ok() {
                self.good.store(0, order);
                self.bad.store(0, order);
            }
        }
        if is_good {
            self.good.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let bad = self.bad.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let all = bad.saturating_add(self.good.load(Ordering::Relaxed));
        let is_too_much = u64::from(bad) * 100 >= u64::from(all) * u64::from(rules.failed_percent);
        if all >= rules.requests_min && is_too_much {
            let mut inner = self.lock();
            // Another thread may have been faster.
            if inner.state == State::Closed {
                self.open(&mut inner, 1, rules, now_ms);
                self.tell(inner, Change::Opened { failed: bad, requests: all });
            }
        }
    }

    #[cold]
    fn observe_trial(&self, is_good: bool, rules: &BreakerRules, begun_ms: u64, now_ms: u64) {
        let mut inner = self.lock();
        // What ends while it is open began before.
        let State::Trying { since_ms, next_ms, times, succeeded } = inner.state else { return };
        if begun_ms < since_ms {
            return;
        }
        if !is_good {
            self.open(&mut inner, times.saturating_add(1), rules, now_ms);
            return self.tell(inner, Change::OpenedAgain);
        }
        if succeeded + 1 < TRIALS {
            let succeeded = succeeded + 1;
            inner.state = State::Trying { since_ms, next_ms, times, succeeded };
            return;
        }
        inner.state = State::Closed;
        self.window_ends_ms.store(0, Ordering::Relaxed);
        self.is_closed_no_more.store(false, Ordering::Relaxed);
        self.tell(inner, Change::Closed);
    }

    fn tell(&self, mut inner: MutexGuard<'_, Inner>, change: Change) {
        if inner.news.len() < NEWS_MAX {
            inner.news.push(change);
        }
        drop(inner);
        self.alarm.ring();
    }

    fn open(&self, inner: &mut Inner, times: u32, rules: &BreakerRules, now_ms: u64) {
        let doublings = times.saturating_sub(1).min(DOUBLINGS_MAX);
        let until_ms = now_ms.saturating_add(rules.open_ms.saturating_mul(1 << doublings));
        inner.state = State::Open { until_ms, times };
        self.is_closed_no_more.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; and if, the state is as good as before.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules =
        BreakerRules { failed_percent: 50, requests_min: 10, window_ms: 10_000, open_ms: 5_000 };

    fn fails(breaker: &Breaker, count: u32, now_ms: u64) -> Option<Change> {
        (0..count).for_each(|_| breaker.observe(false, &RULES, now_ms, now_ms));
        breaker.take_news().pop()
    }

    fn succeeds(breaker: &Breaker, count: u32, now_ms: u64) -> Option<Change> {
        (0..count).for_each(|_| breaker.observe(true, &RULES, now_ms, now_ms));
        breaker.take_news().pop()
    }

    #[test]
    fn opens_when_half_of_the_requests_fail_and_not_for_a_few() {
        let breaker = Breaker::default();
        assert_eq!(fails(&breaker, 9, 1000), None);
        assert!(breaker.admits(1000));
        assert_eq!(succeeds(&breaker, 10, 1000), None);
        assert_eq!(fails(&breaker, 1, 1000), Some(Change::Opened { failed: 10, requests: 20 }));
        assert!(!breaker.admits(1001) && !breaker.admits(5999));
        assert_eq!([breaker.wait_ms(1001), breaker.wait_ms(5999)], [4999, 1]);
        // What had begun before changes nothing.
        assert_eq!((fails(&breaker, 9, 2000), succeeds(&breaker, 9, 2000)), (None, None));
    }

    #[test]
    fn failures_of_another_window_do_not_count() {
        let breaker = Breaker::default();
        assert_eq!(fails(&breaker, 9, 1000), None);
        assert_eq!(fails(&breaker, 9, 11_000), None);
        assert!(fails(&breaker, 1, 11_000).is_some());
    }

    #[test]
    fn three_that_succeed_close_it_and_one_that_fails_opens_it_for_longer() {
        let breaker = Breaker::default();
        fails(&breaker, 10, 0);
        assert!(breaker.admits(5000), "the first one");
        assert_eq!([breaker.wait_ms(5050), breaker.wait_ms(5100)], [50, 0]);
        assert!(!breaker.admits(5050), "one at a time");
        assert!(breaker.admits(5100));
        assert_eq!(succeeds(&breaker, 2, 5100), None);
        assert_eq!(fails(&breaker, 1, 5200), Some(Change::OpenedAgain));
        assert!(!breaker.admits(15_199));
        assert!(breaker.admits(15_200));
        assert_eq!(succeeds(&breaker, 3, 15_300), Some(Change::Closed));
        assert_eq!((breaker.state(), breaker.wait_ms(0)), (State::Closed, 0));
        assert!(breaker.admits(15_300) && breaker.admits(15_300));
        // It begins anew.
        assert_eq!(fails(&breaker, 9, 15_301), None);
        assert!(fails(&breaker, 1, 15_301).is_some());
        assert!(breaker.admits(20_301));
    }

    #[test]
    fn what_began_before_it_opened_is_no_trial() {
        let breaker = Breaker::default();
        fails(&breaker, 10, 0);
        assert!(breaker.admits(5000));
        for is_good in [false, true, true, true] {
            breaker.observe(is_good, &RULES, 4999, 5001);
        }
        assert!(breaker.take_news().is_empty());
        assert_eq!(succeeds(&breaker, 3, 5001), Some(Change::Closed));
    }

    #[test]
    fn it_is_never_open_for_more_than_sixteen_times_as_long() {
        let breaker = Breaker::default();
        fails(&breaker, 10, 0);
        let mut now_ms = 5000;
        for _ in 0..10 {
            assert!(breaker.admits(now_ms));
            fails(&breaker, 1, now_ms);
            let State::Open { until_ms, .. } = breaker.state() else { panic!("it is open") };
            assert!(until_ms - now_ms <= 80_000);
            now_ms = until_ms;
        }
    }
}
