//! Rosters as lines: identity, weight, state, what is dialled.

use fairwater_plan::health::Reason;

use super::*;
use crate::dns::Target;

fn addresses(ips: &[&str]) -> Addresses {
    let mut addresses = Addresses { v4: Some(Vec::new()), v6: Some(Vec::new()) };
    for ip in ips {
        match ip.parse().unwrap() {
            IpAddr::V4(ip) => addresses.v4.as_mut().unwrap().push(ip),
            IpAddr::V6(ip) => addresses.v6.as_mut().unwrap().push(ip),
        }
    }
    addresses
}

/// Sessions stay with processes that drain by order, and not with one that is being replaced.
#[test]
fn a_process_that_is_replaced_keeps_no_sessions() {
    let mut upstream = config::Upstream::new("app", [Address::parse("a:1").unwrap()]);
    upstream.sticky = Some(config::Sticky::Cookie(config::StickyCookie::new("s".into())).into());
    let mut member = Member::new("a:1", "a".to_owned(), Dial::Ip(Vec::new()), 1);
    let keeps = |member: &Member| crate::sticky::keeps_sessions(&upstream, member);
    assert!(keeps(&member));
    member.given = Given { weight: 0, reason: Some(Reason::Drain) };
    assert!(keeps(&member));
    member.is_leaving = true;
    assert!(!keeps(&member));
    upstream.sticky = Some(config::Sticky::Address.into());
    assert!(!crate::sticky::keeps_sessions(&upstream, &Member { is_leaving: false, ..member }));
}

fn target(host: &str, weight: u16, ips: &[&str]) -> Target {
    Target { host: host.to_owned(), port: 80, weight, addresses: addresses(ips) }
}

fn config(endpoints: &[(&str, u16)]) -> config::Config {
    let mut upstream = config::Upstream::new("app", []);
    for (address, weight) in endpoints {
        let mut endpoint = config::UpstreamEndpoint::new(Address::parse(address).unwrap());
        endpoint.weight = *weight;
        upstream.endpoints.push(endpoint);
    }
    config::Config { upstreams: vec![upstream], ..config::Config::default() }
}

/// The endpoints, where the first name in the configuration stands for `answer`.
#[track_caller]
fn check(endpoints: &[(&str, u16)], answer: Option<Answer>, changes: &Changes, expected: &[&str]) {
    let config = config(endpoints);
    let mut names = Names::default();
    names.want(questions(&config, changes));
    let question = names.iter().map(|(question, _)| question.clone()).next();
    if let Some((question, answer)) = question.zip(answer) {
        names.told(&question, Ok((answer, 60)), 0);
    }
    let roster = Roster::new(&config, &names, &Apps::default(), changes);
    let shown: Vec<_> = roster.0[0]
        .iter()
        .map(|member| {
            let dial = match &member.dial {
                Dial::Ip(ips) => ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
                Dial::Unix(path) => path.display().to_string(),
            };
            let word = member.standing.reason().map_or("active", Reason::word);
            format!("{} {} {word} {dial}", member.identity, member.weight)
        })
        .collect();
    assert_eq!(shown, expected);
    let identities: HashSet<_> = roster.0[0].iter().map(|member| &member.identity).collect();
    assert_eq!(identities.len(), shown.len(), "no two endpoints are called the same");
}

#[test]
fn each_address_of_a_name_is_an_endpoint() {
    let none = Changes::default();
    let host = |ips: &[&str]| Some(Answer::Host(addresses(ips)));
    check(&[("app:80", 3)], None, &none, &["app:80 3 unresolved "]);
    check(&[("app:80", 3)], host(&["10.0.0.1"]), &none, &["app:80 3 active 10.0.0.1:80"]);
    check(
        &[("app:80", 3), ("10.0.0.1:80", 1), ("unix:/a", 1)],
        host(&["10.0.0.1", "10.0.0.2"]),
        &none,
        &[
            "app:80/10.0.0.1 3 active 10.0.0.1:80",
            "app:80/10.0.0.2 3 active 10.0.0.2:80",
            "10.0.0.1:80 1 active 10.0.0.1:80",
            "unix:/a 1 active /a",
        ],
    );
}

