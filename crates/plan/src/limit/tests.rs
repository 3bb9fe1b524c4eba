//! Who is let in by several limits, by which key, and what is told.

use fairwater_message::{Field, Span};

use super::*;

const START: u64 = 5_000_000_000;

fn limit(counts: Counts, key: KeyRule, count: u64, telling: Telling) -> Arc<Limit> {
    let quota = Quota { count, period_ns: 1_000_000_000, burst: count };
    let rule = LimitRule { name: format!("l{count}"), counts, key, quota, telling, keys: 100 };
    Arc::new(Limit::new(rule, RandomState::new()))
}

fn limits(all: &[Arc<Limit>]) -> Limits {
    let mut limits = Limits::default();
    all.iter().for_each(|limit| limits.add(Arc::clone(limit), &"here".into()));
    limits
}

const CLIENT: KeyRule = KeyRule::Client { v4_bits: 24, v6_bits: V6_BITS };

/// The head of a request with these lines.
fn head(lines: &str) -> (RequestHead, Vec<u8>) {
    let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
    let mut add = |text: &str| {
        bytes.extend_from_slice(text.as_bytes());
        Span::new(bytes.len() - text.len(), bytes.len())
    };
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let id = HeaderId::of(name.as_bytes());
        head.fields.push(Field { name: add(name), value: add(value), id });
    }
    (head, bytes)
}

#[test]
fn networks_are_counted_apart() {
    let limits = limits(&[limit(Counts::Requests, CLIENT, 2, Telling::Denied)]);
    let take = |client: &str| {
        let client = client.parse().ok();
        limits.take(&Caller { client, request: None }, START).is_ok()
    };
    assert!(take("192.0.2.1") && take("::ffff:192.0.2.200") && !take("192.0.2.9"));
    assert!(take("192.0.3.1"));
    assert!(take("2001:db8::1") && take("2001:db8::2") && !take("2001:db8::3"));
    assert!(take("2001:db8:0:1::1"));
    // Whose address nobody knows are one.
    assert!(take("") && take("") && !take(""));
    let tally = limits.0[0].limit.tally();
    assert_eq!((tally.let_in, tally.denied), (8, 3));
}

#[test]
fn values_are_counted_apart_and_without_one_the_client_is() {
    for (key, with) in [
        (KeyRule::Header(HeaderName::new("x-api-key")), "X-Api-Key: "),
        (KeyRule::Cookie("sid".to_owned()), "cookie: a=b; sid="),
    ] {
        let limits = limits(&[limit(Counts::Requests, key, 1, Telling::Denied)]);
        let take = |lines: &str, client: &str| {
            let (head, bytes) = head(lines);
            let request = Some((&head, &bytes[..]));
            limits.take(&Caller { client: client.parse().ok(), request }, START).is_ok()
        };
        let (one, other) = (format!("{with}1"), format!("{with}2"));
        assert!(take(&one, "192.0.2.1") && !take(&one, "192.0.2.2") && take(&other, "192.0.2.1"));
        assert!(take("x: 1", "192.0.2.1") && !take("x: 2", "192.0.2.1") && take("", "192.0.2.2"));
        // No value is taken for an address.
        assert!(take(&format!("{with}\u{c0}\u{0}\u{2}"), "192.0.2.1"));
    }
}

#[test]
fn who_is_denied_by_one_is_charged_by_none() {
    let (wide, narrow) = (
        limit(Counts::Requests, CLIENT, 10, Telling::Denied),
        limit(Counts::Requests, KeyRule::Route, 2, Telling::Denied),
    );
    let limits = limits(&[Arc::clone(&wide), Arc::clone(&narrow)]);
    let caller = Caller { client: "192.0.2.1".parse().ok(), request: None };
    let let_in = (0..100).filter(|_| limits.take(&caller, START).is_ok()).count();
    assert_eq!(let_in, 2);
    assert_eq!(wide.table.look(wide.key_of("", &caller)), START + 200_000_000);
    assert_eq!(narrow.tally().denied, 98);
    assert_eq!((wide.tally().let_in, wide.tally().denied), (2, 0));
}

#[test]
fn clients_are_told_when_to_come_again() {
    let (limit, other) = (
        limit(Counts::Requests, KeyRule::Route, 3, Telling::Always),
        limit(Counts::Bytes, KeyRule::Route, 1_000, Telling::Always),
    );
    let limits = limits(&[limit, other]);
    let caller = Caller::default();
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    limits.take(&caller, START).unwrap();
    limits.budgets(&caller).iter().for_each(|budget| budget.charge(START, 100));
    assert_eq!(
        written(&|out| limits.write(&caller, START, out)),
        "ratelimit-policy: \"l3\";q=3;w=1, \"l1000\";q=1000;w=1;qu=\"content-bytes\"\r\n\
         ratelimit: \"l3\";r=2;t=1, \"l1000\";r=900;t=1\r\n"
    );
    let denied = loop {
        if let Err(denial) = limits.take(&caller, START) {
            break denial;
        }
    };
    assert_eq!(denied.wait_ns(), 333_333_334);
    assert_eq!(
        written(&|out| denied.write(out)),
        "retry-after: 1\r\nratelimit-policy: \"l3\";q=3;w=1\r\nratelimit: \"l3\";r=0;t=1\r\n"
    );
    limits.budgets(&caller).iter().for_each(|budget| budget.charge(START, 10_000));
    let later = START + 2_000_000_000;
    let denied = limits.take(&caller, later).unwrap_err();
    assert_eq!((denied.limit.counts, denied.wait_ns()), (Counts::Bytes, 7_100_000_001));
}

#[test]
fn memory_is_what_is_declared() {
    let rule = |keys| LimitRule {
        name: String::new(),
        counts: Counts::Requests,
        key: CLIENT,
        quota: Quota { count: 1, period_ns: 1, burst: 1 },
        telling: Telling::Never,
        keys,
    };
    let memory = |keys| Limit::new(rule(keys), RandomState::new()).memory();
    assert!(memory(65_536) <= 32 * 65_536 + 64 * 128);
    assert!(memory(1) <= 64 * 1024);
}
