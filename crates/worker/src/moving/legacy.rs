//! The side that takes: a thread of the process that serves now.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use fairwater_message::pack::Unpacker;
use fairwater_net::Stream;
use fairwater_plan::{Listener, ListenerId, Protocol};
use fairwater_sys::{memory_file, pass};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc::Sender;

use super::heir::{FILED, INLINE, INLINE_BYTES_MAX, REFUSED, TAKEN};
use super::parcel::{Door, Kind, RelayParcel};
use crate::accept::{Accepted, Arrival};
use crate::downstream::h1;
use crate::shard::Shard;
use crate::tunnel::{self, Tunnel};
use crate::upstream::Detached;
use crate::{framed, limits, tcp, udp};

/// A word, and the number of the connection.
const PREFIX_BYTES: usize = 9;
/// What is said of one: both directions may hold a buffer and a full pipe, and its line some heads.
const FILED_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// One thread takes so many before it lets the others have some.
const AT_ONCE: u32 = 16;

/// Takes what the process before gives, until it has nothing more.
pub(crate) async fn take_from(socket: OwnedFd, shard: Rc<Shard>) {
    let Ok(socket) = UnixStream::from_std(socket.into()) else { return };
    let mut buffer = vec![0; PREFIX_BYTES + INLINE_BYTES_MAX];
    let mut taken = 0;
    loop {
        // One whose descriptors find no room here is refused, and goes on where it is.
        let next = socket
            .async_io(Interest::READABLE, || pass::receive_what_fits(socket.as_fd(), &mut buffer));
        let Ok((len, fds)) = next.await else { return };
        let Some((prefix, rest)) = buffer[..len].split_at_checked(PREFIX_BYTES) else { return };
        let adopted = adopt(&shard, prefix[0], rest, fds);
        // Only then: who is answered lets go of it.
        let mut answer = [if adopted.is_some() { TAKEN } else { REFUSED }; PREFIX_BYTES];
        answer[1..].copy_from_slice(&prefix[1..]);
        let told = socket.async_io(Interest::WRITABLE, || pass::send(socket.as_fd(), &answer, &[]));
        // Who cannot be told is gone, and has nothing any more.
        drop(told.await);
        adopted.into_iter().for_each(Adopted::start);
        taken += 1;
        if taken % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// A connection that is ours.
enum Adopted {
    Idle(Accepted),
    Tcp(Accepted, Box<tcp::Moved>),
    Tunnel(Accepted, Box<Tunnel>),
    Framed(Accepted, Vec<u8>),
    /// With the way to the thread that has its socket.
    Flow(Sender<udp::Moved>, Box<udp::Moved>),
}

impl Adopted {
    fn start(self) {
        drop(match self {
            Self::Idle(accepted) => tokio::task::spawn_local(h1::serve(accepted)),
            Self::Tcp(accepted, moved) => {
                tokio::task::spawn_local(tcp::serve(accepted, Some(moved)))
            }
            Self::Tunnel(accepted, tunnel) => return tunnel::start(accepted, tunnel),
            Self::Framed(accepted, held) => return framed::serve(accepted, held),
            // It is gone by now if nobody takes it.
            Self::Flow(door, moved) => {
                tokio::task::spawn_local(async move { drop(door.send(*moved).await) })
            }
        });
    }
}

/// Takes a connection in, if there still is what it belongs to, and room.
fn adopt(shard: &Rc<Shard>, word: u8, rest: &[u8], mut fds: Vec<OwnedFd>) -> Option<Adopted> {
    let filed;
    let block = match word {
        INLINE => rest,
        FILED => {
            filed = memory_file::read_at_most(fds.pop()?, FILED_BYTES_MAX).ok()?;
            &filed
        }
        _ => return None,
    };
    let mut from = Unpacker::new(block);
    let (kind, door) = Door::unpack(&mut from)?;
    let mut fds = fds.into_iter();
    if kind == Kind::Udp {
        let doors = shard.spread.flow_doors();
        let (way, moved) = udp::Moved::unpack(&door, &mut from, fds.next()?, doors)?;
        let is_whole = from.is_empty() && fds.next().is_none();
        return is_whole.then_some(Adopted::Flow(way, Box::new(moved)));
    }
    let accepted = accept(shard, kind, &door, fds.next()?)?;
    let adopted = match kind {
        Kind::Idle => Adopted::Idle(accepted),
        Kind::Framed => Adopted::Framed(accepted, from.bytes()?.to_vec()),
        Kind::Udp => return None,
        Kind::Tcp => {
            let endpoint = endpoint(shard, &mut from, fds.next()?)?;
            Adopted::Tcp(accepted, Box::new(tcp::Moved::unpack(&mut from, endpoint)?))
        }
        Kind::Tunnel => {
            let endpoint = endpoint(shard, &mut from, fds.next()?)?;
            let head = accepted.of_listener(|listener| listener.head);
            Adopted::Tunnel(accepted, Box::new(Tunnel::unpack(&mut from, endpoint, head)?))
        }
    };
    (from.is_empty() && fds.next().is_none()).then_some(adopted)
}

fn accept(shard: &Rc<Shard>, kind: Kind, door: &Door, client: OwnedFd) -> Option<Accepted> {
    let in_force = shard.in_force();
    let speaks = |listener: &Listener| {
        matches!(
            (&listener.protocol, kind),
            (Protocol::Http(_), Kind::Idle | Kind::Tunnel)
                | (Protocol::Tcp { .. }, Kind::Tcp)
                | (Protocol::Framed(_), Kind::Framed)
        )
    };
    let mut listeners = in_force.plan.listeners.iter();
    let place = listeners.position(|own| own.name == door.listener && speaks(own))?;
    let id = ListenerId(u32::try_from(place).ok()?);
    let limits = &in_force.plan.listener(id).connections;
    let stream = Stream::given(client).ok()?;
    let room = limits.enter()?;
    let Ok(counted_by) = limits.enter_of(door.peer.ip()) else {
        limits.leave(room);
        return None;
    };
    let arrival = Arrival { peer: door.peer, listener: id, counted_by, room };
    Some(Accepted::new(shard, stream, arrival).with_announced(door.announced))
}

fn endpoint(shard: &Rc<Shard>, from: &mut Unpacker<'_>, fd: OwnedFd) -> Option<Detached> {
    let in_force = shard.in_force();
    let RelayParcel { upstream, endpoint } = RelayParcel::unpack(from)?;
    let mut upstreams = in_force.plan.upstreams.iter();
    let upstream = upstreams.find(|own| own.settings.name == upstream)?;
    let endpoint = upstream.endpoints.iter().find(|own| own.identity == endpoint)?;
    let stream: io::Result<Stream> = Stream::given(fd);
    let stream = stream.ok()?;
    stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
    upstream.admission().enter().then(|| Detached::given(shard, upstream, endpoint, stream))
}
