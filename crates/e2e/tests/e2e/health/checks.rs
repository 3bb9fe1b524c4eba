//! Active checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use fairwater_e2e::{Caller, Client, Directory, Endpoint, NameServer, Setup, until};

use super::*;
use crate::names::{Load, common_port};

#[test]
fn one_that_fails_its_check_leaves_and_comes_back_without_a_lost_request() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let mut proxy = setup(&[&first, &second]).upstream(OFTEN).threads(2).start();
    until_answering(&proxy, &["1", "2"]);
    let load = Load::on(&proxy, 3);
    for _ in 0..3 {
        first.is_now(503);
        until_state(&proxy, &first.endpoint, "failing");
        until_answering(&proxy, &["2"]);
        assert_eq!(field(&proxy, &first.endpoint, "check_problem"), "it answers with status 503");
        first.is_now(200);
        until_state(&proxy, &first.endpoint, "active");
        until_answering(&proxy, &["1", "2"]);
    }
    load.end();
    let said = proxy.said();
    let name = format!("app: {}", first.endpoint.address);
    let out =
        format!("warning: {name} gets no traffic, its check fails: it answers with status 503");
    assert!(said.contains(&out) && said.contains(&format!("{name} is well again")), "{said}");
    assert!(
        proxy.metric("fairwater_endpoint_check_failures_total", &[&first.endpoint.address]) >= 9
    );
    proxy.until_metric("fairwater_endpoint_up", &[&first.endpoint.address], 1);
    proxy.assert_sound();
}

#[test]
fn one_that_flaps_stays() {
    let steady = Patient::new("1", 200);
    let flapping = Endpoint::new(|caller| {
        let status = if caller.number.is_multiple_of(2) { 200 } else { 503 };
        while caller.request().is_some() {
            caller.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 1\r\n\r\n2"));
        }
    });
    let mut proxy = Setup::http(&[&steady.endpoint, &flapping]).upstream(OFTEN).start();
    until("many checks", || flapping.requests().len() > 30);
    assert_eq!(state(&proxy, &flapping), "active");
    assert!(!proxy.said().contains("gets no traffic"), "{}", proxy.said());
    proxy.assert_sound();
}

#[test]
fn the_first_result_decides_and_others_wait_for_theirs() {
    let [bad, good] = [Patient::new("1", 503), Patient::new("2", 200)];
    let proxy = setup(&[&bad, &good]).upstream(ONCE).start();
    until_state(&proxy, &bad.endpoint, "failing");
    until_state(&proxy, &good.endpoint, "active");
    assert_eq!((bad.checks(), good.checks()), (1, 1));
    until_answering(&proxy, &["2"]);
    // One that hangs is not known: it gets nothing while another is good.
    let hanging = Endpoint::new(Caller::until_closed);
    let lines = "health = { path = \"/healthz\", timeout = \"1m\", deadline = \"1m\" }";
    let proxy = Setup::http(&[&hanging, &good.endpoint]).upstream(lines).start();
    until("the other to be known", || field(&proxy, &good.endpoint, "check") == "up");
    until_state(&proxy, &hanging, "unknown");
    // The answer to an order says that all threads know.
    let path = format!("/endpoints/app/{}", good.endpoint.address);
    assert_eq!(proxy.order("POST", &path, "weight=2").status(), 200);
    assert_eq!(answering(&proxy, 8), ["2".to_owned()].into());
}

#[test]
fn mandatory_checks_come_before_any_traffic() {
    let patient = Patient::new("1", 0);
    let lines = OFTEN.replace(" }", ", mandatory = true }");
    let mut proxy = setup(&[&patient]).upstream(&lines).start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/").status(), 503);
    until_state(&proxy, &patient.endpoint, "failing");
    assert_eq!(client.get("/").status(), 503);
    assert_eq!(proxy.until_log(2)[1].get("reason"), "no_endpoint");
    patient.is_now(204);
    until_answering(&proxy, &["1"]);
    proxy.assert_sound();
}

