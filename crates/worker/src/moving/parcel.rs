//! What one process tells another about a connection that moves. Times are those of the monotonic
//! clock, which all processes of a machine share.

use std::net::{IpAddr, SocketAddr};

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_net::Peer;

use crate::accept::{Accepted, Announced};

/// What moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client that has no request under way.
    Idle,
    Tcp,
    Tunnel,
    /// A client that sends messages, and has none under way.
    Framed,
    /// A flow of datagrams.
    Udp,
}

impl Kind {
    /// In the order of their numbers. Who does not know one refuses what has it.
    const ALL: [Self; 5] = [Self::Idle, Self::Tcp, Self::Tunnel, Self::Framed, Self::Udp];
}

/// Where a connection came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub listener: String,
    pub peer: Peer,
    pub announced: Option<Announced>,
}

impl Door {
    pub(crate) fn of(connection: &Accepted) -> Self {
        Self {
            listener: connection.of_listener(|listener| listener.name.clone()),
            peer: connection.peer(),
            announced: connection.announced().copied(),
        }
    }

    pub(crate) fn pack(&self, kind: Kind, out: &mut Packer) {
        out.number(kind as u64).bytes(self.listener.as_bytes());
        pack_address(
            out,
            match self.peer {
                Peer::Unix => None,
                Peer::Ip { ip, port } => Some(SocketAddr::new(ip, port)),
            },
        );
        let flags = self.announced.map_or(0, |one| 1 + u64::from(one.is_secured));
        out.number(flags);
        if let Some(announced) = self.announced {
            pack_address(out, announced.target);
        }
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<(Kind, Self)> {
        let kind = *Kind::ALL.get(usize::try_from(from.number()?).ok()?)?;
        let listener = from.text()?.to_owned();
        let peer = match unpack_address(from)? {
            None => Peer::Unix,
            Some(address) => Peer::Ip { ip: address.ip(), port: address.port() },
        };
        let announced = match from.number()? {
            0 => None,
            flags => Some(Announced {
                client: peer,
                target: unpack_address(from)?,
                is_secured: flags == 2,
            }),
        };
        Some((kind, Self { listener, peer, announced }))
    }
}

fn pack_address(out: &mut Packer, address: Option<SocketAddr>) {
    match address.map(|address| (address.ip(), address.port())) {
        None => out.bytes(b""),
        Some((IpAddr::V4(v4), port)) => out.bytes(&v4.octets()).number(port.into()),
        Some((IpAddr::V6(v6), port)) => out.bytes(&v6.octets()).number(port.into()),
    };
}

fn unpack_address(from: &mut Unpacker<'_>) -> Option<Option<SocketAddr>> {
    let ip = match from.bytes()? {
        b"" => return Some(None),
        octets => {
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?
        }
    };
    Some(Some(SocketAddr::new(ip, u16::try_from(from.number()?).ok()?)))
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
    fn kinds_keep_the_numbers_by_which_other_versions_know_them() {
        let numbers =
            [(Kind::Idle, 0), (Kind::Tcp, 1), (Kind::Tunnel, 2), (Kind::Framed, 3), (Kind::Udp, 4)];
        assert_eq!(numbers.len(), Kind::ALL.len());
        for (kind, number) in numbers {
            assert_eq!((kind as usize, Kind::ALL[number]), (number, kind));
        }
    }

    #[test]
    fn a_door_is_read_as_it_was_written() {
        for ip in ["127.0.0.1", "2001:db8::1"] {
            let peer = Peer::Ip { ip: ip.parse().unwrap(), port: 65_000 };
            let target = Some(SocketAddr::new(ip.parse().unwrap(), 443));
            let ways = |client| {
                [
                    None,
                    Some(Announced { client, target, is_secured: true }),
                    Some(Announced { client, target: None, is_secured: false }),
                ]
                .map(|announced| (client, announced))
            };
            for (peer, announced) in [peer, Peer::Unix].into_iter().flat_map(ways) {
                for kind in Kind::ALL {
                    let door = Door { listener: "web".to_owned(), peer, announced };
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
