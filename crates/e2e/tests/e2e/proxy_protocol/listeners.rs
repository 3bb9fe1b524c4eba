//! Headers of clients.

use std::process::Command;
use std::time::Instant;

use fairwater_e2e::client::End;
use fairwater_e2e::{Caller, Client, Endpoint, Proxy, Setup, until};

use super::{CLIENT, GET, SIGNATURE, TARGET, announced, block, faults, tlv, v1, v2, v2_with};
use crate::tls::{LOCAL, Pki};

const REQUIRED: &str = "proxy_protocol = { from = \"127.0.0.1\" }";
const OPTIONAL: &str = "proxy_protocol = { from = \"127.0.0.1\", mode = \"optional\" }";

/// Sends a header and a request, cut into segments in three ways.
fn segments(header: &[u8]) -> [Vec<Vec<u8>>; 3] {
    let all = [header, GET.as_bytes()].concat();
    let bytes = all.iter().map(|byte| vec![*byte]).collect();
    [vec![all], vec![header.to_vec(), GET.into()], bytes]
}

#[test]
fn the_client_is_who_the_header_says() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let mut count = 0;
    for (address, ip) in [
        (CLIENT, "192.0.2.7"),
        ("[2001:db8::7]:51000", "2001:db8::7"),
        ("[::ffff:192.0.2.7]:51000", "192.0.2.7"),
    ] {
        for header in [v1(address), v2(address)] {
            for segments in segments(&header) {
                let mut client = Client::new(&proxy);
                client.send_segments(&segments);
                assert_eq!(client.response().unwrap().status(), 200);
                assert_eq!(client.get("/2").status(), 200);
                count += 2;
                let lines = proxy.until_log(count);
                let (line, request) = (&lines[count - 1], endpoint.requests().pop().unwrap());
                assert_eq!((line.get("client"), line.get("client_port")), (ip, "51000"));
                assert_eq!(request.field("x-forwarded-for"), Some(ip));
                assert_eq!(request.field("x-forwarded-proto"), Some("http"));
            }
        }
    }
    proxy.assert_sound();
}

#[test]
fn headers_that_name_nobody_leave_the_peer() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let nobody = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        // The specification wants what follows to be ignored.
        b"PROXY UNKNOWN x\r\n".to_vec(),
        b"PROXY UNKNOWN ffff:: ffff:: 1 2\r\n".to_vec(),
        block(0x20, 0, b""),
        block(0x20, 0x11, b"whatever"),
        block(0x21, 0, b"\x04\0\x01x"),
    ];
    for (n, header) in nobody.iter().enumerate() {
        let mut client = announced(&proxy, header);
        assert_eq!(client.get("/").status(), 200);
        let line = &proxy.until_log(n + 1)[n];
        let port = client.port().to_string();
        assert_eq!((line.get("client"), line.get("client_port")), ("127.0.0.1", &*port));
    }
    // Whoever came by a Unix socket has no address.
    let mut client = announced(&proxy, &block(0x21, 0x31, &[b'/'; 216]));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(proxy.until_log(nobody.len() + 1)[nobody.len()].get("client"), "");
    assert_eq!(endpoint.requests().pop().unwrap().field("x-forwarded-for"), None);
    proxy.assert_sound();
}

