//! Any bytes before those of a client: no panic; what is read ends where it says, and nothing
//! behind it makes a difference.

use fairwater_proto::proxy_protocol::{
    Client, HEADER_BYTES_MAX, NoHeader, Told, read, write_v1, write_v2,
};

pub(crate) fn check(data: &[u8]) {
    let result = read(data);
    let longer = [data, b"\r\n\r\n\0\r\nQUIT\nmore"].concat();
    match result {
        Ok(header) => {
            assert!(header.len <= data.len().min(HEADER_BYTES_MAX), "longer than allowed");
            assert_eq!(read(&longer), result, "what is behind it counts");
            for len in [0, 5, 6, 12, 16, header.len / 2, header.len - 1] {
                let part = read(&data[..len.min(header.len - 1)]);
                assert!(
                    matches!(part, Err(NoHeader::Undecided | NoHeader::Incomplete)),
                    "{part:?} of a part"
                );
            }
            check_written(header.client, header.is_secured());
        }
        // Nothing that comes later makes it better.
        Err(NoHeader::Absent | NoHeader::Malformed(_)) => assert_eq!(read(&longer), result),
        Err(NoHeader::Undecided) => assert!(data.len() < 12, "undecided for too long"),
        Err(NoHeader::Incomplete) => assert!(data.len() < HEADER_BYTES_MAX, "never complete"),
    }
}

/// The same client, as it is told to endpoints.
fn check_written(client: Client, is_secured: bool) {
    let mut out = Vec::new();
    write_v1(&mut out, client);
    let header = read(&out).expect("what we write is right");
    assert_eq!(header.len, out.len());
    assert!(!is_secured || client != Client::Sender, "nothing is known of this client");
    out.clear();
    write_v2(&mut out, client, Told::default());
    let header = read(&out).expect("what we write is right");
    assert_eq!(header.len, out.len());
    let ips = |client| match client {
        Client::Ip { source, target } => {
            Some([source.ip().to_canonical(), target.ip().to_canonical()])
        }
        Client::Sender | Client::Unix => None,
    };
    assert_eq!(ips(header.client), ips(client));
}
