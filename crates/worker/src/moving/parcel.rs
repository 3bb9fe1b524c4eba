//! What one process tells another about a connection that moves. Times are those of the monotonic
//! clock, which all processes of a machine share.

use std::net::IpAddr;

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_net::Peer;

use crate::accept::Accepted;

/// What moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client that has no request under way.
    Idle,
    Tcp,
    Tunnel,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Idle, Self::Tcp, Self::Tunnel];
}

/// Where a connection came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub listener: String,
    pub peer: Peer,
}

impl Door {
    pub(crate) fn of(connection: &Accepted) -> Self {
        Self {
            listener: connection.of_listener(|listener| listener.name.clone()),
            peer: connection.peer,
        }
    }

    pub(crate) fn pack(&self, kind: Kind, out: &mut Packer) {
        out.number(kind as u64).bytes(self.listener.as_bytes());
        match self.peer {
            Peer::Unix => out.bytes(b""),
            Peer::Ip { ip: IpAddr::V4(v4), port } => out.bytes(&v4.octets()).number(port.into()),
            Peer::Ip { ip: IpAddr::V6(v6), port } => out.bytes(&v6.octets()).number(port.into()),
        };
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<(Kind, Self)> {
        let kind = *Kind::ALL.get(usize::try_from(from.number()?).ok()?)?;
        let listener = from.text()?.to_owned();
        let peer = match from.bytes()? {
            b"" => Peer::Unix,
            octets => {
                let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
                let ip = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?;
                Peer::Ip { ip, port: u16::try_from(from.number()?).ok()? }
            }
        };
        Some((kind, Self { listener, peer }))
    }
}

/// Where a relay goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelayParcel<'a> {
    pub upstream: &'a str,
    pub endpoint: &'a str,
}

impl<'a> RelayParcel<'a> {
    pub(crate) fn pack(self, out: &mut Packer) {
        out.bytes(self.upstream.as_bytes()).bytes(self.endpoint.as_bytes());
    }

    pub(crate) fn unpack(from: &mut Unpacker<'a>) -> Option<Self> {
        Some(Self { upstream: from.text()?, endpoint: from.text()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_read_as_it_was_written() {
        for ip in ["127.0.0.1", "2001:db8::1"] {
            let peer = Peer::Ip { ip: ip.parse().unwrap(), port: 65_000 };
            for peer in [peer, Peer::Unix] {
                for kind in Kind::ALL {
                    let door = Door { listener: "web".to_owned(), peer };
                    let mut out = Packer::default();
                    door.pack(kind, &mut out);
                    let block = out.into_vec();
                    assert_eq!(Door::unpack(&mut Unpacker::new(&block)), Some((kind, door)));
                    assert!(Door::unpack(&mut Unpacker::new(&block[1..])).is_none());
                }
            }
        }
    }
}
