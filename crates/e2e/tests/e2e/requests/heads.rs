//! The grammar of heads and their limits (rows A30 to A46, A51 to A54).

use super::case::{Case, check, dropped, forwarded, refused};

const SEEN: &str = "GET /x HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n";

/// A GET with this line behind Host.
fn with(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET /x HTTP/1.1\r\nHost: a\r\n", line.as_ref(), b"\r\n\r\n"].concat()
}

fn seen_with(line: &str) -> String {
    format!("GET /x HTTP/1.1\r\nhost: a\r\n{line}\r\n<ours>\r\n\r\n")
}

#[test]
fn control_characters_are_refused() {
    let mut cases = Vec::new();
    for byte in (0..0x20_u8).chain([0x7f]) {
        if matches!(byte, b'\t' | b'\n') {
            continue;
        }
        let name = format!("A31 A32 A33 byte {byte:02x}");
        cases.push(refused(
            &format!("{name} in a value"),
            with([b"X: a", &[byte][..], b"b"].concat()),
            400,
        ));
        cases.push(refused(
            &format!("{name} ends a value"),
            with([b"X: a", &[byte][..]].concat()),
            400,
        ));
        cases.push(refused(
            &format!("{name} starts a value"),
            with([b"X: ", &[byte][..]].concat()),
            400,
        ));
        cases.push(refused(
            &format!("{name} in a name"),
            with([b"X", &[byte][..], b"y: a"].concat()),
            400,
        ));
        cases.push(refused(
            &format!("{name} in the target"),
            [b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            400,
        ));
        cases.push(refused(
            &format!("A43 {name} in the method"),
            [b"G", &[byte][..], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            400,
        ));
    }
    cases.push(refused("A33 CR only", "GET /x HTTP/1.1\rHost: a\r\r", 400).half_closing());
    cases.push(refused("A33 CR CR LF", "GET /x HTTP/1.1\r\r\nHost: a\r\n\r\n", 400));
    check(cases);
}

#[test]
fn line_ends_are_crlf() {
    let mut cases = vec![
        refused("A34 LF only", "GET /x HTTP/1.1\nHost: a\n\n", 400),
        refused("A34 LF behind the request line", "GET /x HTTP/1.1\nHost: a\r\n\r\n", 400),
        refused("A34 LF behind a field", "GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        refused("A34 LF at the end", "GET /x HTTP/1.1\r\nHost: a\r\n\n", 400),
        refused("A35 folded", with("X: a\r\n b"), 400),
        refused("A35 folded with a tab", with("X: a\r\n\tb"), 400),
        refused("A35 folded, nothing behind", with("X: a\r\n "), 400),
        refused("A36 space before the first field", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        refused("A36 tab before the first field", "GET /x HTTP/1.1\r\n\tHost: a\r\n\r\n", 400),
        refused(
            "A36 a blank line that is not empty",
            "GET /x HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
            400,
        ),
        forwarded("A53 one empty line before", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", &[SEEN]),
        forwarded(
            "A53 four empty lines before",
            "\r\n\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            &[SEEN],
        ),
        refused("A53 a thousand empty lines", "\r\n".repeat(1000), 400),
        refused("A53 an LF before", "\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ];
    let good = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    cases.push(forwarded("A30 byte by byte", good, &[SEEN]).byte_by_byte());
    for at in 1..good.len() {
        cases.push(forwarded(&format!("A30 cut at {at}"), good, &[SEEN]).cut_at(at));
    }
    check(cases);
}

#[test]
fn names_are_tokens() {
    let mut cases = vec![
        refused("A37 no colon", with("foo"), 400),
        refused("A37 a line of spaces in the middle", with("foo bar"), 400),
        refused("A39 pseudo-field", with(":path: /x"), 400),
        refused("A39 pseudo-field", with(":authority: evil"), 400),
        refused("A44 empty name", with(": x"), 400),
        refused("A44 empty name and value", with(":"), 400),
        forwarded("an empty value", with("X:"), &[seen_with("X: ")]),
        forwarded(
            "all that a token may hold",
            with("!#$%&'*+-.^_`|~09azAZ: 1"),
            &[seen_with("!#$%&'*+-.^_`|~09azAZ: 1")],
        ),
    ];
    for byte in b"(),/;<=>?@[]{}\"\\".iter().copied().chain([b' ', b'\t', 0x80, 0xa0, 0xff]) {
        let name = format!("A38 {:?} in a name", char::from(byte));
        cases.push(refused(&name, with([b"X", &[byte][..], b"Y: a"].concat()), 400));
        cases.push(refused(
            &format!("{name}, at its end"),
            with([b"X", &[byte][..], b": a"].concat()),
            400,
        ));
    }
    check(cases);
}

#[test]
fn values_are_passed_as_they_are() {
    let mut cases = Vec::new();
    for value in
        ["a\tb", "\"q\\\"\"", "a, b,, c", "\u{e9}\u{20ac}", "(a) <b> {c}", "%00%0d%0a", "a;b=c"]
    {
        let latin: String = value.bytes().map(char::from).collect();
        cases.push(forwarded(
            value,
            with(format!("X: {value}")),
            &[seen_with(&format!("X: {latin}"))],
        ));
    }
    for byte in 0x80..=0xff_u8 {
        let seen = seen_with(&format!("X: {}", char::from(byte)));
        cases.push(forwarded(
            &format!("byte {byte:02x}"),
            with([b"X: ", &[byte][..]].concat()),
            &[seen],
        ));
    }
    check(cases);
}

#[test]
fn heads_have_limits() {
    let lines = |n: usize| (0..n).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    let many = |n: usize| format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(n));
    let one = |bytes: usize| with(format!("X: {}", "y".repeat(bytes)));
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(bytes));
    let long = "y".repeat(20 << 10);
    check(vec![
        forwarded(
            "A40 128 fields",
            many(127),
            &[format!("GET /x HTTP/1.1\r\nhost: a\r\n{}<ours>\r\n\r\n", lines(127))],
        ),
        refused("A40 129 fields", many(128), 431),
        refused("A40 1100 fields", many(1100), 431),
        refused("A40 empty fields", with("A:\r\n".repeat(130).trim_end()), 431),
        forwarded("A41 20 KiB in one field", one(20 << 10), &[seen_with(&format!("X: {long}"))]),
        refused("A41 40 KiB in one field", one(40 << 10), 431),
        refused("A41 1 MiB in one field", one(1 << 20), 431),
        refused("A41 40 KiB, no end", &one(40 << 10)[..40 << 10], 431),
        refused("A41 a name of 40 KiB", with("y".repeat(40 << 10)), 431),
        refused("A42 10 KiB of target", target(10 << 10), 414),
        refused("A42 1 MiB of target", target(1 << 20), 414),
        refused("A42 20 KiB of target without an end", &target(20 << 10)[..20 << 10], 414),
        forwarded(
            "A42 8 KiB of target",
            target(8191),
            &[format!("GET /{} HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n", "y".repeat(8191))],
        ),
        refused("A42 a byte more", target(8192), 414),
        refused("A43 64 KiB of method", "G".repeat(64 << 10), 400),
        refused(
            "A43 64 KiB of method, complete",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "G".repeat(64 << 10)),
            400,
        ),
        refused("A43 33 letters", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "G".repeat(33)), 400),
    ]);
}

#[test]
fn request_lines_have_one_form() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let mut cases: Vec<Case> = Vec::new();
    for bad in [
        "get /x HTTP/1.1",
        "Get /x HTTP/1.1",
        "G=\"<>\" /x HTTP/1.1",
        "G(T /x HTTP/1.1",
        "GET\t/x\tHTTP/1.1",
        "GET  /x HTTP/1.1",
        "GET /x  HTTP/1.1",
        "GET  /x  HTTP/1.1",
        "GET /a b HTTP/1.1",
        " GET /x HTTP/1.1",
        "GET /x\tHTTP/1.1",
        "GET /x HTTP/1.1 ",
        "GET /x HTTP/1.1\t",
        "GET /x HTTP/1.10",
        "GET /x HTTP/01.1",
        "GET /x hTTp/1.1",
        "GET /x http/1.1",
        "GET /x HTTP/1",
        "GET /x HTTP/",
        "GET /x HTTP/1.x",
        "GET /x HTTP 1.1",
        "GET /x HTTPS/1.1",
        "GET /x ICAP/1.0",
        "GET HTTP/1.1",
        "GET / HTTP/1.1 HTTP/1.1",
        "GET  HTTP/1.1",
        "/x HTTP/1.1",
        " HTTP/1.1",
        "GET",
        "GET /x",
        "GET /\u{e9} HTTP/1.1",
    ] {
        cases.push(refused(&format!("A43 A51 A52 {bad:?}"), line(bad), 400));
    }
    for version in ["1.2", "2.0", "0.9", "3.0", "9.9", "0.0"] {
        let bytes = line(&format!("GET /x HTTP/{version}"));
        cases.push(refused(&format!("A51 HTTP/{version}"), bytes, 505));
    }
    for method in ["G", "M-SEARCH", "VERSION_CONTROL", "BASELINE-CONTROL", "PRI", "X1"] {
        let seen = format!("{method} /x HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n");
        cases.push(forwarded(method, line(&format!("{method} /x HTTP/1.1")), &[seen]));
    }
    check(cases);
}

#[test]
fn other_protocols_get_no_answer() {
    let tls =
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03ABCDEFGHIJKLMNOPQRSTUVWXYZ\x00\x20\n\x00";
    let random: Vec<u8> =
        (0..512_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    check(vec![
        dropped("A54 TLS", tls),
        dropped("A54 TLS, the first bytes", &tls[..5]),
        dropped("A54 SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        dropped("A54 random bytes", random),
        dropped("A54 SMTP", "EHLO example.com\r\n"),
        dropped("A54 Redis", "*1\r\n$4\r\nPING\r\n"),
        dropped(
            "A54 PROXY protocol 1",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        dropped("A54 PROXY protocol 2", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
        dropped("A54 NUL", "\0"),
    ]);
}
