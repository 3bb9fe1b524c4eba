//! Counters: one set per thread, written by that thread alone, summed by whoever reads them.

use std::ops::Index;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::DatagramCounters;

/// Listeners that a reload may add to those at the start; more take a new process.
const LISTENERS_SPARE: usize = 16;

/// 1xx to 5xx, and first what never got a status.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What becomes of sessions that stay with an endpoint.
pub const SESSION_OUTCOMES: [&str; 4] = ["new", "kept", "moved", "refused"];

/// A counter with one writer: a plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    /// For gauges: what was added and is over.
    #[inline]
    pub fn subtract(&self, amount: u64) {
        self.0.store(self.get().wrapping_sub(amount), Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that one thread counts. Slots are those of the plan.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    pub listeners: Vec<ListenerCounters>,
    pub endpoints: EndpointTable,
    /// Connections that ended with a panic, caught.
    pub panics: Count,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: Count,
    /// Idle connections closed for want of memory or descriptors: of clients, and to endpoints.
    pub shed_clients: Count,
    pub shed_endpoints: Count,
    /// Access-log lines written and dropped.
    pub log_lines: Count,
    pub log_dropped: Count,
}

#[derive(Debug)]
pub struct ListenerCounters {
    pub connections: Count,
    /// Turned away for want of room.
    pub refused: Count,
    pub active: Count,
    /// By class of status, see [`STATUS_CLASSES`]; TCP connections, messages and flows of UDP count
    /// as class 0.
    pub requests: [Count; 6],
    /// By kind of fault.
    pub faults: Vec<Count>,
    /// Body bytes from and to clients.
    pub bytes_in: Count,
    pub bytes_out: Count,
    pub datagrams: DatagramCounters,
}

/// The counters of endpoints by their slots. Grows while it is in use, and never moves.
#[derive(Debug)]
pub struct EndpointTable {
    /// Those that were there at the start: nearly always all.
    first: Box<[EndpointCounters]>,
    /// Each twice as long as the one before.
    later: [OnceLock<Box<[EndpointCounters]>>; LATER_BLOCKS],
}

const LATER_BLOCKS: usize = 24;
/// The length of the first of the later blocks.
const LATER_SLOTS: usize = 64;

impl EndpointTable {
    fn new(slots: usize) -> Self {
        Self { first: block(slots), later: Default::default() }
    }

    /// Makes room for all slots below `end`. To be called before a thread counts under a new one.
    pub fn grow(&self, end: usize) {
        let mut there = self.first.len();
        for (index, later) in self.later.iter().enumerate() {
            if there >= end {
                return;
            }
            there += later.get_or_init(|| block(LATER_SLOTS << index)).len();
        }
    }

    #[cold]
    fn later(&self, place: usize) -> &EndpointCounters {
        let index = (place / LATER_SLOTS + 1).ilog2() as usize;
        let start = LATER_SLOTS * ((1 << index) - 1);
        // `grow` comes before the plan that has the slot.
        let block = self.later[index].get().expect("there is room for every slot of a plan");
        &block[place - start]
    }
}

fn block(slots: usize) -> Box<[EndpointCounters]> {
    (0..slots).map(|_| EndpointCounters::default()).collect()
}

impl Index<usize> for EndpointTable {
    type Output = EndpointCounters;

    #[inline]
    fn index(&self, slot: usize) -> &EndpointCounters {
        self.first.get(slot).unwrap_or_else(|| self.later(slot - self.first.len()))
    }
}

#[derive(Debug, Default)]
pub struct EndpointCounters {
    pub attempts: Count,
    pub connects: Count,
    pub connect_failures: Count,
    /// Exchanges that went over a pooled connection.
    pub reuses: Count,
    /// Pooled connections that turned out to be dead when they were used.
    pub stale: Count,
    /// Connections for messages that were closed because something came that nobody had asked for.
    pub unsolicited: Count,
    /// Replies that came when nobody waited for them any more.
    pub late_replies: Count,
    pub responses: [Count; 6],
    /// Exchanges that tell for the endpoint, and against it.
    pub successes: Count,
    pub failures: Count,
    /// Connections that wait in the pool of this thread.
    pub idle: Count,
    /// Connections that are open on this thread.
    pub open: Count,
    /// Requests of sessions that stay, by what became of the session; see [`SESSION_OUTCOMES`].
    pub sessions: [Count; SESSION_OUTCOMES.len()],
}

impl Counters {
    /// With room for more listeners than there are.
    pub fn new(listeners: usize, endpoints: usize, fault_kinds: usize) -> Self {
        Self {
            listeners: (0..listeners + LISTENERS_SPARE)
                .map(|_| ListenerCounters::new(fault_kinds))
                .collect(),
            endpoints: EndpointTable::new(endpoints),
            panics: Count::default(),
            accept_failures: Count::default(),
            shed_clients: Count::default(),
            shed_endpoints: Count::default(),
            log_lines: Count::default(),
            log_dropped: Count::default(),
        }
    }
}

impl ListenerCounters {
    fn new(fault_kinds: usize) -> Self {
        Self {
            connections: Count::default(),
            refused: Count::default(),
            active: Count::default(),
            requests: Default::default(),
            faults: (0..fault_kinds).map(|_| Count::default()).collect(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            datagrams: DatagramCounters::default(),
        }
    }
}

/// The class of a status as an index of [`STATUS_CLASSES`].
pub(crate) fn class_of(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

impl EndpointCounters {
    /// Starts from zero, for another endpoint. Nobody may be counting.
    pub fn reset(&self) {
        let Self {
            attempts,
            connects,
            connect_failures,
            reuses,
            stale,
            unsolicited,
            late_replies,
            responses,
            successes,
            failures,
            idle,
            open,
            sessions,
        } = self;
        let outcomes = [successes, failures];
        let stray = [stale, unsolicited, late_replies];
        let counts = [attempts, connects, connect_failures, reuses, idle, open];
        counts
            .into_iter()
            .chain(responses)
            .chain(outcomes)
            .chain(stray)
            .chain(sessions)
            .for_each(|count| count.subtract(count.get()));
    }

    pub fn response(&self, status: u16) {
        self.responses[class_of(status)].add(1);
    }
}

impl ListenerCounters {
    /// Starts from zero, for another listener. Nobody may be counting.
    pub fn reset(&self) {
        let Self { connections, refused, active, requests, faults, .. } = self;
        let Self { bytes_in, bytes_out, datagrams, .. } = self;
        let counts = [connections, refused, active, bytes_in, bytes_out];
        let counts = counts.into_iter().chain(requests).chain(faults).chain(datagrams.all());
        counts.for_each(|count| count.subtract(count.get()));
    }

    pub fn request(&self, status: u16) {
        self.requests[class_of(status)].add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_grows_and_keeps_what_was_counted() {
        let table = EndpointTable::new(3);
        (0..3).for_each(|slot| table[slot].attempts.add(slot as u64));
        for end in [3, 4, 67, 68, 1000] {
            table.grow(end);
            table[end - 1].attempts.add(end as u64);
        }
        let counts = [0, 1, 2, 3, 66, 67, 999].map(|slot: usize| table[slot].attempts.get());
        assert_eq!(counts, [0, 1, 5, 4, 67, 68, 1000]);
        table[66].reset();
        assert_eq!(table[66].attempts.get(), 0);
    }
}
