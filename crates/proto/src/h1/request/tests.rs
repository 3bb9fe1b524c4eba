//! Request heads as data. Every input is read whole, with more behind it, cut at every place and
//! byte by byte: the outcome is the same each time.

use fairwater_message::{BodyLength, Fault, HeadLimits, Version};

use super::*;

const HEAD_BYTES: usize = HeadLimits::DEFAULT.bytes as usize;
const HEAD_FIELDS: usize = HeadLimits::DEFAULT.fields as usize;

/// Reads the prefixes of `bytes` that end at `ends`, until there is an outcome.
fn read(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let (mut reader, mut head) = (RequestReader::default(), RequestHead::default());
    for end in ends {
        match reader.read(&bytes[..end], &mut head) {
            Ok(false) => {}
            Ok(true) => return describe(bytes, &head),
            Err(fault) => return refusal(fault),
        }
    }
    "more".to_owned()
}

fn refusal(fault: Fault) -> String {
    format!("{} {}", fault.kind.status(), fault.detail).trim_end().to_owned()
}

fn describe(bytes: &[u8], head: &RequestHead) -> String {
    let text = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
    let mut words = vec![text(head.method_span), text(head.path), text(head.authority)];
    match head.body {
        BodyLength::None => {}
        BodyLength::Known(length) => words.push(format!("length={length}")),
        BodyLength::Chunked => words.push("chunked".to_owned()),
        BodyLength::UntilClose => words.push("until-close".to_owned()),
    }
    if head.hops > 0 {
        words.push(format!("hops={}", head.hops));
    }
    for (is_said, word) in [
        (head.version == Version::Http10, "1.0"),
        (head.connection.close, "close"),
        (head.connection.keep_alive, "keep-alive"),
        (head.connection.upgrade, "upgrade"),
        (head.connection.names_others, "names-others"),
        (head.expects_continue, "continue"),
    ] {
        if is_said {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let name = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(read(bytes, [bytes.len()]), expected, "whole: {name:?}");
    assert_eq!(read(bytes, 0..=bytes.len()), expected, "byte by byte: {name:?}");
    if bytes.len() <= 400 {
        for cut in 0..bytes.len() {
            assert_eq!(read(bytes, [cut, bytes.len()]), expected, "cut at {cut}: {name:?}");
        }
    }
    let behind = [bytes, b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n\0"].concat();
    if expected != "more" {
        assert_eq!(read(&behind, [behind.len()]), expected, "with more behind: {name:?}");
    }
}

/// Checks header fields behind a request line and `Host: a`.
#[track_caller]
fn check_fields(fields: &[u8], expected: &str) {
    check(&[b"POST /p HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat(), expected);
}

/// Checks a request line before `Host: a`.
#[track_caller]
fn check_line(line: &[u8], expected: &str) {
    check(&[line, b"\r\nHost: a\r\n\r\n"].concat(), expected);
}

#[test]
fn ordinary_heads_are_read() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "GET / a"),
        (b"GET /x?y=/z HTTP/1.1\r\nhost:a:80\r\n\r\n", "GET /x?y=/z a:80"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a"),
        (b"PROPFIND /d HTTP/1.1\r\nHost:\t a \t\r\n\r\n", "PROPFIND /d a"),
        (b"M-SEARCH / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "M-SEARCH / [::1]:80"),
        (b"1GET / HTTP/1.1\r\nHost: a\r\n\r\n", "1GET / a"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET /  1.0"),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / a 1.0"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\tb\r\n\r\n", "GET / a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n", "GET / a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\n\r\n", "GET / a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", "more"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
        (b"GET", "more"),
        (b"get", "more"),
        (b"\r\n\r\n", "more"),
        (b"", "more"),
    ] {
        check(bytes, expected);
    }
}

#[test]
fn the_body_starts_behind_the_head() {
    let bytes = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let (mut reader, mut head) = (RequestReader::default(), RequestHead::default());
    assert_eq!(reader.read(bytes, &mut head), Ok(true));
    assert_eq!(&bytes[head.len..], b"hi");
    assert_eq!(head.method_span.of(bytes), b"POST");
}

#[test]
fn an_index_is_as_new_after_clear() {
    let first = b"POST http://b/x HTTP/1.0\r\nConnection: close, x\r\nVia: a\r\n\r\n";
    let second = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut head = RequestHead::default();
    assert_eq!(RequestReader::default().read(first, &mut head), Ok(true));
    head.clear();
    assert_eq!(RequestReader::default().read(second, &mut head), Ok(true));
    assert_eq!(describe(second, &head), "GET / a");
    assert_eq!(head.fields.len(), 1);
}

/// Table A01 to A07, A14 and A15, with A09 in `write/tests.rs`.
#[test]
fn lengths_have_one_meaning() {
    for (fields, expected) in [
        (&b"X: y"[..], "POST /p a"),
        (b"Content-Length: 5", "POST /p a length=5"),
        (b"content-length:5", "POST /p a length=5"),
        (b"Content-Length:  \t5 \t", "POST /p a length=5"),
        (b"Content-Length: 0", "POST /p a"),
        (b"Content-Length: 0005", "POST /p a length=5"),
        (b"Content-Length: 9223372036854775807", "POST /p a length=9223372036854775807"),
        (b"Content-Length: 9223372036854775808", "400 bad_content_length"),
        (b"Content-Length: 18446744073709551621", "400 bad_content_length"),
        (b"Content-Length: 99999999999999999999", "400 bad_content_length"),
        (b"Content-Length: 00000000000000000005", "400 bad_content_length"),
        (b"Content-Length: 5\r\nContent-Length: 6", "400 bad_content_length"),
        (b"Content-Length: 5\r\nContent-Length: 5", "400 bad_content_length"),
        (b"Content-Length: 5, 5", "400 bad_content_length"),
        (b"Content-Length: +5", "400 bad_content_length"),
        (b"Content-Length: -5", "400 bad_content_length"),
        (b"Content-Length: 0x5", "400 bad_content_length"),
        (b"Content-Length: 5 6", "400 bad_content_length"),
        (b"Content-Length: 5;", "400 bad_content_length"),
        (b"Content-Length: 1_0", "400 bad_content_length"),
        (b"Content-Length: \xef\xbc\x95", "400 bad_content_length"),
        (b"Content-Length: \xb2", "400 bad_content_length"),
        (b"Content-Length:", "400 bad_content_length"),
        (b"Content-Length:\r\nContent-Length: 5", "400 bad_content_length"),
        (b"Content-Length: 5\r\nContent-Length:", "400 bad_content_length"),
        (b"Content-Length : 5", "400 space_before_colon"),
        (b"Content-Length\t: 5", "400 space_before_colon"),
        (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            "400 content_length_and_transfer_encoding",
        ),
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 0",
            "400 content_length_and_transfer_encoding",
        ),
        (b"Content_Length: 5\r\nTransfer_Encoding: chunked", "POST /p a"),
    ] {
        check_fields(fields, expected);
    }
}

/// Table A10 to A13.
#[test]
fn chunked_is_the_only_coding_and_has_one_spelling() {
    for (value, expected) in [
        (&b"chunked"[..], "POST /p a chunked"),
        (b"Chunked", "POST /p a chunked"),
        (b"\t chunked \t", "POST /p a chunked"),
        (b"identity", "501"),
        (b"gzip", "501"),
        (b"cow", "501"),
        (b"xchunked", "400 bad_transfer_encoding"),
        (b"chunkedx", "400 bad_transfer_encoding"),
        (b"chunked, identity", "400 bad_transfer_encoding"),
        (b"chunked, cow", "400 bad_transfer_encoding"),
        (b"gzip, chunked", "400 bad_transfer_encoding"),
        (b"chunked, chunked", "400 bad_transfer_encoding"),
        (b",chunked", "400 bad_transfer_encoding"),
        (b"chunked,", "400 bad_transfer_encoding"),
        (b"\"chunked\"", "400 bad_transfer_encoding"),
        (b"chunked;q=1", "400 bad_transfer_encoding"),
        (b"", "400 bad_transfer_encoding"),
        (b"\x0bchunked", "400 control_character_in_field"),
        (b"\x0cchunked", "400 control_character_in_field"),
        (b"chunked\0", "400 control_character_in_field"),
        (b"\xa0chunked", "400 bad_transfer_encoding"),
        (b"chunked\x85", "400 bad_transfer_encoding"),
        (b"\r\n chunked", "400 bad_transfer_encoding"),
        (b"chunked\r\n ", "400 folded_field"),
        (b"chunked\r\nTransfer-Encoding: chunked", "400 repeated_transfer_encoding"),
        (b"chunked\r\nTransfer-Encoding: identity", "400 repeated_transfer_encoding"),
    ] {
        check_fields(&[b"Transfer-Encoding: ", value].concat(), expected);
    }
    let old = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(old, "400 transfer_encoding_on_http_1_0");
    check(b"POST / HTTP/1.0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", "POST /  1.0");
}

/// Table A27.
#[test]
fn expectations_are_understood_or_refused() {
    for (fields, expected) in [
        (&b"Expect: 100-continue"[..], "POST /p a continue"),
        (b"Expect: 100-Continue", "POST /p a continue"),
        (b"Expect: banana", "417"),
        (b"Expect: y 100-continue", "417"),
        (b"Expect: 100-continue, x", "417"),
        (b"Expect:", "417"),
        (b"Expect: 100-continue\r\nExpect: 100-continue", "417"),
        (b"Expect: \n100-continue", "400 bare_lf"),
    ] {
        check_fields(fields, expected);
    }
    check(b"GET / HTTP/1.0\r\nExpect: banana\r\n\r\n", "GET /  1.0");
}

/// Table A31 to A39 and A44.
#[test]
fn field_lines_have_one_grammar() {
    for (fields, expected) in [
        (&b"X: a\0b"[..], "400 control_character_in_field"),
        (b"X\0: a", "400 bad_character_in_field_name"),
        (b"X: a\x01", "400 control_character_in_field"),
        (b"X: \x1fa", "400 control_character_in_field"),
        (b"X: a\x7fb", "400 control_character_in_field"),
        (b"X: a\x0bb", "400 control_character_in_field"),
        (b"X: a\rb", "400 control_character_in_field"),
        (b"X: a\r", "400 control_character_in_field"),
        (b"X: a\r\r", "400 control_character_in_field"),
        (b"\rX: a", "400 bad_character_in_field_name"),
        (b"X: a\nY: b", "400 bare_lf"),
        (b"X: a\n", "400 bare_lf"),
        (b"X: a\r\n b", "400 folded_field"),
        (b"X: a\r\n\tb", "400 folded_field"),
        (b"X: a\r\n ", "400 folded_field"),
        (b"Xfoo", "400 field_without_colon"),
        (b"X foo", "400 space_before_colon"),
        (b": x", "400 empty_field_name"),
        (b":path: /x", "400 empty_field_name"),
        (b"X : a", "400 space_before_colon"),
        (b"X-Forwarded-For : a", "400 space_before_colon"),
        (b"X\xa0: a", "400 bad_character_in_field_name"),
        (b"\xe2\x84\xaa: a", "400 bad_character_in_field_name"),
    ] {
        check_fields(fields, expected);
    }
    for byte in *b"(),/;<=>?@[]{}\"\\" {
        check_fields(&[b"X", &[byte][..], b": a"].concat(), "400 bad_character_in_field_name");
    }
    check(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 folded_field");
    check(b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "400 folded_field");
    check(b"GET / HTTP/1.1\nHost: a\n\n", "400 bare_lf");
    check(b"GET / HTTP/1.1\r\nHost: a\n\n", "400 bare_lf");
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\n", "400 bare_lf");
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "400 bad_character_in_field_name");
    check(b"GET / HTTP/1.1\rHost: a\r\r", "400 control_character_in_request_line");
}

/// Table A40 to A42 and A53.
#[test]
fn heads_have_limits() {
    let fields = |count: usize| [b"A:\r\n".repeat(count), b"X: y".to_vec()].concat();
    check_fields(&fields(HEAD_FIELDS - 2), "POST /p a");
    check_fields(&fields(HEAD_FIELDS - 1), "431 too_many_fields");
    check_fields(&fields(1100), "431 too_many_fields");

    let start = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let fitting = HEAD_BYTES - start.len() - 4;
    check(&[&start[..], &vec![b'x'; fitting], b"\r\n\r\n"].concat(), "GET / a");
    check(&[&start[..], &vec![b'x'; fitting + 1], b"\r\n\r\n"].concat(), "431 head_too_long");
    check(&[&start[..], &vec![b'x'; 40_000]].concat(), "431 head_too_long");

    check(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a");
    check(b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a");
    check(&b"\r\n".repeat(100), "400 empty_lines_before_request");
}

/// The longest line that is let in has a method and a target of full length.
#[test]
fn request_lines_have_limits() {
    let line = |method: usize, target: usize| {
        let target = "x".repeat(target - 1);
        format!("{} /{target} HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(method)).into_bytes()
    };
    let read_all = |bytes: &[u8]| read(bytes, [bytes.len()]);
    for (method, target, expected) in [
        (METHOD_BYTES_MAX + 1, 1, "400 method_too_long"),
        (64 * 1024, 1, "400 method_too_long"),
        (3, TARGET_BYTES_MAX + 1, "414"),
        (3, 20_000, "414"),
        (3, 1 << 20, "414"),
        (METHOD_BYTES_MAX, TARGET_BYTES_MAX + 1, "414"),
    ] {
        check(&line(method, target), expected);
    }
    for (method, target) in [(METHOD_BYTES_MAX, TARGET_BYTES_MAX), (3, TARGET_BYTES_MAX)] {
        let bytes = line(method, target);
        assert_eq!(read_all(&bytes), read(&bytes, 0..=bytes.len()));
        assert!(read_all(&bytes).ends_with("x a"), "{method} {target}");
    }
    let endless = |prefix: &str| [prefix.as_bytes(), &vec![b'x'; 30_000]].concat();
    check(&endless("GET /"), "414");
    check(&endless("GET / "), "414");
    check(&endless("FOO bar "), "414");
    check(&endless("G"), "400 method_too_long");
    check(&endless("GET / HTTP/1.1"), "414");
}

/// Table A43 and A50 to A52.
#[test]
fn request_lines_have_one_grammar() {
    for (line, expected) in [
        (&b"get / HTTP/1.1"[..], "400 bad_method"),
        (b"G=\"<>\" / HTTP/1.1", "400 bad_method"),
        (b"G\x01T / HTTP/1.1", "400 control_character_in_request_line"),
        (b"GET /\0 HTTP/1.1", "400 control_character_in_request_line"),
        (b"GET /\x7f HTTP/1.1", "400 control_character_in_request_line"),
        (b"GET / HTTP/1.1\r", "400 control_character_in_request_line"),
        (b"GET /\xc3\xa9 HTTP/1.1", "400 bad_character_in_target"),
        (b"GET  /  HTTP/1.1", "400 bad_character_in_target"),
        (b"GET  / HTTP/1.1", "400 bad_character_in_target"),
        (b"GET /  HTTP/1.1", "400 bad_character_in_target"),
        (b"GET\t/ HTTP/1.1", "400 bad_method"),
        (b"GET /\tHTTP/1.1", "400 bad_request_line"),
        (b"GET /a b HTTP/1.1", "400 bad_character_in_target"),
        (b"GET /a\tb HTTP/1.1", "400 bad_character_in_target"),
        (b"GET HTTP/1.1", "400 bad_request_line"),
        (b"GET  HTTP/1.1", "400 bad_character_in_target"),
        (b" GET / HTTP/1.1", "400 bad_request_line"),
        (b"GET /a#b HTTP/1.1", "400 bad_character_in_target"),
        (b"GET a HTTP/1.1", "400 bad_target_form"),
        (b"GET * HTTP/1.1", "400 bad_target_form"),
        (b"OPTIONS *x HTTP/1.1", "400 bad_target_form"),
        (b"OPTIONS a:80 HTTP/1.1", "400 bad_target_form"),
        (b"GET ftp://a/ HTTP/1.1", "400 bad_target_form"),
        (b"GET //a/ HTTP/1.1", "GET //a/ a"),
        (b"CONNECT a:80 HTTP/1.1", "405"),
        (b"CONNECT / HTTP/1.1", "405"),
        (b"TRACE / HTTP/1.1", "405"),
        (b"GET / HTTP/1.2", "505"),
        (b"GET / HTTP/2.0", "505"),
        (b"GET / HTTP/0.9", "505"),
        (b"GET / HTTP/1.10", "400 bad_request_line"),
        (b"GET / HTTP/01.1", "400 bad_request_line"),
        (b"GET / hTTp/1.1", "400 bad_request_line"),
        (b"GET / HTTP/1.1 ", "400 bad_request_line"),
        (b"GET / HTTP/1,1", "400 bad_version"),
        (b"GET / HTTP/1.x", "400 bad_version"),
        (b"GET /", "400 bad_request_line"),
        (b"GET / ", "400 bad_request_line"),
        (b"GET", "400 bad_request_line"),
    ] {
        check_line(line, expected);
    }
}

/// Table A54: no reply to what no HTTP client sends.
#[test]
fn other_protocols_get_no_answer() {
    for (bytes, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "0 no_request_line"),
        (b"\x16\x03\x01 GET / HTTP/1.1\r\n\r\n", "0 no_request_line"),
        (b"\0\0\0\0", "0 no_request_line"),
        (b"\x80\x2e\x01", "0 no_request_line"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "0 no_request_line"),
        (b"SSH-2.0-libssh\n", "0 no_request_line"),
        (b"EHLO a.example\r\n", "0 no_request_line"),
        (b"*1\r\n$4\r\nPING\r\n", "0 no_request_line"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "0 http2_preface"),
        (b"\rGET / HTTP/1.1\r\n\r\n", "0 no_request_line"),
    ] {
        check(bytes, expected);
    }
}

/// Table A45 to A47.
#[test]
fn a_request_is_for_one_host() {
    for (host, expected) in [
        (&b"Host: A.Example:8080"[..], "GET / A.Example:8080"),
        (b"Host: a.", "GET / a."),
        (b"X: y", "400 no_host"),
        (b"Host: a\r\nHost: b", "400 repeated_host"),
        (b"Host: a\r\nHost: a", "400 repeated_host"),
        (b"Host: a\r\nHost:", "400 repeated_host"),
        (b"Host:", "400 bad_host"),
        (b"Host: a, b", "400 bad_host"),
        (b"Host: good@evil", "400 bad_host"),
        (b"Host: a/b", "400 bad_host"),
        (b"Host: a?b", "400 bad_host"),
        (b"Host: a#b", "400 bad_host"),
        (b"Host: http://a", "400 bad_host"),
        (b"Host: a:80x", "400 bad_host"),
        (b"Host: a:99999", "400 bad_host"),
        (b"Host: a:0", "400 bad_host"),
        (b"Host: a:", "400 bad_host"),
        (b"Host: a:1:2", "400 bad_host"),
        (b"Host: ::1", "400 bad_host"),
        (b"Host: [::1", "400 bad_host"),
        (b"Host: [::1]:", "400 bad_host"),
        (b"Host: a%00", "400 bad_host"),
        (b"Host: a b", "400 bad_host"),
        (b"Host: \xc3\xa9", "400 bad_host"),
    ] {
        check(&[b"GET / HTTP/1.1\r\n", host, b"\r\n\r\n"].concat(), expected);
    }
    let long = [b"GET / HTTP/1.1\r\nHost: ", &b"a".repeat(300)[..], b"\r\n\r\n"].concat();
    check(&long, "400 bad_host");
    check(b"GET / HTTP/1.0\r\nHost:\r\n\r\n", "400 bad_host");
}

#[test]
fn absolute_targets_name_the_host() {
    for (target, host, expected) in [
        ("http://a/x?y", "a", "GET /x?y a"),
        ("HTTP://a/", "a", "GET / a"),
        ("https://a:443/", "a:443", "GET / a:443"),
        ("http://a", "a", "GET  a"),
        ("http://a?q", "a", "GET ?q a"),
        ("http://A/", "a", "GET / a"),
        ("http://b/", "a", "400 host_differs_from_target"),
        ("http://a:80/", "a", "400 host_differs_from_target"),
        ("http://a./", "a", "400 host_differs_from_target"),
        ("http:///x", "a", "400 bad_authority"),
        ("http://", "a", "400 bad_authority"),
        ("http://u@a/", "a", "400 bad_authority"),
        ("http://a:x/", "a", "400 bad_authority"),
        ("http:/a", "a", "400 bad_target_form"),
        ("ws://a/", "a", "400 bad_target_form"),
    ] {
        check(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), expected);
    }
    check(b"GET http://a/x HTTP/1.0\r\n\r\n", "GET /x a 1.0");
    check(b"GET http://a/x HTTP/1.1\r\n\r\n", "400 no_host");
}

#[test]
fn connection_fields_are_folded_together() {
    for (fields, expected) in [
        (&b"Connection: close"[..], "POST /p a close"),
        (b"Connection: Keep-Alive", "POST /p a keep-alive"),
        (b"Connection: close, X-Real-IP", "POST /p a close names-others"),
        (b"Connection: upgrade\r\nConnection: close", "POST /p a close upgrade"),
        (b"Connection: , ,", "POST /p a"),
        (b"Connection:", "POST /p a"),
        (b"Via: 1.1 a, 1.0 b\r\nVia: 1.1 c", "POST /p a hops=3"),
        (b"Via: ,,", "POST /p a"),
    ] {
        check_fields(fields, expected);
    }
}

/// Each name costs a pass over the fields, so their number is limited over all lines.
#[test]
fn connection_names_are_counted_over_the_message() {
    let lines = |lines: usize, names: usize| {
        let line = [b"Connection: ", &b"x,".repeat(names)[..], b"\r\n"].concat();
        [line.repeat(lines), b"X: y".to_vec()].concat()
    };
    check_fields(&lines(1, 32), "POST /p a names-others");
    check_fields(&lines(2, 16), "POST /p a names-others");
    check_fields(&lines(1, 33), "400 too_many_connection_names");
    check_fields(&lines(2, 17), "400 too_many_connection_names");
    check_fields(&lines(33, 1), "400 too_many_connection_names");
}

#[test]
fn a_request_has_begun_with_its_first_letter() {
    for (bytes, expected) in [(&b""[..], false), (b"\r\n", false), (b"\r\n\r", false), (b"G", true)]
    {
        let (mut reader, mut head) = (RequestReader::default(), RequestHead::default());
        assert_eq!(reader.read(bytes, &mut head), Ok(false));
        assert_eq!(reader.has_begun(bytes), expected, "{bytes:?}");
    }
}
