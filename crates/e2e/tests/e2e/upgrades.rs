//! Upgrades: from a 101 on, bytes are bytes, in both directions, and the log line comes at the end.

use fairwater_e2e::client::End;
use fairwater_e2e::{Caller, Client, Endpoint, Setup};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n";
const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GOT: &str =
    "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nconnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Switches, says `early` with the same write, then sends back what it gets.
fn switching(early: &'static str) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    move |caller| {
        let head = caller.read_until(b"\r\n\r\n");
        let text = String::from_utf8_lossy(&head).into_owned();
        assert!(text.contains("\r\nconnection: upgrade\r\nupgrade: websocket\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{text}");
        caller.send([SWITCH, early].concat());
        let behind = head.len() - head.windows(4).position(|w| w == b"\r\n\r\n").unwrap() - 4;
        caller.send(&head[head.len() - behind..]);
        loop {
            let bytes = caller.read_exactly(1);
            if bytes.is_empty() || !caller.send(&bytes) {
                return;
            }
        }
    }
}

#[test]
fn a_tunnel_carries_bytes_both_ways() {
    let endpoint = Endpoint::new(switching("early"));
    let mut proxy = Setup::http(&[&endpoint]).start();
    for behind in ["", "\x16\0behind the head"] {
        let mut client = Client::new(&proxy);
        client.send([ASK, behind].concat());
        assert_eq!(client.read_exactly(GOT.len()), GOT.as_bytes());
        assert_eq!(client.read_exactly(5), b"early");
        assert_eq!(client.read_exactly(behind.len()), behind.as_bytes());
        for n in 0..50 {
            let text = format!("GET /{n} HTTP/1.1\r\nHost: evil\r\n\r\n");
            client.send(&text);
            assert_eq!(client.read_exactly(text.len()), text.as_bytes());
        }
        client.half_close();
        assert_eq!(client.end(), End::Closed);
    }
    assert_eq!(endpoint.accepted(), 2, "a tunnel is never pooled");
    let log = proxy.until_log(2);
    for line in &log {
        assert_eq!(
            (line.number("status"), line.get("reason"), line.get("target")),
            (101, "", "/chat")
        );
        assert!(line.number("bytes_in") > 50 && line.number("bytes_out") > 55, "{line:?}");
    }
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 0);
    proxy.assert_sound();
}

#[test]
fn the_end_of_a_tunnel_is_carried_over() {
    let closing = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send([SWITCH, "bye"].concat());
        caller.half_close();
        assert_eq!(caller.read_to_end().0, b"last words");
    });
    let mut proxy = Setup::http(&[&closing]).start();
    let mut client = Client::new(&proxy);
    client.send(ASK);
    assert_eq!(client.read_to_end(), ([GOT, "bye"].concat().into_bytes(), End::Closed));
    client.send("last words");
    client.half_close();
    closing.until_closed(1);
    assert_eq!(proxy.until_log(1)[0].get("reason"), "");

    let resetting = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send([SWITCH, "x"].concat());
        caller.read_exactly(1);
        caller.reset();
    });
    let second = Setup::http(&[&resetting]).start();
    let mut client = Client::new(&second);
    client.send(ASK);
    client.read_exactly(GOT.len() + 1);
    client.send("!");
    assert_eq!(client.end(), End::Reset);
    assert_eq!(second.until_log(1)[0].get("reason"), "upstream_body_truncated");
    proxy.assert_sound();
}

/// Whatever the endpoint answers but a proper 101 is a response, and there is no tunnel.
#[test]
fn an_upgrade_that_is_not_agreed_to_is_no_tunnel() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
    let required = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno";
    let not_upgraded = "HTTP/1.1 101 Switching Protocols\r\n\r\nevil";
    let without_connection = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nevil";
    for (name, reply, status) in [
        ("A71 200", ok, 200),
        ("A71 426", required, 426),
        ("A71 101 without Upgrade", not_upgraded, 502),
        ("A71 101 without Connection", without_connection, 502),
    ] {
        let endpoint = Endpoint::new(move |caller| {
            caller.read_until(b"\r\n\r\n");
            caller.send(reply);
            let rest = caller.read_to_end().0;
            assert!(rest.is_empty(), "bytes of a tunnel: {}", rest.escape_ascii());
        });
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send(ASK);
        assert_eq!(client.response().unwrap().status(), status, "{name}");
        drop(client);
        proxy.assert_sound();
    }
    // Another protocol than the one that was asked for.
    let other = Endpoint::replying([SWITCH.replace("websocket", "evil").into_bytes()]);
    let proxy = Setup::http(&[&other]).start();
    let mut client = Client::new(&proxy);
    client.send(ASK);
    assert_eq!(client.response().unwrap().status(), 502, "A71 another protocol");
}
