//! What becomes of requests: endpoints that fail too often in a row, or more often than the others,
//! are ejected.

use fairwater_config as config;
use fairwater_plan::health::{
    OutlierRules, Reason, State, SuccessRules, Tally, ejections_max, stragglers,
};

use super::{Health, NEVER_MS};
use crate::Sources;
use crate::metrics::sum;
use crate::registry::Registry;
use crate::roster::{Member, Roster};

/// Windows that end within this time are looked at together.
const TOGETHER_MS: u64 = 100;

/// Where the outcomes of requests are found.
pub(crate) struct Outcomes<'a> {
    pub config: &'a config::Config,
    pub roster: &'a Roster,
    pub registry: &'a Registry,
}

impl Outcomes<'_> {
    /// Upstreams whose endpoints can be ejected, with those.
    fn upstreams(&self) -> impl Iterator<Item = (&str, &[Member], OutlierRules)> {
        let upstreams = self.config.upstreams.iter().zip(&self.roster.0);
        upstreams.filter_map(|(upstream, members)| {
            Some((&*upstream.name.value, &members[..], rules(upstream)?))
        })
    }
}

fn rules(upstream: &config::Upstream) -> Option<OutlierRules> {
    let outlier = upstream.outlier?;
    let success = SuccessRules {
        points: outlier.success_points,
        requests_min: u64::from(outlier.requests_min),
        window_ms: outlier.window.as_millis() as u64,
    };
    Some(OutlierRules {
        consecutive: Some(outlier.consecutive).filter(|count| *count > 0),
        success: Some(success).filter(|success| success.points > 0),
        base_ms: outlier.ejection.as_millis() as u64,
        max_ms: outlier.ejection_max.as_millis() as u64,
        percent_max: outlier.ejected_max,
    })
}

impl Health {
    /// Ejects those that have failed too often in a row. Returns whether there were any.
    pub(crate) fn eject_failing(&mut self, outcomes: &Outcomes<'_>, now_ms: u64) -> bool {
        let mut is_other = false;
        for (upstream, members, rules) in outcomes.upstreams() {
            let Some(limit) = rules.consecutive else { continue };
            for member in members {
                let Some(state) = outcomes.registry.find(upstream, &member.key()) else { continue };
                let failures = state.failures();
                let cause = format!("{failures} requests in a row have failed");
                if failures >= limit
                    && self.eject(upstream, (members, member), &rules, cause, now_ms)
                {
                    state.forgive();
                    is_other = true;
                }
            }
        }
        is_other
    }

    /// Ejects one, if it is not out already, and there may be one more.
    fn eject(
        &mut self,
        upstream: &str,
        (members, member): (&[Member], &Member),
        rules: &OutlierRules,
        cause: String,
        now_ms: u64,
    ) -> bool {
        let Some(of) = self.upstreams.get_mut(upstream) else { return false };
        let is_ejected = |member: &Member| {
            of.known.get(&member.key()).is_some_and(|known| known.ejection.is_on(now_ms))
        };
        let of_tier = || members.iter().filter(|other| other.tier == member.tier);
        let candidates = of_tier().filter(|member| could_serve(member)).count();
        let ejected = of_tier().filter(|member| is_ejected(member)).count();
        let has_stand_in = members.iter().any(|other| {
            other.tier > member.tier && matches!(other.given.reason, None | Some(Reason::Standby))
        });
        if ejected >= ejections_max(candidates, rules.percent_max, has_stand_in) {
            return false;
        }
        let Some(known) = of.known.get_mut(&member.key()) else { return false };
        if known.ejection.is_on(now_ms) || known.verdict.state() == State::Down {
            return false;
        }
        known.ejection.begin(now_ms, rules);
        known.cause = format!("{cause}, time {} in a row", known.ejection.times);
        known.ejections += 1;
        if known.ejection.times == 1 {
            known.cause = cause;
        }
        true
    }

    /// Looks at the rates of success where a window has ended, and ejects those that lag behind.
    /// Returns whether there were any.
    pub(crate) fn compare_rates(
        &mut self,
        outcomes: &Outcomes<'_>,
        sources: &Sources,
        now_ms: u64,
    ) -> bool {
        let (mut is_other, mut next_ms) = (false, NEVER_MS);
        for (upstream, members, rules) in outcomes.upstreams() {
            // One alone has nobody to be compared with.
            let Some(success) = rules.success.filter(|_| members.len() > 1) else { continue };
            let Some(of) = self.upstreams.get_mut(upstream) else { continue };
            if of.window_ends_ms > now_ms + TOGETHER_MS {
                next_ms = next_ms.min(of.window_ends_ms);
                continue;
            }
            let is_first = of.window_ends_ms == 0;
            of.window_ends_ms = now_ms + success.window_ms;
            next_ms = next_ms.min(of.window_ends_ms);
            let mut tallies = Vec::new();
            for member in members {
                let key = member.key();
                let slot = outcomes.registry.find(upstream, &key).map(|state| state.slot());
                let total = slot.map(|slot| tally(sources, slot)).unwrap_or_default();
                let known = of.known.entry(key).or_default();
                let before = std::mem::replace(&mut known.counted, total);
                tallies.push(Tally {
                    good: total.good.saturating_sub(before.good),
                    bad: total.bad.saturating_sub(before.bad),
                });
            }
            for place in stragglers(&tallies, &success).into_iter().filter(|_| !is_first) {
                let Tally { good, bad } = tallies[place];
                let cause =
                    format!("{bad} of {} requests have failed, more than elsewhere", good + bad);
                let member = (members, &members[place]);
                is_other |= self.eject(upstream, member, &rules, cause, now_ms);
            }
        }
        self.rates_ms = next_ms;
        is_other
    }
}

/// What became of the requests of an endpoint so far.
fn tally(sources: &Sources, slot: usize) -> Tally {
    Tally {
        good: sum(sources, |thread| thread.endpoints[slot].successes.get()),
        bad: sum(sources, |thread| thread.endpoints[slot].failures.get()),
    }
}

/// Whether an endpoint could have traffic, were it well.
fn could_serve(member: &Member) -> bool {
    matches!(
        member.given.reason,
        None | Some(Reason::Standby | Reason::Ejected | Reason::Unknown | Reason::Failing)
    )
}