fn bad_lines() -> Vec<Vec<u8>> {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let lines = [
        &long,
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rGET",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 0080 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    ];
    lines.map(|line| line.as_bytes().to_vec()).to_vec()
}

fn bad_blocks() -> Vec<Vec<u8>> {
    let with_length = |len: u16| [SIGNATURE, b"\x21\x11", &len.to_be_bytes()].concat();
    let bad_sum = tlv(3, &[0; 4]);
    let noops = tlv(4, b"").repeat(1000);
    vec![
        block(0x11, 0x11, &[0; 12]),
        block(0x31, 0x11, &[0; 12]),
        block(0x22, 0x11, &[0; 12]),
        block(0x2f, 0x11, &[0; 12]),
        block(0x21, 0x12, &[0; 12]),
        block(0x21, 0x32, &[0; 216]),
        block(0x21, 0x41, &[0; 216]),
        block(0x21, 0x11, &[0; 11]),
        block(0x21, 0x21, &[0; 12]),
        block(0x21, 0x31, &[0; 215]),
        with_length(65_535),
        [with_length(65_535), vec![0; 5000]].concat(),
        // The request right behind is no part of it.
        v2_with(CLIENT, TARGET, b"\x04\0\x20"),
        v2_with(CLIENT, TARGET, b"\x04"),
        v2_with(CLIENT, TARGET, &bad_sum),
        v2_with(CLIENT, TARGET, &tlv(0x20, b"\x01\0\0\0\0\x21\0\x09x")),
        v2_with(CLIENT, TARGET, &tlv(0x20, b"\x01")),
        v2_with(CLIENT, TARGET, &tlv(5, &[0; 129])),
        v2_with(CLIENT, TARGET, &noops),
    ]
}

#[test]
fn bad_headers_are_closed_and_nothing_is_passed_on() {
    let endpoint = Endpoint::echo("e");
    let raw = Endpoint::new(|caller: &mut Caller| drop(caller.read_to_end()));
    for mode in [REQUIRED, OPTIONAL] {
        for setup in [Setup::http(&[&endpoint]), Setup::tcp(&[&raw])] {
            let mut proxy = setup.listener(mode).start();
            let bad = [bad_lines(), bad_blocks()].concat();
            for (n, header) in bad.iter().enumerate() {
                let mut client = Client::new(&proxy);
                let whole = [header, GET.as_bytes()].concat();
                match n % 2 {
                    0 => client.send(&whole),
                    _ => client.send_segments(&whole.chunks(7).collect::<Vec<_>>()),
                }
                let (said, end) = client.read_to_end();
                assert!(said.is_empty() && end != End::Open, "{}", header.escape_ascii());
                until("it to be counted", || faults(&proxy, "bad_proxy_header") == n as u64 + 1);
            }
            proxy.assert_sound();
            assert!(proxy.log().is_empty());
        }
    }
    assert_eq!((endpoint.accepted(), raw.accepted()), (0, 0));
}

#[test]
fn who_sends_no_header_is_closed_or_served() {
    let endpoint = Endpoint::echo("e");
    let others = [
        vec![GET.as_bytes().to_vec()],
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".map(|byte| vec![byte]).to_vec(),
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".map(|byte| vec![byte]).to_vec(),
    ];
    let mut required = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let mut optional = Setup::http(&[&endpoint]).listener(OPTIONAL).start();
    for (n, segments) in others.iter().enumerate() {
        let mut client = Client::new(&required);
        client.send_segments(segments);
        assert!(client.read_to_end().0.is_empty());
        until("it to be counted", || faults(&required, "bad_proxy_header") == n as u64 + 1);
        let mut client = Client::new(&optional);
        client.send_segments(segments);
        assert_eq!(client.response().unwrap().status(), 200);
        assert_eq!(optional.until_log(n + 1)[n].get("client"), "127.0.0.1");
    }
    // With one it is read all the same.
    assert_eq!(announced(&optional, &v2(CLIENT)).get("/").status(), 200);
    assert_eq!(optional.until_log(4)[3].get("client"), "192.0.2.7");
    // What begins like one and ends is the business of HTTP.
    let mut client = announced(&optional, b"PRO");
    client.half_close();
    client.read_to_end();
    // A client that says nothing at all has done nothing wrong.
    Client::new(&required).half_close();
    assert_eq!(faults(&required, "bad_proxy_header"), 3);
    assert_eq!(faults(&optional, "bad_proxy_header"), 0);
    required.assert_sound();
    optional.assert_sound();
}

#[test]
fn only_peers_that_are_listed_are_believed() {
    let endpoint = Endpoint::echo("e");
    let mut required = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let mut optional =
        Setup::http(&[&endpoint]).listener(OPTIONAL).listener("allow = \"127.0.0.1\"").start();
    for header in [v1("127.0.0.1:1"), v2("127.0.0.1:1")] {
        let mut stranger = Client::from_address("127.0.0.2", &required);
        stranger.send([&header, GET.as_bytes()].concat());
        assert!(stranger.read_to_end().0.is_empty(), "closed, and not read");
        // Nor is anybody fooled where strangers are served: it is no request.
        let mut stranger = Client::from_address("127.0.0.2", &optional);
        stranger.send([&header, GET.as_bytes()].concat());
        let (said, _) = stranger.read_to_end();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{}", said.escape_ascii());
    }
    let mut stranger = Client::from_address("127.0.0.2", &required);
    stranger.send(GET);
    assert!(stranger.read_to_end().0.is_empty());
    until("all to be counted", || faults(&required, "unknown_peer") == 3);
    assert_eq!(Client::from_address("127.0.0.2", &optional).get("/").status(), 403);
    assert_eq!(Client::new(&optional).get("/").status(), 200);
    assert_eq!(endpoint.requests().len(), 1);
    required.assert_sound();
    optional.assert_sound();
}

#[test]
fn peers_on_unix_sockets_are_listed_as_such() {
    let endpoint = Endpoint::echo("e");
    for (from, expected) in [("unix", true), ("0.0.0.0/1", false)] {
        let setup = Setup::http(&[&endpoint]);
        let path = format!("unix:{}", setup.directory().join("in.sock").display());
        let rule = format!("proxy_protocol = {{ from = [\"{from}\"] }}");
        let proxy = setup.bind(&path).listener(&rule).start();
        for header in [v1(CLIENT), v2(CLIENT)] {
            for segments in segments(&header) {
                let mut client = Client::connect(&path);
                client.send_segments(&segments);
                let status = client.response().map(|answer| answer.status());
                assert_eq!(status.ok(), expected.then_some(200));
            }
        }
        let lines = proxy.until_log(if expected { 6 } else { 0 });
        assert!(lines.iter().all(|line| line.get("client") == "192.0.2.7"));
        assert_eq!(faults(&proxy, "unknown_peer"), if expected { 0 } else { 6 });
    }
}

#[test]
fn a_second_header_is_garbage() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    for (first, second) in
        [(v1(CLIENT), v1(CLIENT)), (v2(CLIENT), v2(CLIENT)), (v2(CLIENT), v1(CLIENT))]
    {
        let mut client = announced(&proxy, &[first, second, GET.into()].concat());
        let (said, _) = client.read_to_end();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{}", said.escape_ascii());
    }
    // Where nobody asked for one the first is.
    let plain = Setup::http(&[&endpoint]).start();
    let (said, _) = announced(&plain, &[v1(CLIENT), GET.into()].concat()).read_to_end();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{}", said.escape_ascii());
    assert_eq!(endpoint.requests().len(), 0);
    proxy.assert_sound();
}