#[test]
fn the_same_check_of_two_upstreams_is_made_once() {
    let patient = Patient::new("1", 200);
    let address = &patient.endpoint.address;
    let other = format!(
        "[[routes]]\nlistener = \"web\"\npath = \"/other\"\nupstream = \"other\"\n\
         [upstreams.other]\nendpoints = [\"{address}\"]\n{ONCE}"
    );
    let proxy = setup(&[&patient]).upstream(ONCE).more(&other).start();
    until("both to know", || {
        proxy.ask("/endpoints").text().matches("\"check\":\"up\"").count() == 2
    });
    assert_eq!(patient.checks(), 1);
}

#[test]
fn checks_go_where_they_are_sent() {
    let [served, asked] = [Patient::new("1", 503), Patient::new("2", 200)];
    let list = format!(
        "{{ address = \"{}\", check = \"{}\" }}",
        served.endpoint.address, asked.endpoint.address
    );
    let proxy = Setup::of("http", &[]).endpoints(&list).upstream(OFTEN).start();
    until_state(&proxy, &served.endpoint, "active");
    until("its checks", || asked.checks() > 1);
    until_answering(&proxy, &["1"]);
    assert_eq!(served.checks(), 0);
    asked.is_now(500);
    until_state(&proxy, &served.endpoint, "failing");
    // Over a socket of its own, too.
    let directory = Directory::new();
    let (health, answer) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
    let own = Endpoint::on_unix(&directory.join("check.sock"), script("3", &health, &answer));
    let list =
        format!("{{ address = \"{}\", check = \"{}\" }}", served.endpoint.address, own.address);
    let proxy = Setup::of("http", &[]).endpoints(&list).upstream(OFTEN).start();
    until("its checks", || own.requests().len() > 1);
    assert_eq!(state(&proxy, &served.endpoint), "active");
}

/// What a check finds of an endpoint that answers so.
#[track_caller]
fn check(lines: &str, answer: &'static [u8], expected: &str) {
    let endpoint = Endpoint::new(move |caller| {
        caller.read_until(b"\n");
        caller.send(answer);
    });
    let lines = format!("health = {{ {lines}, interval = \"1h\" }}");
    let proxy = Setup::http(&[&endpoint]).upstream(&lines).start();
    until("the first result", || field(&proxy, &endpoint, "check") != "unknown");
    let (found, problem) =
        (field(&proxy, &endpoint, "check"), field(&proxy, &endpoint, "check_problem"));
    assert_eq!(found, expected, "{lines}: {problem}");
}

