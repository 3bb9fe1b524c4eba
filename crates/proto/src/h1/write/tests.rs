//! Heads as they are written, byte by byte.

use super::*;
use crate::h1::{Lines, RequestReader, ResponseReader};

const FORWARDING: Forwarding<'_> = Forwarding {
    peer: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
    is_trusted: false,
    is_tls: false,
    host: HostPolicy::Keep,
    close: false,
    edits: Edits { path: None, removed: &[], lines: b"", own_cookie: b"" },
};
const TRUSTED: Forwarding<'_> = Forwarding { is_trusted: true, ..FORWARDING };

/// What we say of a client that is not trusted.
const IDENTITY: &str = "x-forwarded-for: 192.0.2.1\r\n\
    x-forwarded-proto: http\r\n\
    x-forwarded-host: a\r\n\
    forwarded: for=192.0.2.1;host=a;proto=http\r\n";

fn written(request: &str, framing: RequestFraming, forwarding: &Forwarding<'_>) -> String {
    let mut head = RequestHead::default();
    let result = RequestReader::default().read(request.as_bytes(), &mut head);
    assert_eq!(result, Ok(true), "{request:?}");
    let mut out = Vec::new();
    write_request(&mut Lines(&mut out), &head, request.as_bytes(), framing, forwarding);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(request: &str, framing: RequestFraming, forwarding: &Forwarding<'_>, expected: &str) {
    assert_eq!(written(request, framing, forwarding), expected, "{request:?}");
}

/// Checks what becomes of the fields of a GET, with what we add left out.
#[track_caller]
fn check_fields(fields: &str, expected: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let expected =
        format!("GET / HTTP/1.1\r\nhost: a\r\n{expected}{IDENTITY}via: 1.1 fairwater\r\n\r\n");
    check(&request, RequestFraming::None, &FORWARDING, &expected);
}

/// Checks the fields that say who the client is.
#[track_caller]
fn check_identity(fields: &str, forwarding: &Forwarding<'_>, expected: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let written = written(&request, RequestFraming::None, forwarding);
    let identity = written
        .strip_prefix("GET / HTTP/1.1\r\nhost: a\r\n")
        .and_then(|rest| rest.strip_suffix("via: 1.1 fairwater\r\n\r\n"));
    assert_eq!(identity, Some(expected), "{fields:?}");
}

#[test]
fn a_request_is_written_anew() {
    check(
        "GET /x?y HTTP/1.1\r\nHOST:  a\r\nAccept:*/*\r\nX-Y:  z \r\nUser-Agent: c\r\nE:\r\n\r\n",
        RequestFraming::None,
        &FORWARDING,
        &format!(
            "GET /x?y HTTP/1.1\r\nhost: a\r\nAccept: */*\r\nX-Y: z\r\nUser-Agent: c\r\nE: \r\n\
             {IDENTITY}via: 1.1 fairwater\r\n\r\n"
        ),
    );
}

#[test]
fn targets_are_written_in_origin_form() {
    for (line, expected) in [
        ("GET http://a/x?y HTTP/1.1", "GET /x?y HTTP/1.1"),
        ("GET http://a HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://a?q HTTP/1.1", "GET /?q HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1"), // RFC 9112, section 3.2.4
        ("OPTIONS http://a?q HTTP/1.1", "OPTIONS /?q HTTP/1.1"),
        ("OPTIONS http://a/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("GET /a/../%2e//b HTTP/1.1", "GET /a/../%2e//b HTTP/1.1"),
        ("GET / HTTP/1.0", "GET / HTTP/1.1"),
    ] {
        let request = format!("{line}\r\nHost: a\r\n\r\n");
        let written = written(&request, RequestFraming::None, &FORWARDING);
        assert_eq!(written.lines().next(), Some(expected), "{line}");
    }
}

#[test]
fn the_host_is_kept_or_set() {
    let request = "GET / HTTP/1.1\r\nHost: A:80\r\n\r\n";
    for (host, expected) in
        [(HostPolicy::Keep, "host: A:80"), (HostPolicy::Set(b"b.example"), "host: b.example")]
    {
        let forwarding = Forwarding { host, ..FORWARDING };
        let written = written(request, RequestFraming::None, &forwarding);
        let lines: Vec<_> = written.lines().collect();
        assert_eq!(lines[1], expected);
        // The client's name for us is still told.
        assert_eq!(lines[4], "x-forwarded-host: A:80");
        assert_eq!(lines[5], "forwarded: for=192.0.2.1;host=\"A:80\";proto=http");
    }
}

#[test]
fn bodies_are_framed_by_our_own_hand() {
    for (method, fields, framing, expected) in [
        ("POST", "Content-Length: 0005\r\n", RequestFraming::Length(5), "content-length: 5\r\n"),
        (
            "POST",
            "Transfer-Encoding: Chunked\r\n",
            RequestFraming::Chunked,
            "transfer-encoding: chunked\r\n",
        ),
        ("POST", "", RequestFraming::None, "content-length: 0\r\n"),
        ("PUT", "", RequestFraming::None, "content-length: 0\r\n"),
        ("PATCH", "Content-Length: 0\r\n", RequestFraming::None, "content-length: 0\r\n"),
        ("DELETE", "", RequestFraming::None, ""),
        ("GET", "Content-Length: 0\r\n", RequestFraming::None, ""),
        (
            "GET",
            "Content-Length: 18446744\r\n",
            RequestFraming::Length(18_446_744),
            "content-length: 18446744\r\n",
        ),
    ] {
        check(
            &format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
            framing,
            &FORWARDING,
            &format!(
                "{method} / HTTP/1.1\r\nhost: a\r\n{expected}{IDENTITY}via: 1.1 fairwater\r\n\r\n"
            ),
        );
    }
}

/// Table A55, A56 and A72.
#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    for (fields, expected) in [
        ("Connection: close, x\r\nX: y\r\nZ: 1\r\n", "Z: 1\r\n"),
        ("X: y\r\nConnection: x\r\n", ""),
        ("X: y\r\nConnection: a, b\r\nConnection: X\r\n", ""),
        ("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n", ""),
        ("TE: trailers\r\nTrailer: X\r\n", "Trailer: X\r\n"),
        ("Upgrade: websocket\r\n", ""),
        ("Proxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\n", ""),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n", ""),
        ("Connection: range\r\nRange: bytes=0-1\r\n", ""),
        // What a message needs in order to mean what it means can't be named away.
        (
            "Connection: Host, Content-Length, Cookie, Authorization, X-Real-IP, Via\r\n\
             Cookie: a=b\r\nAuthorization: Basic x\r\n",
            "Cookie: a=b\r\nAuthorization: Basic x\r\n",
        ),
        ("Connection: X-Forwarded-For, Forwarded, X-Forwarded-Proto, X-Forwarded-Host\r\n", ""),
        ("Connection: expect, content-type\r\nContent-Type: x\r\n", "Content-Type: x\r\n"),
    ] {
        check_fields(fields, expected);
    }
}

