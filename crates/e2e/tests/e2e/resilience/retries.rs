//! What is sent once more, where to, and how often.

use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup};

use super::{answering, dead};

const LISTED: &str = "retry_status = [503, \"504-505\"]";

fn ask(proxy: &Proxy, method: &str, fields: &str) -> Message {
    let mut client = Client::new(proxy);
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response_to(method).unwrap()
}

fn attempts(proxy: &Proxy, lines: usize) -> u64 {
    proxy.until_log(lines).pop().unwrap().number("attempts")
}

#[test]
fn a_backup_is_tried_before_anybody_knows_that_the_others_are_dead() {
    let (first, second) = (Endpoint::echo("priority"), Endpoint::echo("backup"));
    let list = format!(
        "{:?}, {{ address = {:?}, priority = 1 }}, {{ address = {:?}, backup = true }}",
        dead(),
        first.address,
        second.address
    );
    let mut proxy = Setup::http(&[]).endpoints(&list).start();
    for line in 1..=3 {
        let reply = ask(&proxy, "POST", "Content-Length: 0\r\n");
        assert!(reply.text().starts_with("priority"), "{reply:?}");
        assert_eq!(attempts(&proxy, line), 2);
    }
    proxy.assert_sound();
    // The next priority is dead as well.
    let list = format!(
        "{:?}, {{ address = {:?}, priority = 1 }}, {{ address = {:?}, backup = true }}",
        dead(),
        dead(),
        second.address
    );
    let mut proxy = Setup::http(&[]).endpoints(&list).start();
    assert!(ask(&proxy, "GET", "").text().starts_with("backup"));
    assert_eq!(attempts(&proxy, 1), 3);
    proxy.assert_sound();
}

#[test]
fn listed_statuses_are_as_good_as_no_reply() {
    let (bad, good) = (answering("bad", 503, ""), answering("good", 200, ""));
    let mut proxy =
        Setup::http(&[&bad, &good]).upstream(LISTED).upstream("outlier = false").start();
    // Connections of those that were refused are used again.
    for _ in 0..6 {
        assert_eq!(ask(&proxy, "GET", "").text(), "good");
    }
    let lines = proxy.until_log(6);
    let attempts: Vec<_> = lines.iter().map(|line| line.number("attempts")).collect();
    assert_eq!(attempts.iter().sum::<u64>(), 9, "every other one: {attempts:?}");
    assert!(lines.iter().all(|line| line.get("reason").is_empty()));
    assert_eq!(bad.accepted(), 1);
    // What may do harm is not sent twice.
    let replies: Vec<_> =
        (0..4).map(|_| ask(&proxy, "POST", "Content-Length: 0\r\n").status()).collect();
    assert_eq!(replies.iter().filter(|status| **status == 503).count(), 2, "{replies:?}");
    proxy.assert_sound();
}

#[test]
fn what_is_marked_is_sent_twice() {
    let (bad, good) = (answering("bad", 503, ""), answering("good", 200, ""));
    let both = || Setup::http(&[&bad, &good]).upstream(LISTED).upstream("outlier = false");
    let mut marked = both().upstream("retry_unsafe = \"Idempotency-Key\"").start();
    let statuses = |proxy: &Proxy, fields: &str| -> Vec<u16> {
        let fields = format!("{fields}Content-Length: 4\r\n\r\nbody");
        let send = |_| {
            let mut client = Client::new(proxy);
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}"));
            client.response().unwrap().status()
        };
        (0..4).map(send).collect()
    };
    assert_eq!(statuses(&marked, "Idempotency-Key: \"7\"\r\n"), [200; 4]);
    assert!(statuses(&marked, "").contains(&503));
    marked.assert_sound();
    let mut all = both().upstream("retry_unsafe = true").start();
    assert_eq!(statuses(&all, ""), [200; 4]);
    let request = good.requests().pop().unwrap();
    assert_eq!(request.body, b"body", "the body is sent again");
    all.assert_sound();
}

#[test]
fn the_last_reply_goes_to_the_client_as_it_is() {
    let [one, two] = ["one", "two"].map(|name| answering(name, 503, "x-own: 1\r\n"));
    let mut proxy = Setup::http(&[&one, &two]).upstream(LISTED).start();
    let reply = ask(&proxy, "GET", "");
    assert_eq!((reply.status(), reply.field("x-own")), (503, Some("1")));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    // One alone is asked once.
    let mut alone = Setup::http(&[&one]).upstream(LISTED).start();
    assert_eq!(ask(&alone, "GET", "").text(), "one");
    assert_eq!(one.requests().len(), 2);
    alone.assert_sound();
    proxy.assert_sound();
}

