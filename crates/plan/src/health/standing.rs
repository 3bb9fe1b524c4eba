//! The one decision: which endpoints of an upstream get traffic, how much of it, and why the others
//! get none.

use super::{Advice, AdvisedRest, Share, State, ejections_max};

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its share while it takes traffic, as it was written or set.
    pub weight: u32,
    /// Why it has no part in this: it was taken out, or is not there.
    pub rest: Option<Reason>,
    pub tier: Tier,
    /// What its checks say; `None` if there are none.
    pub checked: Option<State>,
    /// The end of its ejection, if that is not over.
    pub ejected_until_ms: Option<u64>,
    pub share: Share,
    pub advice: Advice,
}

/// Endpoints of a lower tier are used before those of a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tier {
    pub is_backup: bool,
    pub priority: u32,
}

/// What an upstream says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// No traffic for endpoints that no check has found good.
    pub is_mandatory: bool,
    /// The part of good endpoints, in percent, below which a tier counts as lost; if all are,
    /// health is not looked at any more. 0 is never.
    pub panic_percent: u32,
    /// Of the endpoints of a tier that could have traffic.
    pub ejected_percent_max: u32,
}

/// Why an endpoint gets no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Set by people.
    Drain,
    Maintenance,
    /// Its name has no address.
    Unresolved,
    /// It is an instance of an app without a process that is ready.
    NoProcess,
    /// Its weight is 0.
    NoWeight,
    /// It asks for this itself.
    AdvisedDrain,
    AdvisedMaintenance,
    AdvisedDown,
    /// Its checks fail.
    Failing,
    /// It is left alone after failures.
    Ejected,
    /// Others go first.
    Standby,
    /// No check has ended yet, and others are known to be good.
    Unknown,
}

impl Reason {
    /// As states and metrics call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
            Self::Unresolved => "unresolved",
            Self::NoProcess => "down",
            Self::NoWeight => "no_weight",
            Self::AdvisedDrain => "asks_drain",
            Self::AdvisedMaintenance => "asks_maintenance",
            Self::AdvisedDown => "says_down",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
            Self::Ejected => "ejected",
            Self::Standby => "standby",
        }
    }

    /// Whether a request may try it that has tried all that get traffic: checks and ejections find
    /// out later than requests do.
    pub const fn is_in_reserve(self, is_mandatory: bool) -> bool {
        match self {
            Self::Standby | Self::Ejected => true,
            Self::Unknown => !is_mandatory,
            _ => false,
        }
    }

    /// Whether idle connections to it are worth keeping: it can have traffic at any time, or
    /// finishes what it has.
    pub const fn keeps_connections(self) -> bool {
        matches!(
            self,
            Self::Drain
                | Self::NoWeight
                | Self::AdvisedDrain
                | Self::Unknown
                | Self::Standby
                | Self::Ejected
        )
    }

    /// Whether it serves the sessions that stay with it: it finishes what it has, or nothing tells
    /// against it but that others go first. One that nobody has checked yet does so unless checks
    /// are mandatory: where it is gone, an attempt finds out.
    pub const fn keeps_sessions(self, is_mandatory: bool) -> bool {
        match self {
            Self::Drain | Self::NoWeight | Self::AdvisedDrain | Self::Standby => true,
            Self::Unknown => !is_mandatory,
            Self::Maintenance
            | Self::Unresolved
            | Self::NoProcess
            | Self::AdvisedMaintenance
            | Self::AdvisedDown
            | Self::Failing
            | Self::Ejected => false,
        }
    }
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its weight among the others; 0 takes no traffic.
    pub weight: u32,
    /// Why it takes none; `None` if it takes some.
    pub reason: Option<Reason>,
}

/// By which rule those that get traffic were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are good.
    #[default]
    Good,
    /// Nobody is known to be good: those that no check has judged.
    Untested,
    /// Nobody else is left: those that were to be left alone.
    Spared,
    /// Too few are good: all, whatever is known of them.
    Panic,
    /// None does.
    Nobody,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// In the order of the facts.
    pub each: Vec<Standing>,
    pub mode: Mode,
}

