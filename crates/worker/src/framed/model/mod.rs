//! The law of messages, by looking at everything that can happen: no client ever gets a byte that
//! was made for another one's message. Small worlds of the real `Ledger` and `Order` are explored
//! until there is nothing new: every order of messages, pieces, delays, deaths, resets, timeouts,
//! clients that go, and bytes that nobody has asked for.
//!
//! Of endpoints one thing is required, as in the documents: on one connection they answer each
//! message at most once and in order, at any time, and leave none out that is followed by another
//! answer.

mod world;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use world::{Breach, Event, Flaw, Shape, World};

/// No shape here has as many worlds, so that one that has is a mistake in the check.
const WORLDS: usize = 500_000;

const SHAPE: Shape = Shape {
    clients: 2,
    messages: 2,
    connections: 1,
    depth: 1,
    in_flight: 1,
    opened: 2,
    troubles: 2,
    cuts: true,
    streams: true,
    aborts: false,
    repeats: false,
    texts: true,
    flaw: None,
};

/// Looks at all worlds that can come of one. Gives how many there are, or how the law was broken.
fn explore(shape: Shape) -> Result<usize, (Vec<Event>, Breach)> {
    // Two of a million worlds have the same hash once in some ten million runs.
    let hasher = RandomState::new();
    let mut seen = HashSet::new();
    // How each came to be: from which one, and by what.
    let mut came: Vec<(usize, Option<Event>)> = vec![(0, None)];
    let mut layer = vec![(0, World::new(&shape))];
    seen.insert(hasher.hash_one(&layer[0].1));
    while !layer.is_empty() {
        let mut next = Vec::new();
        for (number, world) in layer {
            for event in world.events(&shape) {
                let mut after = world.clone();
                if let Err(breach) = after.step(&shape, event) {
                    return Err((way_to(&came, number, event), breach));
                }
                if seen.insert(hasher.hash_one(&after)) {
                    came.push((number, Some(event)));
                    next.push((came.len() - 1, after));
                }
            }
        }
        assert!(came.len() < WORLDS, "{shape:?}");
        layer = next;
    }
    Ok(came.len())
}

fn way_to(came: &[(usize, Option<Event>)], number: usize, last: Event) -> Vec<Event> {
    let mut way = vec![last];
    let mut at = number;
    while let (before, Some(event)) = came[at] {
        way.push(event);
        at = before;
    }
    way.reverse();
    way
}

#[track_caller]
fn check(shape: Shape) {
    match explore(shape) {
        Ok(count) => assert!(count > 1000, "{count}: {shape:?}"),
        Err((way, breach)) => panic!("{breach}\nby {way:?}\nin {shape:?}"),
    }
}

/// With what may be set otherwise.
fn check_with_settings(shape: Shape) {
    check(Shape { streams: false, ..shape });
    check(Shape { aborts: true, repeats: true, ..shape });
    check(Shape { repeats: true, texts: false, ..shape });
}

#[test]
fn nobody_gets_what_is_anothers_one_by_one() {
    check_with_settings(SHAPE);
    check_with_settings(Shape { connections: 2, cuts: false, ..SHAPE });
    check_with_settings(Shape { in_flight: 2, cuts: false, ..SHAPE });
}

#[test]
fn nobody_gets_what_is_anothers_in_a_pipeline() {
    check_with_settings(Shape { depth: 2, cuts: false, ..SHAPE });
    check_with_settings(Shape { depth: 2, troubles: 1, ..SHAPE });
    check_with_settings(Shape { depth: 2, in_flight: 2, troubles: 1, cuts: false, ..SHAPE });
}

#[test]
fn nobody_gets_what_is_anothers_among_three() {
    let three = Shape { clients: 3, messages: 1, troubles: 1, ..SHAPE };
    check(Shape { depth: 2, repeats: true, ..three });
    check(Shape { connections: 2, aborts: true, ..three });
}

#[test]
fn replies_of_one_client_over_two_connections_stay_in_order() {
    let shape = Shape { clients: 1, messages: 3, in_flight: 3, connections: 2, ..SHAPE };
    check_with_settings(Shape { cuts: false, ..shape });
    check(Shape { depth: 2, troubles: 1, ..shape });
}

/// The check finds mistakes that are made on purpose.
#[test]
fn every_flaw_is_found() {
    let pipeline = Shape { depth: 2, ..SHAPE };
    let flaws = [
        (Flaw::DebtsAreForgotten, pipeline),
        (Flaw::LateOnesAreUsed, SHAPE),
        (Flaw::NewsAreIgnored, SHAPE),
        (Flaw::TornOnesAreUsed, pipeline),
        (Flaw::BegunOnesAreRepeated, Shape { repeats: true, ..SHAPE }),
        (Flaw::TextsFollowParts, SHAPE),
        (Flaw::OrderIsIgnored, Shape { in_flight: 2, connections: 2, ..SHAPE }),
        (Flaw::LateOnesAreDropped, SHAPE),
    ];
    for (flaw, shape) in flaws {
        let found = explore(Shape { flaw: Some(flaw), ..shape });
        assert!(found.is_err(), "{flaw:?} is not found among {found:?} worlds");
    }
}