/// A reply in hand is worth more than a place in a queue.
#[test]
fn a_reply_is_not_dropped_for_an_endpoint_without_room() {
    let (bad, busy) = (answering("bad", 503, ""), silent());
    let list =
        format!("{:?}, {{ address = {:?}, max_concurrency = 1 }}", bad.address, busy.address);
    let mut proxy =
        Setup::http(&[]).endpoints(&list).upstream(LISTED).upstream("outlier = false").start();
    let mut held = Client::new(&proxy);
    held.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let begun = Instant::now();
    while busy.requests().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        held = Client::new(&proxy);
        held.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    assert!((0..4).all(|_| ask(&proxy, "GET", "").text() == "bad"));
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(held);
    proxy.assert_sound();
}

#[test]
fn who_is_told_to_come_again_is_not_asked_again_for() {
    let bad = answering("bad", 503, "retry-after: 7\r\n");
    let ready = answering("good", 200, "");
    let mut proxy =
        Setup::http(&[&bad, &ready]).upstream(LISTED).upstream("outlier = false").start();
    let replies: Vec<_> = (0..4).map(|_| ask(&proxy, "GET", "")).collect();
    let told = replies.iter().filter(|reply| reply.field("retry-after") == Some("7"));
    assert_eq!(told.count(), 2, "{replies:?}");
    proxy.assert_sound();
    let soon = answering("soon", 503, "retry-after: 0\r\n");
    let mut proxy =
        Setup::http(&[&soon, &ready]).upstream(LISTED).upstream("outlier = false").start();
    assert!((0..4).all(|_| ask(&proxy, "GET", "").status() == 200));
    proxy.assert_sound();
}

#[test]
fn endpoints_of_http2_are_tried_again_for_their_status() {
    let fixed = |status: &str| {
        let tables = format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/*\"\nrespond = {{ status = {status}, body = \
             \"of {status}\" }}\n"
        );
        Setup::of("http", &["127.0.0.1:9"])
            .without_route()
            .more(&tables)
            .listener("http2 = true")
            .start()
    };
    // A 503 of ours says when to come again.
    let (mut bad, mut good) = (fixed("502"), fixed("200"));
    let mut proxy = Setup::of("http", &[&bad.address, &good.address])
        .upstream("http2 = true\noutlier = false\nretry_status = 502")
        .start();
    assert!((0..6).all(|_| ask(&proxy, "GET", "").text() == "of 200"));
    let replies = (0..4).map(|_| ask(&proxy, "POST", "Content-Length: 0\r\n").status());
    assert_eq!(replies.filter(|status| *status == 502).count(), 2);
    for proxy in [&mut proxy, &mut bad, &mut good] {
        proxy.assert_sound();
    }
}

/// An endpoint that hears and does not answer.
fn silent() -> Endpoint {
    Endpoint::new(|caller| while caller.request().is_some() {})
}

#[test]
fn an_endpoint_that_takes_its_time_is_left_for_another() {
    let (slow, good) = (silent(), answering("good", 200, ""));
    let mut proxy = Setup::http(&[&slow, &good])
        .upstream("try_timeout = \"200ms\"\nresponse_timeout = \"1500ms\"\noutlier = false")
        .start();
    let begun = Instant::now();
    assert!((0..4).all(|_| ask(&proxy, "GET", "").text() == "good"));
    assert!(begun.elapsed() >= Duration::from_millis(380));
    assert_eq!(slow.requests().len(), 2);
    // What must not be sent twice is waited for.
    let begun = Instant::now();
    let statuses: Vec<_> =
        (0..2).map(|_| ask(&proxy, "POST", "Content-Length: 0\r\n").status()).collect();
    assert!(statuses.contains(&504) && statuses.contains(&200), "{statuses:?}");
    assert!(begun.elapsed() >= Duration::from_millis(1400));
    proxy.assert_sound();
    // And so is the last one, for as long as it may take.
    let late = Endpoint::new(|caller| {
        while caller.request().is_some() {
            std::thread::sleep(Duration::from_millis(700));
            caller.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        }
    });
    let mut proxy = Setup::http(&[&slow, &late]).upstream("try_timeout = \"200ms\"").start();
    assert_eq!(ask(&proxy, "GET", "").text(), "late");
    proxy.assert_sound();
}

#[test]
fn retries_are_no_storm() {
    let [one, two] = ["one", "two"].map(|name| answering(name, 503, ""));
    let mut proxy = Setup::http(&[&one, &two])
        .threads(2)
        .upstream(LISTED)
        .upstream("retries = 5\nretry_backoff = \"0ms\"\noutlier = false")
        .start();
    let count = 2000;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::new(&proxy);
                for _ in 0..count / 4 {
                    assert_eq!(client.get("/").status(), 503);
                }
            });
        }
    });
    let asked = one.requests().len() + two.requests().len();
    // A fifth, a hundred that were saved, and ten each second.
    let most = count + count / 5 + 100 + 300;
    assert!((count + 100..most).contains(&asked), "{asked} for {count}");
    proxy.assert_sound();
}