#[test]
fn there_are_checks_of_many_kinds() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    check("type = \"tcp\"", b"", "up");
    check("body = \"ok\"", ok, "up");
    check("body = \"no\"", ok, "down");
    check("status = \"204\"", ok, "down");
    check("type = \"redis\"", b"+PONG\r\n", "up");
    check("type = \"redis\"", b"-ERR\r\n", "down");
    check("type = \"bytes\", send = \"A\\n\", expect = \"hex:4f 4b\"", b"is OK", "up");
    check("type = \"bytes\", send = \"A\\n\", expect = \"OK\"", b"is no", "down");
    check("type = \"tls\"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "down");
    check("type = \"grpc\"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "down");
}

#[test]
fn endpoints_ask_for_weights_and_rest() {
    let advice = Arc::new(std::sync::Mutex::new(String::new()));
    let told = Arc::clone(&advice);
    let asking = Endpoint::new(move |caller| {
        while caller.request().is_some() {
            let advice = told.lock().unwrap().clone();
            caller.send(format!(
                "HTTP/1.1 200 X\r\nx-advice: {advice}\r\ncontent-length: 1\r\n\r\n1"
            ));
        }
    });
    let other = Patient::new("2", 200);
    let lines = OFTEN.replace(" }", ", advice_header = \"x-advice\" }");
    let proxy = Setup::http(&[&asking, &other.endpoint]).upstream(&lines).start();
    for (words, state, share) in [
        ("", "active", 6),
        ("drain", "asks_drain", 0),
        ("maint", "asks_maintenance", 0),
        ("weight=3", "active", 9),
        ("0%", "no_weight", 0),
        ("50%", "active", 4),
    ] {
        words.clone_into(&mut advice.lock().unwrap());
        until_state(&proxy, &asking, state);
        until(&format!("{share} of 12 for {words}"), || {
            let mut client = Client::new(&proxy);
            (0..12).filter(|_| client.get("/").text() == "1").count() == share
        });
    }
    let told = proxy.ask("/endpoints/app").text();
    assert!(told.contains("\"advice\":\"50%\""), "{told}");
    assert!(told.contains("weight 1, of which it asks for 50%"), "{told}");
}

#[test]
fn an_agent_speaks_for_its_endpoint() {
    let line = Arc::new(std::sync::Mutex::new("ready".to_owned()));
    let told = Arc::clone(&line);
    let agent = Endpoint::new(move |caller| {
        caller.send(format!("{}\n", told.lock().unwrap()));
    });
    let first = Patient::new("1", 200);
    let port = agent.address.rsplit(':').next().unwrap().to_owned();
    let lines = format!("agent = {{ port = {port}, interval = \"20ms\" }}");
    let proxy = setup(&[&first]).upstream(&lines).start();
    for (words, state) in [("down", "says_down"), ("what?", "says_down"), ("up 20%", "active")] {
        words.clone_into(&mut line.lock().unwrap());
        until_state(&proxy, &first.endpoint, state);
    }
    drop(agent);
    until_answering(&proxy, &["1"]);
}

#[test]
fn raw_tcp_has_checks_as_well() {
    let name = |name: &'static str| {
        move |caller: &mut Caller| {
            caller.send(name);
        }
    };
    let (first, second) = (Endpoint::new(name("1")), Endpoint::new(name("2")));
    let lines = "health = { type = \"bytes\", expect = \"1\", interval = \"20ms\" }";
    let mut proxy = Setup::tcp(&[&first, &second]).upstream(lines).start();
    until_state(&proxy, &second, "failing");
    until_state(&proxy, &first, "active");
    let answers = || {
        let read = |_| Client::new(&proxy).read_to_end().0;
        (0..6).map(read).collect::<BTreeSet<_>>()
    };
    until("the good one alone to serve", || answers() == [b"1".to_vec()].into());
    drop(first);
    until("nobody to be left", || proxy.said().contains("no endpoint that takes traffic"));
    let refused = |line: &fairwater_e2e::Line| line.get("reason") == "no_endpoint";
    until("a client to be refused", || {
        drop(Client::new(&proxy).read_to_end());
        proxy.log().iter().any(refused)
    });
    proxy.assert_sound();
}

#[test]
fn addresses_of_a_name_are_checked_each() {
    let port = common_port(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let health = ["1", "2", "3"].map(|_| Arc::new(AtomicU16::new(200)));
    let answer = Arc::new(AtomicU16::new(200));
    let at = |n: usize, name| {
        Endpoint::at(&format!("127.0.0.{n}:{port}"), script(name, &health[n - 1], &answer))
    };
    let _endpoints = [at(1, "1"), at(2, "2"), at(3, "3")];
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1", "127.0.0.2"]);
    let setup = Setup::of("http", &[&format!("app.test:{port}")]).more(&names.table());
    let mut proxy = setup.upstream(OFTEN).start();
    until_answering(&proxy, &["1", "2"]);
    health[1].store(503, Ordering::Release);
    until_answering(&proxy, &["1"]);
    // One that comes is asked before it gets anything.
    health[2].store(404, Ordering::Release);
    names.set("app.test", 1, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let third = format!("app.test:{port}/127.0.0.3");
    until("it to be there", || proxy.ask("/endpoints/app").text().contains(&third));
    until("its check", || field_of(&proxy, &third, "state") == "failing");
    assert_eq!(answering(&proxy, 8), ["1".to_owned()].into());
    health[2].store(200, Ordering::Release);
    until_answering(&proxy, &["1", "3"]);
    proxy.assert_sound();
}
