//! What becomes of requests tells against endpoints.

use super::*;

/// Short ejections, and long enough for the budget of retries to come back before the third.
const SHORT: &str = "outlier = { ejection = \"500ms\", max_ejection = \"1h\" }";

/// Sends requests that are not sent again, until one has happened `count` times.
fn ask(proxy: &Proxy, count: usize, status: u16) {
    let mut found = 0;
    until(&format!("{count} times {status}"), || {
        let mut client = Client::new(proxy);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        found += usize::from(client.response_to("POST").unwrap().status() == status);
        found >= count
    });
}

#[test]
fn five_failures_in_a_row_are_enough() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let mut proxy = setup(&[&first, &second]).threads(2).start();
    first.answers(500);
    ask(&proxy, 4, 500);
    assert_eq!(state(&proxy, &first.endpoint), "active");
    // A success in between counts them from the beginning.
    first.answers(200);
    until_answering(&proxy, &["1", "2"]);
    first.answers(500);
    ask(&proxy, 4, 500);
    assert_eq!(state(&proxy, &first.endpoint), "active");
    ask(&proxy, 1, 500);
    until_state(&proxy, &first.endpoint, "ejected");
    until_answering(&proxy, &["2"]);
    let why = field(&proxy, &first.endpoint, "why");
    assert!(why.contains("it is left alone for") && why.contains("5 requests in a row"), "{why}");
    proxy.until_metric("fairwater_endpoint_ejections_total", &[&first.endpoint.address], 1);
    // Half of them may go, and that is one.
    second.answers(500);
    ask(&proxy, 12, 500);
    assert_eq!(state(&proxy, &second.endpoint), "active");
    proxy.assert_sound();
}

#[test]
fn ejections_end_and_grow() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let proxy = setup(&[&first, &second]).upstream(SHORT).start();
    first.answers(0);
    let name = format!("app: {}", first.endpoint.address);
    let count = |words: &str| proxy.said().matches(&format!("{name} {words}")).count();
    for round in 1..=3 {
        until(&format!("ejection {round}"), || {
            Client::new(&proxy).get("/");
            count("gets no traffic") == round
        });
        until("its end", || count("is tried again") == round);
    }
    assert!(proxy.said().contains("time 3 in a row"), "{}", proxy.said());
    // Who was asked twice lost nothing.
    let log = proxy.log();
    let lost: Vec<_> = log.iter().filter(|line| line.number("status") != 200).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn the_last_one_is_never_ejected() {
    let only = Patient::new("1", 200);
    let proxy = setup(&[&only]).start();
    only.answers(503);
    ask(&proxy, 20, 503);
    assert_eq!(state(&proxy, &only.endpoint), "active");
    assert_eq!(field(&proxy, &only.endpoint, "failures_in_a_row"), "20");
    only.answers(200);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
}

/// It may be well by now, and those that are not ejected can die before anybody knows.
#[test]
fn one_that_is_ejected_is_tried_when_all_others_were() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let mut proxy = setup(&[&first, &second]).start();
    first.answers(500);
    ask(&proxy, 5, 500);
    until_state(&proxy, &first.endpoint, "ejected");
    first.answers(200);
    until_answering(&proxy, &["2"]);
    second.answers(0);
    assert_eq!(Client::new(&proxy).get("/").text(), "1");
    assert_eq!(state(&proxy, &first.endpoint), "ejected");
    proxy.assert_sound();
}

#[test]
fn what_clients_do_tells_against_nobody() {
    let slow = Endpoint::new(|caller| {
        caller.request();
        caller.until_closed();
    });
    let other = Patient::new("2", 200);
    let mut proxy = Setup::http(&[&slow, &other.endpoint]).start();
    let mut asked = 0;
    until("ten requests to be given up", || {
        let mut client = Client::new(&proxy);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        until("somebody to have it", || {
            slow.requests().len() + other.endpoint.requests().len() > asked
        });
        asked += 1;
        client.reset();
        slow.requests().len() >= 10
    });
    until("all of them to be over", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 0);
    assert_eq!(state(&proxy, &slow), "active");
    proxy.assert_sound();
}

#[test]
fn one_that_fails_more_often_than_others_is_found() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let failing = Endpoint::new(|caller| {
        // Two of three fail, and never five in a row.
        let mut count = 0;
        while caller.request().is_some() {
            count += 1;
            let status = if count % 3 == 0 { 200 } else { 502 };
            caller.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 1\r\n\r\n3"));
        }
    });
    let lines = "outlier = { window = \"100ms\", min_requests = 20 }";
    let endpoints = [&first.endpoint, &second.endpoint, &failing];
    let proxy = Setup::http(&endpoints).upstream(lines).start();
    let mut client = Client::new(&proxy);
    until("it to be found", || {
        (0..60).for_each(|_| drop(client.get("/")));
        state(&proxy, &failing) == "ejected"
    });
    let why = field(&proxy, &failing, "why");
    assert!(why.contains("requests have failed, more than elsewhere"), "{why}");
    assert_eq!(state(&proxy, &first.endpoint), "active");
}

#[test]
fn nothing_is_ejected_where_that_is_off() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let proxy = setup(&[&first, &second]).upstream("outlier = false").start();
    first.answers(500);
    ask(&proxy, 12, 500);
    assert_eq!(state(&proxy, &first.endpoint), "active");
}
