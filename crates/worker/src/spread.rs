//! New connections, spread over the threads: the kernel chooses a socket by chance, which is even
//! for many and short connections, and is not for few and long ones.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fairwater_net::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::accept::{self, Accepted, Arrival};
use crate::shard::Shard;
use crate::udp;

/// A thread that lies behind so far gets nothing more from others.
const WAITING_MAX: usize = 256;
/// A difference that is none: one in so many.
const TOLERANCE: u32 = 8;

/// A connection for another thread, counted by the limits of its listener.
#[derive(Debug)]
pub(crate) struct Handed {
    socket: OwnedFd,
    arrival: Arrival,
}

/// How many connections a thread has, and the way to it. On a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Door {
    open: AtomicU32,
    way: Sender<Handed>,
}

/// All threads, as one of them has them.
#[derive(Debug)]
pub(crate) struct Spread {
    own: usize,
    doors: Arc<[Door]>,
    flow_doors: udp::Doors,
}

/// One for each thread, with what comes in there.
pub(crate) fn over(threads: usize) -> Vec<(Spread, Receiver<Handed>)> {
    let (doors, inside): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| channel(WAITING_MAX))
        .map(|(way, inside)| (Door { open: AtomicU32::new(0), way }, inside))
        .unzip();
    let doors: Arc<[Door]> = doors.into();
    let flow_doors = udp::Doors::default();
    let spread = |own| Spread { own, doors: Arc::clone(&doors), flow_doors: flow_doors.clone() };
    inside.into_iter().enumerate().map(|(own, inside)| (spread(own), inside)).collect()
}

impl Spread {
    pub(crate) fn entered(&self) {
        self.doors[self.own].open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn left(&self) {
        self.doors[self.own].open.fetch_sub(1, Ordering::Relaxed);
    }

    /// The ways to all sockets for datagrams.
    pub(crate) fn flow_doors(&self) -> &udp::Doors {
        &self.flow_doors
    }

    /// All threads, this one among them.
    pub(crate) fn threads(&self) -> u32 {
        self.doors.len().max(1) as u32
    }

    /// Connections of this thread, with those that others have just handed over.
    pub(crate) fn open(&self) -> u32 {
        self.doors[self.own].open.load(Ordering::Relaxed)
    }

    /// Whether another thread has so many fewer connections that it shall have the next one.
    /// `slack` is what the difference may be anyway.
    fn other(&self, slack: u32) -> Option<&Door> {
        if self.doors.len() == 1 {
            return None;
        }
        let open = |door: &Door| door.open.load(Ordering::Relaxed);
        let own = open(&self.doors[self.own]);
        if own <= slack {
            return None;
        }
        let least = self.doors.iter().min_by_key(|door| open(door))?;
        (own > open(least) + slack + open(least) / TOLERANCE).then_some(least)
    }

    /// Hands a new connection to a thread that has fewer. Gives it back if this one shall have it,
    /// and nothing if it is lost.
    pub(crate) fn hand_over(&self, stream: Stream, arrival: Arrival, slack: u32) -> Option<Stream> {
        let Some(door) = self.other(slack) else { return Some(stream) };
        let Ok(place) = door.way.try_reserve() else { return Some(stream) };
        let socket = stream.into_fd().ok()?;
        // Before it is there, lest the next one comes right behind.
        door.open.fetch_add(1, Ordering::Relaxed);
        place.send(Handed { socket, arrival });
        None
    }
}

/// Takes in what other threads hand over.
pub(crate) async fn take_in(shard: Rc<Shard>, mut inside: Receiver<Handed>) {
    while let Some(Handed { socket, arrival }) = inside.recv().await {
        match Stream::given(socket) {
            Ok(stream) => accept::spawn(Accepted::new(&shard, stream, arrival)),
            Err(_) => {
                let in_force = shard.in_force();
                let limits = &in_force.plan.listener(arrival.listener).connections;
                limits.leave(arrival.room);
                limits.leave_of(arrival.peer.ip(), arrival.counted_by);
            }
        }
        // It was counted when it was handed over, and once more now.
        shard.spread.left();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_with_the_fewest_gets_the_next() {
        let threads: Vec<_> = over(3).into_iter().map(|(spread, _)| spread).collect();
        let other = |own: usize, slack: u32| {
            let door = threads[own].other(slack)?;
            threads[0].doors.iter().position(|other| std::ptr::eq(other, door))
        };
        assert_eq!(other(0, 0), None);
        threads[0].entered();
        assert_eq!((other(0, 0), other(0, 1), other(1, 0)), (Some(1), None, None));
        threads[1].entered();
        assert_eq!((other(0, 0), other(1, 0)), (Some(2), Some(2)));
        threads[2].entered();
        assert_eq!(other(0, 0), None);
        (0..20).for_each(|_| threads.iter().for_each(Spread::entered));
        (0..2).for_each(|_| threads[0].entered());
        assert_eq!(other(0, 0), None, "a tenth is nothing");
        threads[0].entered();
        assert!(other(0, 0).is_some());
        threads[0].left();
        assert_eq!(other(0, 0), None);
    }

    #[test]
    fn one_thread_has_nobody_to_hand_to() {
        let (alone, _) = over(1).remove(0);
        (0..9).for_each(|_| alone.entered());
        assert!(alone.other(0).is_none());
    }
}
