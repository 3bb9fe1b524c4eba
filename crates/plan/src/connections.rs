//! How many connections clients may have open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Admission, Rate};

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Of all listeners together.
    pub all: Arc<Admission>,
    /// A little more, for those listeners alone that answer probes: who asks in vain whether this
    /// process lives would end it, with all that it serves.
    pub reserve: Arc<Admission>,
    /// It is one of these.
    pub has_reserve: bool,
    pub own: Arc<Admission>,
    pub per_client: Option<Arc<ClientLimit>>,
    /// What is beyond is turned away, instead of waiting in the backlog.
    pub rejects: bool,
    pub handshakes: Arc<HandshakeLimits>,
}

/// Connections beyond `max_connections` for who probes. Probes are few and short.
pub const PROBE_CONNECTIONS_MAX: u32 = 8;

/// What a connection is counted by, of all listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Common,
    Reserve,
}

/// How many TLS handshakes clients may have. Those beyond wait.
#[derive(Debug)]
pub struct HandshakeLimits {
    /// Under way at a time.
    pub at_once: Admission,
    /// Begun in a second.
    pub rate: Rate,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { at_once: Admission::new(None), rate: Rate::default() }
    }
}

impl ConnectionLimits {
    /// Counts a connection, if there is room for it.
    pub fn enter(&self) -> Option<Room> {
        if !self.own.enter() {
            return None;
        }
        let room = self.enter_all();
        if room.is_none() {
            self.own.leave();
        }
        room
    }

    /// Counts one that its listener has counted.
    pub fn enter_all(&self) -> Option<Room> {
        match self.all.enter() {
            true => Some(Room::Common),
            false => (self.has_reserve && self.reserve.enter()).then_some(Room::Reserve),
        }
    }

    pub fn leave(&self, room: Room) {
        match room {
            Room::Common => self.all.leave(),
            Room::Reserve => self.reserve.leave(),
        }
        self.own.leave();
    }

    /// Counts a connection as one of its client's. Tells by which limit, if there is one.
    ///
    /// # Errors
    /// When the client has too many.
    pub fn enter_of(&self, client: Option<IpAddr>) -> Result<Option<NonZeroU16>, TooMany> {
        let (Some(limit), Some(client)) = (&self.per_client, client) else { return Ok(None) };
        if limit.enter(client) { Ok(Some(limit.id)) } else { Err(TooMany) }
    }

    /// A connection is no longer one of its client's; unless another limit has counted it.
    pub fn leave_of(&self, client: Option<IpAddr>, counted_by: Option<NonZeroU16>) {
        if let (Some(limit), Some(client)) = (&self.per_client, client)
            && counted_by == Some(limit.id)
        {
            limit.leave(client);
        }
    }
}

/// A client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// A connection takes one of few locks, so that threads seldom meet.
const LOCKS: usize = 16;

/// Connections by address of the client.
#[derive(Debug)]
pub struct ClientLimit {
    /// Tells it from others of the same listener, before and after.
    pub id: NonZeroU16,
    max: AtomicU32,
    open: [Mutex<HashMap<IpAddr, u32>>; LOCKS],
}

impl ClientLimit {
    pub fn new(id: NonZeroU16, max: u32) -> Self {
        Self { id, max: AtomicU32::new(max), open: Default::default() }
    }

    /// Sets another limit. Those that are open beyond it stay open.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Counts a connection of a client, if it has not too many.
    pub fn enter(&self, client: IpAddr) -> bool {
        let client = whose(client);
        let mut open = self.lock(client);
        let count = open.entry(client).or_insert(0);
        let has_room = *count < self.max.load(Ordering::Relaxed);
        *count += u32::from(has_room);
        has_room
    }

    pub fn leave(&self, client: IpAddr) {
        let client = whose(client);
        let mut open = self.lock(client);
        if let Some(count) = open.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&client);
            }
        }
    }

    fn lock(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let last = match client {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[7],
        };
        self.open[usize::from(last) % LOCKS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of an address that belongs to one client: of IPv6 whoever has one address has the
/// whole /64.
fn whose(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_address_and_by_network() {
        let limit = ClientLimit::new(NonZeroU16::MIN, 2);
        let enter = |client: &str| limit.enter(client.parse().unwrap());
        let leave = |client: &str| limit.leave(client.parse().unwrap());
        assert!(enter("192.0.2.1") && enter("::ffff:192.0.2.1") && !enter("192.0.2.1"));
        assert!(enter("192.0.2.2"));
        leave("192.0.2.1");
        assert!(enter("192.0.2.1") && !enter("192.0.2.1"));
        assert!(enter("2001:db8::1") && enter("2001:db8::2") && !enter("2001:db8::3"));
        assert!(enter("2001:db8:0:1::1"));
        leave("192.0.2.9");
        for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::9"] {
            leave(client);
        }
        leave("2001:db8:0:1::2");
        assert!(limit.open.iter().all(|open| open.lock().unwrap().is_empty()));
    }

    #[test]
    fn only_the_limit_that_counted_a_client_lets_it_go() {
        let limit = |id| Arc::new(ClientLimit::new(NonZeroU16::new(id).unwrap(), 1));
        let limits = |per_client| ConnectionLimits {
            all: Arc::new(Admission::new(None)),
            reserve: Arc::new(Admission::new(None)),
            has_reserve: false,
            own: Arc::new(Admission::new(None)),
            per_client,
            rejects: false,
            handshakes: Arc::default(),
        };
        let (before, after, none) = (limits(Some(limit(1))), limits(Some(limit(2))), limits(None));
        let client = Some("192.0.2.1".parse().unwrap());
        let counted = before.enter_of(client).unwrap();
        assert_eq!(before.enter_of(client), Err(TooMany));
        after.leave_of(client, counted);
        before.leave_of(client, None);
        assert_eq!(before.enter_of(client), Err(TooMany));
        before.leave_of(client, counted);
        assert_eq!(before.enter_of(client), Ok(counted));
        // On Unix sockets nobody is counted, and without a limit nobody.
        assert_eq!((before.enter_of(None), none.enter_of(client)), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_listener_is_full_when_it_or_all_are() {
        let all = Arc::new(Admission::new(Some(3)));
        let reserve = Arc::new(Admission::new(Some(1)));
        let of = |max, has_reserve| ConnectionLimits {
            all: Arc::clone(&all),
            reserve: Arc::clone(&reserve),
            has_reserve,
            own: Arc::new(Admission::new(Some(max))),
            per_client: None,
            rejects: false,
            handshakes: Arc::default(),
        };
        let (first, second, probed) = (of(2, false), of(2, false), of(2, true));
        let common = Some(Room::Common);
        assert_eq!([first.enter(), first.enter(), first.enter()], [common, common, None]);
        assert_eq!([second.enter(), second.enter()], [common, None]);
        assert_eq!((all.open(), second.own.open()), (3, 1));
        // Who probes gets in all the same.
        assert_eq!([probed.enter(), probed.enter()], [Some(Room::Reserve), None]);
        assert_eq!((all.open(), reserve.open(), probed.own.open()), (3, 1, 1));
        first.leave(Room::Common);
        assert_eq!([second.enter(), probed.enter()], [common, None]);
        probed.leave(Room::Reserve);
        assert_eq!([probed.enter(), probed.enter()], [Some(Room::Reserve), None]);
    }
}
