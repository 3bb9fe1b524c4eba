//! What is read and what is refused, by the rules of the specification.

use super::*;

const V4: Client = Client::Ip {
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 51_000),
    target: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 443),
};

fn v6() -> Client {
    let address = |text: &str| text.parse().unwrap();
    Client::Ip { source: address("[2001:db8::7]:51000"), target: address("[2001:db8::1]:443") }
}

/// A header of version 2 with any length.
fn v2(command: u8, family: u8, len: usize, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(len).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &len, rest].concat()
}

fn v2_with(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 10, 0, 0, 1, 0xc7, 0x38, 1, 0xbb];
    v2(0x21, 0x11, V4_BYTES + tlvs.len(), &[&addresses, tlvs].concat())
}

/// Reads it, whatever comes behind it, and not before it is whole.
#[track_caller]
fn check(bytes: &[u8], client: Client) {
    for behind in [&b""[..], b"G", b"\r\n", b"PROXY UNKNOWN\r\n", SIGNATURE] {
        let all = [bytes, behind].concat();
        let header = read(&all).unwrap();
        assert_eq!((header.client, header.len), (client, bytes.len()));
    }
    for len in 0..bytes.len() {
        let signature = if bytes[0] == b'P' { 6 } else { 12 };
        let expected = if len < signature { NoHeader::Undecided } else { NoHeader::Incomplete };
        assert_eq!(read(&bytes[..len]), Err(expected), "{len}");
    }
}

#[track_caller]
fn refuse(bytes: &[u8], why: &'static str) {
    assert_eq!(read(bytes), Err(NoHeader::Malformed(why)), "{}", bytes.escape_ascii());
}

#[test]
fn lines_are_read() {
    check(b"PROXY TCP4 192.0.2.7 10.0.0.1 51000 443\r\n", V4);
    check(b"PROXY TCP6 2001:db8::7 2001:db8::1 51000 443\r\n", v6());
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN x\r\n", &longest] {
        check(line.as_bytes(), Client::Sender);
    }
    let zero = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    check(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Client::Ip { source: zero, target: zero });
}

#[test]
fn lines_that_break_the_rules_are_refused() {
    for line in [
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1  2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1",
        "PROXY TCP4\t1.2.3.4\t1.2.3.4\t1\t2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 0080 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 00 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4  2",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2",
        "PROXY TCP6 [::1] [::1] 1 2",
        "PROXY UNKNOWNx",
        "PROXY unknown",
        "PROXY ",
        "PROXY \u{e9}",
    ] {
        refuse(format!("{line}\r\n").as_bytes(), "line");
    }
    refuse(b"PROXY TCP4 \xff\r\n", "line");
    for line in [
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
        "PROXY UNKNOWN \n\r\n",
    ] {
        refuse(line.as_bytes(), "line_end");
    }
    let long = |len: usize| format!("PROXY UNKNOWN {}", "x".repeat(len - 14));
    assert_eq!(read(long(106).as_bytes()), Err(NoHeader::Incomplete));
    refuse(long(107).as_bytes(), "line_too_long");
    refuse(format!("{}\r\n", long(106)).as_bytes(), "line_end");
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in [
        &b"G"[..],
        b"PUT / HTTP/1.1\r\n",
        b"PROXX",
        b"proxy ",
        b"\r\n\r\nGET",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\x16\x03\x01",
    ] {
        assert_eq!(read(bytes), Err(NoHeader::Absent), "{}", bytes.escape_ascii());
    }
}

#[test]
fn blocks_are_read() {
    check(&v2_with(b""), V4);
    check(&v2_with(b"\x04\0\x02xx\xe0\0\0"), V4);
    let mut six = Vec::new();
    write_v2(&mut six, v6(), Told::default());
    check(&six, v6());
    check(&v2(0x21, 0x31, UNIX_BYTES, &[b'/'; UNIX_BYTES]), Client::Unix);
    // Whatever a health check says beside is ignored.
    for (command, family) in [(0x20, 0), (0x20, 0x11), (0x20, 0xff), (0x21, 0)] {
        check(&v2(command, family, 0, b""), Client::Sender);
        check(&v2(command, family, 5, b"\x20\xff\xffxy"), Client::Sender);
    }
    let full = [&b"\x04\x0f\xfd"[..], &[0; 4093]].concat();
    check(
        &v2(0x21, 0x31, UNIX_BYTES + full.len(), &[&[0; UNIX_BYTES], &*full].concat()),
        Client::Unix,
    );
}

#[test]
fn blocks_that_break_the_rules_are_refused() {
    for version in [0x01, 0x11, 0x31, 0xf1] {
        refuse(&v2(version, 0x11, 12, &[0; 12]), "version");
    }
    for command in [0x22, 0x2f] {
        refuse(&v2(command, 0x11, 12, &[0; 12]), "command");
    }
    // What came as datagrams is no connection.
    for family in [0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xff] {
        refuse(&v2(0x21, family, 216, &[0; 216]), "family");
    }
    for (family, len) in [(0x11, 11), (0x21, 35), (0x31, 215), (0x11, 0)] {
        refuse(&v2(0x21, family, len, b""), "length");
    }
    // As soon as the length is known.
    for command in [0x20, 0x21] {
        refuse(&v2(command, 0x11, 65_535, b""), "length");
        refuse(&v2(command, 0x11, HEADER_BYTES_MAX - PREFIX_BYTES + 1, b""), "length");
    }
}

