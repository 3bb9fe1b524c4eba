//! What one worker thread owns. Nothing here is shared, and nothing is locked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fairwater_net::{Stream, Wheel, clock};
use fairwater_plan::{CurrentLevel, Level, Listener, Plan};
use fairwater_proto::http2::Scratch;
use fairwater_sys::datagram::Batch;
use fairwater_sys::recycle::Recycler;
use fairwater_telemetry::{Counters, LogBatch};
use tokio::sync::Semaphore;

use crate::auth::Remembered;
use crate::framed::Desks;
use crate::in_force::InForce;
use crate::limits::{self, BUFFER_BYTES};
use crate::moving::Heir;
use crate::password::PasswordChecks;
use crate::pipes::Pipes;
use crate::pulse::Pulse;
use crate::spares::Spares;
use crate::spread::Spread;
use crate::thread::ThreadParts;
use crate::transit::Transit;
use crate::upstream::Pools;
use crate::work::{Buffer, Work};

#[derive(Debug)]
pub(crate) struct Shard {
    in_force: RefCell<Rc<InForce>>,
    pub counters: Arc<Counters>,
    pub spread: Spread,
    pub pulse: Arc<Pulse>,
    pub wheel: Rc<Wheel>,
    pub pools: Pools,
    /// Where messages find connections to endpoints.
    pub desks: Desks,
    /// Memory for the futures of running exchanges.
    pub futures: Recycler,
    /// The same of HTTP/2: streams of clients, their attempts, and calls.
    pub lane_futures: Recycler,
    pub attempt_futures: Recycler,
    pub call_futures: Recycler,
    pub log: RefCell<LogBatch>,
    pub log_is_on: bool,
    /// Lines have headers of replies in them.
    pub log_names_replies: bool,
    /// Where heads of HTTP/2 are put together.
    pub fields: RefCell<Scratch>,
    /// Where raw bytes pass through on their way from one socket to another.
    pub scratch: RefCell<Transit>,
    /// For what comes from endpoints.
    blocks: Spares<Box<[u8]>>,
    /// Boxed, so that a set changes hands as one pointer.
    works: Spares<Box<Work>>,
    pub pipes: Rc<Pipes>,
    /// Room for datagrams, once there are any.
    pub datagrams: RefCell<Option<Batch>>,
    /// Flows of datagrams.
    pub flows: Cell<u32>,
    /// Sockets that clients send datagrams to.
    pub pumps: Cell<u32>,
    /// Clients that are being turned away.
    pub refusals: Cell<u32>,
    pub refusals_max: u32,
    /// Whether this process shall get requests.
    pub is_ready: Arc<AtomicBool>,
    /// Connections of HTTP/2 whose peers may send much ahead.
    pub large_windows: Cell<u32>,
    /// Handshakes with clients go step by step, one at a time.
    pub handshakes: Semaphore,
    pub passwords: PasswordChecks,
    pub remembered: RefCell<Remembered>,
    random: Cell<u64>,
    request_ids: Cell<u128>,
    is_draining: Cell<bool>,
    overload: Arc<CurrentLevel>,
    /// As the last tick has found it.
    level: Cell<Level>,
    /// Some connections end with the request that they have.
    ends_early: Cell<bool>,
    /// Bodies of requests that are held.
    pub held_bytes: Cell<usize>,
    pub held_bytes_max: usize,
    /// The process that serves in place of this one, while it takes connections.
    heir: RefCell<Option<Rc<Heir>>>,
    moves: Cell<bool>,
    /// The wall clock when the monotonic one stood at zero.
    wall_start_us: Cell<u64>,
}

