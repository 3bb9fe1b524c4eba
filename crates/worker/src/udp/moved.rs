//! Flows that go on in another process: what is said of one, and how it comes to the thread that
//! has its socket.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use fairwater_message::FaultKind;
use fairwater_message::pack::{Packer, Unpacker};
use fairwater_net::Peer;
use fairwater_sys::datagram::Local;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::flow::{Flow, Tally};
use super::table::Key;
use crate::moving::{Door, Heir, Kind};

/// Flows that have come for a socket, and that its thread has not taken in yet.
const WAITING_MAX: usize = 256;

/// What may have become of a flow last, by the numbers that processes tell each other. There may
/// be more of them, and none becomes another.
const FAILURES: [FaultKind; 2] = [FaultKind::ConnectRefused, FaultKind::ConnectFailed];

/// A flow that another process has begun to serve.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(super) told: Told,
    pub(super) socket: OwnedFd,
}

/// What is said of a flow, behind where it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The number of the socket that its client sends to.
    cookie: u64,
    pub(super) key: Key,
    pub(super) local: Option<Local>,
    pub(super) endpoint: String,
    pub(super) tally: Tally,
}

/// The ways to all sockets for datagrams of a process, by the numbers that these have in every
/// process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<Mutex<HashMap<u64, Sender<Moved>>>>);

impl Doors {
    /// Has flows of a socket come here.
    pub(super) fn open(&self, cookie: u64) -> Receiver<Moved> {
        let (door, inside) = channel(WAITING_MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, door| !door.is_closed());
        all.insert(cookie, door);
        inside
    }

    /// The way to a socket, if it is served here.
    fn find(&self, cookie: u64) -> Option<Sender<Moved>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&cookie).cloned()
    }
}

/// What is said of a flow of this listener and socket.
pub(super) fn parcel(listener: &str, cookie: u64, key: Key, flow: &Flow) -> Vec<u8> {
    let mut out = Packer::default();
    let (ip, port) = (flow.client.ip(), flow.client.port());
    let door = Door { listener: listener.to_owned(), peer: Peer::Ip { ip, port }, announced: None };
    door.pack(Kind::Udp, &mut out);
    let told = Told {
        cookie,
        key,
        local: flow.local,
        endpoint: flow.way.target.endpoint.clone(),
        tally: flow.tally,
    };
    told.pack(&mut out);
    out.into_vec()
}

fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

/// Gives a flow away. One that is not taken has ended.
pub(super) async fn give(heir: Rc<Heir>, parcel: Vec<u8>, flow: Flow) {
    match heir.give_socket(parcel, flow.way.as_fd()).await {
        true => flow.hand_on(),
        false => flow.end(None),
    }
}

impl Moved {
    /// Takes in a flow by what [`parcel`] has written behind the door, and finds the way to the
    /// socket that it belongs to.
    pub(crate) fn unpack(
        door: &Door,
        from: &mut Unpacker<'_>,
        socket: OwnedFd,
        doors: &Doors,
    ) -> Option<(Sender<Self>, Self)> {
        let Peer::Ip { ip, port } = door.peer else { return None };
        let told = Told::unpack(from, SocketAddr::new(ip, port))?;
        let way = doors.find(told.cookie)?;
        Some((way, Self { told, socket }))
    }
}

impl Told {
    fn pack(&self, out: &mut Packer) {
        let Self { cookie, key, local, endpoint, tally } = self;
        out.number(*cookie).number(scope_of(key.client).into());
        match key.local {
            IpAddr::V4(v4) => out.bytes(&v4.octets()),
            IpAddr::V6(v6) => out.bytes(&v6.octets()),
        };
        out.number(local.map_or(0, |local| 1 + u64::from(local.interface())));
        out.bytes(endpoint.as_bytes()).bytes(&tally.id.to_be_bytes());
        out.number(tally.begun_us).number(tally.answered_us).number(tally.attempts.into());
        out.number(tally.bytes_in).number(tally.bytes_out).number(tally.due);
        let failure = FAILURES.iter().position(|kind| Some(*kind) == tally.failure);
        let failure = failure.map_or(0, |at| at as u64 + 1);
        out.number(u64::from(tally.is_owed) | u64::from(tally.is_answered) << 1 | failure << 2);
    }

    /// The client stands in the door, but for the link that its address belongs to.
    fn unpack(from: &mut Unpacker<'_>, mut client: SocketAddr) -> Option<Self> {
        let cookie = from.number()?;
        let scope = u32::try_from(from.number()?).ok()?;
        if let SocketAddr::V6(v6) = &mut client {
            v6.set_scope_id(scope);
        }
        let octets = from.bytes()?;
        let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let ip = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?;
        let local = match from.number()? {
            0 => None,
            number => Some(Local::new(ip, u32::try_from(number - 1).ok()?)),
        };
        let endpoint = from.text()?.to_owned();
        let mut tally = Tally {
            id: u128::from_be_bytes(from.bytes()?.try_into().ok()?),
            begun_us: from.number()?,
            answered_us: from.number()?,
            attempts: u32::try_from(from.number()?).ok()?,
            bytes_in: from.number()?,
            bytes_out: from.number()?,
            due: from.number()?,
            ..Tally::default()
        };
        let flags = from.number()?;
        (tally.is_owed, tally.is_answered) = (flags & 1 > 0, flags & 2 > 0);
        let failure = usize::try_from(flags >> 2).ok().and_then(|number| number.checked_sub(1));
        tally.failure = failure.and_then(|at| FAILURES.get(at).copied());
        Some(Self { cookie, key: Key { client, local: ip }, local, endpoint, tally })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_flow_is_read_as_it_was_written() {
        for (client, ip, local, failure) in [
            ("127.0.0.1:5000", "127.0.0.2", None, None),
            ("127.0.0.1:5000", "127.0.0.2", Some(0), Some(FaultKind::ConnectRefused)),
            ("[::ffff:127.0.0.1]:5000", "::ffff:127.0.0.2", Some(0), None),
            ("[fe80::1%3]:5000", "fe80::2", Some(3), Some(FaultKind::ConnectFailed)),
        ] {
            let (client, ip) = (client.parse().unwrap(), ip.parse().unwrap());
            let told = Told {
                cookie: 42,
                key: Key { client, local: ip },
                local: local.map(|interface| Local::new(ip, interface)),
                endpoint: "127.0.0.1:53".to_owned(),
                tally: Tally {
                    id: 7,
                    begun_us: 1,
                    answered_us: 2,
                    attempts: 3,
                    bytes_in: 4,
                    bytes_out: 5,
                    due: 6,
                    is_owed: true,
                    is_answered: false,
                    failure,
                },
            };
            let mut out = Packer::default();
            told.pack(&mut out);
            let block = out.into_vec();
            let read = |block| {
                let mut from = Unpacker::new(block);
                // As the door has it.
                let client = SocketAddr::new(client.ip(), client.port());
                Told::unpack(&mut from, client).filter(|_| from.is_empty())
            };
            assert_eq!(read(&block), Some(told));
            for end in 0..block.len() {
                assert_eq!(read(&block[..end]), None);
            }
        }
    }
}
