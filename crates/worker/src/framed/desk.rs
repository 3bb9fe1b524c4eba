//! Where messages of one upstream, under one set of rules, find a connection: at once, or by
//! waiting for one. Of one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use fairwater_message::frame::Framing;
use fairwater_message::{Fault, FaultKind};
use fairwater_net::clock;
use fairwater_plan::{Choice, Endpoint, FrameRules, InFlight, Pick, Replies, Tried, Upstream};

use super::client::Client;
use super::job::{Job, Owner, Waiting};
use super::wire::Wire;
use super::{dial, keeper};
use crate::attempt;
use crate::limits;
use crate::shard::Shard;
use crate::spares::Spares;

#[derive(Debug)]
pub(super) struct Desk {
    pub rules: Arc<FrameRules>,
    /// A connection has one message, whose end or whose reply's end is that of the stream.
    pub is_single: bool,
    /// Our direction of a connection ends with its message.
    pub ends_request: bool,
    /// The other one ends with its reply.
    pub ends_reply: bool,
    upstream: RefCell<Arc<Upstream>>,
    /// By the slot of their endpoint.
    wires: RefCell<Vec<Wires>>,
    waiting: RefCell<VecDeque<Job>>,
    /// Connections that are being opened, and how many ever were.
    dials: Cell<u32>,
    dialled: Cell<u64>,
    keeper: RefCell<Option<Waker>>,
    /// It stands in the queue that all threads share.
    pub keeper_waits: Cell<bool>,
    spares: Spares<Vec<u8>>,
    yielded_ms: Cell<u64>,
    /// A listener has these rules by the newest plan.
    pub is_current: Cell<bool>,
}

/// The connections to an endpoint.
#[derive(Debug, Default)]
struct Wires {
    all: Vec<Rc<Wire>>,
    /// Those on which nothing is under way; the one that was used last is used first.
    idle: Vec<Rc<Wire>>,
}

/// Where a message goes.
enum Place<'a> {
    Wire(Rc<Wire>, Pick<'a>),
    /// To a new connection to this endpoint.
    Dial(usize),
    /// Nowhere yet.
    Full,
    None,
}

impl Desk {
    pub(super) fn new(upstream: &Arc<Upstream>, rules: &Arc<FrameRules>) -> Self {
        let is_eof = |framing: &Framing| matches!(framing, Framing::Eof { .. });
        Self {
            is_single: is_eof(&rules.request) || is_eof(&rules.reply),
            ends_request: is_eof(&rules.request),
            ends_reply: is_eof(&rules.reply),
            rules: Arc::clone(rules),
            upstream: RefCell::new(Arc::clone(upstream)),
            wires: RefCell::default(),
            waiting: RefCell::default(),
            dials: Cell::new(0),
            dialled: Cell::new(0),
            keeper: RefCell::new(None),
            keeper_waits: Cell::new(false),
            spares: Spares::default(),
            yielded_ms: Cell::new(0),
            is_current: Cell::new(true),
        }
    }

    pub(super) fn upstream(&self) -> Arc<Upstream> {
        Arc::clone(&self.upstream.borrow())
    }

    /// Messages that may be under way on one connection.
    pub(super) fn depth(&self) -> u32 {
        match self.rules.replies {
            Replies::One { depth } => depth,
            Replies::None => u32::MAX,
        }
    }

    /// A block for a message.
    pub(super) fn spare(&self) -> Vec<u8> {
        self.spares.take()
    }

    pub(super) fn give_back(&self, mut block: Vec<u8>) {
        if (1..=limits::BUFFER_BYTES).contains(&block.capacity()) {
            block.clear();
            self.spares.give_back(block);
        }
    }

    pub(super) fn trim(&self) {
        self.spares.trim();
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.waiting() == 0
            && self.dials.get() == 0
            && self.wires.borrow().iter().all(|wires| wires.all.is_empty())
    }

