//! Whose message it is, written into the message: a connection to an endpoint has those of many.

use std::io::Write as _;

use fairwater_message::frame::{ClientIdentity, Framing};
use fairwater_net::Peer;
use fairwater_proto::frame::{TooLong, body_start, lengthen};

/// Puts the client in front of the body of a message, or of its beginning.
pub(super) fn introduce(
    (identity, peer): (ClientIdentity, Peer),
    framing: &Framing,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let start = body_start(framing).min(message.len());
    let (head, body) = message.split_at(start);
    out.extend_from_slice(head);
    let written = match (peer, identity) {
        (Peer::Unix, _) => out.write_all(b"unix "),
        (Peer::Ip { ip, .. }, ClientIdentity::Address) => write!(out, "{ip} "),
        (Peer::Ip { ip, port }, ClientIdentity::AddressAndPort) => {
            write!(out, "{} ", std::net::SocketAddr::new(ip, port))
        }
    };
    debug_assert!(written.is_ok(), "a block takes everything");
    let by = out.len() - start;
    lengthen(framing, &mut out[..start], by)?;
    out.extend_from_slice(body);
    if out.len() as u64 > framing.max() { Err(TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use fairwater_message::frame::{LengthField, Number};

    use super::*;

    #[test]
    fn the_client_stands_before_the_body() {
        let number = Number::Binary { bytes: 2, is_signed: false, is_little: false };
        let field = |body_offset| LengthField { number, offset: 1, body_offset, max: 30 };
        let peer = Peer::Ip { ip: "10.0.0.1".parse().unwrap(), port: 80 };
        let (address, both) = (ClientIdentity::Address, ClientIdentity::AddressAndPort);
        let checks: [(_, _, _, &[u8], &[u8]); 5] = [
            (Framing::line(99), address, peer, b"hi\n", b"10.0.0.1 hi\n"),
            (Framing::line(99), both, peer, b"hi\n", b"10.0.0.1:80 hi\n"),
            (Framing::line(99), both, Peer::Unix, b"hi\n", b"unix hi\n"),
            (Framing::Length(field(3)), address, peer, b"x\0\x02hi", b"x\0\x0b10.0.0.1 hi"),
            (Framing::Length(field(0)), address, peer, b"x\0\x05hi", b"x\0\x0e10.0.0.1 hi"),
        ];
        for (framing, identity, peer, message, want) in checks {
            let mut out = Vec::new();
            assert_eq!(introduce((identity, peer), &framing, message, &mut out), Ok(()));
            assert_eq!(out, want, "{framing:?}");
        }
        let long = [&b"x\0\x18"[..], &[b'.'; 24]].concat();
        for (framing, message) in
            [(Framing::Length(field(3)), &long[..]), (Framing::line(11), b"hi\n")]
        {
            let result = introduce((address, peer), &framing, message, &mut Vec::new());
            assert_eq!(result, Err(TooLong), "{framing:?}");
        }
    }
}
