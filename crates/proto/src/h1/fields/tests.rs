//! Trailer sections as data.

use super::*;

const HEAD_FIELDS: usize = HeadLimits::DEFAULT.fields as usize;

#[track_caller]
fn check(raw: &[u8], of_request: bool, expected: Result<&str, (FaultKind, &str)>) {
    let mut out = b"before|".to_vec();
    let result = write_trailers(raw, of_request, &[], &mut out);
    let written = result.map(|()| String::from_utf8_lossy(&out[7..]).into_owned());
    let expected = expected.map(str::to_owned);
    assert_eq!(written.map_err(|fault| (fault.kind, fault.detail)), expected);
    assert!(out.starts_with(b"before|"));
}

/// Table A23: what must be known before the body is not taken from behind it.
#[test]
fn trailers_carry_no_framing_routing_or_identity() {
    for (raw, expected) in [
        ("", ""),
        ("Grpc-Status: 0\r\nX-Sum:abc\r\n", "Grpc-Status: 0\r\nX-Sum: abc\r\n"),
        ("X:\r\nY: \t a b \t\r\n", "X: \r\nY: a b\r\n"),
        ("Content-Length: 5\r\nX: y\r\n", "X: y\r\n"),
        ("Transfer-Encoding: chunked\r\n", ""),
        ("Host: evil\r\n", ""),
        ("Authorization: Basic x\r\n", ""),
        ("Cookie: a=b\r\nSet-Cookie: a=b\r\n", ""),
        ("Connection: close\r\nUpgrade: x\r\nTrailer: y\r\n", ""),
        ("X-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\nVia: 1.1 x\r\n", ""),
        ("content_length: 5\r\nX_Forwarded_For: 1.2.3.4\r\n", ""),
        ("Content-Type: x\r\nContent-Encoding: gzip\r\nContent-Range: x\r\n", ""),
        ("Server: x\r\nDate: y\r\n", "Server: x\r\nDate: y\r\n"),
    ] {
        check(raw.as_bytes(), true, Ok(expected));
        check(raw.as_bytes(), false, Ok(expected));
    }
}

#[test]
fn malformed_trailers_are_refused() {
    for (raw, detail) in [
        (&b"X y\r\n"[..], "space_before_colon"),
        (b"X : y\r\n", "space_before_colon"),
        (b": y\r\n", "empty_field_name"),
        (b"X: y\r\n z\r\n", "folded_field"),
        (b"X: y\0\r\n", "control_character_in_field"),
        (b"X: y\x7f\r\n", "control_character_in_field"),
        (b"X\xff: y\r\n", "bad_character_in_field_name"),
    ] {
        check(raw, true, Err((FaultKind::RequestBodyMalformed, detail)));
        check(raw, false, Err((FaultKind::BodyMalformed, detail)));
    }
    let many = b"A:\r\n".repeat(HEAD_FIELDS + 1);
    check(&many, true, Err((FaultKind::HeadTooLarge, "too_many_fields")));
    check(&many, false, Err((FaultKind::BodyMalformed, "too_many_fields")));
}
