//! Signs of life of a thread, for another one that looks whether it still turns: a thread that
//! computes for seconds without coming back to its loop serves nobody any more.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use fairwater_net::{Peer, clock};
use fairwater_sys::process;

use crate::accept::Accepted;

/// Of its own processor time without a turn: nothing that a thread has to do takes so long.
const COMPUTING_MAX_MS: u64 = 2_000;
/// Without a turn and without that much processor time: something holds it up.
const WAITING_MAX_MS: u64 = 5_000;
/// Who looks and was itself away for so long has been stopped, and so were the others.
const LOOK_MAX_MS: u64 = 1_000;

/// What a thread says of itself. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Pulse {
    thread: AtomicI32,
    turns: AtomicU64,
    /// What runs right now: stage, port and listener; 0 for nothing.
    doing: AtomicU64,
    /// The address of its client.
    client: [AtomicU64; 2],
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Http = 1,
    Relay = 2,
}

/// What a thread says while it does something for a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    doing: u64,
    client: [u64; 2],
}

impl Mark {
    #[inline]
    pub(crate) fn of(stage: Stage, connection: &Accepted) -> Self {
        let (client, port) = match connection.peer() {
            // As it is mapped to version 6 (RFC 4291, section 2.5.5.2).
            Peer::Ip { ip: IpAddr::V4(v4), port } => {
                (0xffff << 32 | u128::from(v4.to_bits()), port)
            }
            Peer::Ip { ip: IpAddr::V6(v6), port } => (v6.to_bits(), port),
            Peer::Unix => (0, 0),
        };
        let listener = u64::from(connection.listener.0) << 32;
        let doing = listener | u64::from(port) << 8 | u64::from(stage as u8);
        Self { doing, client: [(client >> 64) as u64, client as u64] }
    }
}

impl Pulse {
    /// To be called by the thread itself, before all else.
    pub(crate) fn begin(&self) {
        self.thread.store(process::thread_id(), Ordering::Relaxed);
    }

    pub(crate) fn turn(&self) {
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Something is done for a connection, until [`Self::done`].
    #[inline]
    pub(crate) fn doing(&self, mark: &Mark) {
        self.client[0].store(mark.client[0], Ordering::Relaxed);
        self.client[1].store(mark.client[1], Ordering::Relaxed);
        self.doing.store(mark.doing, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn done(&self) {
        self.doing.store(0, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Doing {
        let doing = self.doing.load(Ordering::Relaxed);
        let [high, low] = [0, 1].map(|at| u128::from(self.client[at].load(Ordering::Relaxed)));
        let ip = IpAddr::V6(Ipv6Addr::from_bits(high << 64 | low)).to_canonical();
        Doing {
            stage: doing as u8,
            listener: (doing >> 32) as u32,
            client: (high | low != 0).then_some((ip, (doing >> 8) as u16)),
        }
    }
}

/// What a thread did when somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    stage: u8,
    listener: u32,
    client: Option<(IpAddr, u16)>,
}

impl Doing {
    /// The listener whose connection it is.
    pub fn listener(self) -> Option<u32> {
        (self.stage > 0).then_some(self.listener)
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            0 => return f.write_str("between connections"),
            stage if stage == Stage::Http as u8 => "in HTTP requests",
            _ => "in a relay",
        })?;
        match self.client {
            Some((ip, port)) => write!(f, " of {ip} port {port}"),
            None => f.write_str(" of a client on a Unix socket"),
        }
    }
}

/// A future whose polls are what the thread does.
pub(crate) struct Watched<'a, F> {
    pub connection: &'a Accepted,
    pub future: F,
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let pulse = &self.connection.shard.pulse;
        pulse.doing(&Mark::of(Stage::Http, self.connection));
        let result = Pin::new(&mut self.future).poll(cx);
        self.connection.shard.pulse.done();
        result
    }
}

/// Looks at a thread from time to time.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    turns: u64,
    /// When it last turned, by both clocks.
    turned: Clocks,
    is_reported: bool,
    looked_ms: u64,
}

/// Of the thread, and of the wall.
#[derive(Clone, Copy, Debug, Default)]
struct Clocks {
    own_ms: u64,
    wall_ms: u64,
}

/// What is wrong with a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It computes and does not come back. Nothing ends that.
    Hangs,
    /// It has waited for so long, outside of its loop. Told once.
    Waits,
}

impl Watch {
    pub(crate) fn look(&mut self, pulse: &Pulse) -> Option<Trouble> {
        let own_ms = clock::thread_ms(pulse.thread.load(Ordering::Relaxed));
        let now = Clocks { own_ms, wall_ms: clock::coarse_ms() };
        self.judge(pulse.turns.load(Ordering::Relaxed), now)
    }

    fn judge(&mut self, turns: u64, now: Clocks) -> Option<Trouble> {
        let was_away = now.wall_ms.saturating_sub(self.looked_ms) > LOOK_MAX_MS;
        self.looked_ms = now.wall_ms;
        if turns != self.turns || was_away {
            *self = Self { turns, turned: now, is_reported: false, looked_ms: now.wall_ms };
            return None;
        }
        if now.own_ms.saturating_sub(self.turned.own_ms) >= COMPUTING_MAX_MS {
            return Some(Trouble::Hangs);
        }
        let has_waited = now.wall_ms.saturating_sub(self.turned.wall_ms) >= WAITING_MAX_MS;
        (has_waited && !std::mem::replace(&mut self.is_reported, true)).then_some(Trouble::Waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_computes_hangs_and_who_waits_is_told_of_once() {
        let mut watch = Watch::default();
        let mut wall_ms = 10_000;
        let mut look = |turns: u64, own_ms: u64, passed_ms: u64| {
            wall_ms += passed_ms;
            watch.judge(turns, Clocks { own_ms, wall_ms })
        };
        assert_eq!(look(1, 100, 200), None);
        assert_eq!(look(2, 100, 200), None);
        for step in 1..=9 {
            assert_eq!(look(2, 100 + step * 200, 200), None);
        }
        assert_eq!(look(2, 2_100, 200), Some(Trouble::Hangs));
        assert_eq!(look(3, 2_200, 200), None, "it has come back");
        let told: Vec<_> = (0..60).filter_map(|_| look(3, 2_200, 200)).collect();
        assert_eq!(told, [Trouble::Waits]);
        assert_eq!(look(4, 2_200, 200), None);
        // The whole process was stopped.
        assert_eq!(look(4, 2_200, 60_000), None);
        assert_eq!(look(4, 2_200, 200), None);
    }

    #[test]
    fn what_a_thread_does_is_told() {
        let doing = |stage, client| Doing { stage, listener: 3, client }.to_string();
        let client = Some(("127.0.0.1".parse().unwrap(), 4711));
        assert_eq!(doing(0, client), "between connections");
        assert_eq!(doing(1, client), "in HTTP requests of 127.0.0.1 port 4711");
        assert_eq!(doing(2, None), "in a relay of a client on a Unix socket");
    }
}
