//! Heads that never end, end late or end wrongly, and hops that are counted.

use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Setup};

#[test]
fn a_client_that_goes_away_within_a_head_has_its_line() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut lines = 0;
    for part in ["GE", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-"] {
        for is_reset in [false, true] {
            let mut client = Client::new(&proxy);
            client.send(part);
            proxy.until_metric("fairwater_connections_active", &[], 1);
            if is_reset {
                client.reset();
            } else {
                drop(client);
            }
            proxy.until_metric("fairwater_connections_active", &[], 0);
            lines += 1;
            let line = proxy.until_log(lines).pop().unwrap();
            let said = (line.get("reason"), line.get("party"), line.number("status"));
            assert_eq!(said, ("client_aborted", "downstream", 0), "{part:?} {is_reset}: {line:?}");
        }
    }
    assert_eq!(endpoint.accepted(), 0);
    proxy.assert_sound();
}

/// Who only looks whether somebody listens has said nothing.
#[test]
fn a_client_that_says_nothing_has_no_line() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    for bytes in ["", "\r\n"] {
        let mut client = Client::new(&proxy);
        client.send(bytes);
        client.half_close();
        assert_eq!(client.end(), End::Closed);
    }
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_eq!(proxy.until_log(1)[0].number("status"), 200);
    proxy.assert_sound();
}

/// The clock of a line starts with the first byte, also where the head is refused in the end.
#[test]
fn a_slow_head_that_is_refused_has_its_time() {
    const PAUSE: Duration = Duration::from_millis(1200);
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\n");
    proxy.until_metric("fairwater_connections_active", &[], 1);
    // The time is the subject.
    std::thread::sleep(PAUSE);
    client.send("Host: a\r\nbad header: x\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 400);
    let line = proxy.until_log(1).remove(0);
    assert!((1_150_000..4_000_000).contains(&line.number("total_us")), "{line:?}");
    proxy.assert_sound();
}

#[test]
#[ignore = "slow: 10 s"]
fn a_head_that_comes_too_late_has_its_time() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(client.response().unwrap().status(), 408);
    let line = proxy.until_log(1).remove(0);
    assert_eq!(line.get("reason"), "request_head_timeout");
    assert!((9_900_000..12_000_000).contains(&line.number("total_us")), "{line:?}");
    proxy.assert_sound();
}

/// The method was read before what is wrong with the head; its reply has no body, whatever the
/// reason for it.
#[test]
fn a_refused_head_request_has_no_body() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    for (rest, status) in [
        ("Host: a\r\nbad header: x\r\n\r\n", "400"),
        ("Host: a\r\nno colon\r\n\r\n", "400"),
        ("Host: a\r\nHost: b\r\n\r\n", "400"),
        ("Host: a\r\nExpect: x\r\n\r\n", "417"),
    ] {
        let mut client = Client::new(&proxy);
        client.send(format!("HEAD / HTTP/1.1\r\n{rest}"));
        client.half_close();
        let (bytes, _) = client.read_to_end();
        let answer = String::from_utf8(bytes).unwrap();
        assert_eq!(answer.get(9..12), Some(status), "{rest:?}: {answer}");
        let end = answer.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(&answer[end..], "", "a body behind the reply to {rest:?}");
    }
    assert_eq!(endpoint.accepted(), 0);
    proxy.assert_sound();
}

#[test]
fn options_go_as_far_as_max_forwards_lets_them() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    let ask = |client: &mut Client, target: &str, forwards: &str| {
        let field = format!("Max-Forwards: {forwards}\r\n");
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
        client.response_to("OPTIONS").unwrap().status()
    };
    for target in ["/", "*"] {
        let status = ask(&mut client, target, "0");
        assert!(matches!(status, 200 | 204), "{status}");
        assert_eq!(endpoint.accepted(), 0, "this is as far as it goes");
    }
    for (number, (given, expected)) in [("5", "4"), ("1", "0"), ("10", "9")].iter().enumerate() {
        assert_eq!(ask(&mut client, "/", given), 200);
        let requests = endpoint.requests();
        assert_eq!(requests.len(), number + 1);
        assert_eq!(requests[number].field("max-forwards"), Some(*expected));
    }
    proxy.until_log(5);
    proxy.assert_sound();
}
