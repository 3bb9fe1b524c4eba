//! How many retries may follow: a share of the requests, so that an upstream which fails as a whole
//! is not asked three times as much.

use std::cell::Cell;

/// What a request adds and a retry takes: one retry in five requests.
const DEPOSIT: u32 = 1;
const COST: u32 = 5;
/// What is there at the start and comes back each second: ten retries.
const RESERVE: u32 = 10 * COST;
/// What can be saved up: a hundred.
const SAVINGS_MAX: u32 = 100 * COST;

/// The budget of one upstream on one thread. Retries of requests that no endpoint can have seen
/// cost nothing and do not ask it.
#[derive(Clone, Debug)]
pub struct RetryBudget(Cell<u32>);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Cell::new(RESERVE))
    }
}

impl RetryBudget {
    #[inline]
    pub fn add_request(&self) {
        self.0.set((self.0.get() + DEPOSIT).min(SAVINGS_MAX));
    }

    /// Takes a retry, if there is one.
    pub fn take(&self) -> bool {
        let left = self.0.get().checked_sub(COST);
        left.inspect(|left| self.0.set(*left)).is_some()
    }

    /// To be called once a second.
    pub fn refill(&self) {
        self.0.set(self.0.get().max(RESERVE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &RetryBudget) -> u32 {
        (0..).take_while(|_| budget.take()).count() as u32
    }

    #[test]
    fn retries_are_a_fifth_of_the_requests_and_ten_a_second() {
        let budget = RetryBudget::default();
        assert_eq!(retries(&budget), 10);
        assert_eq!(retries(&budget), 0);
        (0..50).for_each(|_| budget.add_request());
        assert_eq!(retries(&budget), 10);
        (0..100_000).for_each(|_| budget.add_request());
        assert_eq!(retries(&budget), 100);
        budget.refill();
        budget.refill();
        assert_eq!(retries(&budget), 10);
    }
}
