//! Who keeps its sessions, and who loses them.

use std::process::Command;

use fairwater_e2e::{Endpoint, until};

use super::*;

const OFTEN: &str = "health = { path = \"/healthz\", interval = \"50ms\", fast_interval = \"20ms\", \
     advice_header = \"x-advice\" }";

fn state(proxy: &Proxy, seat: &Patient) -> String {
    let all = proxy.ask("/endpoints/app").text();
    let own = all.split(&format!("\"address\":{:?}", seat.address())).nth(1).unwrap();
    own.split("\"state\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[track_caller]
fn until_state(proxy: &Proxy, seat: &Patient, expected: &str) {
    until(&format!("{} to be {expected}", seat.address()), || state(proxy, seat) == expected);
}

/// Sets a state or a weight, and waits until all threads have it.
fn order(proxy: &Proxy, seat: &Patient, form: &str) {
    let answer = proxy.order("POST", &format!("/endpoints/app/{}", seat.address()), form);
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// Waits until the threads know that an endpoint has lost its sessions: here one that is at it.
#[track_caller]
fn until_moved(proxy: &Proxy, session: &mut Session, name: &str) {
    until(&format!("sessions to leave {name}"), || session.get(proxy) != name);
}

/// No new session comes to an endpoint.
#[track_caller]
fn assert_no_new(proxy: &Proxy, name: &str) {
    for _ in 0..12 {
        assert_ne!(Session::begun(proxy).1, name);
    }
}

#[test]
fn an_endpoint_that_drains_keeps_its_sessions_and_gets_no_others() {
    let seats = trio();
    let mut proxy = setup(&seats).threads(2).start();
    let mut session = Session::at(&proxy, "2");
    let moved = counts(&proxy)["moved"];
    for (set, word) in [("state=drain", "drain"), ("state=active&weight=0", "no_weight")] {
        order(&proxy, &seats[1], set);
        until_state(&proxy, &seats[1], word);
        assert_no_new(&proxy, "2");
        for _ in 0..12 {
            assert_eq!(session.get(&proxy), "2");
        }
        let endpoints = proxy.ask("/endpoints/app").text();
        assert!(endpoints.contains("gets requests of its sessions alone: "), "{endpoints}");
    }
    assert_eq!(counts(&proxy)["moved"], moved);
    // Maintenance is no draining.
    order(&proxy, &seats[1], "state=maintenance");
    until_state(&proxy, &seats[1], "maintenance");
    let other = session.get(&proxy);
    assert_ne!(other, "2");
    assert_eq!(counts(&proxy)["moved"], moved + 1);
    order(&proxy, &seats[1], "state=active&weight=1");
    until_state(&proxy, &seats[1], "active");
    for _ in 0..6 {
        assert_eq!(session.get(&proxy), other, "it does not come back by itself");
    }
    assert_eq!(counts(&proxy)["moved"], moved + 1);
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_dies_loses_its_sessions_at_once() {
    let seats = trio();
    let proxy = setup(&seats).upstream(OFTEN).start();
    seats.iter().for_each(|seat| until_state(&proxy, seat, "active"));
    let mut sessions: Vec<_> = (0..9).map(|_| Session::begun(&proxy)).collect();
    let there = sessions.iter().filter(|(_, name)| name == "1").count() as u64;
    assert!(there > 0);
    let mut probe = Session::at(&proxy, "1");
    seats[0].is_now(503);
    until_moved(&proxy, &mut probe, "1");
    assert_eq!(state(&proxy, &seats[0]), "failing");
    let before = counts(&proxy);
    assert_eq!(before["moved"], 1);
    let check_since = |kept: u64, moved: u64| {
        check_counts(&proxy, [before["new"], before["kept"] + kept, 1 + moved, 0]);
    };
    let asked = seats[0].endpoint.requests().iter().filter(|one| one.target() == "/").count();
    for (session, name) in &mut sessions {
        let now = session.get(&proxy);
        assert!(if name == "1" { now != "1" } else { now == *name }, "{name} {now}");
        *name = now;
    }
    check_since(9 - there, there);
    for (session, name) in &mut sessions {
        assert_eq!(session.get(&proxy), *name);
    }
    check_since(18 - there, there);
    let now = seats[0].endpoint.requests().iter().filter(|one| one.target() == "/").count();
    assert_eq!(now, asked);
    let mut proxy = proxy;
    proxy.assert_sound();
}

#[test]
fn a_request_that_fails_at_its_endpoint_takes_the_session_elsewhere() {
    let seats = trio();
    let mut proxy = setup(&seats).upstream("outlier = false").start();
    let mut session = Session::at(&proxy, "3");
    let new = counts(&proxy)["new"];
    seats[2].answers(0);
    let other = session.get(&proxy);
    assert_ne!(other, "3");
    check_counts(&proxy, [new, 1, 1, 0]);
    seats[2].answers(200);
    assert_eq!(session.get(&proxy), other);
    // One that is ejected loses them as well.
    let place = usize::from(other == "2");
    proxy.assert_sound();
    let mut proxy = setup(&seats).upstream("outlier = { consecutive_failures = 3 }").start();
    let mut session = Session::at(&proxy, &other);
    seats[place].answers(500);
    until("it to be ejected", || session.ask(&proxy.address, "/").status() == 200);
    assert_eq!(state(&proxy, &seats[place]), "ejected");
    assert_ne!(session.get(&proxy), other);
    assert_eq!(counts(&proxy)["moved"], 1);
    proxy.assert_sound();
}

#[test]
fn who_gets_no_endpoint_gets_no_cookie() {
    let seats = trio();
    let mut proxy = setup(&seats).upstream("outlier = false").start();
    let (mut session, _) = Session::begun(&proxy);
    let before = session.cookie.clone();
    seats.iter().for_each(|seat| seat.answers(0));
    for target in ["/", "/"] {
        let reply = session.ask(&proxy.address, target);
        assert_eq!((reply.status(), set(&reply).len()), (502, 0), "{reply:?}");
        assert_eq!(reply.field("cache-control"), None);
    }
    assert_eq!(session.cookie, before);
    let reply = Client::new(&proxy).get("/");
    assert_eq!((reply.status(), set(&reply).len()), (502, 0), "{reply:?}");
    // What an endpoint says itself is of its session, whatever it is.
    seats.iter().for_each(|seat| seat.answers(500));
    assert_eq!(set(&Client::new(&proxy).get("/")).len(), 1);
    proxy.assert_sound();
}

#[test]
fn a_session_stays_at_a_backup_that_is_well() {
    let [first, backup, _] = trio();
    let list =
        format!("{:?}, {{ address = {:?}, backup = true }}", first.address(), backup.address());
    let proxy = Setup::of("http", &[]).endpoints(&list).upstream(SEAT).upstream(OFTEN).start();
    until_state(&proxy, &backup, "standby");
    let mut session = Session::at(&proxy, "1");
    first.is_now(503);
    until_moved(&proxy, &mut session, "1");
    first.is_now(200);
    until("new sessions at the first", || Session::begun(&proxy).1 == "1");
    assert_eq!(state(&proxy, &backup), "standby");
    assert_eq!(session.get(&proxy), "2");
}

/// An endpoint that takes one request at a time, and is slow with one.
#[test]
fn a_session_waits_for_its_endpoint_and_holds_up_nobody_else() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let slow = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/slow" {
                wait.lock().unwrap().recv().ok();
            }
            caller.reply("GET", "slow");
        }
    });
    let other = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.reply("GET", "other");
        }
    });
    let one = |endpoint: &Endpoint| {
        format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address)
    };
    let list = format!("{}, {}", one(&slow), one(&other));
    let setup = Setup::of("http", &[]).endpoints(&list).upstream(SEAT);
    let mut proxy = setup.upstream("queue_timeout = \"60s\"").start();
    let session = Session::at(&proxy, "slow");
    let send = |target: &str| {
        let mut client = Client::new(&proxy);
        let cookie = session.cookie.as_ref().unwrap();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
        client
    };
    let mut first = send("/slow");
    until("it to be there", || slow.requests().last().unwrap().target() == "/slow");
    let mut second = send("/");
    until("it to wait", || proxy.metric("fairwater_upstream_waiting", &["app"]) == 1);
    for _ in 0..6 {
        assert_eq!(Client::new(&proxy).get("/").text(), "other");
    }
    go.send(()).unwrap();
    for client in [&mut first, &mut second] {
        let reply = client.response().unwrap();
        assert_eq!((reply.text(), set(&reply)), ("slow".to_owned(), Vec::new()));
    }
    assert_eq!(counts(&proxy)["moved"], 0);
    proxy.assert_sound();
}

#[test]
fn who_asks_is_told_what_decides() {
    let seats = trio();
    let proxy = setup(&seats).start();
    order(&proxy, &seats[0], "state=drain");
    until_state(&proxy, &seats[0], "drain");
    let file = proxy.directory().join("fairwater.toml");
    let mut command = Command::new(fairwater_e2e::proxy::binary());
    let output = command.args(["explain", "http://a/", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "sticky     what the cookie seat names comes first".to_owned(),
        format!(
            "endpoint   {} gets requests of its sessions alone: it was set to drain",
            seats[0].address()
        ),
        format!("endpoint   {} gets requests: weight 1", seats[1].address()),
    ] {
        assert!(said.lines().any(|own| own == line), "{line}\n{said}");
    }
}