#[test]
fn a_header_has_its_time() {
    let endpoint = Endpoint::echo("e");
    let late = "request_head_timeout = \"300ms\"";
    let proxy = Setup::http(&[&endpoint]).listener(REQUIRED).listener(late).start();
    let block = block(0x21, 0x11, &[0; 100]);
    for (n, begun) in
        [&b""[..], b"P", b"PROXY TCP4 1.2.3.4", &block[..13], &block[..40]].iter().enumerate()
    {
        assert!(announced(&proxy, begun).read_to_end().0.is_empty());
        until("it to be counted", || faults(&proxy, "proxy_header_timeout") == n as u64 + 1);
    }
    // One that ends in the middle is not waited for.
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    for (n, begun) in
        [&b"P"[..], b"PROXY TCP4 1.2.3.4", &block[..13], &block[..40]].iter().enumerate()
    {
        let (mut client, start) = (announced(&proxy, begun), Instant::now());
        client.half_close();
        assert!(client.read_to_end().0.is_empty() && start.elapsed().as_secs() < 5);
        until("it to be counted", || faults(&proxy, "bad_proxy_header") == n as u64 + 1);
    }
    proxy.assert_sound();
    // A client that waits for the server to begin gets there in the end, if no header must be.
    let greeting = Endpoint::new(|caller| {
        caller.send("220 ready\r\n");
        caller.until_closed();
    });
    let late = "tls_handshake_timeout = \"300ms\"";
    let proxy = Setup::tcp(&[&greeting]).listener(OPTIONAL).listener(late).start();
    for begun in [&b""[..], b"\r\n"] {
        assert_eq!(announced(&proxy, begun).read_exactly(11), b"220 ready\r\n");
    }
    assert!(announced(&proxy, &block[..13]).read_to_end().0.is_empty());
    assert_eq!(faults(&proxy, "proxy_header_timeout"), 1);
}

#[test]
fn tlvs_are_passed_over_and_tls_is_told_of() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let noise = [tlv(0xe0, &[7; 3900]), tlv(4, b""), tlv(1, b"h2"), tlv(5, &[1; 100])].concat();
    let secured = tlv(0x20, &[&[1, 0, 0, 0, 1][..], &tlv(0x21, b"TLSv1.2")].concat());
    let plain = tlv(0x20, &[0, 0, 0, 0, 1]);
    for (tlvs, scheme) in [(&b""[..], "http"), (&secured, "https"), (&plain, "http")] {
        let tlvs = [&noise, tlvs].concat();
        let mut client = announced(&proxy, &v2_with(CLIENT, TARGET, &tlvs));
        assert_eq!(client.get("/").status(), 200);
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.field("x-forwarded-proto"), Some(scheme));
    }
}

