//! What holds for every set of endpoints.

use proptest::prelude::*;

use super::*;

fn any_facts() -> impl Strategy<Value = Facts> {
    let rest = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Reason::Drain)),
        1 => Just(Some(Reason::Unresolved)),
    ];
    let checked = prop_oneof![
        Just(None),
        Just(Some(State::Unknown)),
        Just(Some(State::Up)),
        Just(Some(State::Down)),
    ];
    let weight =
        prop_oneof![Just(None), (0..150_u32).prop_map(|p| Some(AdvisedWeight::Percent(p)))];
    let advised = prop_oneof![6 => Just(None), 1 => Just(Some(AdvisedRest::Drain))];
    let tier = (any::<bool>(), 0..3_u32);
    let share = (0..20_u64).prop_map(|elapsed_ms| Share::after(elapsed_ms, 16));
    let ejected = prop::option::of(0..100_u64);
    (0..5_u32, rest, tier, checked, ejected, share, weight, advised).prop_map(
        |(
            weight,
            rest,
            (is_backup, priority),
            checked,
            ejected_until_ms,
            share,
            advice,
            advised,
        )| {
            Facts {
                weight,
                rest,
                tier: Tier { is_backup, priority },
                checked,
                ejected_until_ms,
                share,
                advice: Advice { rest: advised, weight: advice },
            }
        },
    )
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let panic_percent = prop_oneof![Just(0), 0..=100_u32];
    (any::<bool>(), panic_percent, 0..=100_u32).prop_map(
        |(is_mandatory, panic_percent, ejected_percent_max)| Rules {
            is_mandatory,
            panic_percent,
            ejected_percent_max,
        },
    )
}

fn set() -> impl Strategy<Value = (Vec<Facts>, Rules)> {
    (prop::collection::vec(any_facts(), 0..12), any_rules())
}

proptest! {
    #[test]
    fn who_has_no_weight_has_a_reason((facts, rules) in set()) {
        let found = standing(&facts, &rules);
        prop_assert_eq!(found.each.len(), facts.len());
        for one in &found.each {
            prop_assert_eq!(one.weight == 0, one.reason.is_some());
        }
        let is_empty = found.each.iter().all(|one| one.weight == 0);
        prop_assert_eq!(is_empty, found.mode == Mode::Nobody);
    }

    /// Whatever a peer says is understood or refused, and what is understood can be said again.
    #[test]
    fn advice_is_understood_or_refused(text in "[ a-z0-9%=,#;]{0,40}", bytes: Vec<u8>) {
        for text in [text.as_bytes(), &bytes] {
            if let Some(advice) = Advice::default().updated(text, 1000) {
                let again = Advice::default().updated(advice.to_string().as_bytes(), 1000);
                prop_assert_eq!(again, Some(advice));
            }
        }
    }

    #[test]
    fn one_tier_at_a_time_gets_traffic((facts, rules) in set()) {
        let found = standing(&facts, &rules);
        let with_traffic = facts.iter().zip(&found.each).filter(|(_, one)| one.weight > 0);
        let tiers: Vec<_> = with_traffic.map(|(facts, _)| facts.tier).collect();
        prop_assert!(tiers.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn failing_ones_serve_only_in_a_panic((facts, rules) in set()) {
        let found = standing(&facts, &rules);
        let serves = |(facts, one): (&Facts, &Standing)| {
            facts.checked == Some(State::Down) && one.weight > 0
        };
        let any = facts.iter().zip(&found.each).any(serves);
        prop_assert!(!any || (found.mode == Mode::Panic && rules.panic_percent > 0));
    }

    #[test]
    fn unknown_ones_never_serve_where_checks_are_mandatory((facts, rules) in set()) {
        let rules = Rules { is_mandatory: true, ..rules };
        let found = standing(&facts, &rules);
        for (facts, one) in facts.iter().zip(&found.each) {
            prop_assert!(facts.checked != Some(State::Unknown) || one.weight == 0);
        }
    }

    /// Where somebody could serve, somebody does: whatever was ejected.
    #[test]
    fn ejections_leave_nobody_without_an_endpoint((facts, rules) in set()) {
        let without: Vec<_> =
            facts.iter().map(|facts| Facts { ejected_until_ms: None, ..*facts }).collect();
        let could = standing(&without, &rules).mode != Mode::Nobody;
        prop_assert_eq!(could, standing(&facts, &rules).mode != Mode::Nobody);
    }

    #[test]
    fn no_more_are_ejected_than_may_be((facts, rules) in set()) {
        let found = standing(&facts, &rules);
        let Some(last) = facts.iter().map(|facts| facts.tier).max() else { return Ok(()) };
        let of_last = || facts.iter().zip(&found.each).filter(|(facts, _)| facts.tier == last);
        let ejected = of_last().filter(|(_, one)| one.reason == Some(Reason::Ejected)).count();
        let max = ejections_max(of_last().count(), rules.ejected_percent_max, false);
        prop_assert!(ejected <= max, "nobody stands in for the last tier");
    }

    /// Facts that take an endpoint out never move others out, but for lower tiers that take over.
    #[test]
    fn a_failure_costs_nobody_else_of_the_tier_its_traffic(
        (facts, rules) in set(), place in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!facts.is_empty() && rules.panic_percent == 0);
        let mut fewer = facts.clone();
        let place = place.index(facts.len());
        fewer[place].checked = Some(State::Down);
        let (before, after) = (standing(&facts, &rules), standing(&fewer, &rules));
        prop_assume!(before.mode == Mode::Good && after.mode == Mode::Good);
        let tier = |facts: &[Facts], found: &Standings| {
            found.each.iter().position(|one| one.weight > 0).map(|place| facts[place].tier)
        };
        if tier(&facts, &before) == tier(&fewer, &after) {
            for other in (0..facts.len()).filter(|other| *other != place) {
                prop_assert!(before.each[other].weight == 0 || after.each[other].weight > 0);
            }
        }
    }
}