    /// Sends a message, or lets it wait. `bytes` are it, or its beginning.
    pub(super) fn submit(self: &Rc<Self>, shard: &Rc<Shard>, mut job: Job, bytes: &[u8]) {
        let upstream = self.upstream.borrow();
        if !attempt::admits(&upstream, &mut job.admitted_ms) {
            return self.fail(job, Fault::undelivered(FaultKind::CircuitOpen));
        }
        if self.waiting() == 0 {
            match self.place(shard, &upstream, &mut job) {
                Place::Wire(wire, pick) => return wire.send(job, Some(bytes), pick.keep()),
                Place::Dial(index) => dial::start(shard, self, &upstream, index, &mut job),
                Place::Full => {}
                Place::None => return self.fail(job, Fault::undelivered(FaultKind::NoEndpoint)),
            }
        }
        match Waiting::begin(shard, &upstream, bytes.len()) {
            Ok(place) => job.place = Some(place),
            Err(detail) => {
                let fault = Fault::undelivered(FaultKind::UpstreamFull);
                return self.fail(job, Fault { detail, ..fault });
            }
        }
        job.bytes = self.spare();
        job.bytes.extend_from_slice(bytes);
        self.enqueue(shard, job, false);
    }

    fn enqueue(self: &Rc<Self>, shard: &Rc<Shard>, mut job: Job, is_first: bool) {
        let queue = self.upstream.borrow().settings.timeouts.queue;
        if job.place.is_none() {
            // It was let in before.
            job.place = Waiting::begin(shard, &self.upstream.borrow(), job.bytes.len()).ok();
        }
        job.until_ms = clock::coarse_ms() + queue.as_millis() as u64;
        job.trace.has_waited |= job.dial.is_none();
        let has_dial = job.dial.is_some();
        match is_first {
            true => self.waiting.borrow_mut().push_front(job),
            false => self.waiting.borrow_mut().push_back(job),
        }
        if !has_dial {
            self.open_more(shard);
        }
        if self.waiting() > 0 && self.keeper.borrow().is_none() {
            keeper::start(shard, self);
        } else if !self.keeper_waits.get() {
            // It may have found nothing to stand in the queue for.
            self.wake_keeper();
        }
    }

