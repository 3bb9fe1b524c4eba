//! Headers for endpoints.

use std::process::Command;
use std::sync::{Arc, Mutex};

use fairwater_e2e::{Client, Endpoint, Setup, until};

use super::{CLIENT, SIGNATURE, TARGET, announced, find, v1, v2, v2_with};
use crate::tls::{LOCAL, Pki};

/// What came before the bytes of the client, one for each connection.
type Headers = Arc<Mutex<Vec<Vec<u8>>>>;

/// An endpoint that reads a header of either version and then answers requests, or sends back raw
/// bytes.
fn behind_headers(is_http: bool) -> (Endpoint, Headers) {
    let headers = Headers::default();
    let seen = Arc::clone(&headers);
    let endpoint = Endpoint::new(move |caller| {
        let mut header = caller.read_exactly(12);
        match header.starts_with(SIGNATURE) {
            true => {
                header.extend(caller.read_exactly(4));
                let len = usize::from(u16::from_be_bytes([header[14], header[15]]));
                header.extend(caller.read_exactly(len));
            }
            false => {
                while !header.ends_with(b"\r\n") {
                    let byte = caller.read_exactly(1);
                    assert!(!byte.is_empty(), "{}", header.escape_ascii());
                    header.extend(byte);
                }
            }
        }
        seen.lock().unwrap().push(header);
        if !is_http {
            let bytes = caller.read_exactly(5);
            caller.send(bytes);
            return caller.until_closed();
        }
        while let Some(request) = caller.request() {
            caller.reply(request.method(), "fine\n");
        }
    });
    (endpoint, headers)
}

fn take(headers: &Headers) -> Vec<Vec<u8>> {
    std::mem::take(&mut headers.lock().unwrap())
}

#[test]
fn endpoints_are_told_who_the_client_is() {
    for is_http in [true, false] {
        let (endpoint, headers) = behind_headers(is_http);
        let setup = || match is_http {
            true => Setup::http(&[&endpoint]),
            false => Setup::tcp(&[&endpoint]),
        };
        for version in ["v1", "v2"] {
            let mut proxy = setup().upstream(&format!("proxy_protocol = \"{version}\"")).start();
            let mut client = Client::from_address("127.0.0.3", &proxy);
            if is_http {
                assert_eq!(client.get("/").text(), "fine\n");
            } else {
                client.send("hello");
                assert_eq!(client.read_exactly(5), b"hello");
                client.half_close();
                client.read_to_end();
            }
            let (port, target) = (client.port(), proxy.address.clone());
            let line = &proxy.until_log(1)[0];
            let header = take(&headers).remove(0);
            if version == "v1" {
                let to = target.rsplit(':').next().unwrap();
                let expected = format!("PROXY TCP4 127.0.0.3 127.0.0.1 {port} {to}\r\n");
                assert_eq!(String::from_utf8(header).unwrap(), expected);
            } else {
                let id = line.get("id");
                let own =
                    v2_with(&format!("127.0.0.3:{port}"), &target, &super::tlv(5, id.as_bytes()));
                assert_eq!(header, own, "{}", header.escape_ascii());
            }
            assert_eq!(line.get("client"), "127.0.0.3");
            proxy.assert_sound();
        }
    }
}

#[test]
fn no_connection_serves_two_clients() {
    let (endpoint, headers) = behind_headers(true);
    let proxy = Setup::http(&[&endpoint])
        .listener("proxy_protocol = { from = \"127.0.0.1\" }")
        .upstream("proxy_protocol = \"v1\"")
        .start();
    let mut clients: Vec<_> =
        (0..3).map(|n| announced(&proxy, &v2(&format!("192.0.2.{n}:100{n}")))).collect();
    let mut expected = Vec::new();
    for _ in 0..4 {
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.get("/").text(), "fine\n");
            expected.push(format!("PROXY TCP4 192.0.2.{n} 198.51.100.1 100{n} 443\r\n"));
        }
    }
    let told: Vec<_> =
        take(&headers).into_iter().map(|one| String::from_utf8(one).unwrap()).collect();
    assert_eq!(told, expected, "a header for each request, that of its client");
    assert_eq!(endpoint.accepted(), 12);
    assert!(endpoint.requests().iter().all(|request| request.field("connection") == Some("close")));
    let lines = proxy.until_log(12);
    assert!(lines.iter().all(|line| line.get("reused") == "false"));
    until("none to be open", || proxy.metric("fairwater_endpoint_connections", &[]) == 0);
}

#[test]
fn a_reload_leaves_no_connection_that_others_have_used() {
    let plain = Endpoint::echo("e");
    let proxy = Setup::http(&[&plain]).reloadable().start();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.until_metric("fairwater_endpoint_connections_idle", &[], 1);
    proxy.edit("[upstreams.app]", "[upstreams.app]\nproxy_protocol = \"v1\"");
    proxy.reload_well();
    // The endpoint knows nothing of headers.
    assert_eq!(Client::new(&proxy).get("/").status(), 502);
    proxy.edit("proxy_protocol = \"v1\"\n", "");
    proxy.reload_well();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
}

#[test]
fn clients_on_unix_sockets_have_no_address() {
    let (endpoint, headers) = behind_headers(true);
    for version in ["v1", "v2"] {
        let setup = Setup::http(&[&endpoint]).upstream(&format!("proxy_protocol = \"{version}\""));
        let path = format!("unix:{}", setup.directory().join("in.sock").display());
        let _proxy = setup.bind(&path).start();
        assert_eq!(Client::connect(&path).get("/").text(), "fine\n");
        let header = take(&headers).remove(0);
        match version {
            "v1" => assert_eq!(header, b"PROXY UNKNOWN\r\n"),
            _ => assert_eq!(header[12..14], [0x21, 0x31]),
        }
    }
}