/// Table A09 and A59.
#[test]
fn aliases_of_what_we_write_are_dropped() {
    for (fields, expected) in [
        ("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n", ""),
        ("X_Forwarded_For: 1.2.3.4\r\nx-forwarded_proto: https\r\nX_Real_IP: 1.2.3.4\r\n", ""),
        ("Proxy_Connection: x\r\nUpgrade_: x\r\nTE_: x\r\n", "Upgrade_: x\r\nTE_: x\r\n"),
        ("My_Header: x\r\nUser_Agent: x\r\n", "My_Header: x\r\nUser_Agent: x\r\n"),
    ] {
        check_fields(fields, expected);
    }
}

#[test]
fn expectations_pass_as_they_were_understood() {
    check_fields("Expect: 100-continue\r\n", "Expect: 100-continue\r\n");
    let written = written(
        "GET / HTTP/1.0\r\nHost: a\r\nExpect: x\r\n\r\n",
        RequestFraming::None,
        &FORWARDING,
    );
    assert!(!written.contains("xpect"), "{written}");
}

/// Table A57: what a client says of itself is worth nothing.
#[test]
fn identity_of_a_stranger_is_replaced() {
    let claims = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\
                  X-Forwarded-Port: 443\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\
                  X-Forwarded-Client-Cert: x\r\n";
    check_identity(claims, &FORWARDING, IDENTITY);
    check_identity("", &FORWARDING, IDENTITY);
}

