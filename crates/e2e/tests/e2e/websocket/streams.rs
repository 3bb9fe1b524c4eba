//! Tunnels that are streams, byte by byte: what opens them, how they end, and what is no tunnel.

use std::sync::{Arc, Mutex};

use fairwater_e2e::client::End;
use fairwater_e2e::peer::python_with_h2;
use fairwater_e2e::{Caller, Client, Endpoint, Peer, Proxy, Setup, until};

use super::{server, setup};
use crate::tls::{LOCAL, Pki};

/// An end of streams as `stream.py` is one.
fn stream(words: &[&str]) -> Option<Peer> {
    let mut command = python_with_h2(include_str!("stream.py"))?;
    Some(Peer::start(command.args(words)))
}

/// A client that has heard that it may have tunnels.
pub(super) fn client(proxy: &Proxy) -> Option<Peer> {
    let client = stream(&["ask", &proxy.address])?;
    assert_eq!(client.word("tunnels "), "1");
    Some(client)
}

pub(super) fn endpoint(words: &[&str]) -> Option<(Peer, String)> {
    let peer = stream(&[&["serve"], words].concat())?;
    let address = peer.word("listens on ");
    Some((peer, address))
}

pub(super) const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// The answer to that key (RFC 6455, section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Takes the tunnel as every server does: with an answer to the key.
pub(super) fn switch(caller: &mut Caller) -> String {
    let head = caller.read_until(b"\r\n\r\n");
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = accept_of(key);
    caller.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ));
    head
}

