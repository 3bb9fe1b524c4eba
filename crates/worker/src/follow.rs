//! What another try may follow from, beside a connection that fails: a status that the endpoint
//! should not have answered with, and an endpoint that takes its time.

use std::cell::Cell;
use std::time::Duration;

use fairwater_message::{Fault, FaultKind, HeaderId, ResponseHead};
use fairwater_net::Timer;
use fairwater_plan::{RetryBudget, RetryRules};

/// Known of an attempt before it is made, where another one can follow.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    rules: &'a RetryRules,
    budget: &'a RetryBudget,
    /// Of the endpoint, if no other try follows.
    response: Duration,
    /// The first part of it is over.
    is_late: Cell<bool>,
}

impl<'a> Follow<'a> {
    /// `response` is how long the endpoint has for the head of a reply in any case.
    pub(crate) fn new(rules: &'a RetryRules, budget: &'a RetryBudget, response: Duration) -> Self {
        Self { rules, budget, response, is_late: Cell::new(false) }
    }

    /// How long the head of a reply is waited for at first.
    pub(crate) fn first_patience(&self) -> Duration {
        self.rules.patience.map_or(self.response, |patience| patience.min(self.response))
    }

    /// Whether a reply is as good as none, so that another endpoint is tried: the retry is taken
    /// out of the budget. One that says when to come again says so to the client.
    pub(crate) fn refuses(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let waits = head.find(HeaderId::RetryAfter).map(|field| field.value.of(bytes));
        self.rules.refuses(head.status)
            && waits.is_none_or(|seconds| seconds == b"0")
            && self.budget.take()
    }

    /// What follows from a fault while the head of a reply is waited for: to go on waiting, or the
    /// end of the attempt.
    #[cold]
    pub(crate) fn or_give_up(
        follow: Option<&Self>,
        fault: Fault,
        timer: &Timer,
    ) -> Result<(), Fault> {
        match follow {
            Some(follow) if fault.kind == FaultKind::ResponseTimeout => {
                follow.at_end_of_patience(timer)
            }
            _ => Err(fault),
        }
    }

    /// When an endpoint has had its first time: the end of the attempt, or the rest of the time
    /// where the budget has no other.
    fn at_end_of_patience(&self, timer: &Timer) -> Result<(), Fault> {
        let rest = self.response.saturating_sub(self.first_patience());
        if rest.is_zero() || self.is_late.replace(true) {
            return Err(FaultKind::ResponseTimeout.into());
        }
        if self.budget.take() {
            return Err(FaultKind::TryTimeout.into());
        }
        timer.set(rest);
        Ok(())
    }
}
