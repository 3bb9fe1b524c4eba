//! What becomes of endpoints, by what probes have found.

use std::time::Duration;

use fairwater_config::{Config, Upstream};
use fairwater_message::address::Endpoint as Address;

use super::*;
use crate::apps::Apps;
use crate::changes::Changes;
use crate::names::Names;
use crate::registry::Registry;

const NAMES: [&str; 3] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];

/// An upstream of three endpoints that are checked, and what is known of them.
struct Set {
    config: Config,
    health: Health,
    registry: Registry,
    now_ms: u64,
    said: Vec<String>,
}

impl Set {
    fn new(edit: impl FnOnce(&mut Upstream)) -> Self {
        let endpoints = NAMES.map(|name| Address::parse(name).unwrap());
        let mut upstream = Upstream::new("app", endpoints);
        upstream.health = Some(config::Health::http("/"));
        edit(&mut upstream);
        let config = Config { upstreams: vec![upstream], ..Config::default() };
        let (health, registry) = (Health::default(), Registry::default());
        Self { config, health, registry, now_ms: 1000, said: Vec::new() }
    }

    fn roster(&self) -> Roster {
        let (names, apps, changes) = (Names::default(), Apps::default(), Changes::default());
        Roster::new(&self.config, &names, &apps, &changes)
    }

