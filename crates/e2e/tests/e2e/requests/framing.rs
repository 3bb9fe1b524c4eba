//! Where a body ends: Content-Length, Transfer-Encoding, chunks and trailers (rows A01 to A25).

use super::case::{Case, bad_body, check, forwarded, refused};

/// A POST with these fields and five bytes that would be a body.
fn post(fields: &str) -> Vec<u8> {
    post_bytes(fields.as_bytes())
}

fn post_bytes(fields: &[u8]) -> Vec<u8> {
    let smuggled = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    [b"POST /x HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n0\r\n\r\n", smuggled].concat()
}

/// A POST with this chunked body.
fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = b"POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    [head, body.as_ref()].concat()
}

const SEEN_CHUNKED: &str =
    "POST /cut HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n<ours>\r\n\r\n";

#[test]
fn ambiguous_lengths_are_refused() {
    let mut cases = vec![
        refused("A01 CL and TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        refused("A01 TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        refused(
            "A01 CL 0 and TE",
            post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        refused(
            "A01 CL and unknown TE",
            post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n"),
            501,
        ),
        refused("A02 two CL, different", post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        refused("A02 in another case", post("Content-Length: 5\r\ncontent-length: 0\r\n"), 400),
        refused("A03 two CL, equal", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        refused("A03 a list", post("Content-Length: 5, 5\r\n"), 400),
        refused("A03 a list with one member", post("Content-Length: 5,\r\n"), 400),
        refused("A05 empty", post("Content-Length:\r\n"), 400),
        refused("A05 blanks", post("Content-Length: \t \r\n"), 400),
        refused(
            "A05 empty before a good one",
            post("Content-Length:\r\nContent-Length: 5\r\n"),
            400,
        ),
        refused(
            "A05 empty behind a good one",
            post("Content-Length: 5\r\nContent-Length:\r\n"),
            400,
        ),
        refused("A06 2^64 + 5", post("Content-Length: 18446744073709551621\r\n"), 400),
        refused("A06 2^63", post("Content-Length: 9223372036854775808\r\n"), 400),
        refused("A06 20 digits", post("Content-Length: 00000000000000000005\r\n"), 400),
        refused("A06 400 digits", post(&format!("Content-Length: {}\r\n", "1".repeat(400))), 400),
        refused("A08 space before colon", post("Content-Length : 5\r\n"), 400),
        refused("A08 tab before colon", post("Content-Length\t: 5\r\n"), 400),
        refused("A08 TE, space before colon", post("Transfer-Encoding : chunked\r\n"), 400),
    ];
    for value in [
        "+5", "-5", "0x5", "5 6", "5;", "1_0", "\u{ff15}", "5.0", "5e0", "\"5\"", "0b1", " 5 5",
        "5\t6", "five", "NaN", "-0", "5%20", "٥",
    ] {
        let name = format!("A04 {value}");
        cases.push(refused(&name, post(&format!("Content-Length: {value}\r\n")), 400));
    }
    for byte in [0x00, 0x01, 0x0b, 0x0c, 0x7f, 0x85, 0xa0, 0xff] {
        let fields = [b"Content-Length: ", &[byte][..], b"5\r\n"].concat();
        cases.push(refused(&format!("A04 byte {byte:02x} before"), post_bytes(&fields), 400));
        let fields = [b"Content-Length: 5", &[byte][..], b"\r\n"].concat();
        cases.push(refused(&format!("A04 byte {byte:02x} behind"), post_bytes(&fields), 400));
    }
    check(cases);
}

#[test]
fn lengths_are_written_in_one_form() {
    let post = |length: &str| format!("POST /x HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n12345");
    let seen = ["POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n<ours>\r\n\r\n12345"];
    check(vec![
        forwarded("plain", post("Content-Length: 5"), &seen),
        forwarded("A07 leading zeros", post("Content-Length: 0005"), &seen),
        forwarded("A07 19 digits", post("Content-Length: 0000000000000000005"), &seen),
        forwarded("blanks around", post("cONTENT-lENGTH:\t 5 \t"), &seen),
        forwarded("no blank", post("Content-Length:5"), &seen),
        forwarded("byte by byte", post("Content-Length: 5"), &seen).byte_by_byte(),
        forwarded(
            "no body",
            "POST /x HTTP/1.1\r\nHost: a\r\n\r\n",
            &["POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n<ours>\r\n\r\n"],
        ),
        forwarded(
            "length 0 on a GET",
            "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            &["GET /x HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n"],
        ),
    ]);
}

#[test]
fn aliases_of_framing_fields_are_dropped() {
    let seen = ["POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n<ours>\r\n\r\nhi"];
    let mut cases = Vec::new();
    for alias in [
        "Content_Length: 5",
        "content_length: 0",
        "CONTENT_LENGTH: 5",
        "Transfer_Encoding: chunked",
        "transfer_encoding: identity",
        "X_Forwarded_For: 1.2.3.4",
        "X_Real_IP: 1.2.3.4",
        "X_Forwarded-Proto: https",
        "X-Forwarded_Host: evil",
        "Connection_: close",
        "Keep_Alive: 5",
        "Proxy_Connection: close",
    ] {
        let bytes =
            format!("POST /x HTTP/1.1\r\nHost: a\r\n{alias}\r\nContent-Length: 2\r\n\r\nhi");
        if alias == "Connection_: close" {
            // No alias of anything: it passes.
            let seen = "POST /x HTTP/1.1\r\nhost: a\r\nConnection_: close\r\ncontent-length: 2\r\n\
                <ours>\r\n\r\nhi";
            cases.push(forwarded(alias, bytes, &[seen]));
        } else {
            cases.push(forwarded(&format!("A09 A59 {alias}"), bytes, &seen));
        }
    }
    check(cases);
}

#[test]
fn transfer_codings_other_than_one_chunked_are_refused() {
    let mut cases = vec![
        refused(
            "A12 two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        refused(
            "A12 identity first",
            post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
            501,
        ),
        refused(
            "A12 identity last",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            400,
        ),
        refused("A13 folded", post("Transfer-Encoding:\r\n chunked\r\n"), 400),
        refused("A13 folded behind", post("Transfer-Encoding: chunked\r\n ,identity\r\n"), 400),
        refused(
            "A14 HTTP/1.0",
            "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        refused(
            "A14 HTTP/1.0, keep-alive",
            "POST /x HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        refused(
            "A14 HTTP/1.0 with CL",
            "POST /x HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ];
    for (value, status) in [
        ("identity", 501),
        ("gzip", 501),
        ("cow", 501),
        ("xchunked", 400),
        ("chunked, identity", 400),
        ("chunked, cow", 400),
        ("identity, chunked", 400),
        ("gzip, chunked", 400),
        (",chunked", 400),
        ("chunked,", 400),
        ("\"chunked\"", 400),
        ("'chunked'", 400),
        ("chunked;q=1", 400),
        ("chunked chunked", 400),
        ("chunked, chunked", 400),
        ("chunked\u{b}", 400),
        ("\u{b}chunked", 400),
        ("\u{c}chunked", 400),
        ("chunked\0", 400),
        ("\u{a0}chunked", 400),
        ("\u{85}chunked", 400),
        ("chun\tked", 400),
        ("", 400),
    ] {
        let name = format!("A10 to A13 {value:?}");
        cases.push(refused(&name, post(&format!("Transfer-Encoding: {value}\r\n")), status));
    }
    for byte in [0x85, 0xa0] {
        let fields = [b"Transfer-Encoding: ", &[byte][..], b"chunked\r\n"].concat();
        cases.push(refused(&format!("A13 byte {byte:02x}"), post_bytes(&fields), 400));
    }
    check(cases);
}

#[test]
fn chunked_is_written_anew() {
    let five = format!("{SEEN_CHUNKED}5\r\nhello\r\n0\r\n\r\n");
    let cases = |bytes: &str| {
        let name = format!("{bytes:.60}");
        let case = || forwarded(&name, chunked(bytes), &[&five]);
        [case(), case().cut_at(20)]
    };
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(8000));
    let mut all = Vec::new();
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b\r\n\r\n",
        "5;a=\"b\\\"; c\r\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b;c,=\";d=e\r\nhello\r\n0;f=g\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        &long,
    ] {
        if body.contains("\r\"") {
            // A bare CR in a quoted value is still a control character.
            all.push(bad_body("A19 CR in a quoted value", chunked(body)));
        } else {
            all.extend(cases(body));
        }
    }
    let name = "upper-case digits, and another spelling of the coding";
    let head = "POST /cut HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: ChUnKeD\r\n\r\n";
    let seen = format!("{SEEN_CHUNKED}a\r\n0123456789\r\n0\r\n\r\n");
    all.push(forwarded(name, format!("{head}A\r\n0123456789\r\n0\r\n\r\n"), &[&seen]));
    let empty = format!("{SEEN_CHUNKED}0\r\n\r\n");
    all.push(forwarded("no data", chunked("0\r\n\r\n"), &[&empty]));
    check(all);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn malformed_chunks_are_refused() {
    let spelled = |size: &str| chunked(format!("{size}\r\nhello\r\n0\r\n\r\n"));
    let mut cases: Vec<Case> = Vec::new();
    for size in [
        "0x5",
        "+5",
        "-0",
        "-5",
        "0_5",
        " 5",
        "\t5",
        "00000000000000005",
        "fffffffffffffffff",
        "",
        "ffffffffffffffff",
        "8000000000000000",
        "5 ",
        "5\t",
        "5h",
        "g",
        "5.0",
        "5,5",
        "\u{ff15}",
        "5\0",
        "5 ;a=b",
        "5; a=b",
        "5;a =b",
        "5;a= b",
        "5;",
        "5;;",
        "5;a;",
        "5;=b",
        "5;a=",
        "5;a=\"b",
        "5;a=b\"",
        "5;a=\0",
        "5;\0",
        "5;a\u{1}",
        "5;a=\"\0\"",
        "5;a=\"\u{7f}\"",
        "5;a=b,c",
        "5;a\rb",
        "5\r",
    ] {
        let name = format!("A16 A17 A19 A20 {size:?}");
        cases.push(bad_body(&name, spelled(size)));
        cases.push(bad_body(&format!("{name}, later"), spelled(size)).cut_at(60));
    }
    for (name, body) in [
        ("A18 LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("A18 LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        ("A18 LF behind the last size", "5\r\nhello\r\n0\n\r\n"),
        ("A18 LF at the end", "5\r\nhello\r\n0\r\n\n"),
        ("A18 CR behind the size", "5\rhello\r\n0\r\n\r\n"),
        ("A18 CR CR LF", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("A19 LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        ("A19 LF in a value", "5;a=b\nc\r\nhello\r\n0\r\n\r\n"),
        ("A22 more data than said", "5\r\nhello!\r\n0\r\n\r\n"),
        ("A22 much more", "5\r\nhelloGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("A22 no line end behind the data", "5\r\nhello0\r\n\r\n"),
        ("A22 less data than said", "6\r\nhello\r\n0\r\n\r\nxxxxxxxx"),
        ("trailer without a colon", "0\r\nabc\r\n\r\n"),
        ("trailer with a space before the colon", "0\r\na : b\r\n\r\n"),
        ("trailer that is folded", "0\r\na: b\r\n c\r\n\r\n"),
        ("trailer with LF", "0\r\na: b\n\r\n"),
        ("trailer with a bare CR", "0\r\na: b\rc\r\n\r\n"),
        ("trailer with NUL", "0\r\na: \0\r\n\r\n"),
        ("trailer with an empty name", "0\r\n: b\r\n\r\n"),
    ] {
        cases.push(bad_body(name, chunked(body)));
        cases.push(bad_body(&format!("{name}, byte by byte"), chunked(body)).byte_by_byte());
    }
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(17_000));
    cases.push(bad_body("A21 an extension over 16 KiB", chunked(long)));
    let tiny = format!("1;{}\r\nx\r\n", "e".repeat(1000));
    cases.push(bad_body("A21 a thousand extensions of 1 KiB", chunked(tiny.repeat(1000))));
    check(cases);
}

#[test]
fn trailers_are_forwarded_without_those_that_mean_more() {
    let with = |trailers: &str| chunked(format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
    let seen = |trailers: &str| format!("{SEEN_CHUNKED}5\r\nhello\r\n0\r\n{trailers}\r\n");
    let mut cases = vec![
        forwarded("one", with("X-Sum: 1\r\n"), &[seen("X-Sum: 1\r\n")]),
        forwarded("one, in two pieces", with("X-Sum: 1\r\n"), &[seen("X-Sum: 1\r\n")]).cut_at(80),
        forwarded("two", with("a:1\r\nB:\t2 \r\n"), &[seen("a: 1\r\nB: 2\r\n")]),
    ];
    for name in [
        "Content-Length: 5",
        "Host: evil",
        "Authorization: Basic x",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Content_Length: 5",
        "X-Forwarded-For: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
        "Cookie: a=b",
        "Trailer: x",
        "TE: trailers",
        "Upgrade: foo",
        "Expect: 100-continue",
        "Via: 1.1 x",
        "Content-Type: text/html",
        "Content-Encoding: gzip",
        "Content-Range: bytes 0-1/2",
        "Range: bytes=0-1",
        "X-Real-IP: 1.2.3.4",
        "X-Forwarded-Host: evil",
        "Keep-Alive: 5",
        "Proxy-Authorization: x",
    ] {
        let trailers = format!("X-Before: 1\r\n{name}\r\nX-Behind: 2\r\n");
        let left = "X-Before: 1\r\nX-Behind: 2\r\n";
        cases.push(forwarded(&format!("A23 {name}"), with(&trailers), &[seen(left)]));
    }
    let many: String = (0..1000).map(|n| format!("x{n}: 1\r\n")).collect();
    cases.push(bad_body("A23 1000 trailers", with(&many)));
    let many: String = (0..129).map(|n| format!("x{n}: 1\r\n")).collect();
    cases.push(refused("A23 129 trailers", with(&many), 431));
    cases.push(bad_body("A23 9 KiB of trailers", with(&format!("x: {}\r\n", "y".repeat(9000)))));
    check(cases);
}

#[test]
fn no_body_becomes_a_request() {
    let get = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let seen_get = "GET /next HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n".to_owned();
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "PROPFIND", "QUERY"]
    {
        let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\n");
        let body = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let seen = format!(
            "{method} /x HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n<ours>\r\n\r\n{body}",
            body.len()
        );
        let name = format!("A25 {method} with a body");
        cases.push(forwarded(&name, &length, std::slice::from_ref(&seen)));
        if method != "HEAD" {
            let both = [seen, seen_get.clone()];
            cases.push(forwarded(&format!("{name}, then a request"), length + get, &both));
        }
        let size = body.len();
        let chunked =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n");
        let seen = format!(
            "{method} /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n<ours>\r\n\r\n\
             {size:x}\r\n{body}\r\n0\r\n\r\n"
        );
        cases.push(forwarded(&format!("{name} in chunks"), chunked, &[seen]));
    }
    cases.push(
        forwarded(
            "A15 HTTP/1.0 POST without a length, then bytes",
            "POST /x HTTP/1.0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            &["POST /x HTTP/1.1\r\nhost: \r\ncontent-length: 0\r\n<ours 1.0>\r\n\r\n"],
        )
        .then_closed(),
    );
    cases.push(
        forwarded(
            "a request behind the last one",
            format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{get}"),
            &["GET /x HTTP/1.1\r\nhost: a\r\n<ours>\r\n\r\n"],
        )
        .then_closed(),
    );
    check(cases);
}
