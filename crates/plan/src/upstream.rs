//! An upstream: a named set of endpoints, how one of them is picked, and how many connections may
//! be open to them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Waker;

use crate::{Balance, Draw, Endpoint, InFlight};

/// The most exchanges that wait for a connection of a full upstream; further ones fail at once.
const WAITERS_MAX: usize = 4096;
/// The most endpoints that one exchange tries.
const TRIED_MAX: usize = 8;

/// Which `Host` endpoints get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    #[default]
    Keep,
    Endpoint,
    Name(String),
}

#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    pub name: String,
    pub host: HostHeader,
    pub keep_alive: bool,
    /// Requests after which a connection to an endpoint is closed.
    pub max_requests: Option<u32>,
    pub max_connections: Option<u32>,
    pub relaxed_responses: bool,
}

#[derive(Debug)]
pub struct Upstream {
    pub settings: UpstreamSettings,
    pub endpoints: Vec<Endpoint>,
    balance: Balance,
    admission: Admission,
}

impl Upstream {
    pub fn new(settings: UpstreamSettings, endpoints: Vec<Endpoint>, balance: Balance) -> Self {
        let admission = Admission::new(settings.max_connections);
        Self { settings, endpoints, balance, admission }
    }

    /// Picks an endpoint that was not tried yet, or `None` when none is left. The exchange counts as
    /// in flight there until the pick is dropped.
    pub fn pick(&self, draw: Draw, tried: &mut Tried) -> Option<Pick<'_>> {
        let index = self.balance.pick(&self.endpoints, draw, tried)?;
        tried.add(index);
        let endpoint = &self.endpoints[index];
        endpoint.state.enter();
        Some(Pick { endpoint })
    }

    pub fn admission(&self) -> &Admission {
        &self.admission
    }
}

/// A picked endpoint; counts as one exchange in flight while it lives.
#[derive(Debug)]
pub struct Pick<'a> {
    pub endpoint: &'a Endpoint,
}

impl Pick<'_> {
    /// Counts on without the plan, for a connection that stays long.
    pub fn detach(&self) -> InFlight {
        InFlight::new(&self.endpoint.state)
    }
}

impl Drop for Pick<'_> {
    fn drop(&mut self) {
        self.endpoint.state.leave();
    }
}

/// The endpoints that one exchange has tried, so that a retry goes elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indexes: [u32; TRIED_MAX],
    len: u8,
}

impl Tried {
    pub fn contains(&self, index: usize) -> bool {
        self.indexes[..usize::from(self.len)].iter().any(|&tried| tried as usize == index)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn add(&mut self, index: usize) {
        if usize::from(self.len) < TRIED_MAX {
            self.indexes[usize::from(self.len)] = index as u32;
            self.len += 1;
        }
    }
}

/// How many connections are open to an upstream, over all threads, and who waits for one.
#[derive(Debug)]
pub struct Admission {
    open: AtomicU32,
    max: u32,
    /// Length of the queue, readable without its lock.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waker>>,
}

impl Admission {
    fn new(max: Option<u32>) -> Self {
        Self {
            open: AtomicU32::new(0),
            max: max.unwrap_or(u32::MAX),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(VecDeque::new()),
        }
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub fn is_bounded(&self) -> bool {
        self.max != u32::MAX
    }

    /// Takes the permit for one more connection; `leave` gives it back.
    pub fn enter(&self) -> bool {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |open| {
                (open < self.max).then_some(open + 1)
            })
            .is_ok()
    }

    pub fn leave(&self) {
        let before = self.open.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "every leave follows its enter");
        self.wake_one();
    }

    /// Whether exchanges wait, so that idle connections should make room.
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Queues an exchange that found the upstream full; it is woken once and must then try again
    /// (and queue again). Returns false when the queue is full.
    pub fn wait(&self, waker: &Waker) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= WAITERS_MAX {
            return false;
        }
        queue.push_back(waker.clone());
        self.waiting.store(queue.len(), Ordering::Relaxed);
        true
    }

    /// Wakes the exchange that has waited longest: a connection became free or may be opened.
    pub fn wake_one(&self) {
        if !self.is_bounded() || !self.has_waiters() {
            return;
        }
        let next = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let next = queue.pop_front();
            self.waiting.store(queue.len(), Ordering::Relaxed);
            next
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
