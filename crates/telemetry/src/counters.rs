//! Counters: one set per thread, written by that thread alone, summed by whoever reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// 1xx to 5xx, and first what never got a status.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

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
    pub endpoints: Vec<EndpointCounters>,
    /// Connections that ended with a panic, caught.
    pub panics: Count,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: Count,
    /// Access-log lines written and dropped.
    pub log_lines: Count,
    pub log_dropped: Count,
}

#[derive(Debug)]
pub struct ListenerCounters {
    pub connections: Count,
    pub active: Count,
    /// By class of status, see [`STATUS_CLASSES`]; TCP connections count as class 0.
    pub requests: [Count; 6],
    /// By kind of fault.
    pub faults: Vec<Count>,
    /// Body bytes from and to clients.
    pub bytes_in: Count,
    pub bytes_out: Count,
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
    pub responses: [Count; 6],
    /// Connections that wait in the pool of this thread.
    pub idle: Count,
    /// Connections that are open on this thread.
    pub open: Count,
}

impl Counters {
    pub fn new(listeners: usize, endpoints: usize, fault_kinds: usize) -> Self {
        Self {
            listeners: (0..listeners).map(|_| ListenerCounters::new(fault_kinds)).collect(),
            endpoints: (0..endpoints).map(|_| EndpointCounters::default()).collect(),
            panics: Count::default(),
            accept_failures: Count::default(),
            log_lines: Count::default(),
            log_dropped: Count::default(),
        }
    }
}

impl ListenerCounters {
    fn new(fault_kinds: usize) -> Self {
        Self {
            connections: Count::default(),
            active: Count::default(),
            requests: Default::default(),
            faults: (0..fault_kinds).map(|_| Count::default()).collect(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
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
    pub fn response(&self, status: u16) {
        self.responses[class_of(status)].add(1);
    }
}

impl ListenerCounters {
    pub fn request(&self, status: u16) {
        self.requests[class_of(status)].add(1);
    }
}
