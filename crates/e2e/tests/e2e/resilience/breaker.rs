//! An upstream that is left alone while it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::binary;
use fairwater_e2e::{Client, Endpoint, Message, Setup, until};

/// An endpoint whose status can be set, and one that stays open for long.
fn changing() -> (Endpoint, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let of_script = Arc::clone(&status);
    let endpoint = Endpoint::new(move |caller| {
        while caller.request().is_some() {
            let status = of_script.load(Ordering::SeqCst);
            caller.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    (endpoint, status)
}

#[test]
fn it_opens_when_most_requests_fail_and_closes_when_they_do_not() {
    let (endpoint, status) = changing();
    let mut proxy = Setup::http(&[&endpoint])
        .threads(2)
        .upstream("circuit_breaker = { min_requests = 10, open = \"600ms\" }")
        .start();
    let ask = || Client::new(&proxy).get("/").status();
    assert!((0..9).all(|_| ask() == 200));
    status.store(500, Ordering::SeqCst);
    assert!((0..8).all(|_| ask() == 500), "less than half of them");
    let begun = Instant::now();
    let mut statuses: Vec<_> = (0..9).map(|_| ask()).collect();
    statuses.sort_unstable();
    let asked = endpoint.requests().len();
    assert!(statuses.contains(&503) && asked <= 20, "{statuses:?} {asked}");
    assert_eq!(ask(), 503);
    let lines = proxy.until_log(27);
    assert!(lines.iter().any(|line| line.get("reason") == "circuit_open"), "{lines:?}");
    assert_eq!(proxy.metric("fairwater_upstream_circuit_open", &["app"]), 1);
    assert!(proxy.ask("/status").text().contains("\"circuit\":\"open\""));
    let mut explain = std::process::Command::new(binary());
    let file = proxy.directory().join("fairwater.toml");
    let told = explain.args(["explain", "http://a/", "-c"]).arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("(all) the circuit breaker is open"), "{told}");
    until("it is told", || proxy.said().contains("app: its circuit breaker is open: "));
    // One request finds out that nothing is better, and it is open for longer.
    until("a trial", || ask() == 500);
    assert!(begun.elapsed() >= Duration::from_millis(550));
    until("it is told", || proxy.said().contains("circuit breaker is open for longer"));
    status.store(200, Ordering::SeqCst);
    until("it is closed", || {
        ask();
        proxy.metric("fairwater_upstream_circuit_open", &["app"]) == 0
    });
    assert!(begun.elapsed() >= Duration::from_millis(1700));
    assert!((0..20).all(|_| ask() == 200));
    until("it is told", || proxy.said().contains("app: its circuit breaker is closed again"));
    proxy.assert_sound();
}

/// Who comes earlier comes in vain.
#[test]
fn clients_are_told_how_long_it_stays_open() {
    for (open, expected) in [("1h", 3_590..=3_600), ("9500ms", 2..=10)] {
        let dead = super::dead();
        let proxy = Setup::of("http", &[&dead])
            .upstream(&format!("circuit_breaker = {{ min_requests = 2, open = {open:?} }}"))
            .start();
        let ask = || Client::new(&proxy).get("/");
        let after =
            |reply: &Message| -> u64 { reply.field("retry-after").unwrap().parse().unwrap() };
        assert_eq!([after(&ask()), after(&ask())], [1, 1]);
        let told = after(&ask());
        assert!(expected.contains(&told), "{open}: {told}");
    }
}

#[test]
fn raw_connections_are_refused_as_well() {
    let dead = super::dead();
    let mut proxy = Setup::of("tcp", &[&dead])
        .upstream("circuit_breaker = { min_requests = 5, open = \"1h\" }")
        .listener("on_error = { connect = \"no\" }")
        .start();
    for _ in 0..10 {
        assert_eq!(Client::new(&proxy).read_to_end().0, b"no");
    }
    let lines = proxy.until_log(10);
    let open = lines.iter().filter(|line| line.get("reason") == "circuit_open");
    assert_eq!(open.count(), 5);
    proxy.assert_sound();
}
