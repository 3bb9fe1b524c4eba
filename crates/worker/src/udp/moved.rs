//! Flows that go on in another process: what is said of one, and how it comes to the thread that
//! has its socket.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_net::Peer;
use fairwater_sys::datagram::{self, Local};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::flow::{Flow, Tally};
use super::table::Key;
use crate::moving::{Door, Heir, Kind};

/// Flows that have come for a socket, and that its thread has not taken in yet.
const WAITING_MAX: usize = 256;

/// A flow that another process has begun to serve.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(super) key: Key,
    pub(super) local: Option<Local>,
    pub(super) endpoint: String,
    pub(super) socket: OwnedFd,
    pub(super) tally: Tally,
}

/// The ways to all sockets for datagrams of a process, by the numbers that these have in every
/// process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<Mutex<HashMap<u64, Sender<Moved>>>>);

impl Doors {
    /// Has flows of a socket come here.
    pub(super) fn open(&self, socket: BorrowedFd<'_>) -> Receiver<Moved> {
        let (door, inside) = channel(WAITING_MAX);
        if let Ok(cookie) = datagram::cookie(socket) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, door| !door.is_closed());
            all.insert(cookie, door);
        }
        inside
    }

    /// The way to a socket, if it is served here.
    fn find(&self, cookie: u64) -> Option<Sender<Moved>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&cookie).cloned()
    }
}

/// What is said of a flow of this listener and socket.
pub(super) fn parcel(listener: &str, socket: BorrowedFd<'_>, key: &Key, flow: &Flow) -> Vec<u8> {
    let mut out = Packer::default();
    let (ip, port) = (flow.client.ip(), flow.client.port());
    let door = Door { listener: listener.to_owned(), peer: Peer::Ip { ip, port }, announced: None };
    door.pack(Kind::Udp, &mut out);
    out.number(datagram::cookie(socket).unwrap_or_default());
    out.number(scope_of(flow.client).into());
    match key.local {
        IpAddr::V4(v4) => out.bytes(&v4.octets()),
        IpAddr::V6(v6) => out.bytes(&v6.octets()),
    };
    out.number(flow.local.map_or(0, |local| 1 + u64::from(local.interface())));
    out.bytes(flow.way.target.endpoint.as_bytes());
    let Tally { id, begun_us, answered_us, attempts, bytes_in, bytes_out, due, .. } = flow.tally;
    out.bytes(&id.to_be_bytes()).number(begun_us).number(answered_us).number(attempts.into());
    out.number(bytes_in).number(bytes_out).number(due);
    out.number(u64::from(flow.tally.is_owed) | u64::from(flow.tally.is_answered) << 1);
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
    /// Reads what [`parcel`] has written behind the door, and finds the way to the socket that it
    /// belongs to.
    pub(crate) fn unpack(
        door: &Door,
        from: &mut Unpacker<'_>,
        socket: OwnedFd,
        doors: &Doors,
    ) -> Option<(Sender<Self>, Self)> {
        let Peer::Ip { ip, port } = door.peer else { return None };
        let to = doors.find(from.number()?)?;
        let mut client = SocketAddr::new(ip, port);
        let scope = u32::try_from(from.number()?).ok()?;
        if let SocketAddr::V6(v6) = &mut client {
            v6.set_scope_id(scope);
        }
        let octets = from.bytes()?;
        let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let local = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?;
        let interface = from.number()?.checked_sub(1);
        let own = interface.map(|number| Local::new(local, u32::try_from(number).unwrap_or(0)));
        let endpoint = from.text()?.to_owned();
        let tally = Tally {
            id: u128::from_be_bytes(from.bytes()?.try_into().ok()?),
            begun_us: from.number()?,
            answered_us: from.number()?,
            attempts: u32::try_from(from.number()?).ok()?,
            bytes_in: from.number()?,
            bytes_out: from.number()?,
            due: from.number()?,
            is_owed: false,
            is_answered: false,
        };
        let flags = from.number()?;
        let tally = Tally { is_owed: flags & 1 > 0, is_answered: flags & 2 > 0, ..tally };
        let key = Key { client, local };
        Some((to, Self { key, local: own, endpoint, socket, tally }))
    }
}