fn accept_of(key: &str) -> String {
    let script = "import base64, hashlib, sys\nguid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'\n\
        print(base64.b64encode(hashlib.sha1((sys.argv[1] + guid).encode()).digest()).decode())";
    let mut command = std::process::Command::new("python3");
    let output = command.args(["-c", script, key]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Frames as nobody should send them: without a mask, with reserved bits and opcodes, a control
/// frame in parts and one too long, lengths that cannot be, broken text, data behind the close, and
/// many that are empty. It is not ours to judge them.
fn odd_frames() -> Vec<u8> {
    let mut bytes = b"\x81\x02hi\xf1\x80\0\0\0\0\x83\x80\0\0\0\0\x09\x80\0\0\0\0".to_vec();
    bytes.extend_from_slice(b"\x89\x7e\x00\x7e");
    bytes.extend_from_slice(&[0; 126]);
    bytes.extend_from_slice(b"\x82\x7f\x80\0\0\0\0\0\0\0\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff");
    bytes.extend_from_slice(b"\x81\x03\xff\xfe\xfd\x88\x02\x03\xed\x81\x05after");
    bytes.extend(std::iter::repeat_n([0x00, 0x00], 5000).flatten());
    bytes
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All data that a peer has said that it got.
pub(super) fn data(peer: &Peer) -> String {
    peer.said().lines().filter_map(|line| line.strip_prefix("data ").map(str::to_owned)).collect()
}

#[test]
fn bytes_of_a_stream_reach_a_connection_as_they_are() {
    let endpoint = Endpoint::new(|caller| {
        switch(caller);
        while let [byte] = *caller.read_exactly(1) {
            caller.send([byte]);
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let Some(mut client) = client(&proxy) else { return };
    client.tell("open /chat websocket sec-websocket-version=13 origin=http://a x-own=1");
    // The key that the endpoint got is not the client's, nor is the answer to it.
    assert_eq!(client.word("head "), ":status=200");
    let odd = hex(&odd_frames());
    client.tell(&format!("send {odd}"));
    until("all bytes back", || data(&client).len() >= odd.len());
    assert!(data(&client) == odd);
    client.tell("end");
    client.word("end");
    let line = &proxy.until_log(1)[0];
    assert_eq!((line.get("status"), line.get("reason"), line.get("target")), ("200", "", "/chat"));
    assert_eq!((line.get("method"), line.get("protocol")), ("GET", "HTTP/2"));
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), {
        let len = odd.len() as u64 / 2;
        (len, len)
    });
    proxy.assert_sound();
}

#[test]
fn bytes_of_a_connection_reach_a_stream_as_they_are() {
    let Some((mut endpoint, address)) = endpoint(&[]) else { return };
    let setup = Setup::of("http", &[&address]).listener("http2 = true");
    let mut proxy = setup.upstream("http2 = true").start();
    let mut client = Client::new(&proxy);
    let odd = odd_frames();
    // Some of it with the head, before anybody has agreed.
    client.send([ASK.as_bytes(), &odd[..9]].concat());
    let asked = endpoint.word("asked ");
    assert!(asked.starts_with(":method=CONNECT "), "{asked}");
    for field in [":protocol=websocket", ":path=/chat", ":authority=a", "sec-websocket-version=13"]
    {
        assert!(asked.contains(&format!("{field} ")), "{asked}");
    }
    assert!(!asked.contains("sec-websocket-key") && !asked.contains("upgrade"), "{asked}");
    endpoint.tell("answer 200 x-own=1");
    let head = client.response().unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!((head.field("upgrade"), head.field("x-own")), (Some("websocket"), Some("1")));
    client.send(&odd[9..]);
    until("all bytes", || data(&endpoint).len() >= odd.len() * 2);
    assert!(data(&endpoint) == hex(&odd));
    endpoint.tell(&format!("send {}", hex(&odd)));
    assert!(client.read_exactly(odd.len()) == odd);
    endpoint.tell("end");
    assert_eq!(client.end(), End::Closed);
    drop(client);
    endpoint.word("end");
    assert_eq!(proxy.until_log(1)[0].get("reason"), "");
    proxy.assert_sound();
}

#[test]
fn each_direction_ends_by_itself() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let of_script = Arc::clone(&got);
    let endpoint = Endpoint::new(move |caller| {
        switch(caller);
        if caller.number == 0 {
            // The client ends first, and hears the rest.
            assert_eq!(caller.read_to_end(), (b"over".to_vec(), false));
            caller.send("bye");
        } else {
            caller.send("bye");
            caller.half_close();
            of_script.lock().unwrap().extend(caller.read_to_end().0);
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let Some(mut one) = client(&proxy) else { return };
    one.tell("open /chat websocket");
    one.word("head ");
    one.tell(&format!("send {}", hex(b"over")));
    one.tell("end");
    one.word("end");
    assert_eq!(data(&one), hex(b"bye"));
    let mut other = client(&proxy).unwrap();
    other.tell("open /chat websocket");
    other.word("end");
    other.tell(&format!("send {}", hex(b"last words")));
    other.tell("end");
    endpoint.until_closed(2);
    assert_eq!(*got.lock().unwrap(), b"last words");
    assert!(proxy.until_log(2).iter().all(|line| line.get("reason").is_empty()));
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
    proxy.assert_sound();
}

/// A reset on one side is one on the other, by the code that RFC 8441 (section 5) has for it.
#[test]
fn a_reset_is_carried_over() {
    let was_reset = Arc::new(Mutex::new(Vec::new()));
    let of_script = Arc::clone(&was_reset);
    let connections = Endpoint::new(move |caller| {
        switch(caller);
        if caller.read_exactly(1) == b"r" {
            caller.reset();
        } else {
            caller.send("x");
            let (_, is_reset) = caller.read_to_end();
            of_script.lock().unwrap().push(is_reset);
        }
    });
    let mut proxy = Setup::http(&[&connections]).listener("http2 = true").start();
    let Some(mut one) = client(&proxy) else { return };
    one.tell("open /chat websocket");
    one.word("head ");
    one.tell(&format!("send {}", hex(b"r")));
    assert_eq!(one.word("reset "), "8");
    // The client resets its stream, or its connection.
    for how in ["reset 8", "die"] {
        let mut other = client(&proxy).unwrap();
        other.tell("open /chat websocket");
        other.word("head ");
        other.tell(&format!("send {}", hex(b"x")));
        other.word("data ");
        other.tell(how);
    }
    connections.until_closed(3);
    assert_eq!(*was_reset.lock().unwrap(), [true, true]);
    let mut reasons: Vec<_> =
        proxy.until_log(3).iter().map(|line| line.get("reason").to_owned()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["client_aborted", "client_aborted", "upstream_body_truncated"]);

    let Some((mut streams, address)) = endpoint(&[]) else { return };
    let setup = Setup::of("http", &[&address]).listener("http2 = true");
    let mut second = setup.upstream("http2 = true").start();
    for (count, how) in ["reset by the client", "reset 8", "die"].iter().enumerate() {
        let mut client = Client::new(&second);
        client.send(ASK);
        streams.until_said("asked ", count + 1);
        streams.tell("answer 200");
        assert_eq!(client.response().unwrap().status(), 101);
        if count == 0 {
            client.reset();
            assert_eq!(streams.word("reset "), "8");
        } else {
            streams.tell(how);
            assert_eq!(client.end(), End::Reset);
        }
    }
    proxy.assert_sound();
    second.assert_sound();
}

#[test]
fn a_tunnel_that_is_silent_ends() {
    let endpoint = Endpoint::new(|caller| {
        switch(caller);
        caller.until_closed();
    });
    let setup = Setup::http(&[&endpoint]).listener("http2 = true");
    let mut proxy = setup.listener("tunnel_timeout = \"300ms\"").start();
    let Some(mut client) = client(&proxy) else { return };
    client.tell("open /chat websocket");
    client.word("head ");
    assert_eq!(client.word("reset "), "8");
    endpoint.until_closed(1);
    assert_eq!(proxy.until_log(1)[0].get("reason"), "idle_timeout");
    proxy.assert_sound();
}

/// What the endpoint answers to a client that knows of no key.
#[test]
fn only_the_right_answer_to_our_key_makes_a_tunnel() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    for (name, reply, status, reason) in [
        ("a wrong one", format!("{head}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"), 502, "upstream_bad_reply"),
        ("none", format!("{head}\r\n"), 502, "upstream_bad_reply"),
        ("a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(), 403, ""),
        (
            "another version",
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            426,
            "",
        ),
        ("no switch", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), 200, ""),
    ] {
        let endpoint = Endpoint::new(move |caller| {
            caller.read_until(b"\r\n\r\n");
            caller.send(&reply);
            assert!(caller.read_to_end().0.is_empty(), "bytes of a tunnel");
        });
        let mut proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
        let Some(mut client) = client(&proxy) else { return };
        client.tell("open /chat websocket sec-websocket-version=8");
        let head = client.word("head ");
        assert!(head.starts_with(&format!(":status={status}")), "{name}: {head}");
        client.word("end");
        assert_eq!(proxy.until_log(1)[0].get("reason"), reason, "{name}");
        proxy.assert_sound();
    }
}

#[test]
fn other_protocols_are_not_spoken_over_streams() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let Some(mut client) = client(&proxy) else { return };
    for (count, protocol) in ["connect-udp", "webtransport", "h2c"].iter().enumerate() {
        client.tell(&format!("open /chat {protocol}"));
        client.until_said("head :status=501 ", count + 1);
    }
    let lines = proxy.until_log(3);
    assert!(lines.iter().all(|line| line.get("reason") == "tunnel_protocol_unknown"), "{lines:#?}");
    // The connection is good for others.
    client.tell("get /");
    client.word("head :status=200 ");
    assert_eq!(endpoint.accepted(), 1);
    proxy.assert_sound();
}

/// Who speaks HTTP/2 in clear and has no tunnels over it cannot be asked otherwise.
#[test]
fn an_endpoint_without_tunnels_gets_none() {
    let Some((endpoint, address)) = endpoint(&["without"]) else { return };
    let setup = Setup::of("http", &[&address]).listener("http2 = true");
    let mut proxy = setup.upstream("http2 = true").start();
    let mut one = Client::new(&proxy);
    one.send(ASK);
    assert_eq!(one.response().unwrap().status(), 502);
    let mut other = client(&proxy).unwrap();
    other.tell("open /chat websocket");
    other.word("head :status=502 ");
    let lines = proxy.until_log(2);
    assert!(lines.iter().all(|line| line.get("reason") == "upstream_no_websocket"), "{lines:#?}");
    // Whoever would rather switch to something else can do without.
    let mut third = Client::new(&proxy);
    third.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
    let head = third.response().unwrap();
    assert_eq!((head.status(), head.field("x-plain")), (200, Some("yes")));
    endpoint.word("asked :method=GET ");
    assert!(!endpoint.said().contains("CONNECT"), "{}", endpoint.said());
    proxy.assert_sound();
}

/// Over TLS it may speak HTTP/1.1 as well, and has them there.
#[test]
fn over_tls_an_endpoint_without_tunnels_gets_an_upgrade() {
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let Some((_server, address)) = server("h2s", "without", &pki) else { return };
    for of_client in ["python", "h1", "h2"] {
        let mut proxy = setup((of_client, "h2s"), &address, &pki).start();
        let said = Peer::run(&mut super::client(of_client, &proxy, &pki).unwrap());
        assert!(
            said.contains("large: True\n") && said.contains("refused: 403 not you\n"),
            "{said}"
        );
        let lines = proxy.until_log(15);
        let of_server = |line: &&fairwater_e2e::Line| line.get("target") != "/refuse";
        let status = if of_client == "h2" { "200" } else { "101" };
        assert!(lines.iter().filter(of_server).all(|line| line.get("status") == status));
        proxy.assert_sound();
    }
}

/// We answer the client's key in place of an endpoint that knows of none, so that it is ours to
/// refuse what is no handshake (RFC 6455, section 4.2.1).
#[test]
fn a_handshake_that_is_none_reaches_no_stream() {
    let Some((endpoint, address)) = endpoint(&[]) else { return };
    let mut proxy = Setup::of("http", &[&address]).upstream("http2 = true").start();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        ("F21 no key", ASK.replace(key, "")),
        ("F21 two keys", ASK.replace(key, &[key, key].concat())),
        ("F21 a short key", ASK.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==")),
        ("F21 a key of other letters", ASK.replace("dGhlIHNhbX", "dGh!IHNhbX")),
        ("F21 POST", ASK.replace("GET ", "POST ")),
    ];
    for (name, ask) in &cases {
        let mut client = Client::new(&proxy);
        client.send(ask);
        assert_eq!(client.response().unwrap().status(), 400, "{name}");
    }
    let lines = proxy.until_log(cases.len());
    for line in &lines {
        assert_eq!(line.get("reason"), "bad_request");
        assert_eq!(line.get("detail"), "not_a_websocket_handshake");
    }
    // HTTP/1.0 has no upgrades: that is a request like any other.
    let mut client = Client::new(&proxy);
    client.send(ASK.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.response().unwrap().field("x-plain"), Some("yes"));
    assert!(!endpoint.said().contains("CONNECT"), "{}", endpoint.said());
    proxy.assert_sound();
}