    /// Where a message goes that nobody is before.
    fn place<'a>(&self, shard: &Shard, upstream: &'a Upstream, job: &mut Job) -> Place<'a> {
        let wires = self.wires.borrow();
        let may_open = self.may_open(upstream);
        let per_endpoint = upstream.settings.connections.unwrap_or(u32::MAX);
        let mut tried = job.tried;
        let choice = upstream.pick_where(job.draw(shard, upstream), &mut tried, |endpoint| {
            wires.get(endpoint.slot).is_some_and(Wires::has_room)
                || (may_open && endpoint.state.connections() < per_endpoint)
        });
        let pick = match choice {
            Choice::Pick(pick) => pick,
            Choice::Full => return Place::Full,
            Choice::None => return Place::None,
        };
        drop(wires);
        let slot = pick.endpoint.slot;
        let opens = may_open && pick.endpoint.state.connections() < per_endpoint;
        match self.take_wire(shard, slot, !opens) {
            Some(wire) => {
                job.tried = tried;
                Place::Wire(wire, pick)
            }
            None => {
                let at = |endpoint: &Endpoint| endpoint.slot == slot;
                // As it was picked from among them.
                upstream.endpoints.iter().position(at).map_or(Place::Full, Place::Dial)
            }
        }
    }

    /// Whether there may be one connection more, to some endpoint.
    fn may_open(&self, upstream: &Upstream) -> bool {
        upstream.admission().has_room() && self.others_waiting(upstream) == 0
    }

    /// A connection to an endpoint that has room; one on which something is under way only if there
    /// may be no further one.
    fn take_wire(&self, shard: &Shard, slot: usize, is_last: bool) -> Option<Rc<Wire>> {
        let mut wires = self.wires.borrow_mut();
        let wires = wires.get_mut(slot)?;
        while let Some(wire) = wires.idle.pop() {
            wire.is_listed.set(false);
            shard.counters.endpoints[slot].idle.subtract(1);
            if wire.is_good() {
                return Some(wire);
            }
            // Its task finds out, and puts it back if it was nothing.
            wire.look_again();
        }
        if self.depth() == 1 || !is_last || wires.all.is_empty() {
            return None;
        }
        // The better one of two by chance is nearly as good as the best one.
        let count = wires.all.len() as u64;
        let random = shard.random();
        let two = [random % count, (random >> 32) % count].map(|at| &wires.all[at as usize]);
        let better = two.into_iter().filter(|wire| wire.is_good()).min_by_key(|wire| wire.load());
        better.or_else(|| wires.all.iter().find(|wire| wire.is_good())).cloned()
    }

    /// A message that waits and may go over this connection.
    pub(super) fn next_for(&self, wire: &Wire) -> Option<(Job, InFlight)> {
        if self.waiting.borrow().is_empty() || self.is_too_many(wire) {
            return None;
        }
        let upstream = self.upstream.borrow();
        // Those who wait at the gate, on all threads, come in turn.
        if upstream.gate().is_some_and(|gate| gate.waiting() > 0) {
            return None;
        }
        let place = wire.place_in(&upstream)?;
        if upstream.endpoints[place].weight == 0 {
            return None;
        }
        let is_idle = wire.is_idle();
        let mut waiting = self.waiting.borrow_mut();
        let takes = |job: &Job| {
            let goes_here = |bound: usize| bound == place;
            // One of its own serves it better than a place behind others.
            let is_served = job.dial.is_some() && !is_idle;
            !is_served
                && !job.tried.contains(place)
                && upstream
                    .place_of(job.draw(&wire.shard, &upstream), &job.tried)
                    .is_none_or(goes_here)
        };
        let at = waiting.iter().position(takes)?;
        let pick = upstream.enter(place)?;
        let mut job = waiting.remove(at)?;
        job.tried.add(place);
        Some((job, pick.keep()))
    }

    /// Opens connections for those who wait, as far as there may be more.
    pub(super) fn open_more(self: &Rc<Self>, shard: &Rc<Shard>) {
        let upstream = self.upstream();
        // Who waits has found no room on those that there are, unless it was the gate.
        if upstream.gate().is_none() && !self.may_open(&upstream) {
            return;
        }
        let mut from = 0;
        while (self.dials.get() as usize) < self.waiting() {
            let next = {
                let mut waiting = self.waiting.borrow_mut();
                let at = waiting.iter().skip(from).position(|job| job.dial.is_none());
                at.and_then(|at| Some((from + at, waiting.remove(from + at)?)))
            };
            let Some((at, mut job)) = next else { return };
            match self.place(shard, &upstream, &mut job) {
                Place::Wire(wire, pick) => {
                    wire.send(job, None, pick.keep());
                    continue;
                }
                Place::Dial(index) => dial::start(shard, self, &upstream, index, &mut job),
                Place::Full => {}
                Place::None => {
                    self.fail(job, Fault::undelivered(FaultKind::NoEndpoint));
                    continue;
                }
            }
            let is_full = job.dial.is_none();
            self.waiting.borrow_mut().insert(at, job);
            // Where all may go anywhere the others would find no room either.
            if is_full && !upstream.is_consistent() {
                return;
            }
            from = at + 1;
        }
    }

    /// Opens one under a permit that is taken. Returns whether it was used.
    pub(super) fn open_permitted(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        upstream: &Arc<Upstream>,
    ) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let most = upstream.settings.connections.unwrap_or(u32::MAX);
        let tries = if upstream.is_consistent() { usize::MAX } else { 1 };
        let jobs = waiting.iter_mut().filter(|job| job.dial.is_none());
        jobs.take(tries).any(|job| {
            let mut tried = job.tried;
            let choice = upstream.pick_where(job.draw(shard, upstream), &mut tried, |endpoint| {
                endpoint.state.connections() < most
            });
            let Choice::Pick(pick) = choice else { return false };
            let slot = pick.endpoint.slot;
            let place = upstream.endpoints.iter().position(|endpoint| endpoint.slot == slot);
            place.is_some_and(|place| dial::start_permitted(shard, self, upstream, place, job))
        })
    }

    /// Whether somebody waits for whom a connection more could be opened, and used at once.
    pub(super) fn wants_connection(&self, upstream: &Upstream) -> bool {
        let most = upstream.settings.connections.unwrap_or(u32::MAX);
        let waiting = self.waiting.borrow();
        waiting.iter().find(|job| job.dial.is_none()).is_some_and(|job| {
            upstream.has_room_where(&job.tried, |one| one.state.connections() < most)
        })
    }

    /// Whether the message that is first could go somewhere now.
    pub(super) fn could_place(&self, upstream: &Upstream) -> bool {
        let may_open = self.may_open(upstream);
        let most = upstream.settings.connections.unwrap_or(u32::MAX);
        let wires = self.wires.borrow();
        let waiting = self.waiting.borrow();
        // For the others a connection is coming.
        waiting.iter().find(|job| job.dial.is_none()).is_some_and(|job| {
            upstream.has_room_where(&job.tried, |endpoint| {
                wires.get(endpoint.slot).is_some_and(Wires::has_room)
                    || (may_open && endpoint.state.connections() < most)
            })
        })
    }

    /// A connection is being opened, for a message or ahead of any. Returns its number.
    pub(super) fn begins_dial(&self, is_for_one: bool) -> u64 {
        self.dials.set(self.dials.get() + u32::from(is_for_one));
        self.dialled.set(self.dialled.get() + 1);
        self.dialled.get()
    }

    /// It is open, or it has failed with this fault: whom it was opened for goes elsewhere.
    pub(super) fn ends_dial(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        (dial, is_for_one): (u64, bool),
        (to, place): (&Arc<Upstream>, usize),
        fault: Option<Fault>,
    ) {
        self.dials.set(self.dials.get() - u32::from(is_for_one));
        let found = {
            let mut waiting = self.waiting.borrow_mut();
            let at = waiting.iter().position(|job| job.dial == Some(dial));
            match (at, fault) {
                (Some(at), Some(fault)) => waiting.remove(at).map(|job| (job, fault)),
                (Some(at), None) => {
                    waiting[at].dial = None;
                    self.wake_keeper();
                    None
                }
                (None, _) => None,
            }
        };
        if let Some((mut job, fault)) = found {
            job.dial = None;
            job.attempts += 1;
            shard.counters.endpoints[to.endpoints[place].slot].attempts.add(1);
            let upstream = self.upstream();
            if Arc::ptr_eq(&upstream, to) {
                job.tried.add(place);
            }
            match job.attempts <= upstream.settings.retries && upstream.has_another(&job.tried) {
                true => self.enqueue(shard, job, true),
                false => self.fail_at(job, fault, Some(to.endpoints[place].slot)),
            }
        }
        if fault.is_some() {
            self.tend_on(shard);
        }
    }

    /// Something has become free that those who wait may want.
    fn tend_on(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.waiting() > 0 {
            self.open_more(shard);
        }
        self.wake_keeper();
    }

    pub(super) fn wake_keeper(&self) {
        if let Some(keeper) = &*self.keeper.borrow() {
            keeper.wake_by_ref();
        }
    }

    pub(super) fn has_keeper(&self, waker: Option<&Waker>) {
        *self.keeper.borrow_mut() = waker.cloned();
    }

    /// Until when the one waits who has waited longest.
    pub(super) fn waits_until_ms(&self) -> Option<u64> {
        self.waiting.borrow().iter().map(|job| job.until_ms).next()
    }

    /// Ends the waiting of those whose time is over, or who have gone.
    pub(super) fn drop_late(&self, now_ms: u64) {
        loop {
            let late = {
                let mut waiting = self.waiting.borrow_mut();
                let is_over = |job: &Job| now_ms >= job.until_ms || job.client.is_gone();
                match waiting.front().is_some_and(is_over) {
                    true => waiting.pop_front(),
                    false => None,
                }
            };
            let Some(job) = late else { return };
            let fault = Fault::undelivered(FaultKind::UpstreamFull);
            self.fail(job, fault);
        }
    }

    /// A client has gone: what of it waits is dropped.
    pub(super) fn forget(&self, client: &Rc<Client>) {
        loop {
            let gone = {
                let mut waiting = self.waiting.borrow_mut();
                let at = waiting.iter().position(|job| Rc::ptr_eq(&job.client, client));
                at.and_then(|at| waiting.remove(at))
            };
            let Some(job) = gone else { return };
            self.fail(job, Fault::undelivered(FaultKind::ClientAborted));
        }
    }

    /// It wants no replies any more.
    pub(super) fn abandon(&self, client: &Rc<Client>) {
        for wires in &*self.wires.borrow() {
            wires.all.iter().for_each(|wire| wire.abandon(client));
        }
    }

    /// A message was sent and has failed: with a part of the reply, or without having got there.
    pub(super) fn failed(
        self: &Rc<Self>,
        owner: Owner,
        fault: Fault,
        (was_begun, undelivered): (bool, bool),
        slot: usize,
    ) {
        let Owner { mut job, in_flight, .. } = owner;
        drop(in_flight);
        let upstream = self.upstream();
        let shard = Rc::clone(&job.client.accepted.shard);
        let has_another = upstream.has_another(&job.tried);
        // What has not got there may go there again, over another connection.
        if !was_begun && (undelivered || has_another) && job.may_go_on(&upstream, undelivered) {
            if !has_another {
                job.tried = Tried::default();
            }
            shard.counters.endpoints[slot].stale.add(u64::from(job.trace.is_reused));
            return self.enqueue(&shard, job, true);
        }
        let fault = match was_begun {
            true if fault.kind == FaultKind::EmptyReply => FaultKind::BodyTruncated.into(),
            _ => fault,
        };
        self.fail_at(job, fault, Some(slot));
    }

    /// Tells a client that there is no reply.
    pub(super) fn fail(&self, job: Job, fault: Fault) {
        self.fail_at(job, fault, None);
    }

    fn fail_at(&self, mut job: Job, fault: Fault, slot: Option<usize>) {
        let upstream = self.upstream();
        let shard = &job.client.accepted.shard;
        self.conclude(&upstream, &job, Some(fault.kind));
        let endpoint =
            slot.and_then(|slot| upstream.known().find(|endpoint| endpoint.slot == slot));
        job.trace.bytes_out += job.client.fails(job.number, fault.kind, &self.rules);
        job.record(shard, (&upstream, endpoint), Some(fault));
        self.give_back(std::mem::take(&mut job.bytes));
    }

    /// Tells the circuit breaker what a message has come to.
    pub(super) fn conclude(&self, upstream: &Upstream, job: &Job, fault: Option<FaultKind>) {
        attempt::conclude(upstream, fault, 0, job.admitted_ms);
    }
}