#[test]
fn the_other_family_stands_in() {
    let none = Changes::default();
    let host = |ips: &[&str]| Some(Answer::Host(addresses(ips)));
    let both = &["localhost:80 1 active 127.0.0.1:80,[::1]:80"];
    check(&[("localhost:80", 1)], host(&["127.0.0.1", "::1"]), &none, both);
    check(&[("app:80", 1)], host(&["::1"]), &none, &["app:80 1 active [::1]:80"]);
    check(
        &[("app:80", 1)],
        host(&["10.0.0.1", "10.0.0.2", "::1", "::2", "::3"]),
        &none,
        &[
            "app:80/10.0.0.1 1 active 10.0.0.1:80,[::1]:80,[::2]:80",
            "app:80/10.0.0.2 1 active 10.0.0.2:80,[::2]:80,[::3]:80",
        ],
    );
}

#[test]
fn a_service_brings_hosts_ports_and_weights() {
    let none = Changes::default();
    let answer = Answer::Service(vec![
        target("a", 40_000, &["10.0.0.1"]),
        target("b", 20_000, &["10.0.0.2", "10.0.0.3"]),
        target("c", 0, &["10.0.0.4"]),
    ]);
    check(
        &[("srv://s", 2)],
        Some(answer),
        &none,
        &[
            "srv://s/a:80 2000 active 10.0.0.1:80",
            "srv://s/b:80/10.0.0.2 1000 active 10.0.0.2:80",
            "srv://s/b:80/10.0.0.3 1000 active 10.0.0.3:80",
            "srv://s/c:80 2 active 10.0.0.4:80",
        ],
    );
    let equal = Answer::Service(vec![target("a", 0, &["10.0.0.1"]), target("b", 0, &["::1"])]);
    let expected = ["srv://s/a:80 1 active 10.0.0.1:80", "srv://s/b:80 1 active [::1]:80"];
    check(&[("srv://s", 1)], Some(equal), &none, &expected);
    check(&[("srv://s", 1)], None, &none, &["srv://s 1 unresolved "]);
}

#[test]
fn what_was_set_at_run_time_counts() {
    let mut changes = Changes::default();
    let added = |address: &str| Presence::Added(Address::parse(address).unwrap());
    changes.edit("app", "b:1", |change| change.presence = Presence::Removed);
    changes.edit("app", "unix:/c", |change| change.presence = added("unix:/c"));
    changes.edit("app", "unix:/c", |change| change.weight = Some(7));
    changes.edit("app", "a:1", |change| change.rest = Some(Rest::Drain));
    changes.edit("app", "a:1/10.0.0.2", |change| change.rest = Some(Rest::Maintenance));
    changes.edit("app", "a:1/10.0.0.2", |change| change.weight = Some(0));
    check(
        &[("a:1", 1), ("b:1", 1)],
        Some(Answer::Host(addresses(&["10.0.0.1", "10.0.0.2"]))),
        &changes,
        &[
            "a:1/10.0.0.1 1 drain 10.0.0.1:1",
            "a:1/10.0.0.2 0 maintenance 10.0.0.2:1",
            "unix:/c 7 active /c",
        ],
    );
    let single = Some(Answer::Host(addresses(&["10.0.0.2"])));
    let expected = ["a:1 0 maintenance 10.0.0.2:1", "unix:/c 7 active /c"];
    check(&[("a:1", 1), ("b:1", 1)], single, &changes, &expected);
    // The configuration has meanwhile what was added.
    check(&[("unix:/c", 1)], None, &changes, &["unix:/c 7 active /c"]);
}

#[test]
fn another_address_is_another_state() {
    let config = config(&[("app:80", 1)]);
    let mut names = Names::default();
    names.want(questions(&config, &Changes::default()));
    let mut keys = Vec::new();
    for ips in [&["10.0.0.1"][..], &["10.0.0.2"], &["10.0.0.1", "10.0.0.2"]] {
        let question = Question::Host("app".to_owned());
        names.told(&question, Ok((Answer::Host(addresses(ips)), 60)), 0);
        let roster = Roster::new(&config, &names, &Apps::default(), &Changes::default());
        keys.push(roster.0[0].iter().map(Member::key).collect::<Vec<_>>());
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2], [&*keys[0], &*keys[1]].concat(), "whatever it is called");
}