#[test]
fn endpoints_on_unix_sockets_are_told_as_well() {
    let directory = fairwater_e2e::Directory::new();
    let endpoint = Endpoint::on_unix(&directory.join("e.sock"), |caller| {
        let bytes = caller.read_until(b"\r\n\r\n");
        let is_good = bytes.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 ");
        caller.reply("GET", if is_good { "good" } else { "bad" });
    });
    let proxy = Setup::http(&[&endpoint]).upstream("proxy_protocol = \"v1\"").start();
    assert_eq!(Client::new(&proxy).get("/").text(), "good");
}

#[test]
fn endpoints_are_told_of_tls() {
    let pki = Pki::new();
    pki.pair("site", LOCAL).pair("me", "DNS:me");
    let (endpoint, headers) = behind_headers(true);
    let (tls, ca) = (pki.table("site"), pki.file("ca.pem"));
    let proxy = Setup::http(&[&endpoint])
        .listener(&format!("tls = {tls}"))
        .listener(&format!("client_auth = {{ ca = {ca:?}, mode = \"request\" }}"))
        .upstream("proxy_protocol = \"v2\"")
        .start();
    let port = proxy.address.rsplit(':').next().unwrap();
    let (cert, key) = (pki.file("me.pem"), pki.file("me.key"));
    let shown = ["--cert", &cert, "--key", &key];
    for (words, flags, name) in
        [(&shown[..], [7, 0, 0, 0, 0], Some("me")), (&[], [1, 0, 0, 0, 1], None)]
    {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &ca]).args(words);
        let output = command.arg(format!("https://localhost:{port}/")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n", "{output:?}");
        let header = take(&headers).remove(0);
        assert_eq!(find(&header, 1), Some(&b"h2"[..]));
        assert_eq!(find(&header, 2), Some(&b"localhost"[..]));
        let name = name.map(|name| super::tlv(0x22, name.as_bytes())).unwrap_or_default();
        let expected = [&flags[..], &super::tlv(0x21, b"TLSv1.3"), &name].concat();
        assert_eq!(find(&header, 0x20), Some(&expected[..]));
        assert_eq!(find(&header, 5).map(<[u8]>::len), Some(32));
    }
}

#[test]
fn from_one_to_the_next_the_client_stays() {
    let pki = Pki::new();
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let to_tls = format!("tls = {{ ca = {:?} }}", pki.file("ca.pem"));
    let required = "proxy_protocol = { from = \"127.0.0.0/8\" }";
    let (endpoint, headers) = behind_headers(true);
    for (protocol, version, is_tls) in [
        ("http", "v1", false),
        ("http", "v2", false),
        ("tcp", "v1", false),
        ("tcp", "v2", false),
        ("tcp", "v2", true),
        ("http", "v1", true),
    ] {
        let told = format!("proxy_protocol = \"{version}\"");
        let last = Setup::http(&[&endpoint]).upstream("proxy_protocol = \"v1\"");
        let last = last.listener(required).listener(if is_tls { &tls } else { "" }).start();
        let first = Setup::of(protocol, &[&last.address]).listener(required).upstream(&told);
        let first = first.upstream(if is_tls { &to_tls } else { "" }).start();
        let mut client = announced(&first, &v1(CLIENT));
        for n in 0..3 {
            assert_eq!(client.get("/").text(), "fine\n", "{protocol} {version} {is_tls}");
            let line = &last.until_log(n + 1)[n];
            assert_eq!((line.get("client"), line.get("client_port")), ("192.0.2.7", "51000"));
        }
        // Where the client had connected to is known at the end as well.
        let expected = v1(CLIENT);
        assert!(TARGET.starts_with("198.51.100.1:443"));
        let all = take(&headers);
        assert!(all.len() == 3 && all.iter().all(|header| *header == expected), "{all:?}");
    }
}

#[test]
fn an_endpoint_that_closes_on_the_header_is_told_apart() {
    let closing = Endpoint::new(|caller| drop(caller.read_exactly(16)));
    let good = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.reply("GET", "good");
    });
    let proxy = Setup::http(&[&closing, &good]).upstream("proxy_protocol = \"v1\"").start();
    for _ in 0..4 {
        let mut client = Client::new(&proxy);
        assert_eq!(client.get("/").text(), "good");
    }
    assert!(proxy.until_log(4).iter().any(|line| line.number("attempts") == 2));
}

#[test]
fn a_tunnel_begins_with_the_header_as_well() {
    let endpoint = Endpoint::new(|caller| {
        let head = caller.read_until(b"\r\n\r\n");
        assert!(head.starts_with(&v1(CLIENT)), "{}", head.escape_ascii());
        caller.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let bytes = caller.read_exactly(5);
        caller.send(bytes);
    });
    let mut proxy = Setup::http(&[&endpoint])
        .listener("proxy_protocol = { from = \"127.0.0.1\" }")
        .upstream("proxy_protocol = \"v1\"")
        .start();
    let mut client = announced(&proxy, &v2(CLIENT));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 101);
    client.send("hello");
    assert_eq!(client.read_exactly(5), b"hello");
    client.half_close();
    client.read_to_end();
    assert_eq!(proxy.until_log(1)[0].get("client"), "192.0.2.7");
    proxy.assert_sound();
}