/// The connections of a desk.
impl Desk {
    /// The thread ends. Whatever waits or is owed has a line in the log.
    pub(super) fn end(&self) {
        let upstream = self.upstream();
        let waiting = self.waiting.take().into_iter().map(|job| (job, None));
        let wires: Vec<_> = self.wires.take().into_iter().flat_map(|wires| wires.all).collect();
        let owed = wires
            .iter()
            .flat_map(|wire| wire.end().into_iter().map(|owner| (owner.job, Some(wire.slot))));
        for (job, slot) in waiting.chain(owed) {
            let of_slot = |slot| upstream.known().find(|endpoint| endpoint.slot == slot);
            let at = (&*upstream, slot.and_then(of_slot));
            job.record(&job.client.accepted.shard, at, Some(FaultKind::Stopped.into()));
        }
    }

    pub(super) fn has_come(&self, wire: &Rc<Wire>) {
        self.adopt(wire, &self.upstream.borrow());
        let mut wires = self.wires.borrow_mut();
        if wires.len() <= wire.slot {
            wires.resize_with(wire.slot + 1, Wires::default);
        }
        wires[wire.slot].all.push(Rc::clone(wire));
    }

    pub(super) fn is_free(&self, wire: &Rc<Wire>) {
        let mut wires = self.wires.borrow_mut();
        let wires = &mut wires[wire.slot];
        if !wire.is_listed.replace(true) {
            wires.idle.push(Rc::clone(wire));
            wire.shard.counters.endpoints[wire.slot].idle.add(1);
        }
        // Those who wait at the gate may have waited for a connection, and not for room.
        if self.waiting() > 0
            && let Some(gate) = self.upstream.borrow().gate()
        {
            gate.call();
        }
    }