impl Shard {
    pub(crate) fn new(
        plan: Arc<Plan>,
        parts: ThreadParts,
        spread: Spread,
        pulse: Arc<Pulse>,
    ) -> Self {
        let ThreadParts { counters, is_ready, overload, memory_bytes, passwords, .. } = parts;
        let ThreadParts { log, seed, refusals_max, .. } = parts;
        let held_max = memory_bytes.map_or(u64::MAX, |bytes| bytes / limits::HELD_PART);
        Self {
            pools: Pools::new(plan.slots_end),
            desks: Desks::default(),
            in_force: RefCell::new(Rc::new(InForce::new(plan))),
            counters,
            spread,
            pulse,
            wheel: Wheel::new(),
            futures: Recycler::new(),
            lane_futures: Recycler::new(),
            attempt_futures: Recycler::new(),
            call_futures: Recycler::new(),
            log_is_on: log.is_on(),
            log_names_replies: log.names_replies(),
            log: RefCell::new(log),
            fields: RefCell::default(),
            scratch: RefCell::new(Transit::new()),
            blocks: Spares::default(),
            works: Spares::default(),
            pipes: Rc::default(),
            datagrams: RefCell::default(),
            flows: Cell::new(0),
            pumps: Cell::new(0),
            refusals: Cell::new(0),
            refusals_max,
            is_ready,
            large_windows: Cell::new(0),
            handshakes: Semaphore::const_new(1),
            passwords,
            remembered: RefCell::default(),
            random: Cell::new(seed | 1),
            request_ids: Cell::new(u128::from(seed) << 64),
            is_draining: Cell::new(false),
            overload,
            level: Cell::default(),
            ends_early: Cell::new(false),
            held_bytes: Cell::new(0),
            held_bytes_max: limits::HELD_BYTES_MAX
                .min(usize::try_from(held_max).unwrap_or(usize::MAX)),
            heir: RefCell::default(),
            moves: Cell::new(false),
            wall_start_us: Cell::new(wall_start_us()),
        }
    }

    /// The plan for what begins now.
    #[inline]
    pub(crate) fn in_force(&self) -> Rc<InForce> {
        Rc::clone(&self.in_force.borrow())
    }

    #[inline]
    pub(crate) fn is_in_force(&self, in_force: &Rc<InForce>) -> bool {
        Rc::ptr_eq(&self.in_force.borrow(), in_force)
    }

    /// Puts another plan into force; what has begun goes on under the one before.
    pub(crate) fn adopt(&self, plan: Arc<Plan>) {
        let before = self.in_force();
        let next = Rc::new(InForce::new(plan));
        let loses_listeners = next.loses_listeners(&before);
        self.pools.adopt(self, &next.plan);
        self.desks.adopt(&next.plan);
        *self.in_force.borrow_mut() = next;
        if loses_listeners {
            // Idle connections see that their listener is gone.
            self.wheel.wake_all();
        }
    }

    /// A pseudo-random number (xorshift64*), good for balancing and nothing else.
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// An id that no other exchange has: the thread's random half, and a number.
    pub(crate) fn next_request_id(&self) -> u128 {
        let id = self.request_ids.get() + 1;
        self.request_ids.set(id);
        id
    }

