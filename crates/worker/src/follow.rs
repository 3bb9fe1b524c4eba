//! What another try may follow from, beside a connection that fails: a status that the endpoint
//! should not have answered with, an endpoint that takes its time, and one whose host is gone.

use std::cell::Cell;
use std::time::Duration;

use fairwater_message::{Fault, FaultKind, HeaderId, ResponseHead};
use fairwater_net::{Stream, Timer};
use fairwater_plan::{RetryRules, Tried, Upstream};

/// Known of an attempt before it is made, where rules say what another one follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow<'a> {
    pub upstream: &'a Upstream,
    pub tried: Tried,
}

impl Follow<'_> {
    fn rules(&self) -> &RetryRules {
        &self.upstream.settings.retry
    }

    /// Whether a reply is as good as none, so that another endpoint is tried, which has room for
    /// it: the retry is taken out of the budget. One that says when to come again says so to the
    /// client.
    pub(crate) fn refuses(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let waits = head.find(HeaderId::RetryAfter).map(|field| field.value.of(bytes));
        self.rules().refuses(head.status)
            && waits.is_none_or(|seconds| seconds == b"0")
            && self.upstream.has_another(&self.tried)
            && self.upstream.budget().take()
    }
}

/// How long the head of a reply is waited for, and when it is looked whether that is of use.
#[derive(Debug)]
pub(crate) struct HeadWait<'a> {
    /// In any case.
    response: Duration,
    /// From one look to the next whether the host has acknowledged anything; none before the end,
    /// where no other endpoint can be tried.
    unheard: Duration,
    follow: Option<Follow<'a>>,
    waited: Cell<Duration>,
}

impl<'a> HeadWait<'a> {
    #[inline]
    pub(crate) fn new(response: Duration) -> Self {
        Self { response, unheard: response, follow: None, waited: Cell::new(Duration::ZERO) }
    }

    /// Where another endpoint can be tried: a host that acknowledges nothing for so long is gone.
    #[inline]
    pub(crate) fn until(self, unheard: Duration, follow: Option<Follow<'a>>) -> Self {
        Self { unheard, follow, ..self }
    }

    /// Until the first look.
    #[inline]
    pub(crate) fn first(&self) -> Duration {
        let first = self.response.min(self.unheard);
        self.patience().map_or(first, |patience| patience.min(first))
    }

    #[inline]
    fn patience(&self) -> Option<Duration> {
        self.follow.as_ref().and_then(|follow| follow.rules().patience)
    }

    /// Whether a reply is as good as none.
    #[inline]
    pub(crate) fn refuses(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        self.follow.is_some_and(|follow| follow.refuses(head, bytes))
    }

    /// What follows from a fault while the head of a reply is waited for: to go on waiting, or the
    /// end of the attempt.
    #[cold]
    pub(crate) fn go_on(
        &self,
        fault: Fault,
        endpoint: Option<&Stream>,
        timer: &Timer,
    ) -> Result<(), Fault> {
        if fault.kind != FaultKind::ResponseTimeout {
            return Err(fault);
        }
        let waited = self.next().unwrap_or(self.response);
        self.waited.set(waited);
        if waited >= self.response {
            return Err(fault);
        }
        // Where the budget has no other the endpoint has the rest of the time.
        if self.patience() == Some(waited)
            && self.follow.is_some_and(|one| one.upstream.budget().take())
        {
            return Err(FaultKind::TryTimeout.into());
        }
        if self.patience() != Some(waited) && endpoint.is_some_and(Stream::is_unheard) {
            return Err(FaultKind::Unheard.into());
        }
        timer.set(self.next().unwrap_or(self.response) - waited);
        Ok(())
    }

    /// The next time of a look, counted from the beginning.
    fn next(&self) -> Option<Duration> {
        let waited = self.waited.get();
        let looks = waited.as_micros() / self.unheard.as_micros().max(1);
        let look = self.unheard.saturating_mul(u32::try_from(looks + 1).unwrap_or(u32::MAX));
        let times = [Some(self.response), Some(look), self.patience()];
        times.into_iter().flatten().filter(|time| *time > waited && *time <= self.response).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_in_their_order_and_the_end_last() {
        let second = Duration::from_secs(1);
        let wait = HeadWait::new(second * 7).until(second * 2, None);
        let mut looks = vec![wait.first()];
        while let Some(next) = wait.next() {
            wait.waited.set(next);
            looks.push(next);
        }
        assert_eq!(looks, [2, 2, 4, 6, 7].map(|seconds| second * seconds));
        assert_eq!(HeadWait::new(second).first(), second);
        assert_eq!(HeadWait::new(second).next(), Some(second));
        let none = HeadWait::new(second).until(Duration::ZERO, None);
        assert_eq!(none.first(), Duration::ZERO);
    }
}
