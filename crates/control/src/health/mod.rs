//! How endpoints are: they are asked, and what becomes of requests is watched. What is known is
//! kept here; `plan::health` decides what follows from it.

mod failures;
mod keep;
mod known;
mod probe;
pub(crate) mod record;
mod schedule;
mod target;
pub(crate) mod words;

pub(crate) use failures::Outcomes;
pub(crate) use keep::keep;
pub(crate) use known::Known;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fairwater_config as config;
use fairwater_plan::Plan;
use fairwater_plan::health::{Facts, Mode, Reason, Rules, Standings, Thresholds, standing};

use crate::roster::{Member, Roster, Standing as Presence};
use probe::Outcome;
use schedule::{Schedule, User};
use target::Target;
use words::Lines;

/// What is known is kept for another process no more often than this.
const KEEP_MS: u64 = 1000;
/// Nothing happens by itself.
const NEVER_MS: u64 = u64::MAX;

/// What is known of all endpoints.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// By upstream.
    upstreams: BTreeMap<String, OfUpstream>,
    schedule: Schedule,
    /// When what is known changes by itself.
    next_ms: u64,
    /// It is something else than what was decided by; that is decided again, not before this time.
    is_stale: bool,
    rests_until_ms: u64,
    /// When rates of success are compared next.
    rates_ms: u64,
    /// It is something else than what was kept last, at this time.
    is_news: bool,
    kept_ms: u64,
    /// Another process asks by now.
    is_over: bool,
}

#[derive(Debug, Default)]
struct OfUpstream {
    /// By their keys.
    known: BTreeMap<String, Known>,
    mode: Mode,
    /// The last word about that was a warning.
    was_told: bool,
    /// Rates of success are compared then; 0 is not yet.
    window_ends_ms: u64,
    /// It was decided about before, and served by that.
    is_judged: bool,
}

impl Health {
    pub(crate) fn known(&self, upstream: &str, key: &str) -> Option<&Known> {
        self.upstreams.get(upstream)?.known.get(key)
    }

    pub(crate) fn mode(&self, upstream: &str) -> Mode {
        self.upstreams.get(upstream).map(|of| of.mode).unwrap_or_default()
    }

    /// All endpoints of a plan, by upstream and by what they are called.
    pub(crate) fn each<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a Known)> {
        plan.upstreams.iter().flat_map(|upstream| {
            let name = upstream.settings.name.as_str();
            let known = self.upstreams.get(name).into_iter().flat_map(|of| of.known.values());
            known.map(move |known| (name, known.identity.as_str(), known))
        })
    }

    /// Decides who gets traffic, writes it into the roster, and sees to it that all are asked who
    /// should be. Returns what there is to say. All that is there before the process serves is
    /// there from the beginning.
    pub(crate) fn judge(
        &mut self,
        config: &config::Config,
        roster: &mut Roster,
        (now_ms, is_serving): (u64, bool),
    ) -> Vec<String> {
        let mut lines = Lines::default();
        (self.next_ms, self.is_stale) = (NEVER_MS, false);
        for (upstream, members) in config.upstreams.iter().zip(&mut roster.0) {
            let name = &upstream.name.value;
            let of = self.upstreams.entry(name.clone()).or_default();
            let keys: Vec<String> = members.iter().map(Member::key).collect();
            of.retain(&keys);
            let found = of.decide(upstream, (members, &keys), now_ms);
            let nexts = of.known.values().filter_map(|known| known.next_ms(upstream, now_ms));
            self.next_ms = nexts.chain([self.next_ms]).min().unwrap_or(NEVER_MS);
            let each = found.each.iter().copied();
            for ((member, key), standing) in members.iter_mut().zip(keys).zip(each) {
                let known = of.known.entry(key).or_default();
                lines.moved(name, member, known, standing);
                self.is_news |= known.last != Some(standing);
                known.is_first |= !of.is_judged;
                if upstream.health.is_none() {
                    known.forget_check();
                }
                known.identity.clone_from(&member.identity);
                known.last = Some(standing);
                known.is_ejected = known.ejected_until_ms(upstream, now_ms).is_some();
                member.given = standing;
            }
            lines.mode(name, (of.mode, &mut of.was_told), &found);
            (of.mode, of.is_judged) = (found.mode, is_serving);
        }
        let names: HashSet<&str> = config.upstreams.iter().map(|one| &*one.name.value).collect();
        self.upstreams.retain(|name, _| names.contains(&**name));
        self.want(config, roster);
        lines.finish()
    }

    /// Sees to it that all are asked who should be, and nobody else.
    fn want(&mut self, config: &config::Config, roster: &Roster) {
        let mut wanted = Vec::new();
        let upstreams = config.upstreams.iter().zip(&roster.0);
        for (upstream, members) in upstreams.filter(|_| !self.is_over) {
            let has_any = upstream.health.is_some() || upstream.agent.is_some();
            for member in members.iter().filter(|member| has_any && has_address(member)) {
                let (name, key) = (&upstream.name.value, member.key());
                let check = Target::check(upstream, member);
                let asked = check.as_ref().map(|check| number_of(&check.key()));
                let of = self.upstreams.entry(name.clone()).or_default();
                of.known.entry(key.clone()).or_default().asked_by(asked);
                let user = || User { upstream: name.clone(), key: key.clone() };
                let targets = check.into_iter().chain(Target::agent(upstream, member));
                wanted.extend(targets.map(|target| (target, user())));
            }
        }
        self.schedule.want(wanted);
    }

    /// What to ask now, and after how many milliseconds to look again.
    fn due(&mut self, now_ms: u64) -> (Vec<(String, Arc<Target>)>, u64) {
        let (due, wait_ms) = self.schedule.due(now_ms);
        let decide_ms = if self.is_stale { self.rests_until_ms } else { self.next_ms };
        let next_ms = decide_ms.min(self.rates_ms).saturating_sub(now_ms);
        let keep_ms = (self.kept_ms + KEEP_MS).saturating_sub(now_ms).max(1);
        let keep_ms = if self.is_news { keep_ms } else { NEVER_MS };
        (due, wait_ms.min(next_ms).min(keep_ms))
    }

    /// Whether there is something new to keep, and time for it.
    fn is_to_be_kept(&mut self, now_ms: u64) -> bool {
        if !self.is_news || now_ms < self.kept_ms + KEEP_MS {
            return false;
        }
        (self.is_news, self.kept_ms) = (false, now_ms);
        true
    }

    /// Takes in what came of a probe. Returns whether it is news.
    fn probed(
        &mut self,
        config: &config::Config,
        (key, target): (&str, &Target),
        outcome: &Outcome,
        (now_ms, random): (u64, u64),
    ) -> bool {
        let (mut is_news, mut is_changing) = (false, false);
        for user in self.schedule.users(key) {
            let Some(of) = self.upstreams.get_mut(&user.upstream) else { continue };
            let Some(known) = of.known.get_mut(&user.key) else { continue };
            let mut upstreams = config.upstreams.iter();
            let upstream = upstreams.find(|upstream| upstream.name.value == user.upstream);
            let health = upstream.and_then(|upstream| upstream.health.as_ref());
            let thresholds = health.map_or(Thresholds { rise: 1, fall: 1 }, |health| Thresholds {
                rise: health.rise,
                fall: health.fall,
            });
            is_news |= known.probed(&target.ask, outcome, thresholds, now_ms);
            // Where nobody is good, somebody is waited for.
            is_changing |= known.verdict.is_changing() || of.mode != Mode::Good;
        }
        self.schedule.ended(key, is_changing, now_ms, random);
        self.is_news |= is_news;
        is_news
    }

    /// Asks nobody from now on.
    pub(crate) fn stop(&mut self) {
        self.is_over = true;
        self.schedule.want([]);
    }
}