#[test]
fn raw_bytes_follow_the_header() {
    let endpoint = Endpoint::new(|caller| {
        let bytes = caller.read_to_end().0;
        caller.send(bytes);
    });
    let mut proxy = Setup::tcp(&[&endpoint]).listener(REQUIRED).start();
    let mut count = 0;
    for header in [v1(CLIENT), v2(CLIENT)] {
        for size in [1, 20, 10_000] {
            // Bytes that look like a header are bytes.
            let payload = [&v1(CLIENT)[..], &v2(CLIENT), &[b'x'; 3000]].concat();
            let mut client = Client::new(&proxy);
            let all = [&header[..], &payload].concat();
            client.send_segments(&all.chunks(size).take(200).collect::<Vec<_>>());
            client.send(all.get(size * 200..).unwrap_or_default());
            client.half_close();
            assert!(client.read_to_end().0 == payload);
            count += 1;
            let line = &proxy.until_log(count)[count - 1];
            assert_eq!((line.get("client"), line.get("client_port")), ("192.0.2.7", "51000"));
            assert_eq!(line.number("bytes_in"), payload.len() as u64);
        }
    }
    proxy.assert_sound();
}

#[test]
fn balancing_and_rules_go_by_the_announced_client() {
    let endpoints = ["a", "b", "c"].map(Endpoint::echo);
    let all: Vec<_> = endpoints.iter().collect();
    let proxy = Setup::http(&all)
        .upstream("balance = \"source_hash\"")
        .listener(REQUIRED)
        .listener("deny = \"203.0.113.0/24\"")
        .start();
    let ask = |source: &str| announced(&proxy, &v2(source)).get("/");
    let mut seen = std::collections::HashSet::new();
    for n in 0..30 {
        let name = |port: u16| ask(&format!("192.0.2.{n}:{port}")).text()[..1].to_owned();
        let first = name(1);
        assert_eq!(first, name(2));
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "not all of them are the balancer's");
    assert_eq!(ask("203.0.113.9:1").status(), 403);
}

#[test]
fn the_announced_client_may_be_a_trusted_proxy() {
    let endpoint = Endpoint::echo("e");
    let trusted = "trusted_proxies = [\"192.0.2.0/24\"]";
    let proxy = Setup::http(&[&endpoint]).listener(REQUIRED).listener(trusted).start();
    for (source, expected) in
        [("192.0.2.7:1", "203.0.113.9, 192.0.2.7"), ("198.51.100.7:1", "198.51.100.7")]
    {
        let mut client = announced(&proxy, &v2(source));
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
        assert_eq!(client.response().unwrap().status(), 200);
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.field("x-forwarded-for"), Some(expected));
    }
}

/// Whether a client of this header is let in, or told that it has too many.
fn enters(proxy: &Proxy, header: &[u8]) -> Result<Client, u16> {
    let mut client = announced(proxy, header);
    match client.get("/").status() {
        200 => Ok(client),
        status => Err(status),
    }
}

#[test]
fn connections_are_counted_for_the_announced_client() {
    let endpoint = Endpoint::echo("e");
    let limit = "max_connections_per_client = 2";
    let mut proxy = Setup::http(&[&endpoint]).threads(2).listener(REQUIRED).listener(limit).start();
    let open: Vec<_> =
        (0..10).map(|n| enters(&proxy, &v2(&format!("192.0.2.{n}:1"))).unwrap()).collect();
    let mut own: Vec<_> = (0..2).map(|_| enters(&proxy, &block(0x20, 0, b"")).unwrap()).collect();
    assert_eq!(enters(&proxy, &block(0x20, 0, b"")).unwrap_err(), 503);
    let second = enters(&proxy, &v1("192.0.2.3:2")).unwrap();
    assert_eq!(enters(&proxy, &v2("192.0.2.3:3")).unwrap_err(), 503);
    assert_eq!(proxy.metric("fairwater_connections_refused_total", &[]), 2);
    // Those of one network of IPv6 are of one client.
    let six: Vec<_> =
        (1..3).map(|n| enters(&proxy, &v2(&format!("[2001:db8::{n}]:1"))).unwrap()).collect();
    assert_eq!(enters(&proxy, &v2("[2001:db8::3]:1")).unwrap_err(), 503);
    drop((second, own.pop()));
    until("a place to be free", || enters(&proxy, &v2("192.0.2.3:4")).is_ok());
    until("a place to be free", || enters(&proxy, &block(0x20, 0, b"")).is_ok());
    drop((open, own, six));
    until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) == 0);
    let again: Vec<_> = (0..2).map(|_| enters(&proxy, &v2("192.0.2.3:5")).unwrap()).collect();
    drop(again);
    proxy.assert_sound();

    let raw = Endpoint::new(|caller| drop(caller.read_to_end()));
    let mut proxy =
        Setup::tcp(&[&raw]).listener(REQUIRED).listener("max_connections_per_client = 1").start();
    let _first = announced(&proxy, &v2(CLIENT));
    until("it to be there", || raw.accepted() == 1);
    assert_eq!(announced(&proxy, &v2(CLIENT)).end(), End::Reset);
    let _other = announced(&proxy, &v2("192.0.2.8:1"));
    until("it to be there", || raw.accepted() == 2);
    proxy.assert_sound();
}

