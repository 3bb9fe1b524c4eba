//! The address of the client behind trusted proxies, as data.

use super::*;
use crate::h1::RequestReader;

/// Trusts 10.0.0.0/8 and ::1.
fn trusts(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

#[track_caller]
fn check(peer: &str, fields: &str, expected: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut head = RequestHead::default();
    assert_eq!(RequestReader::default().read(request.as_bytes(), &mut head), Ok(true));
    let client = client_address(&head, request.as_bytes(), peer.parse().unwrap(), trusts);
    assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
}

/// Table A58.
#[test]
fn the_client_is_the_last_stranger() {
    for (peer, fields, expected) in [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "X-Forwarded-For: 1.1.1.1\r\n", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n", "2.2.2.2"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.2\r\n", "2.2.2.2"),
        ("10.0.0.1", "X-Forwarded-For: 10.0.0.3,10.0.0.2\r\n", "10.0.0.3"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "1.1.1.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2"),
        ("::1", "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"),
        ("::ffff:10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1:4711\r\n", "1.1.1.1"),
        ("10.0.0.1", "X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1"),
        ("10.0.0.1", "X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown\r\n", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, fe80::1%eth0\r\n", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, %0d%0a\r\n", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: 1.1.1.1,\r\n", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: ,1.1.1.1\r\n", "1.1.1.1"),
        ("10.0.0.1", "X-Forwarded-For: \"1.1.1.1\"\r\n", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: \u{ff11}.1.1.1\r\n", "10.0.0.1"),
    ] {
        check(peer, fields, expected);
    }
    let many = format!("X-Forwarded-For: 1.1.1.1{}\r\n", ",10.0.0.2".repeat(3000));
    check("10.0.0.1", &many, "1.1.1.1");
}

/// Every octet in every place.
#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    let v4 = (0..=255).map(|octet: u8| IpAddr::from([octet, 255 - octet, octet ^ 0x55, octet]));
    let v6 = ["::1", "2001:db8::ffff"].map(|text| text.parse().unwrap());
    for ip in v4.chain(v6) {
        let mut out = Vec::new();
        out.extend_from_slice(Address::of(ip).text());
        assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
    }
}