    /// How the endpoints stand: a weight, or a reason.
    fn stand(&mut self) -> String {
        let mut roster = self.roster();
        self.said.extend(self.health.judge(&self.config, &mut roster, (self.now_ms, true)));
        let word = |member: &Member| match member.given.reason {
            Some(reason) => reason.word().to_owned(),
            None => member.given.weight.to_string(),
        };
        roster.0[0].iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// Why the endpoints get requests, or none.
    fn why(&mut self) -> Vec<String> {
        let mut roster = self.roster();
        self.said.extend(self.health.judge(&self.config, &mut roster, (self.now_ms, true)));
        let upstream = &self.config.upstreams[0];
        let why = |member: &Member| {
            let known = self.health.known("app", &member.key());
            let subject = words::Subject { upstream, member, has_sessions: false };
            words::why(&subject, known, self.health.mode("app"), self.now_ms)
        };
        roster.0[0].iter().map(why).collect()
    }

    /// Has requests at an endpoint fail, and looks at what follows.
    fn fail(&mut self, place: usize, count: u32) -> bool {
        let mut roster = self.roster();
        self.health.judge(&self.config, &mut roster, (self.now_ms, true));
        let keys: Vec<_> = roster.0[0].iter().map(Member::key).collect();
        let state = |key: &String| self.registry.endpoint("app", key);
        let states: Vec<_> = keys.iter().map(state).collect();
        (0..count).for_each(|_| states[place].observe(false, 5));
        let (config, registry) = (&self.config, &self.registry);
        let outcomes = Outcomes { config, roster: &roster, registry };
        self.health.eject_failing(&outcomes, self.now_ms)
    }

    /// Has a probe of an endpoint end, good or bad.
    fn probe(&mut self, place: usize, problem: Option<&str>) {
        self.probe_with(place, problem, None);
    }

    fn probe_with(&mut self, place: usize, problem: Option<&str>, advice: Option<&str>) {
        let wanted = NAMES[place];
        let (due, _) = self.health.due(u64::MAX / 2);
        for (key, target) in due {
            let is_it = matches!(&target.dial, fairwater_plan::Dial::Ip(ips)
                if ips[0].to_string() == wanted);
            let problem = problem.filter(|_| is_it).map(str::to_owned);
            let advice = advice.map(|words| words.as_bytes().to_vec());
            let outcome = Outcome { problem, advice };
            if is_it {
                let at = (self.now_ms, 0);
                self.health.probed(&self.config, (&key, &target), &outcome, at);
            } else {
                self.health.schedule.ended(&key, false, self.now_ms, 0);
            }
        }
    }

    fn probes(&mut self, place: usize, count: usize, problem: Option<&str>) {
        (0..count).for_each(|_| self.probe(place, problem));
    }
}

#[test]
fn one_that_fails_its_check_leaves_and_comes_back() {
    let mut set = Set::new(|_| {});
    assert_eq!(set.stand(), "1 1 1", "nobody is known");
    (0..3).for_each(|place| set.probe(place, None));
    set.probes(1, 2, Some("it answers with status 503"));
    assert_eq!(set.stand(), "1 1 1", "it takes three");
    set.probe(1, Some("it answers with status 503"));
    assert_eq!(set.stand(), "1 failing 1");
    set.probe(1, None);
    assert_eq!(set.stand(), "1 failing 1", "it takes two");
    set.probe(1, None);
    assert_eq!(set.stand(), "1 1 1");
    let said = [
        "warning: app: 10.0.0.2:80 gets no traffic, its check fails: it answers with status 503",
        "app: 10.0.0.2:80 is well again",
    ];
    assert_eq!(set.said, said);
}

#[test]
fn the_first_result_decides() {
    let mut set = Set::new(|_| {});
    set.stand();
    set.probe(0, Some("x"));
    assert_eq!(set.stand(), "failing 1 1");
    set.probe(1, None);
    assert_eq!(set.stand(), "failing 1 unknown", "others are not known");
}

#[test]
fn what_was_found_outlives_another_check() {
    let mut set = Set::new(|_| {});
    set.stand();
    (0..3).for_each(|place| set.probe(place, (place == 0).then_some("x")));
    assert_eq!(set.stand(), "failing 1 1");
    set.config.upstreams[0].health = Some(config::Health::http("/other"));
    assert_eq!(set.stand(), "failing 1 1", "until the new one has a result");
    set.probe(0, None);
    set.probe(1, Some("x"));
    assert_eq!(set.stand(), "1 failing 1", "which decides at once");
    set.config.upstreams[0].health = None;
    assert_eq!(set.stand(), "1 1 1");
    assert!(set.health.upstreams["app"].known.values().all(|known| known.is_well()));
}

#[test]
fn one_that_comes_back_starts_slowly() {
    let mut set = Set::new(|upstream| upstream.slow_start = Duration::from_millis(16_000));
    set.stand();
    set.probe(0, None);
    assert_eq!(set.stand(), "1 unknown unknown");
    (1..3).for_each(|place| set.probe(place, None));
    assert_eq!(set.stand(), "1 1 1", "all have begun together");
    set.probes(2, 3, Some("x"));
    assert_eq!(set.stand(), "1 1 failing");
    set.probes(2, 2, None);
    assert_eq!(set.stand(), "16 16 1");
    assert_eq!(set.health.next_ms, set.now_ms + 2000);
    set.now_ms += 8000;
    assert_eq!(set.stand(), "16 16 8");
    set.now_ms += 8000;
    assert_eq!(set.stand(), "1 1 1");
    assert_eq!(set.health.next_ms, NEVER_MS);
}

#[test]
fn it_is_told_why_an_endpoint_gets_requests() {
    let mut set = Set::new(|upstream| upstream.endpoints.truncate(2));
    let good = "gets requests: weight 1, its check is good";
    set.stand();
    (0..2).for_each(|place| set.probe(place, None));
    assert_eq!(set.why(), [good, good]);
    set.probe(0, Some("it answers with 500"));
    let failing = "gets requests: weight 1, its check fails (1 of the 3 times that take it out): it \
                   answers with 500";
    assert_eq!(set.why(), [failing, good]);
    set.probes(0, 2, Some("it answers with 500"));
    assert_eq!(set.why(), ["gets none: its check fails: it answers with 500", good]);
    set.probe(0, None);
    assert_eq!(set.why()[0], "gets none: its check has failed, and was good 1 of 2 times since");
    set.probe(0, None);
    for (words, why) in [
        ("50%", "weight 1, of which it asks for 50%, its check is good"),
        ("weight=30", "weight 30, which it asks for instead of 1, its check is good"),
    ] {
        set.probe_with(0, None, Some(words));
        assert_eq!(set.why(), [format!("gets requests: {why}"), good.to_owned()]);
    }
    set.probe_with(0, None, Some("0%"));
    assert_eq!(set.why()[0], "gets none: it asks for a weight of 0");
}

#[test]
fn the_last_resort_is_not_called_good() {
    let mut set = Set::new(|upstream| upstream.endpoints.truncate(2));
    set.stand();
    (0..2).for_each(|place| set.probe(place, None));
    assert!(set.fail(0, 5));
    assert_eq!(set.stand(), "ejected 1");
    set.probes(1, 3, Some("x"));
    let spared =
        "gets requests: weight 1, though 5 requests in a row have failed: no other is left";
    assert_eq!(set.why(), [spared, "gets none: its check fails: x"]);
    let well: Vec<_> = set.health.upstreams["app"].known.values().map(Known::is_well).collect();
    assert_eq!(well, [false, false]);
    set.probes(1, 2, None);
    assert_eq!(set.stand(), "ejected 1");
    set.now_ms += 10_000;
    assert_eq!(set.stand(), "1 1");
    assert!(set.health.upstreams["app"].known.values().all(Known::is_well));
}

#[test]
fn an_upstream_that_never_had_anybody_is_told_of_once() {
    let mut set = Set::new(|upstream| {
        upstream.endpoints.truncate(2);
        upstream.health.as_mut().unwrap().is_mandatory = true;
    });
    set.stand();
    set.probe(0, Some("x"));
    assert_eq!(set.stand(), "failing unknown");
    assert_eq!(set.said.len(), 1, "{:?}", set.said);
    set.probe(1, Some("x"));
    assert_eq!((set.stand(), set.stand()), ("failing failing".into(), "failing failing".into()));
    let warning = "warning: app has no endpoint that takes traffic: requests fail";
    assert_eq!((set.said.len(), &*set.said[2]), (3, warning), "{:?}", set.said);
    set.probes(0, 2, None);
    set.stand();
    assert_eq!(set.said.last().unwrap(), "app has good endpoints again");
}

#[test]
fn a_process_that_leaves_asks_nobody() {
    let mut set = Set::new(|_| {});
    set.stand();
    set.health.stop();
    set.stand();
    assert!(set.health.due(u64::MAX / 2).0.is_empty());
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let mut set = Set::new(|upstream| upstream.health = None);
    assert_eq!(set.stand(), "1 1 1");
    assert!(!set.fail(0, 4), "it takes five");
    for length_ms in [10_000, 20_000, 40_000] {
        assert!(set.fail(0, 5));
        assert_eq!(set.stand(), "ejected 1 1");
        assert_eq!(set.health.next_ms, set.now_ms + length_ms);
        assert!(!set.fail(0, 5), "it is out already");
        assert!(!set.fail(1, 5), "one of three at a time");
        set.now_ms += length_ms;
        assert_eq!(set.stand(), "1 1 1");
    }
    set.fail(0, 5);
    set.stand();
    let words = "app: 10.0.0.1:80 gets no traffic for a while: 5 requests in a row have failed";
    assert!(
        set.said[0].contains(words) && set.said[1].contains("is tried again"),
        "{:?}",
        set.said
    );
}

#[test]
fn the_last_one_is_never_ejected() {
    let mut set = Set::new(|upstream| {
        upstream.endpoints.truncate(1);
        upstream.health = None;
    });
    set.stand();
    assert!(!set.fail(0, 100));
    assert_eq!(set.stand(), "1");
}

#[test]
fn what_is_out_by_its_check_is_not_ejected() {
    let mut set = Set::new(|_| {});
    set.stand();
    (0..3).for_each(|place| set.probe(place, (place == 0).then_some("x")));
    set.stand();
    assert!(!set.fail(0, 5));
    assert!(set.fail(1, 5), "half of them beside it");
    assert_eq!(set.stand(), "failing ejected 1");
}

#[test]
fn checks_come_faster_where_nobody_is_good() {
    let mut set = Set::new(|upstream| upstream.endpoints.truncate(1));
    set.stand();
    set.probe(0, None);
    set.stand();
    let wait_ms = |set: &mut Set| set.health.schedule.due(set.now_ms).1;
    set.probe(0, None);
    assert_eq!(wait_ms(&mut set), 1800, "a tenth less than two seconds");
    set.probes(0, 3, Some("x"));
    assert_eq!(set.stand(), "failing");
    set.probe(0, Some("x"));
    assert_eq!(wait_ms(&mut set), 450);
}

#[test]
fn advice_holds_while_it_is_asked_for() {
    let mut set = Set::new(|_| {});
    set.stand();
    (0..3).for_each(|place| set.probe(place, None));
    set.probe_with(0, None, Some("drain"));
    assert_eq!(set.stand(), "asks_drain 1 1");
    set.probe_with(0, Some("x"), None);
    set.probe_with(0, None, Some("what?"));
    assert_eq!(set.stand(), "asks_drain 1 1", "neither says anything");
    set.probe_with(0, None, Some(""));
    assert_eq!(set.stand(), "1 1 1");
    set.probe_with(0, None, Some("50%"));
    assert_eq!(set.stand(), "8 16 16");
    set.probe(0, None);
    assert_eq!(set.stand(), "1 1 1", "nobody asks for it any more");
    set.probe_with(0, None, Some("drain"));
    set.config.upstreams[0].health = None;
    assert_eq!(set.stand(), "1 1 1");
}
