//! Response heads as data. Every input is read whole, with more behind it, cut at every place and
//! byte by byte: the outcome is the same each time.

use fairwater_message::HeadLimits;

use super::*;

const HEAD_BYTES: usize = HeadLimits::DEFAULT.bytes as usize;
const HEAD_FIELDS: usize = HeadLimits::DEFAULT.fields as usize;

fn read(bytes: &[u8], is_relaxed: bool, ends: impl IntoIterator<Item = usize>) -> String {
    let (mut reader, mut head) =
        (ResponseReader::new(is_relaxed, HeadLimits::DEFAULT), ResponseHead::default());
    for end in ends {
        match reader.read(&bytes[..end], &mut head) {
            Ok(false) => {}
            Ok(true) => return describe(bytes, &head),
            Err(fault) => return format!("{} {}", fault.kind.reason(), fault.detail),
        }
    }
    "more".to_owned()
}

fn describe(bytes: &[u8], head: &ResponseHead) -> String {
    let mut words = vec![head.status.to_string()];
    words.push(format!("{:?}", String::from_utf8_lossy(head.reason.of(bytes))));
    words.push(match head.body {
        BodyLength::None => "none".to_owned(),
        BodyLength::Known(length) => format!("length={length}"),
        BodyLength::Chunked => "chunked".to_owned(),
        BodyLength::UntilClose => "until-close".to_owned(),
    });
    for (is_said, word) in [
        (head.version == Version::Http10, "1.0"),
        (head.connection.close, "close"),
        (head.connection.keep_alive, "keep-alive"),
        (head.connection.upgrade, "upgrade"),
        (head.connection.names_others, "names-others"),
        (head.is_folded, "folded"),
    ] {
        if is_said {
            words.push(word.to_owned());
        }
    }
    words.extend(head.keep_alive_timeout_s.map(|seconds| format!("timeout={seconds}")));
    words.join(" ")
}

#[track_caller]
fn check_in(is_relaxed: bool, bytes: &[u8], expected: &str) {
    let name = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(read(bytes, is_relaxed, [bytes.len()]), expected, "whole: {name:?}");
    assert_eq!(read(bytes, is_relaxed, 0..=bytes.len()), expected, "byte by byte: {name:?}");
    if bytes.len() <= 400 {
        for cut in 0..bytes.len() {
            let result = read(bytes, is_relaxed, [cut, bytes.len()]);
            assert_eq!(result, expected, "cut at {cut}: {name:?}");
        }
    }
    if expected != "more" {
        let behind = [bytes, b"HTTP/1.1 500 Next\r\n\r\n\0"].concat();
        assert_eq!(read(&behind, is_relaxed, [behind.len()]), expected, "with more: {name:?}");
    }
}

/// Checks both modes: what is wrong in one is wrong in the other.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    check_in(false, bytes, expected);
    check_in(true, bytes, expected);
}