#[test]
fn tlvs_that_break_the_rules_are_refused() {
    for tlvs in [
        &b"\x04"[..],
        b"\x04\0",
        b"\x04\0\x01",
        b"\x04\0\x01xy",
        b"\x04\xff\xffxy",
        b"\x20\0\x04\x01\0\0\0",
        b"\x20\0\x06\x01\0\0\0\0\x21",
        b"\x20\0\x09\x01\0\0\0\0\x21\0\x09x\x04\0\x00",
        b"\x03\0\x03abc",
        b"\x03\0\x05abcde",
    ] {
        refuse(&v2_with(tlvs), "tlv");
    }
    let many = |count: usize| v2_with(&b"\x04\0\0".repeat(count));
    assert!(read(&many(64)).is_ok());
    refuse(&many(65), "tlv");
    refuse(&many(1000), "tlv");
    let id = |len: u8| v2_with(&[&[5, 0, len][..], &vec![b'x'; len.into()]].concat());
    assert!(read(&id(128)).is_ok());
    refuse(&id(129), "tlv");
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let mut header = v2_with(b"\x04\0\x01x\x03\0\x04\0\0\0\0\xe0\0\x02yz");
    let at = header.len() - 9;
    let sum = checksum::of(&header, &header[28..]);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    check(&header, V4);
    for wrong in [16, at, header.len() - 1] {
        let mut header = header.clone();
        header[wrong] ^= 1;
        refuse(&header, "checksum");
    }
    refuse(&v2_with(b"\x03\0\x04\0\0\0\0\x03\0\x04\0\0\0\0"), "tlv");
}

#[test]
fn what_is_written_is_read() {
    let tls = ToldTls {
        version: "TLSv1.3",
        alpn: Some(b"http/1.1"),
        authority: Some("a.example"),
        certificate: None,
    };
    let certificate = |is_resumed| Certificate { common_name: Some("me"), is_resumed };
    for client in [V4, v6(), Client::Unix] {
        for (shown, flags) in
            [(None, [1, 1]), (Some(certificate(false)), [7, 0]), (Some(certificate(true)), [5, 0])]
        {
            let told = Told { unique_id: b"42", tls: Some(ToldTls { certificate: shown, ..tls }) };
            let mut out = b"before".to_vec();
            write_v2(&mut out, client, told);
            let header = read(&out[6..]).unwrap();
            assert_eq!((header.client, header.len), (client, out.len() - 6));
            assert!(header.is_secured());
            assert_eq!(header.find(tlv::UNIQUE_ID), Some(&b"42"[..]));
            assert_eq!(header.find(tlv::ALPN), Some(&b"http/1.1"[..]));
            assert_eq!(header.find(tlv::AUTHORITY), Some(&b"a.example"[..]));
            let ssl = header.find(tlv::SSL).unwrap();
            let name = if shown.is_some() { &b"\x22\0\x02me"[..] } else { b"" };
            let value = [&[flags[0], 0, 0, 0, flags[1]][..], b"\x21\0\x07TLSv1.3", name].concat();
            assert_eq!(ssl, value);
        }
        let mut out = Vec::new();
        write_v2(&mut out, client, Told::default());
        assert!(!read(&out).unwrap().is_secured());
        out.clear();
        write_v1(&mut out, client);
        let expected = if client == Client::Unix { Client::Sender } else { client };
        assert_eq!(read(&out).unwrap().client, expected);
    }
    let mut out = Vec::new();
    write_v2(&mut out, Client::Sender, Told::default());
    assert_eq!(out, v2(0x20, 0, 0, b""));
}

#[test]
fn datagrams_are_told_from_streams_by_four_bits() {
    for (source, target, family, len) in [
        ("127.0.0.1:1", "127.0.0.2:53", 0x12, 28),
        ("[2001:db8::1]:1", "[2001:db8::2]:53", 0x22, 52),
        ("127.0.0.1:1", "[2001:db8::2]:53", 0x22, 52),
    ] {
        let (source, target) = (source.parse().unwrap(), target.parse().unwrap());
        let mut stream = b"before".to_vec();
        write_v2(&mut stream, Client::Ip { source, target }, Told::default());
        let mut out = b"before".to_vec();
        write_v2_udp(&mut out, source, target);
        assert_eq!((out[6 + 13], out.len() - 6), (family, len));
        out[6 + 13] = family & 0xf0 | 1;
        assert_eq!(out, stream);
    }
}

#[test]
fn addresses_of_two_families_become_one() {
    let address = |text: &str| text.parse().unwrap();
    let line = |source: &str, target: &str| {
        let mut out = Vec::new();
        write_v1(&mut out, Client::Ip { source: address(source), target: address(target) });
        String::from_utf8(out).unwrap()
    };
    assert_eq!(line("1.2.3.4:5", "[::1]:6"), "PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n");
    assert_eq!(line("[::ffff:1.2.3.4]:5", "1.1.1.1:6"), "PROXY TCP4 1.2.3.4 1.1.1.1 5 6\r\n");
}