#[test]
fn identity_from_a_trusted_peer_is_extended() {
    check_identity(
        "X-Forwarded-For: 198.51.100.7 , 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: b\r\nForwarded: for=198.51.100.7;proto=https\r\n\
         X-Forwarded-For: ,10.0.0.2,\r\n",
        &TRUSTED,
        "x-forwarded-for: 198.51.100.7, 10.0.0.1, 10.0.0.2, 192.0.2.1\r\n\
         x-forwarded-proto: https\r\n\
         x-forwarded-host: b\r\n\
         forwarded: for=198.51.100.7;proto=https, for=192.0.2.1;host=a;proto=http\r\n",
    );
    check_identity("", &TRUSTED, IDENTITY);
    check_identity(
        "X-Forwarded-Port: 443\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Client-Cert: x\r\n",
        &TRUSTED,
        &format!("X-Forwarded-Port: 443\r\nX-Real-IP: 1.2.3.4\r\n{IDENTITY}"),
    );
}

#[test]
fn peers_are_written_in_their_own_form() {
    let said = |peer: Option<&str>| {
        let peer = peer.map(|peer| peer.parse().unwrap());
        let forwarding = Forwarding { peer, is_tls: true, ..FORWARDING };
        written("GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestFraming::None, &forwarding)
    };
    for (peer, expected_for, expected_forwarded) in [
        (Some("203.0.113.255"), "x-forwarded-for: 203.0.113.255\r\n", "for=203.0.113.255"),
        (Some("2001:db8::1"), "x-forwarded-for: 2001:db8::1\r\n", "for=\"[2001:db8::1]\""),
        (Some("::ffff:10.0.0.1"), "x-forwarded-for: 10.0.0.1\r\n", "for=10.0.0.1"),
        (None, "", "for=unknown"),
    ] {
        let expected = format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{expected_for}x-forwarded-proto: https\r\n\
             x-forwarded-host: a\r\nforwarded: {expected_forwarded};host=a;proto=https\r\n\
             via: 1.1 fairwater\r\n\r\n"
        );
        assert_eq!(said(peer), expected);
    }
}