impl OfUpstream {
    /// Forgets endpoints that are gone.
    fn retain(&mut self, keys: &[String]) {
        let keys: HashSet<&str> = keys.iter().map(String::as_str).collect();
        self.known.retain(|key, _| keys.contains(&**key));
    }

    /// Who gets traffic. Those that are back, or new beside others, begin their slow start.
    fn decide(
        &mut self,
        upstream: &config::Upstream,
        (members, keys): (&[Member], &[String]),
        now_ms: u64,
    ) -> Standings {
        let rules = Rules {
            is_mandatory: upstream.health.as_ref().is_some_and(|health| health.is_mandatory),
            panic_percent: upstream.panic_threshold,
            ejected_percent_max: upstream.outlier.map_or(0, |outlier| outlier.ejected_max),
        };
        let found = standing(&self.facts(upstream, members, keys, now_ms), &rules);
        if upstream.slow_start.is_zero() || !self.is_judged {
            return found;
        }
        let mut is_other = false;
        for (key, standing) in keys.iter().zip(&found.each) {
            let known = self.known.entry(key.clone()).or_default();
            if standing.reason.is_none() && known.comes_back() {
                known.joined_ms = Some(now_ms);
                known.slow_start_ms = upstream.slow_start.as_millis() as u64;
                is_other = true;
            }
        }
        match is_other {
            true => standing(&self.facts(upstream, members, keys, now_ms), &rules),
            false => found,
        }
    }

    fn facts(
        &self,
        upstream: &config::Upstream,
        members: &[Member],
        keys: &[String],
        now_ms: u64,
    ) -> Vec<Facts> {
        let new = Known::default();
        let facts = |(member, key): (&Member, &String)| {
            self.known.get(key).unwrap_or(&new).facts(upstream, member, now_ms)
        };
        members.iter().zip(keys).map(facts).collect()
    }
}

/// A number for a text, the same in every process (FNV-1a).
fn number_of(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn has_address(member: &Member) -> bool {
    !matches!(member.standing, Presence::Unresolved | Presence::Down)
}

impl Presence {
    /// Why an endpoint that stands so has no part in anything.
    pub(crate) fn reason(self) -> Option<Reason> {
        use crate::changes::Rest;
        match self {
            Self::Active => None,
            Self::Resting(Rest::Drain) => Some(Reason::Drain),
            Self::Resting(Rest::Maintenance) => Some(Reason::Maintenance),
            Self::Unresolved => Some(Reason::Unresolved),
            Self::Down => Some(Reason::NoProcess),
        }
    }
}

#[cfg(test)]
mod tests;