    pub(super) fn has_gone(&self, wire: &Rc<Wire>) {
        let mut wires = self.wires.borrow_mut();
        let wires = &mut wires[wire.slot];
        let is_other = |other: &Rc<Wire>| !Rc::ptr_eq(other, wire);
        wires.all.retain(is_other);
        let before = wires.idle.len();
        wires.idle.retain(is_other);
        let gone = (before - wires.idle.len()) as u64;
        wire.shard.counters.endpoints[wire.slot].idle.subtract(gone);
    }

    /// A connection has gone: those who wait may have another one.
    pub(super) fn tend(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.tend_on(shard);
    }

    /// Whether an idle connection is one of those that are kept open.
    pub(super) fn keeps(&self, wire: &Wire) -> bool {
        let upstream = self.upstream.borrow();
        let kept = upstream.settings.connections_kept;
        kept > 0
            && self.is_current.get()
            && !wire.shard.is_draining()
            && wire
                .place_in(&upstream)
                .is_some_and(|place| upstream.endpoints[place].state.connections() <= kept)
    }

    /// Retires a connection if another thread shall have one instead: that has less than its share
    /// of those that there may be.
    pub(super) fn give_way(&self, wire: &Wire) {
        let upstream = self.upstream.borrow();
        let admission = upstream.admission();
        let most = upstream.settings.connections.unwrap_or(u32::MAX);
        let is_over = |place: usize| upstream.endpoints[place].state.connections() > most;
        if admission.open() > admission.max() || wire.place_in(&upstream).is_some_and(is_over) {
            // There may be fewer than there were.
            return wire.retire();
        }
        let others = self.others_waiting(&upstream);
        if others == 0 {
            return;
        }
        let wires = self.wires.borrow();
        let open = wires.iter().flat_map(|wires| &wires.all).filter(|wire| !wire.is_retired());
        let count = open.count();
        let share = admission.max() as usize / (others + 1);
        let now_ms = clock::coarse_ms();
        let is_turn = now_ms >= self.yielded_ms.get() + limits::YIELD_AFTER.as_millis() as u64;
        if count > share.max(1) || (share == 0 && is_turn) {
            self.yielded_ms.set(now_ms);
            wire.retire();
        }
    }