/// An endpoint that could have traffic, by its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Good,
    Unknown,
    Ejected,
    Failing,
}

/// Who gets traffic.
///
/// The lowest tier that has good endpoints gets all of it, and the good ones share it. Where no
/// tier has any, those that are unknown get it (unless checks are mandatory), and then those that
/// were ejected: an ejection never takes the last one. An endpoint whose checks fail gets traffic
/// only when there are fewer good ones than the panic threshold asks for.
pub fn standing(facts: &[Facts], rules: &Rules) -> Standings {
    let ejected = ejected(facts, rules);
    let classes: Vec<Result<Class, Reason>> = facts
        .iter()
        .zip(&ejected)
        .map(|(facts, is_ejected)| match at_rest(facts) {
            Some(reason) => Err(reason),
            None => Ok(class(facts, *is_ejected)),
        })
        .collect();
    let mut tiers: Vec<Tier> = candidates(facts, &classes).map(|(facts, _)| facts.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let (mode, tier) = choose(facts, &classes, &tiers, rules);
    let is_chosen = |facts: &Facts, class: Class| {
        Some(facts.tier) == tier
            && match mode {
                Mode::Good => class == Class::Good,
                Mode::Untested => class == Class::Unknown,
                Mode::Spared => class == Class::Ejected,
                Mode::Panic => !(rules.is_mandatory && class == Class::Unknown),
                Mode::Nobody => false,
            }
    };
    let mut each: Vec<Standing> = facts
        .iter()
        .zip(&classes)
        .map(|(facts, class)| match *class {
            Err(reason) => Standing { weight: 0, reason: Some(reason) },
            Ok(class) if is_chosen(facts, class) => Standing { weight: 1, reason: None },
            Ok(class) => Standing { weight: 0, reason: Some(reason(class)) },
        })
        .collect();
    weigh(facts, &mut each);
    Standings { each, mode }
}

/// Why an endpoint has no part in it, whatever its health.
fn at_rest(facts: &Facts) -> Option<Reason> {
    let advised = facts.advice.rest.map(|rest| match rest {
        AdvisedRest::Drain => Reason::AdvisedDrain,
        AdvisedRest::Maintenance => Reason::AdvisedMaintenance,
        AdvisedRest::Down => Reason::AdvisedDown,
    });
    let is_weightless = facts.advice.apply(facts.weight, 1) == 0
        && facts.advice.apply(facts.weight, Share::parts_of_whole()) == 0;
    facts.rest.or(advised).or(is_weightless.then_some(Reason::NoWeight))
}

fn class(facts: &Facts, is_ejected: bool) -> Class {
    match facts.checked {
        Some(State::Down) => Class::Failing,
        Some(State::Unknown) => Class::Unknown,
        _ if is_ejected => Class::Ejected,
        Some(State::Up) | None => Class::Good,
    }
}

fn reason(class: Class) -> Reason {
    match class {
        Class::Good => Reason::Standby,
        Class::Unknown => Reason::Unknown,
        Class::Ejected => Reason::Ejected,
        Class::Failing => Reason::Failing,
    }
}

/// Who is ejected: where they are more of a tier than may be, those whose time ends first come
/// back. A whole tier may be out where a later one has somebody who is good: it is there for that.
fn ejected(facts: &[Facts], rules: &Rules) -> Vec<bool> {
    let candidates = || facts.iter().enumerate().filter(|(_, facts)| at_rest(facts).is_none());
    let mut tiers: Vec<Tier> = candidates().map(|(_, facts)| facts.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let mut ejected = vec![false; facts.len()];
    let mut has_stand_in = false;
    for tier in tiers.into_iter().rev() {
        let of_tier = || candidates().filter(|(_, facts)| facts.tier == tier);
        let max = ejections_max(of_tier().count(), rules.ejected_percent_max, has_stand_in);
        let ends = of_tier().filter_map(|(place, facts)| Some((facts.ejected_until_ms?, place)));
        let mut ends: Vec<(u64, usize)> = ends.collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        ends.iter().take(max).for_each(|&(_, place)| ejected[place] = true);
        has_stand_in |= of_tier().any(|(place, facts)| class(facts, ejected[place]) == Class::Good);
    }
    ejected
}

fn candidates<'a>(
    facts: &'a [Facts],
    classes: &'a [Result<Class, Reason>],
) -> impl Iterator<Item = (&'a Facts, Class)> {
    facts.iter().zip(classes).filter_map(|(facts, class)| Some((facts, (*class).ok()?)))
}

/// The tier that gets the traffic, and why.
fn choose(
    facts: &[Facts],
    classes: &[Result<Class, Reason>],
    tiers: &[Tier],
    rules: &Rules,
) -> (Mode, Option<Tier>) {
    let count = |tier: Tier, wanted: &dyn Fn(Class) -> bool| {
        let of_tier = candidates(facts, classes).filter(|(facts, _)| facts.tier == tier);
        of_tier.filter(|(_, class)| wanted(*class)).count()
    };
    let is_sound = |tier: &&Tier| {
        let (good, all) = (count(**tier, &|class| class == Class::Good), count(**tier, &|_| true));
        good > 0 && good * 100 >= all * rules.panic_percent as usize
    };
    let has = |wanted: Class| move |tier: &&Tier| count(**tier, &|class| class == wanted) > 0;
    if let Some(tier) = tiers.iter().find(is_sound) {
        return (Mode::Good, Some(*tier));
    }
    // Before a single check has failed there is nothing to panic about.
    let is_known = candidates(facts, classes).any(|(_, class)| class != Class::Unknown);
    let may_panic = rules.panic_percent > 0 && is_known;
    let is_reachable =
        |tier: &&Tier| count(**tier, &|class| !(rules.is_mandatory && class == Class::Unknown)) > 0;
    if let Some(tier) = tiers.iter().filter(|_| may_panic).find(is_reachable) {
        return (Mode::Panic, Some(*tier));
    }
    let untested = tiers.iter().filter(|_| !rules.is_mandatory).find(has(Class::Unknown));
    if let Some(tier) = untested {
        return (Mode::Untested, Some(*tier));
    }
    match tiers.iter().find(has(Class::Ejected)) {
        Some(tier) => (Mode::Spared, Some(*tier)),
        None => (Mode::Nobody, None),
    }
}

/// Gives those that get traffic their weights: as they are written while each has its whole share,
/// else in parts.
fn weigh(facts: &[Facts], each: &mut [Standing]) {
    let chosen = || facts.iter().zip(&*each).filter(|(_, standing)| standing.reason.is_none());
    let is_whole = chosen().all(|(facts, _)| {
        facts.share == Share::WHOLE
            && facts.advice.apply(facts.weight, 1) > 0
            && facts.advice.apply(facts.weight, Share::parts_of_whole())
                == facts.advice.apply(facts.weight, 1) * u64::from(Share::parts_of_whole())
    });
    let one = if is_whole { 1 } else { Share::parts_of_whole() };
    for (facts, standing) in facts.iter().zip(each) {
        if standing.reason.is_some() {
            continue;
        }
        let whole = facts.advice.apply(facts.weight, one);
        let part = match is_whole {
            true => whole,
            false => whole * u64::from(facts.share.parts()) / u64::from(Share::parts_of_whole()),
        };
        standing.weight = u32::try_from(part).unwrap_or(u32::MAX).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::AdvisedWeight;

    const RULES: Rules = Rules { is_mandatory: false, panic_percent: 0, ejected_percent_max: 50 };
    const GOOD: Facts = Facts {
        weight: 1,
        rest: None,
        tier: Tier { is_backup: false, priority: 0 },
        checked: Some(State::Up),
        ejected_until_ms: None,
        share: Share::WHOLE,
        advice: Advice { rest: None, weight: None },
    };
    const DOWN: Facts = Facts { checked: Some(State::Down), ..GOOD };
    const UNKNOWN: Facts = Facts { checked: Some(State::Unknown), ..GOOD };
    const UNCHECKED: Facts = Facts { checked: None, ..GOOD };

    fn backup(facts: Facts) -> Facts {
        Facts { tier: Tier { is_backup: true, ..facts.tier }, ..facts }
    }

    fn ejected(facts: Facts, until_ms: u64) -> Facts {
        Facts { ejected_until_ms: Some(until_ms), ..facts }
    }

    /// Expected is a word for each: its weight, or its reason.
    fn check(facts: &[Facts], rules: &Rules, mode: Mode, expected: &[&str]) {
        let found = standing(facts, rules);
        let words = found.each.iter().map(|one| match one.reason {
            Some(reason) => reason.word().to_owned(),
            None => one.weight.to_string(),
        });
        assert_eq!(words.collect::<Vec<_>>(), expected, "{facts:?}");
        assert_eq!(found.mode, mode, "{facts:?}");
    }

    #[test]
    fn good_ones_get_traffic_and_others_none() {
        let heavy = Facts { weight: 3, ..UNCHECKED };
        check(&[GOOD, DOWN, UNKNOWN, heavy], &RULES, Mode::Good, &["1", "failing", "unknown", "3"]);
        check(&[DOWN, DOWN], &RULES, Mode::Nobody, &["failing", "failing"]);
        check(&[], &RULES, Mode::Nobody, &[]);
    }

    #[test]
    fn unknown_ones_serve_while_none_is_known_up() {
        check(&[UNKNOWN, DOWN], &RULES, Mode::Untested, &["1", "failing"]);
        let strict = Rules { is_mandatory: true, ..RULES };
        check(&[UNKNOWN, DOWN], &strict, Mode::Nobody, &["unknown", "failing"]);
    }

    #[test]
    fn tiers_follow_one_another() {
        check(&[GOOD, backup(GOOD)], &RULES, Mode::Good, &["1", "standby"]);
        check(&[DOWN, backup(GOOD)], &RULES, Mode::Good, &["failing", "1"]);
        let second = Facts { tier: Tier { is_backup: false, priority: 1 }, ..GOOD };
        let all = [DOWN, second, backup(GOOD)];
        check(&all, &RULES, Mode::Good, &["failing", "1", "standby"]);
        // What is known to be good comes before what is not.
        check(&[UNKNOWN, backup(GOOD)], &RULES, Mode::Good, &["unknown", "1"]);
        check(&[UNKNOWN, backup(UNKNOWN)], &RULES, Mode::Untested, &["1", "unknown"]);
    }

    #[test]
    fn an_ejection_never_takes_the_last_one() {
        check(&[ejected(GOOD, 9)], &RULES, Mode::Good, &["1"]);
        check(&[ejected(GOOD, 9), GOOD], &RULES, Mode::Good, &["ejected", "1"]);
        check(&[ejected(GOOD, 9), ejected(GOOD, 8)], &RULES, Mode::Good, &["ejected", "1"]);
        check(&[ejected(GOOD, 9), DOWN], &RULES, Mode::Spared, &["1", "failing"]);
        let two = [ejected(GOOD, 9), ejected(GOOD, 8), DOWN, DOWN];
        check(&two, &RULES, Mode::Spared, &["1", "1", "failing", "failing"]);
        check(&[ejected(GOOD, 9), backup(GOOD)], &RULES, Mode::Good, &["ejected", "1"]);
    }

    #[test]
    fn a_whole_tier_is_ejected_where_a_later_one_is_good() {
        let out = ejected(GOOD, 9);
        check(&[out, out, backup(GOOD)], &RULES, Mode::Good, &["ejected", "ejected", "1"]);
        check(&[out, out, backup(DOWN)], &RULES, Mode::Good, &["1", "ejected", "failing"]);
        check(&[out, out, backup(out)], &RULES, Mode::Good, &["ejected", "ejected", "1"]);
        // Backups do not add to what may be ejected of the others.
        let five = [out, GOOD, GOOD, backup(DOWN), backup(DOWN)];
        check(&five, &RULES, Mode::Good, &["ejected", "1", "1", "failing", "failing"]);
        let none = Rules { ejected_percent_max: 0, ..RULES };
        check(&[out, backup(GOOD)], &none, Mode::Good, &["1", "standby"]);
    }

    #[test]
    fn too_few_good_ones_are_a_panic() {
        let rules = Rules { panic_percent: 50, ..RULES };
        check(&[GOOD, DOWN], &rules, Mode::Good, &["1", "failing"]);
        check(&[GOOD, DOWN, DOWN], &rules, Mode::Panic, &["1", "1", "1"]);
        check(&[DOWN, DOWN], &rules, Mode::Panic, &["1", "1"]);
        check(&[DOWN, DOWN, backup(GOOD)], &rules, Mode::Good, &["failing", "failing", "1"]);
        check(&[DOWN, DOWN, backup(DOWN)], &rules, Mode::Panic, &["1", "1", "failing"]);
        check(&[UNKNOWN, UNKNOWN], &rules, Mode::Untested, &["1", "1"]);
        let strict = Rules { is_mandatory: true, ..rules };
        check(&[UNKNOWN, DOWN], &strict, Mode::Panic, &["unknown", "1"]);
        check(&[UNKNOWN, UNKNOWN], &strict, Mode::Nobody, &["unknown", "unknown"]);
    }

    #[test]
    fn sessions_stay_with_those_alone_whose_connections_are_kept() {
        use Reason::*;
        let all = [
            Drain,
            Maintenance,
            Unresolved,
            NoProcess,
            NoWeight,
            AdvisedDrain,
            AdvisedMaintenance,
            AdvisedDown,
            Failing,
            Unknown,
            Ejected,
            Standby,
        ];
        let keep: Vec<_> = all.iter().filter(|reason| reason.keeps_sessions(false)).collect();
        assert_eq!(keep, [&Drain, &NoWeight, &AdvisedDrain, &Unknown, &Standby]);
        assert!(keep.iter().all(|reason| reason.keeps_connections()));
        assert!(!Unknown.keeps_sessions(true) && Drain.keeps_sessions(true));
    }

    #[test]
    fn what_is_at_rest_has_no_part_in_it() {
        let rest = |reason| Facts { rest: Some(reason), ..GOOD };
        let advised = |rest| Facts { advice: Advice { rest: Some(rest), weight: None }, ..GOOD };
        let all = [
            rest(Reason::Drain),
            rest(Reason::Unresolved),
            advised(AdvisedRest::Maintenance),
            advised(AdvisedRest::Down),
            Facts { weight: 0, ..GOOD },
            backup(GOOD),
        ];
        let words = ["drain", "unresolved", "asks_maintenance", "says_down", "no_weight", "1"];
        check(&all, &RULES, Mode::Good, &words);
        // Panic does not wake them.
        let rules = Rules { panic_percent: 100, ..RULES };
        check(&[rest(Reason::Drain), DOWN], &rules, Mode::Panic, &["drain", "1"]);
    }

    #[test]
    fn weights_are_parts_where_somebody_has_less_than_its_share() {
        let slow = Facts { share: Share::after(0, 1000), ..GOOD };
        check(&[GOOD, slow], &RULES, Mode::Good, &["16", "1"]);
        let half = Advice { rest: None, weight: Some(AdvisedWeight::Percent(50)) };
        check(&[GOOD, Facts { advice: half, ..GOOD }], &RULES, Mode::Good, &["16", "8"]);
        check(&[Facts { advice: half, weight: 4, ..GOOD }], &RULES, Mode::Good, &["2"]);
        let zero = Advice { rest: None, weight: Some(AdvisedWeight::Percent(0)) };
        check(&[GOOD, Facts { advice: zero, ..GOOD }], &RULES, Mode::Good, &["1", "no_weight"]);
        let exact = Advice { rest: None, weight: Some(AdvisedWeight::Exactly(7)) };
        check(&[GOOD, Facts { advice: exact, ..GOOD }], &RULES, Mode::Good, &["1", "7"]);
        check(&[slow, DOWN], &RULES, Mode::Good, &["1", "failing"]);
    }
}