#[track_caller]
fn check_fields(fields: &[u8], expected: &str) {
    check(&[b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\n"].concat(), expected);
}

const BAD: &str = "upstream_bad_reply";

/// Table R05, R06 and R15.
#[test]
fn status_lines_have_one_grammar() {
    for (line, expected) in [
        (&b"HTTP/1.1 200 OK"[..], "200 \"OK\" until-close"),
        (b"HTTP/1.0 200 OK", "200 \"OK\" until-close 1.0"),
        (b"HTTP/1.1 200 ", "200 \"\" until-close"),
        (b"HTTP/1.1 200", "200 \"\" until-close"),
        (b"HTTP/1.1 404 Not  Found\t\xc3\xa9", "404 \"Not  Found\\té\" until-close"),
        (b"HTTP/1.1 100 Continue", "100 \"Continue\" until-close"),
        (b"HTTP/1.1 999 ?", "999 \"?\" until-close"),
        (b"HTTP/1.1 42 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 042 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 000 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 abc OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 2000 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 200OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 20", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 +20 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1  200 OK", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1 ", "upstream_bad_reply bad_status"),
        (b"HTTP/1.1", "upstream_bad_reply bad_status_line"),
        (b"HTTP/1.2 200 OK", "upstream_bad_reply bad_status_line"),
        (b"HTTP/2.0 200 OK", "upstream_bad_reply bad_status_line"),
        (b"HTTP/2 200 OK", "upstream_bad_reply bad_status_line"),
        (b"http/1.1 200 OK", "upstream_bad_reply bad_status_line"),
        (b"ICY 200 OK", "upstream_bad_reply bad_status_line"),
        (b"hello", "upstream_bad_reply bad_status_line"),
        (b"", "upstream_bad_reply bad_status_line"),
        (b"\0", "upstream_bad_reply bad_status_line"),
        (b"HTTP/1.1 200 O\0K", "upstream_bad_reply control_character_in_status_line"),
        (b"HTTP/1.1 200 O\rK", "upstream_bad_reply control_character_in_status_line"),
        (b"HTTP/1.1 200 OK\r", "upstream_bad_reply control_character_in_status_line"),
    ] {
        check(&[line, b"\r\n\r\n"].concat(), expected);
    }
    check(b"GET \n", "upstream_bad_reply bad_status_line");
    check_in(false, b"HTTP/1.1\n", "upstream_bad_reply bare_lf");
    check(b"HTTP/1.1 200 OK\r\nServer: x", "more");
    check(b"HTTP/1", "more");
    check(b"", "more");
    check(b"<html>", &format!("{BAD} bad_status_line"));
}

/// Table R09 and R10.
#[test]
fn bodies_have_one_length() {
    for (fields, expected) in [
        (&b"Content-Length: 5"[..], "200 \"OK\" length=5"),
        (b"Content-Length: 0", "200 \"OK\" length=0"),
        (b"Content-Length: 005", "200 \"OK\" length=5"),
        (b"Transfer-Encoding: Chunked", "200 \"OK\" chunked"),
        (b"Content-Length: 5\r\nContent-Length: 5", "upstream_bad_reply bad_content_length"),
        (b"Content-Length: 5\r\nContent-Length: 6", "upstream_bad_reply bad_content_length"),
        (b"Content-Length: 5, 5", "upstream_bad_reply bad_content_length"),
        (b"Content-Length: -5", "upstream_bad_reply bad_content_length"),
        (b"Content-Length:", "upstream_bad_reply bad_content_length"),
        (b"Content-Length: 9223372036854775808", "upstream_bad_reply bad_content_length"),
        (b"Transfer-Encoding: gzip", "upstream_bad_reply bad_transfer_encoding"),
        (b"Transfer-Encoding: gzip, chunked", "upstream_bad_reply bad_transfer_encoding"),
        (b"Transfer-Encoding: identity", "upstream_bad_reply bad_transfer_encoding"),
        (b"Transfer-Encoding:", "upstream_bad_reply bad_transfer_encoding"),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "upstream_bad_reply bad_transfer_encoding",
        ),
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
            "upstream_bad_reply content_length_and_transfer_encoding",
        ),
        (
            b"Content-Length: 0\r\nTransfer-Encoding: chunked",
            "upstream_bad_reply content_length_and_transfer_encoding",
        ),
    ] {
        check_fields(fields, expected);
    }
    let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(old, "upstream_bad_reply bad_transfer_encoding");
}

/// Table R12 and R13.
#[test]
fn field_lines_have_one_grammar() {
    for (fields, expected) in [
        (&b"X: \xff\tb"[..], "200 \"OK\" until-close"),
        (b"X: a\0b", "upstream_bad_reply control_character_in_field"),
        (b"X: a\x01b", "upstream_bad_reply control_character_in_field"),
        (b"X: a\rb", "upstream_bad_reply control_character_in_field"),
        (b"X: a\r", "upstream_bad_reply control_character_in_field"),
        (b"Xfoo", "upstream_bad_reply field_without_colon"),
        (b"X : a", "upstream_bad_reply space_before_colon"),
        (b": a", "upstream_bad_reply empty_field_name"),
        (b"X(: a", "upstream_bad_reply bad_character_in_field_name"),
        (b" X: a", "upstream_bad_reply folded_field"),
    ] {
        check_fields(fields, expected);
    }
}

