//! What is known of one endpoint.

use fairwater_config as config;
use fairwater_plan::health::{
    Advice, Ejection, Facts, Reason, Share, Standing, State, Tally, Thresholds, Verdict,
};

use super::probe::Outcome;
use super::target::Ask;
use super::words::printable;
use crate::roster::Member;

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub verdict: Verdict,
    /// What the check was that found this.
    pub asked: Option<u64>,
    /// Why the last check failed.
    pub problem: Option<String>,
    pub checked_ms: Option<u64>,
    pub check_failures: u64,
    /// What it is called.
    pub identity: String,
    /// What it asks for, in replies and by its agent.
    pub replied: Advice,
    pub agent: Advice,
    /// Words of one of them that are not understood.
    pub unknown_words: Option<String>,
    pub ejection: Ejection,
    pub ejections: u64,
    /// Why it was ejected last.
    pub cause: String,
    /// Its ejection was on when that was decided last. It may have traffic all the same.
    pub is_ejected: bool,
    /// Exchanges so far, when the current window began.
    pub counted: Tally,
    /// It is there for as long as its upstream.
    pub is_first: bool,
    /// When its slow start has begun, and how long it takes.
    pub joined_ms: Option<u64>,
    pub slow_start_ms: u64,
    /// How it stood when that was decided last.
    pub last: Option<Standing>,
}

impl Known {
    /// What an endpoint asks for in all, where it is asked; its agent has the last word.
    pub(crate) fn advice(&self, upstream: &config::Upstream) -> Advice {
        let agent = upstream.agent.as_ref().map_or_else(Advice::default, |_| self.agent);
        let replied = upstream.health.as_ref().map_or_else(Advice::default, |_| self.replied);
        Advice { rest: agent.rest.or(replied.rest), weight: agent.weight.or(replied.weight) }
    }

    /// The part of its weight that it has, in percent, if that is not all.
    pub(crate) fn share(&self, now_ms: u64) -> Option<u32> {
        let elapsed_ms = now_ms.saturating_sub(self.joined_ms?);
        let share = Share::after(elapsed_ms, self.slow_start_ms);
        (share != Share::WHOLE).then(|| share.parts() * 100 / Share::WHOLE.parts())
    }

    /// The facts of an endpoint that decide about its traffic.
    pub(crate) fn facts(&self, upstream: &config::Upstream, member: &Member, now_ms: u64) -> Facts {
        let slow_start_ms = upstream.slow_start.as_millis() as u64;
        let elapsed_ms = self.joined_ms.map(|joined_ms| now_ms.saturating_sub(joined_ms));
        Facts {
            weight: member.weight,
            rest: member.standing.reason(),
            tier: member.tier,
            checked: upstream.health.is_some().then(|| self.verdict.state()),
            ejected_until_ms: self.ejected_until_ms(upstream, now_ms),
            share: elapsed_ms.map_or(Share::WHOLE, |ms| Share::after(ms, slow_start_ms)),
            advice: self.advice(upstream),
        }
    }

    /// The end of its ejection, if that is on.
    pub(crate) fn ejected_until_ms(&self, upstream: &config::Upstream, now_ms: u64) -> Option<u64> {
        let is_ejected = upstream.outlier.is_some() && self.ejection.is_on(now_ms);
        is_ejected.then_some(self.ejection.until_ms)
    }

    /// When its facts change by themselves.
    pub(crate) fn next_ms(&self, upstream: &config::Upstream, now_ms: u64) -> Option<u64> {
        let released = self.ejection.is_on(now_ms).then_some(self.ejection.until_ms);
        let slow_start_ms = upstream.slow_start.as_millis() as u64;
        let grown = self.joined_ms.and_then(|joined_ms| {
            Some(now_ms + Share::next_ms(now_ms.saturating_sub(joined_ms), slow_start_ms)?)
        });
        released.into_iter().chain(grown).min()
    }

    /// Takes in what came of a probe. Returns whether it says something new.
    pub(crate) fn probed(
        &mut self,
        ask: &Ask,
        outcome: &Outcome,
        thresholds: Thresholds,
        now_ms: u64,
    ) -> bool {
        let before = (self.verdict.state(), self.replied, self.agent);
        let is_good = outcome.problem.is_none();
        let words = outcome.advice.as_deref().filter(|_| is_good);
        let weight_max = u32::from(config::WEIGHT_MAX);
        match ask {
            Ask::Check(_) => {
                self.verdict.take(is_good, thresholds);
                self.problem.clone_from(&outcome.problem);
                self.checked_ms = Some(now_ms);
                self.check_failures += u64::from(!is_good);
                // A good reply says all that is asked for.
                if let Some(words) = words {
                    let advice = Advice::default().updated(words, weight_max);
                    self.replied = self.understood(words, advice).unwrap_or(self.replied);
                } else if is_good {
                    self.replied = Advice::default();
                }
            }
            Ask::Agent(_) => {
                if let Some(words) = words {
                    let advice = self.agent.updated(words, weight_max);
                    self.agent = self.understood(words, advice).unwrap_or(self.agent);
                }
            }
        }
        before != (self.verdict.state(), self.replied, self.agent)
    }

    fn understood(&mut self, words: &[u8], advice: Option<Advice>) -> Option<Advice> {
        self.unknown_words = match advice {
            Some(_) => None,
            None => Some(printable(words)),
        };
        advice
    }

    /// Whether nothing that was found tells against it. One that gets traffic because no other is
    /// left is not well for that.
    pub(crate) fn is_well(&self) -> bool {
        let reason = self.last.and_then(|last| last.reason);
        !matches!(reason, Some(Reason::Failing | Reason::Ejected | Reason::AdvisedDown))
            && self.verdict.state() != State::Down
            && !self.is_ejected
    }

    /// Whether an endpoint that was out is one to be brought back slowly.
    pub(crate) fn comes_back(&self) -> bool {
        match self.last.map(|last| last.reason) {
            // Those that stood by were well all the time.
            Some(None | Some(Reason::Standby)) => false,
            // Who was there from the beginning begins with the others.
            Some(Some(Reason::Unknown)) => !self.is_first,
            None | Some(Some(_)) => true,
        }
    }

    /// Nobody checks it any more.
    pub(crate) fn forget_check(&mut self) {
        (self.verdict, self.asked) = (Verdict::default(), None);
        (self.problem, self.checked_ms) = (None, None);
    }

    /// Another check asks from now on.
    pub(crate) fn asked_by(&mut self, key: Option<u64>) {
        if self.asked == key {
            return;
        }
        match (&self.asked, &key) {
            // What another process has found is as good as if it was found here.
            (None, Some(_)) => {}
            (Some(_), None) => self.forget_check(),
            (None, None) => {}
            (Some(_), Some(_)) if self.verdict.state() != State::Unknown => self.verdict.reopen(),
            (Some(_), Some(_)) => {}
        }
        self.asked = key;
    }
}
