//! Any bytes as the reply of a DNS server: no panic; what is accepted holds what was asked for, and
//! nothing behind it makes a difference.

use std::net::IpAddr;

use fairwater_proto::dns::{Kind, Record, Reply, read_reply, write_query};

/// Who the replies of the corpus are about.
const NAME: &str = "app.example";

pub(crate) fn check(data: &[u8]) {
    let id = data.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
    for kind in [Kind::A, Kind::Aaaa, Kind::Srv] {
        let read = read_reply(data, id, NAME, kind);
        let Ok(reply) = &read else { continue };
        let longer = [data, b"\xc0\x0cmore"].concat();
        assert_eq!(read_reply(&longer, id, NAME, kind), read, "what is behind it counts");
        assert!(read_reply(data, id.wrapping_add(1), NAME, kind).is_err(), "another id");
        let Reply::Records { records, ttl_s } = reply else { continue };
        assert!(records.is_empty() || *ttl_s <= i32::MAX as u32, "a time that is none");
        for record in records {
            check_record(record, kind);
        }
    }
}

fn check_record(record: &Record, kind: Kind) {
    match (record, kind) {
        (Record::Address(IpAddr::V4(_)), Kind::A)
        | (Record::Address(IpAddr::V6(_)), Kind::Aaaa) => {}
        (Record::Service { target, .. }, Kind::Srv) => {
            // A target is asked for next, unless it is the root or has odd characters.
            if !target.is_empty() && !target.contains('\\') {
                assert!(write_query(1, target, Kind::A, true).is_some(), "{target}");
            }
        }
        _ => panic!("{record:?} was not asked for"),
    }
}