    /// Microseconds for phase timers; read only when somebody will see them.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        if self.log_is_on { clock::precise_us() } else { 0 }
    }

    /// The wall clock at a time that `now_us` gave: one clock is read for a line, not two.
    pub(crate) fn wall_us(&self, now_us: u64) -> u64 {
        self.wall_start_us.get() + now_us
    }

    /// Follows a wall clock that was set.
    pub(crate) fn set_wall_clock(&self) {
        self.wall_start_us.set(wall_start_us());
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
        self.ends_early.set(true);
        self.moves.set(self.heir.borrow().is_some());
    }

    /// Whether no client is served any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.spread.open() == 0 && self.flows.get() == 0
    }

    /// Whether connections move to another process.
    #[inline]
    pub(crate) fn moves(&self) -> bool {
        self.moves.get()
    }

    /// Whether a client shall come again by another connection.
    #[inline]
    pub(crate) fn sends_away(&self, client: &Stream) -> bool {
        self.ends_early.get() && self.ends(client)
    }

    #[cold]
    fn ends(&self, client: &Stream) -> bool {
        self.grants_no_keep_alive()
            || self.is_draining.get() && !(self.moves.get() && client.is_plain())
    }

    /// Takes in how short memory and descriptors are. Returns the level, and whether it has risen.
    pub(crate) fn look_at_overload(&self) -> (Level, bool) {
        let level = self.overload.get();
        let before = self.level.replace(level);
        self.ends_early.set(self.is_draining.get() || self.grants_no_keep_alive());
        (level, level > before)
    }

    /// Closes some idle connections, those of clients and those to endpoints.
    pub(crate) fn shed(&self) {
        self.counters.shed_clients.add(self.wheel.shed(fairwater_plan::shed) as u64);
        let plan = Arc::clone(&self.in_force().plan);
        self.counters.shed_endpoints.add(self.pools.shed(self, &plan) as u64);
    }

    /// Whether memory or descriptors run short.
    pub(crate) fn is_short(&self) -> bool {
        self.level.get() > Level::Normal
    }

    /// Whether a connection ends with the request that it has.
    pub(crate) fn grants_no_keep_alive(&self) -> bool {
        self.level.get() >= Level::Closing
    }

    /// Whether a listener accepts nobody. One that answers probes does: who asks in vain whether
    /// this process lives would end it.
    #[inline]
    pub(crate) fn refuses_connections(&self, listener: &Listener) -> bool {
        self.level.get() >= Level::RefusingConnections && !listener.has_probes()
    }

    /// Whether requests of a listener are refused.
    #[inline]
    pub(crate) fn refuses_requests(&self, listener: &Listener) -> bool {
        self.level.get() >= Level::RefusingConnections
            && (listener.has_probes() || self.level.get() == Level::RefusingRequests)
    }

    /// Whether requests should go to another process.
    pub(crate) fn turns_away(&self) -> bool {
        self.level.get() >= Level::RefusingConnections
    }

    pub(crate) fn heir(&self) -> Option<Rc<Heir>> {
        self.heir.borrow().clone()
    }

    /// Connections move to this process, once this one drains.
    pub(crate) fn has_heir(self: &Rc<Self>, heir: Heir) {
        let heir = Rc::new(heir);
        *self.heir.borrow_mut() = Some(Rc::clone(&heir));
        drop(tokio::task::spawn_local(heir.listen(Rc::clone(self))));
    }

    /// The other process takes nothing more.
    pub(crate) fn has_no_heir(&self) {
        self.moves.set(false);
        drop(self.heir.take());
        self.wheel.wake_all();
    }

    /// Whether exchanges anywhere wait for a connection of a full upstream.
    pub(crate) fn has_waiters(&self) -> bool {
        let in_force = self.in_force.borrow();
        in_force.plan.upstreams.iter().any(|upstream| upstream.admission().has_waiters())
    }

    /// Gives the log lines so far to the writer.
    pub(crate) fn hand_over_log(&self) {
        self.log.borrow_mut().hand_over(&self.counters);
    }

    /// Takes a working set for a connection that turns busy.
    #[inline(always)]
    pub(crate) fn take_work(&self) -> Box<Work> {
        self.works.take()
    }

    /// Gives a buffer without a block one that was used before, if there is any. Who gives blocks
    /// back and takes none from here lets them pile up.
    #[inline(always)]
    pub(crate) fn lend_block(&self, buffer: &mut Buffer) {
        if buffer.bytes.is_empty() {
            buffer.bytes = self.blocks.take();
        }
    }

    /// Takes the block of a buffer in which nothing is. One that has grown goes.
    #[inline(always)]
    pub(crate) fn take_block_back(&self, buffer: &mut Buffer) {
        if buffer.is_empty() && buffer.bytes.len() == BUFFER_BYTES {
            self.blocks.give_back(std::mem::take(&mut buffer.bytes));
        }
    }

    /// Drops what is in a buffer, and takes its block back.
    #[inline(always)]
    pub(crate) fn empty(&self, buffer: &mut Buffer) {
        buffer.clear();
        self.take_block_back(buffer);
        buffer.bytes = Box::default();
    }

    pub(crate) fn give_back_work(&self, mut work: Box<Work>) {
        if work.recycle() {
            self.works.give_back(work);
        }
    }

    /// Gives back memory that was not needed since the last call.
    pub(crate) fn trim(&self) {
        self.futures.trim();
        self.lane_futures.trim();
        self.attempt_futures.trim();
        self.call_futures.trim();
        self.in_force.borrow().refill_budgets(clock::coarse_ms() / 1000);
        self.blocks.trim();
        self.works.trim();
    }
}

fn wall_start_us() -> u64 {
    clock::wall_us().saturating_sub(clock::precise_us())
}