/// Table R13.
#[test]
fn relaxed_reading_takes_bare_lf_and_folds() {
    for (bytes, strict, relaxed) in [
        (&b"HTTP/1.1 200 OK\nX: a\n\n"[..], "bare_lf", "200 \"OK\" until-close"),
        (b"HTTP/1.1 200 OK\r\nX: a\n\r\n", "bare_lf", "200 \"OK\" until-close"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n\n", "bare_lf", "200 \"OK\" until-close"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "folded_field", "200 \"OK\" until-close folded"),
        (b"HTTP/1.1 200 OK\r\nX:\r\n\tb\r\n\r\n", "folded_field", "200 \"OK\" until-close folded"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n \r\n\r\n", "folded_field", "200 \"OK\" until-close folded"),
    ] {
        check_in(false, bytes, &format!("{BAD} {strict}"));
        check_in(true, bytes, relaxed);
    }
    for fields in [
        &b"Content-Length: 5\r\n 6"[..],
        b"Content-Length:\r\n 6",
        b"Transfer-Encoding: chunked\r\n ,x",
        b"Connection: close\r\n , x",
        b"X: a\r\n b\0",
    ] {
        let bytes = [b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\n"].concat();
        let result = read(&bytes, true, [bytes.len()]);
        assert!(result.starts_with(BAD), "{result}");
        check_in(true, &bytes, &result);
    }
}

/// Table R14.
#[test]
fn heads_have_limits() {
    let fields = |count: usize| [b"A:\r\n".repeat(count), b"X: y".to_vec()].concat();
    check_fields(&fields(HEAD_FIELDS - 1), "200 \"OK\" until-close");
    check_fields(&fields(HEAD_FIELDS), "upstream_head_too_large too_many_fields");
    check_fields(&fields(3000), "upstream_head_too_large too_many_fields");

    let start = b"HTTP/1.1 200 OK\r\nX: ";
    let long = |len: usize| [&start[..], &vec![b'x'; len], b"\r\n\r\n"].concat();
    let fitting = HEAD_BYTES - start.len() - 4;
    check(&long(fitting), "200 \"OK\" until-close");
    check(&long(fitting + 1), "upstream_head_too_large head_too_long");
    check(&long(100 * 1024), "upstream_head_too_large head_too_long");
    let reason = [&b"HTTP/1.1 200 "[..], &vec![b'x'; HEAD_BYTES]].concat();
    check(&reason, "upstream_head_too_large head_too_long");
    let names = [&b"Connection: "[..], &b"x,".repeat(33)].concat();
    check_fields(&names, "upstream_bad_reply too_many_connection_names");
}

#[test]
fn connections_are_kept_as_the_endpoint_says() {
    for (fields, expected) in [
        (&b"Connection: close"[..], "200 \"OK\" until-close close"),
        (b"Connection: keep-alive, x", "200 \"OK\" until-close keep-alive names-others"),
        (b"Connection: Upgrade\r\nUpgrade: x", "200 \"OK\" until-close upgrade"),
        (b"Keep-Alive: timeout=5, max=100", "200 \"OK\" until-close timeout=5"),
        (b"Keep-Alive: max=100, Timeout=5", "200 \"OK\" until-close timeout=5"),
        (b"Keep-Alive: timeout=x", "200 \"OK\" until-close"),
        (b"Keep-Alive: timeout=99999999999", "200 \"OK\" until-close"),
        (b"Keep-Alive: timeout=", "200 \"OK\" until-close"),
        (b"Keep-Alive: \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "200 \"OK\" until-close"),
    ] {
        check_fields(fields, expected);
    }
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "close", false),
        ("1.1", "close, keep-alive", false),
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
        ("1.0", "keep-alive, close", false),
    ] {
        let bytes = format!("HTTP/{version} 200 OK\r\nConnection: {connection}\r\n\r\n");
        let mut head = ResponseHead::default();
        let result = ResponseReader::default().read(bytes.as_bytes(), &mut head);
        assert_eq!(result, Ok(true));
        assert_eq!(head.allows_reuse(), expected, "{version} {connection}");
        assert_eq!(head.len, bytes.len());
    }
}