    /// Whether a connection that comes free makes room for one to another endpoint, which has less
    /// than its share: it was away when these were opened.
    fn is_too_many(&self, wire: &Wire) -> bool {
        let upstream = self.upstream.borrow();
        let admission = upstream.admission();
        let now_ms = clock::coarse_ms();
        if admission.has_room()
            || upstream.endpoints.len() < 2
            || now_ms < self.yielded_ms.get() + limits::YIELD_AFTER.as_millis() as u64
        {
            return false;
        }
        let all: u64 = upstream.endpoints.iter().map(|one| u64::from(one.weight)).sum();
        let share = |weight: u32| u64::from(admission.max()) * u64::from(weight) / all.max(1);
        let connections = |endpoint: &Endpoint| u64::from(endpoint.state.connections());
        let has_more = wire
            .place_in(&upstream)
            .map(|place| &upstream.endpoints[place])
            .is_some_and(|own| connections(own) > share(own.weight).max(1));
        let has_less = |other: &Endpoint| connections(other) < share(other.weight);
        let is_one = has_more && upstream.endpoints.iter().any(has_less);
        if is_one {
            self.yielded_ms.set(now_ms);
            wire.retire();
        }
        is_one
    }

    /// Who waits for a connection to the upstream, beside the keeper of this desk.
    pub(super) fn others_waiting(&self, upstream: &Upstream) -> usize {
        let own = usize::from(self.keeper_waits.get());
        upstream.admission().waiting().saturating_sub(own)
    }

    /// Follows another plan.
    pub(super) fn follow(&self, upstream: &Arc<Upstream>) {
        let before = self.upstream.replace(Arc::clone(upstream));
        if Arc::ptr_eq(&before, upstream) {
            return;
        }
        for wire in self.wires.borrow().iter().flat_map(|wires| &wires.all) {
            self.adopt(wire, upstream);
        }
        // Their places are others now.
        self.waiting.borrow_mut().iter_mut().for_each(|job| job.tried = Tried::default());
        self.wake_keeper();
    }

    /// Goes on with a connection under another plan, if its endpoint is there and spoken to as it
    /// was.
    fn adopt(&self, wire: &Wire, upstream: &Arc<Upstream>) {
        let mut endpoints = upstream.endpoints.iter();
        match endpoints.position(|endpoint| wire.endpoint_is(endpoint)) {
            Some(place) if wire.is_spoken_to_as(upstream) => wire.follow(upstream, place),
            _ => wire.retire(),
        }
    }

    /// Opens connections that shall be there before anybody wants them.
    pub(super) fn keep_some(self: &Rc<Self>, shard: &Rc<Shard>) {
        let upstream = self.upstream();
        let kept = upstream.settings.connections_kept;
        for (index, endpoint) in upstream.endpoints.iter().enumerate() {
            if endpoint.weight > 0 && endpoint.state.connections() < kept {
                dial::ahead(shard, self, &upstream, index);
            }
        }
    }

    /// Closes connections that have been idle for so long.
    pub(super) fn close_idle(&self, most: usize, idle: Duration) {
        let wires = self.wires.borrow();
        let before_ms = clock::coarse_ms().saturating_sub(idle.as_millis() as u64);
        let all = wires.iter().flat_map(|wires| &wires.idle);
        let old = all.filter(|wire| wire.idle_since_ms() <= before_ms);
        old.take(most).for_each(|wire| wire.retire());
    }
}

impl Wires {
    fn has_room(&self) -> bool {
        !self.idle.is_empty() || self.all.iter().any(|wire| wire.has_room())
    }
}