#[test]
fn authorities_are_quoted_where_they_must_be() {
    for (host, expected) in [
        ("a-b.c_d~e", "host=a-b.c_d~e;"),
        ("a:8080", "host=\"a:8080\";"),
        ("[::1]", "host=\"[::1]\";"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let written = written(&request, RequestFraming::None, &FORWARDING);
        assert!(written.contains(expected), "{written}");
    }
}

#[test]
fn hops_are_listed_in_via() {
    for (version, fields, expected) in [
        ("1.1", "", "via: 1.1 fairwater"),
        ("1.0", "", "via: 1.0 fairwater"),
        ("1.1", "Via: 1.1 a\r\n", "via: 1.1 a, 1.1 fairwater"),
        (
            "1.1",
            "Via: 1.1 a ,1.0 b\r\nVia: \r\nVia: ,2 c\r\n",
            "via: 1.1 a, 1.0 b, 2 c, 1.1 fairwater",
        ),
        ("1.1", "Via: ,\r\n", "via: 1.1 fairwater"),
    ] {
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let written = written(&request, RequestFraming::None, &FORWARDING);
        let via: Vec<_> = written.lines().filter(|line| line.starts_with("via:")).collect();
        assert_eq!(via, [expected]);
    }
}

#[test]
fn upgrades_pass_where_we_can_follow() {
    for (fields, expected) in [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Connection: keep-alive, upgrade\r\nUpgrade: foo/1\r\n", Some("foo/1")),
        ("Connection: upgrade\r\nUpgrade: chat, websocket\r\n", Some("chat, websocket")),
        ("Connection: upgrade\r\nUpgrade: myh2cchat\r\n", Some("myh2cchat")),
        ("Upgrade: websocket\r\n", None),
        ("Connection: upgrade\r\n", None),
        ("Connection: upgrade\r\nUpgrade:\r\n", None),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", None),
        ("Connection: upgrade\r\nUpgrade: H2C\r\n", None),
        ("Connection: upgrade\r\nUpgrade: h2\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket,h2\r\n", None),
        ("Connection: upgrade\r\nUpgrade: h2c-14\r\n", None),
        ("Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n", None),
        ("Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", None),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let forwarding = Forwarding { close: true, ..FORWARDING };
        let written = written(&request, RequestFraming::None, &forwarding);
        let end = match expected {
            Some(protocol) => format!("connection: upgrade\r\nupgrade: {protocol}\r\n\r\n"),
            None => "connection: close\r\n\r\n".to_owned(),
        };
        let expected =
            format!("GET / HTTP/1.1\r\nhost: a\r\n{IDENTITY}via: 1.1 fairwater\r\n{end}");
        assert_eq!(written, expected, "{fields:?}");
    }
    let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(!written(old, RequestFraming::None, &FORWARDING).contains("upgrade"));
}

const CLOSE: Connection =
    Connection { close: true, keep_alive: false, upgrade: false, names_others: false };
const KEEP: Connection = Connection { close: false, keep_alive: true, ..CLOSE };
const UPGRADE: Connection = Connection { close: false, upgrade: true, ..CLOSE };
const SILENT: Connection = Connection { close: false, ..CLOSE };

#[track_caller]
fn check_response(reply: &str, framing: ReplyFraming, connection: Connection, expected: &str) {
    let mut head = ResponseHead::default();
    let result = ResponseReader::new(true, fairwater_message::HeadLimits::DEFAULT)
        .read(reply.as_bytes(), &mut head);
    assert_eq!(result, Ok(true), "{reply:?}");
    let mut out = Vec::new();
    let (form, bytes) = (&mut Lines(&mut out), reply.as_bytes());
    write_response(form, &head, bytes, framing, connection, Edits::default());
    assert_eq!(String::from_utf8(out).unwrap(), expected, "{reply:?}");
}

#[test]
fn a_response_is_written_anew() {
    check_response(
        "HTTP/1.0 404 Not Here\r\nServer:x\r\nContent-Length: 0005\r\nKeep-Alive: timeout=5\r\n\
         Connection: keep-alive, x-y\r\nX-Y: z\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
         Proxy-Authenticate: Basic\r\nTransfer_Encoding: x\r\nUpgrade: h2c\r\n\r\n",
        ReplyFraming::Length(5),
        SILENT,
        "HTTP/1.1 404 Not Here\r\nServer: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
         Transfer_Encoding: x\r\ncontent-length: 5\r\n\r\n",
    );
}

#[test]
fn responses_are_framed_by_our_own_hand() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bare = "HTTP/1.1 200\r\n\r\n";
    for (reply, framing, connection, expected) in [
        (length, ReplyFraming::Length(5), SILENT, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (length, ReplyFraming::AsWritten, SILENT, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (length, ReplyFraming::Bare, SILENT, "HTTP/1.1 200 OK\r\n\r\n"),
        (
            chunked,
            ReplyFraming::Chunked,
            SILENT,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (chunked, ReplyFraming::AsWritten, SILENT, "HTTP/1.1 200 OK\r\n\r\n"),
        (bare, ReplyFraming::Bare, CLOSE, "HTTP/1.1 200 \r\nconnection: close\r\n\r\n"),
        (bare, ReplyFraming::Bare, KEEP, "HTTP/1.1 200 \r\nconnection: keep-alive\r\n\r\n"),
        (
            bare,
            ReplyFraming::Length(0),
            Connection { keep_alive: true, ..CLOSE },
            "HTTP/1.1 200 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
    ] {
        check_response(reply, framing, connection, expected);
    }
}

#[test]
fn a_switch_of_protocols_is_passed_on() {
    check_response(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, x\r\nUpgrade:  websocket\r\n\
         X: y\r\nSec-WebSocket-Accept: z\r\n\r\n",
        ReplyFraming::Bare,
        UPGRADE,
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: z\r\n\
         connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
}

/// Table R13 and R19.
#[test]
fn relaxed_heads_become_strict_ones() {
    for (reply, expected) in [
        ("HTTP/1.1 200 OK\nX: a\nY:b\n\n", "HTTP/1.1 200 OK\r\nX: a\r\nY: b\r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nY: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a   b  \tc\r\nY: d\r\n\r\n",
        ),
        ("HTTP/1.1 200 OK\nX: a\n b\n\n", "HTTP/1.1 200 OK\r\nX: a  b\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nX:\r\n \r\n\r\n", "HTTP/1.1 200 OK\r\nX:    \r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\nConnection: set-cookie, x\r\nSet-Cookie: a\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\n\r\n",
        ),
    ] {
        check_response(reply, ReplyFraming::Bare, SILENT, expected);
    }
    check_response(
        "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: a,\r\n b\r\n\r\n",
        ReplyFraming::Bare,
        UPGRADE,
        "HTTP/1.1 101 OK\r\nconnection: upgrade\r\nUpgrade: a,   b\r\n\r\n",
    );
}

#[test]
fn a_cookie_of_ours_is_taken_out_and_the_others_stay_as_they_are() {
    let edits = Edits { own_cookie: b"seat", ..Edits::default() };
    let forwarding = Forwarding { edits, ..FORWARDING };
    let nothing = [fairwater_message::HeaderName::new("cookie")];
    let without = Forwarding { edits: Edits { removed: &nothing, ..edits }, ..FORWARDING };
    let fields = |request: &str, forwarding: &Forwarding<'_>| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{request}\r\n");
        let text = written(&request, RequestFraming::None, forwarding);
        let fields = text.strip_prefix("GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
        fields.split(IDENTITY).next().unwrap().to_owned()
    };
    for (request, expected) in [
        ("Cookie: seat=1\r\nX: y\r\n", "X: y\r\n"),
        ("Cookie: a=\"b\";c=d;  seat=1; e\r\n", "cookie: a=\"b\";c=d; e\r\n"),
        (
            "Cookie: seat=1; a=b\r\nX: y\r\nCookie: c=d\r\n",
            "X: y\r\ncookie: a=b\r\ncookie: c=d\r\n",
        ),
        ("X: y\r\nCookie: Seat=1\r\n", "X: y\r\ncookie: Seat=1\r\n"),
    ] {
        assert_eq!(fields(request, &forwarding), expected, "{request:?}");
        assert!(!fields(request, &without).to_lowercase().contains("cookie"), "{request:?}");
    }
}

#[test]
fn an_endpoint_sets_all_cookies_but_ours() {
    let reply = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: seat=9; Path=/\r\n\
        Content-Length: 0\r\nset-cookie: seats=1\r\n\r\n";
    let mut head = ResponseHead::default();
    let limits = fairwater_message::HeadLimits::DEFAULT;
    assert_eq!(ResponseReader::new(false, limits).read(reply.as_bytes(), &mut head), Ok(true));
    let edits = Edits { own_cookie: b"seat", lines: b"set-cookie: seat=1\r\n", ..Edits::default() };
    let mut out = Vec::new();
    let (form, connection) = (&mut Lines(&mut out), Connection::default());
    write_response(form, &head, reply.as_bytes(), ReplyFraming::Length(0), connection, edits);
    let expected = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\n\
        set-cookie: seats=1\r\nset-cookie: seat=1\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
