//! Messages as clients write them, and as they do not.

use super::*;

fn vector(len_bytes: usize, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u64).to_be_bytes();
    [&len[8 - len_bytes..], content].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &*vector(2, value)].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    let name = [&[0][..], &vector(2, name)].concat();
    extension(0, &vector(2, &name))
}

/// A message with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vector(1, &[9; 32]),
        &vector(2, &[0x13, 1, 0x13, 2]),
        &vector(1, &[0]),
        &vector(2, extensions),
    ];
    [&[1][..], &vector(3, &body.concat())].concat()
}

/// A message in records of so many bytes.
fn records(message: &[u8], len: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &vector(2, part)].concat();
    message.chunks(len).flat_map(record).collect()
}

fn name_of(name: &[u8]) -> Result<Option<String>, NoHello> {
    server_name(&records(&hello(&named(name)), 16384))
}

#[test]
fn the_name_is_found_however_it_comes() {
    let grease = extension(0x0a0a, b"");
    let key = extension(51, &[5; 1200]);
    let message = hello(&[grease, key, named(b"App.Example"), extension(43, &[2, 3, 4])].concat());
    for len in [16384, 1000, 100, 7, 1] {
        let mut bytes = records(&message, len);
        let found = Ok(Some("app.example".to_owned()));
        assert_eq!(server_name(&bytes), found, "records of {len}");
        for cut in 0..bytes.len() {
            assert_eq!(server_name(&bytes[..cut]), Err(NoHello::Incomplete), "{cut} of {len}");
        }
        bytes.extend_from_slice(b"whatever comes behind");
        assert_eq!(server_name(&bytes), found);
    }
}

#[test]
fn names_are_compared_in_one_form() {
    let is = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(name_of(b"A.EXAMPLE."), is("a.example"));
    assert_eq!(name_of(b"127.0.0.1"), is("127.0.0.1"));
    assert_eq!(name_of(&[b'a'; 253]), is(&"a".repeat(253)));
    for none in [&b"a\0.example"[..], b".", b"a b", b"\xc3\xa4.example", &[b'a'; 254]] {
        assert_eq!(name_of(none), Ok(None), "{none:?}");
    }
    assert_eq!(server_name(&records(&hello(&extension(43, &[2, 3, 4])), 99)), Ok(None));
    // TLS 1.2 may come without any extension.
    let mut bare = hello(&[]);
    bare.truncate(bare.len() - 2);
    bare[3] -= 2;
    assert_eq!(server_name(&records(&bare, 99)), Ok(None));
}

#[test]
fn what_is_no_tls_is_told_at_once() {
    for other in [&b"GET / HTTP/1.1"[..], b"\x80\x2e\x01\x03\x01", b"\x16\x02", b"S", b"\x15\x03"] {
        assert_eq!(server_name(other), Err(NoHello::Absent), "{other:?}");
    }
    assert_eq!(server_name(b""), Err(NoHello::Incomplete));
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let malformed = |what| Err(NoHello::Malformed(what));
    let whole = |message: &[u8]| server_name(&records(message, 16384));
    let name = named(b"a");
    let twice = |one: &[u8]| [one, one].concat();
    for extensions in [
        twice(&name),
        extension(0, b""),
        extension(0, &vector(2, b"")),
        extension(0, &vector(2, &twice(&[0, 0, 1, b'a']))),
        extension(0, &vector(2, &[0, 0, 0])),
        extension(0, &vector(2, &[1, 0, 1, b'a'])),
        extension(0, &[0, 4, 0, 0, 1, b'a', 9]),
        extension(0, &[0, 9, 0, 0, 1, b'a']),
        name[..name.len() - 1].to_vec(),
        vec![0],
    ] {
        assert_eq!(whole(&hello(&extensions)), malformed("message"), "{extensions:?}");
    }
    let good = hello(&name);
    assert_eq!(whole(&[&[2], &good[1..]].concat()), malformed("message type"));
    // 16 777 215 bytes are promised.
    assert_eq!(whole(&[1, 255, 255, 255]), malformed("message length"));
    assert_eq!(server_name(&[22, 3, 1, 0, 0]), malformed("record length"));
    assert_eq!(server_name(&[22, 3, 1, 0x40, 1]), malformed("record length"));
    let mut mixed = records(&good, 30);
    mixed[35] = 21;
    assert_eq!(server_name(&mixed), malformed("record"));
    // Each byte in a record of its own takes six.
    assert_eq!(server_name(&records(&hello(&[0; 9000]), 1)), malformed("length"));
}
