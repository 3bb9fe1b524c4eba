//! What endpoints say of their connections, and what they send without having been asked.

use std::time::Duration;

use fairwater_e2e::{Client, Directory, Endpoint, Setup};

/// Half of what it promises, to the millisecond: one second is no reason for a whole one.
#[test]
fn a_promise_of_one_second_is_kept_for_half_of_it() {
    let endpoint = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    for n in 1..=3 {
        assert_eq!(client.get("/").status(), 200);
        assert_eq!(endpoint.accepted(), n, "each on a connection of its own");
        // The time is the subject.
        std::thread::sleep(Duration::from_millis(700));
    }
    proxy.assert_sound();
}

const LARGE: usize = 200_000;
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// The bytes lie behind the end of the body when the last of it is taken.
#[test]
fn bytes_behind_a_spliced_reply_have_their_reason() {
    let script = |caller: &mut fairwater_e2e::Caller| {
        while let Some(request) = caller.request() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            caller.send(head + &"a".repeat(LARGE - 1000));
            let is_evil = request.target() == "/evil";
            caller.send("a".repeat(1000) + if is_evil { EVIL } else { "" });
        }
    };
    let directory = Directory::new();
    for endpoint in [Endpoint::new(script), Endpoint::on_unix(&directory.join("e.sock"), script)] {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        for target in ["/evil", "/good"] {
            assert_eq!(client.get(target).text(), "a".repeat(LARGE));
        }
        assert_eq!(endpoint.accepted(), 2, "the connection is not used again");
        let log = proxy.until_log(2);
        let reasons: Vec<_> = log.iter().map(|line| line.get("reason")).collect();
        assert_eq!(reasons, ["upstream_excess_bytes", ""]);
        proxy.assert_sound();
    }
}
