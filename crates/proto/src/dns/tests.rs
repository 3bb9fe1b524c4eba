//! Questions and replies, built byte by byte.

use super::*;

const ID: u16 = 0x1234;

/// A name without compression.
fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(owner: &[u8], kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out.extend(ttl_s.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

/// A reply to the question for `app.example`, with these flags beside the bit of replies.
fn reply(flags: u16, kind: Kind, records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [ID, 0x8000 | flags, 1, records.len() as u16, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    out.extend(wire("App.Example"));
    out.extend(kind.number().to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out.extend(records.concat());
    out
}

fn read(bytes: &[u8], kind: Kind) -> Result<Reply, Unfit> {
    read_reply(bytes, ID, "app.example", kind)
}

fn addresses(addresses: &[&str], ttl_s: u32) -> Result<Reply, Unfit> {
    let records = addresses.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect();
    Ok(Reply::Records { records, ttl_s })
}

/// A pointer to the name of the question.
const ASKED: &[u8] = &[0xc0, HEADER_BYTES as u8];

#[test]
fn a_question_is_written_as_servers_read_it() {
    let query = write_query(0x0102, "a.bc", Kind::Aaaa, false).unwrap();
    let expected = b"\x01\x02\x01\x00\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01";
    assert_eq!(query, expected);
    let query = write_query(0x0102, "a.bc", Kind::A, true).unwrap();
    assert!(query.ends_with(b"\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"), "{query:?}");
    let long = format!("{}.{}", "a".repeat(63), "b".repeat(64));
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
    for name in ["", "a..b", "a.", &long, &longest] {
        assert_eq!(write_query(1, name, Kind::A, true), None, "{name}");
    }
}

#[test]
fn addresses_come_with_the_shortest_of_their_times() {
    let bytes = reply(
        0x0180,
        Kind::A,
        &[
            record(ASKED, 1, 300, &[10, 0, 0, 1]),
            record(&wire("app.example"), 1, 60, &[10, 0, 0, 2]),
            record(&wire("other.example"), 1, 1, &[10, 0, 0, 3]),
        ],
    );
    assert_eq!(read(&bytes, Kind::A), addresses(&["10.0.0.1", "10.0.0.2"], 60));
    let bytes = reply(0, Kind::Aaaa, &[record(ASKED, 28, u32::MAX, &[0; 16])]);
    assert_eq!(read(&bytes, Kind::Aaaa), addresses(&["::"], 0));
    let bytes = reply(0, Kind::A, &[]);
    assert_eq!(read(&bytes, Kind::A), addresses(&[], u32::MAX));
}

#[test]
fn aliases_are_followed_and_loops_end() {
    let bytes = reply(
        0,
        Kind::A,
        &[
            record(&wire("b.example"), 1, 90, &[10, 0, 0, 1]),
            record(&wire("a.example"), 5, 20, &wire("b.example")),
            record(ASKED, 5, 40, &wire("A.example")),
        ],
    );
    assert_eq!(read(&bytes, Kind::A), addresses(&["10.0.0.1"], 20));
    let bytes = reply(0, Kind::A, &[record(ASKED, 5, 40, ASKED)]);
    assert_eq!(read(&bytes, Kind::A), addresses(&[], 40));
}

#[test]
fn services_name_hosts_and_ports() {
    let data = [&[0, 1, 0, 2, 0x1f, 0x90, 1, b'N'][..], ASKED].concat();
    let bytes = reply(0, Kind::Srv, &[record(ASKED, 33, 5, &data)]);
    let target = "n.app.example".to_owned();
    let record = Record::Service { priority: 1, weight: 2, port: 8080, target };
    assert_eq!(read(&bytes, Kind::Srv), Ok(Reply::Records { records: vec![record], ttl_s: 5 }));
}

#[test]
fn what_is_no_answer_says_so() {
    for (flags, expected) in [
        (3, Reply::NoName),
        (2, Reply::Refused(2)),
        (0x0200, Reply::Truncated),
        (0x0203, Reply::Truncated),
    ] {
        assert_eq!(read(&reply(flags, Kind::A, &[]), Kind::A), Ok(expected));
    }
}

#[test]
fn replies_to_other_questions_are_foreign() {
    let good = reply(0, Kind::A, &[]);
    assert_eq!(read_reply(&good, ID + 1, "app.example", Kind::A), Err(Unfit::Foreign));
    assert_eq!(read_reply(&good, ID, "app.example.org", Kind::A), Err(Unfit::Foreign));
    assert_eq!(read(&good, Kind::Aaaa), Err(Unfit::Foreign));
    let mut question = good;
    question[2] &= 0x7f;
    assert_eq!(read(&question, Kind::A), Err(Unfit::Foreign));
}

#[test]
fn broken_replies_are_malformed() {
    let forward = [0xc0, 0xff];
    let itself = [0xc0, 29];
    for broken in [
        reply(0, Kind::A, &[record(ASKED, 1, 1, &[10, 0, 0])]),
        reply(0, Kind::A, &[record(&forward, 1, 1, &[10, 0, 0, 1])]),
        reply(0, Kind::A, &[record(&itself, 1, 1, &[10, 0, 0, 1])]),
        reply(0, Kind::A, &[record(&[0x40; 65], 1, 1, &[10, 0, 0, 1])]),
        reply(0, Kind::A, &[record(&[63; 257], 1, 1, &[10, 0, 0, 1])]),
    ] {
        assert_eq!(read(&broken, Kind::A), Err(Unfit::Malformed), "{broken:?}");
    }
    let whole = reply(0, Kind::A, &[record(ASKED, 1, 1, &[10, 0, 0, 1])]);
    for len in 0..whole.len() {
        assert_eq!(read(&whole[..len], Kind::A), Err(Unfit::Malformed), "{len}");
    }
}

/// A label with a dot in it is not two labels.
#[test]
fn odd_characters_make_another_name() {
    let owner = b"\x0bapp.example\0";
    let bytes = reply(0, Kind::A, &[record(owner, 1, 1, &[10, 0, 0, 1])]);
    assert_eq!(read(&bytes, Kind::A), addresses(&[], u32::MAX));
}