/// Sends a header and the first message of TLS in one piece, then a request, and prints the reply.
const HELLO: &str = r#"
import socket, ssl, sys
host, port = sys.argv[1].rsplit(":", 1)
header, is_whole = bytes.fromhex(sys.argv[3]), sys.argv[4] == "whole"
context = ssl.create_default_context(cafile=sys.argv[2])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
stream = socket.create_connection((host, int(port)))
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
first = [header]
def step(action):
    while True:
        try:
            result, wants = action(), False
        except ssl.SSLWantReadError:
            result, wants = None, True
        sent = b"".join(first) + outgoing.read()
        first.clear()
        if is_whole:
            stream.sendall(sent)
        else:
            for byte in sent:
                stream.sendall(bytes([byte]))
        if not wants:
            return result
        data = stream.recv(65536)
        assert data, "closed"
        incoming.write(data)
step(session.do_handshake)
step(lambda: session.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
print(step(lambda: session.read(65536)).decode())
"#;

#[test]
fn tls_comes_behind_the_header() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let http = Setup::http(&[&endpoint]).listener(REQUIRED).listener(&tls).start();
    let tcp = Setup::tcp(&[&endpoint]).listener(REQUIRED).listener(&tls).start();
    for mut proxy in [http, tcp] {
        for (n, (header, way)) in
            [(v1(CLIENT), "whole"), (v2(CLIENT), "whole"), (v2(CLIENT), "bytes")].iter().enumerate()
        {
            let digits: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut command = Command::new("python3");
            command.args(["-c", HELLO, &proxy.address, &pki.file("ca.pem"), &digits, way]);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}{errors}");
            assert_eq!(proxy.until_log(n + 1)[n].get("client"), "192.0.2.7");
        }
        // No header, and a header within.
        let mut client = announced(&proxy, b"\x16\x03\x01\0\x05hello");
        assert!(client.read_to_end().0.is_empty());
        until("it to be counted", || faults(&proxy, "bad_proxy_header") == 1);
        proxy.assert_sound();
    }
}

#[test]
fn the_announced_client_moves_along() {
    let (web, raw) = (
        Endpoint::echo("e"),
        Endpoint::new(|caller| while !caller.read_exactly(1).is_empty() && caller.send("x") {}),
    );
    let limit = "max_connections_per_client = 1";
    let http = Setup::http(&[&web]).listener(REQUIRED).listener(limit).upgradable().start();
    let tcp = Setup::tcp(&[&raw]).listener(REQUIRED).upgradable().start();
    let mut idle = announced(&http, &v2_with(CLIENT, TARGET, &tlv(0x20, &[1, 0, 0, 0, 1])));
    let mut relay = announced(&tcp, &v1(CLIENT));
    assert_eq!(idle.get("/").status(), 200);
    relay.send("a");
    assert_eq!(relay.read_exactly(1), b"x");
    for proxy in [&http, &tcp] {
        proxy.upgrade_well();
        proxy.until_one_worker();
    }
    assert_eq!(idle.get("/").status(), 200);
    assert_eq!(enters(&http, &v2("192.0.2.7:2")).unwrap_err(), 503);
    assert!(enters(&http, &v2("192.0.2.8:2")).is_ok());
    relay.send("a");
    assert_eq!(relay.read_exactly(1), b"x");
    relay.half_close();
    relay.read_to_end();
    let request = &web.requests()[1];
    assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    let line = &http.until_log(3)[1];
    assert_eq!((line.get("client"), line.get("client_port")), ("192.0.2.7", "51000"));
    assert_eq!(tcp.until_log(1)[0].get("client"), "192.0.2.7");
}
