//! Datagrams: steps 1, 7, 8, 11 and 12 of the way of a request, for all flows of a socket in one
//! task. What has come is received in one call and sent on flow by flow; replies of many flows are
//! gathered, and leave in one call.
//!
//! `table` is who has which flow, `flow` what is known of one, `way` where it goes, and `moved` how
//! it goes on in another process.

mod flow;
mod moved;
mod table;
mod way;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use fairwater_message::FaultKind;
use fairwater_net::{Datagrams, Gathering, Timer, Unsent, clock};
use fairwater_plan::{ListenerId, Protocol, ProxyVersion, Udp, Upstream};
use fairwater_sys::datagram::{BATCH_MAX, Batch, Local};
use fairwater_sys::epoll::Ready;
use fairwater_telemetry::{Dropped, ListenerCounters};
use tokio::sync::mpsc::Receiver;

use crate::attempt;
use crate::in_force::InForce;
use crate::limits::{DATAGRAM_BATCHES_PER_TURN, FLOW_LINGER, REPLIES_AT_ONCE};
use crate::listening::Place;
use crate::rate;
use crate::shard::Shard;
use flow::{Ended, Flow, Seat, Tally};
pub(crate) use moved::{Doors, Moved};
use table::{FlowId, Key, Table};
use way::{Asked, Targets, Way};

/// The room of the process that flows never take all of: they cost their clients nothing.
const SHARE_OF_CONNECTIONS: u32 = 2;

/// Serves a socket until it closes or the shard drains, and what is under way then for a moment
/// more.
pub(crate) async fn run(mut pump: Pump) {
    let mut turns = 0;
    while poll_fn(|cx| pump.poll(cx)).await {
        // What was being done is lost then, and so are the flows: the socket is not.
        if catch_unwind(AssertUnwindSafe(|| pump.turn())).is_err() {
            pump.begin_anew();
        }
        turns += 1;
        if turns % DATAGRAM_BATCHES_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// What holds for the flows by the plan in force.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    /// Absent for a listener that is gone.
    udp: Option<Udp>,
    flows_max: u32,
    /// Flows of the thread, over all sockets.
    flows_of_all_max: u32,
    idle_ms: u64,
    proxy_protocol: Option<ProxyVersion>,
}

impl Rules {
    fn replies_max(&self) -> Option<u32> {
        self.udp.and_then(|udp| udp.replies_max)
    }
}

pub(crate) struct Pump {
    shard: Rc<Shard>,
    place: Rc<Place>,
    socket: Datagrams,
    /// Those that endpoints answer to.
    sockets: Gathering,
    ready: Ready,
    timer: Timer,
    /// The plan that the rules are of.
    seen: Weak<InForce>,
    listener: ListenerId,
    rules: Rules,
    flows: Table<Flow>,
    targets: Targets,
    /// Flows of the process before.
    moved: Receiver<Moved>,
    arrived: Vec<Moved>,
    /// What waits for nothing has been ended.
    has_left: bool,
}

impl Pump {
    /// # Errors
    /// When the process may have no further descriptor.
    pub(crate) fn new(shard: Rc<Shard>, socket: Datagrams, place: Rc<Place>) -> io::Result<Self> {
        let sockets = Gathering::new()?;
        let moved = shard.spread.flow_doors().open(socket.cookie());
        shard.pumps.set(shard.pumps.get() + 1);
        let mut pump = Self {
            sockets,
            ready: Ready::default(),
            timer: Timer::new(&shard.wheel),
            seen: Weak::new(),
            listener: place.listener(),
            rules: Rules::default(),
            flows: Table::default(),
            targets: Targets::default(),
            moved,
            arrived: Vec::new(),
            has_left: false,
            shard,
            place,
            socket,
        };
        pump.refresh();
        Ok(pump)
    }

    /// Whether nothing is taken from clients any more: another process does, or nobody.
    fn is_leaving(&self) -> bool {
        self.place.is_closing() || self.shard.is_draining()
    }

    /// Waits for something to do. False when there will be nothing more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let is_leaving = self.is_leaving();
        if is_leaving && self.flows.is_empty() {
            return Poll::Ready(false);
        }
        // Whoever is woken for each of them.
        let mut is_ready = self.timer.poll_expired(cx).is_ready() || is_leaving && !self.has_left;
        is_ready |= self.sockets.poll_ready(cx).is_ready();
        if !is_leaving {
            is_ready |= self.place.poll_closing(cx).is_ready();
            is_ready |= self.socket.poll_ready(cx).is_ready();
            while let Poll::Ready(Some(moved)) = self.moved.poll_recv(cx) {
                self.arrived.push(moved);
                is_ready = true;
            }
        }
        if is_ready { Poll::Ready(true) } else { Poll::Pending }
    }

    fn turn(&mut self) {
        let now_ms = clock::coarse_ms();
        self.refresh();
        for moved in std::mem::take(&mut self.arrived) {
            self.take_in(moved, now_ms);
        }
        if self.is_leaving() {
            self.leave();
        }
        let mut batch = self.shard.datagrams.take().unwrap_or_default();
        if !self.is_leaving() {
            self.serve_clients(&mut batch, now_ms);
        }
        self.serve_endpoints(&mut batch, now_ms);
        self.shard.datagrams.replace(Some(batch));
        self.expire(now_ms);
    }

    /// Takes in another plan.
    fn refresh(&mut self) {
        let (in_force, listener) = (self.shard.in_force(), self.place.listener());
        if Rc::as_ptr(&in_force) == self.seen.as_ptr() && listener == self.listener {
            return;
        }
        if listener != self.listener {
            // Its flows begin anew with their next datagrams.
            self.targets.forget();
            self.listener = listener;
        }
        self.seen = Rc::downgrade(&in_force);
        let by = in_force.plan.listener(listener);
        let udp = match &by.protocol {
            Protocol::Udp(udp) => Some(*udp),
            _ => None,
        };
        let upstream = udp.map(|udp| &**in_force.plan.upstream(udp.upstream));
        let proxy_protocol = upstream.and_then(|upstream| upstream.settings.proxy_protocol);
        match proxy_protocol == self.rules.proxy_protocol {
            true => self.targets.adopt(upstream),
            false => self.targets.forget(),
        }
        let flows_of_all_max =
            by.connections.all.max() / SHARE_OF_CONNECTIONS / self.shard.spread.threads();
        let flows_max = udp.map_or(0, |udp| udp.flows_max);
        let idle_ms = by.timeouts.idle.as_millis() as u64;
        self.rules = Rules { udp, flows_max, flows_of_all_max, idle_ms, proxy_protocol };
    }

    fn counters(&self) -> &ListenerCounters {
        &self.shard.counters.listeners[self.listener.0 as usize]
    }

    fn dropped(&self, reason: Dropped) {
        self.counters().datagrams.dropped(reason);
    }

    /// Sends on what clients have sent.
    fn serve_clients(&mut self, batch: &mut Batch, now_ms: u64) {
        // Whatever else the kernel says of the socket concerns no datagram.
        let Ok(count) = self.socket.receive(batch) else { return };
        let in_force = self.shard.in_force();
        let mut found = [(FlowId::of(0), 0_u8); BATCH_MAX];
        let (mut found_count, mut bytes) = (0, 0);
        for at in 0..count {
            let datagram = batch.received(at);
            let length = datagram.bytes.len() as u64;
            bytes += length;
            let flow = self.flow_of(&in_force, (datagram.from, datagram.to), now_ms);
            match flow.map(|id| (id, self.flows.get_mut(id))) {
                Ok((id, Some(flow))) => {
                    flow.tally.bytes_in += length;
                    found[found_count] = (id, at as u8);
                    found_count += 1;
                }
                Ok((_, None)) => self.dropped(Dropped::NoRoom),
                Err(reason) => self.dropped(reason),
            }
        }
        let counters = self.counters();
        counters.datagrams.received.add(count as u64);
        counters.bytes_in.add(bytes);
        let found = &mut found[..found_count];
        // Each flow's together, in the order in which they came.
        found.sort_unstable();
        for of_flow in found.chunk_by(|one, other| one.0 == other.0) {
            let mut which = [0; BATCH_MAX];
            of_flow.iter().zip(&mut which).for_each(|((_, at), place)| *place = *at);
            self.send_on(&in_force, batch, of_flow[0].0, &which[..of_flow.len()]);
        }
    }

    /// The flow that a datagram belongs to, which begins with it if there is none.
    fn flow_of(
        &mut self,
        in_force: &InForce,
        (from, to): (Option<SocketAddr>, Option<Local>),
        now_ms: u64,
    ) -> Result<FlowId, Dropped> {
        let client = from.filter(|from| from.port() != 0).ok_or(Dropped::BadSource)?;
        let local = to.map_or_else(|| self.socket.local().ip(), |to| to.ip);
        let key = Key { client, local };
        if let Some(id) = self.flows.find(&key)
            && let Some(flow) = self.flows.get_mut(id)
        {
            if flow.way.target.is_current() {
                let is_broken = flow.way.is_broken();
                self.flows.hear(id, now_ms);
                if is_broken {
                    self.turn_flow(in_force, id)?;
                }
                return Ok(id);
            }
            // Its endpoint gets nothing more. What that owes may still come.
            match flow.tally.is_waiting() {
                true => self.flows.hide(id),
                false => self.end(id, None),
            }
        }
        self.begin(in_force, key, (client, to), now_ms)
    }

    fn upstream<'p>(&self, in_force: &'p InForce) -> Option<&'p Upstream> {
        Some(&**in_force.plan.upstream(self.rules.udp?.upstream))
    }

    fn begin(
        &mut self,
        in_force: &InForce,
        key: Key,
        (client, local): (SocketAddr, Option<Local>),
        now_ms: u64,
    ) -> Result<FlowId, Dropped> {
        let upstream = self.upstream(in_force).ok_or(Dropped::NoEndpoint)?;
        let (by, ip) = (in_force.plan.listener(self.listener), client.ip().to_canonical());
        if self.shard.refuses_connections(by) {
            return Err(Dropped::Overloaded);
        }
        if !rate::lets_in(by, Some(ip)) {
            return Err(Dropped::RateLimited);
        }
        let seat = self.seat(ip)?;
        let mut tally = Tally { id: self.shard.next_request_id(), ..Tally::default() };
        tally.begun_us = self.shard.now_us();
        let way = self.open(upstream, ip, None, &mut tally.attempts)?;
        let target = SocketAddr::new(key.local, self.socket.local().port());
        let header = way::header(upstream, client, target);
        self.add(key, Flow::new(seat, way, (client, local), header, tally), now_ms)
    }

    /// Makes room for a flow, and takes it.
    fn seat(&mut self, client: IpAddr) -> Result<Seat, Dropped> {
        while self.is_full() && self.evict() {}
        match Seat::take(&self.shard, self.listener, client) {
            Err(Dropped::NoRoom) if self.evict() => Seat::take(&self.shard, self.listener, client),
            result => result,
        }
    }

    /// Whether it has all that it may have: each socket of the thread as much as any other.
    fn is_full(&self) -> bool {
        let Rules { flows_max, flows_of_all_max, .. } = self.rules;
        let equal = flows_of_all_max / self.shard.pumps.get();
        self.flows.len() >= flows_max.min(equal).max(1) as usize
    }

    fn open(
        &mut self,
        upstream: &Upstream,
        client: IpAddr,
        avoided: Option<usize>,
        attempts: &mut u32,
    ) -> Result<Way, Dropped> {
        let shard = Rc::clone(&self.shard);
        let asked = Asked { shard: &shard, upstream, client, avoided };
        match self.targets.open(asked, attempts) {
            Err(Dropped::NoRoom) if self.evict() => self.targets.open(asked, attempts),
            result => result,
        }
    }

    /// Puts a flow into the table, and listens to its endpoint.
    fn add(&mut self, key: Key, flow: Flow, now_ms: u64) -> Result<FlowId, Dropped> {
        let id = self.flows.next_id();
        if self.sockets.add(flow.way.as_fd(), id.number()).is_err() {
            flow.end(Some(FaultKind::ConnectFailed));
            return Err(Dropped::NoRoom);
        }
        Ok(self.flows.insert(key, flow, now_ms))
    }

    fn end(&mut self, id: FlowId, fault: Option<FaultKind>) {
        self.flows.remove(id).into_iter().for_each(|flow| flow.end(fault));
    }

    /// Ends the flow that has been silent for the longest. Returns false if there is none.
    fn evict(&mut self) -> bool {
        let oldest = self.flows.oldest();
        oldest.map(|(id, _)| self.end(id, Some(FaultKind::FlowEvicted))).is_some()
    }

    /// Gives a flow another way, to another endpoint if there is one.
    fn turn_flow(&mut self, in_force: &InForce, id: FlowId) -> Result<(), Dropped> {
        let upstream = self.upstream(in_force).ok_or(Dropped::NoEndpoint)?;
        let Some(flow) = self.flows.get_mut(id) else { return Err(Dropped::NoRoom) };
        let (avoided, client) = (flow.way.target.slot, flow.seat.client);
        let mut attempts = flow.tally.attempts;
        let way = self.open(upstream, client, Some(avoided), &mut attempts);
        let Some(flow) = self.flows.get_mut(id) else { return Err(Dropped::NoRoom) };
        flow.tally.attempts = attempts;
        let way = way?;
        self.sockets.add(way.as_fd(), id.number()).map_err(|_| Dropped::NoRoom)?;
        flow.turn(way);
        Ok(())
    }

    /// Sends datagrams of a flow to its endpoint, or to another one if that is not there.
    fn send_on(&mut self, in_force: &InForce, batch: &mut Batch, id: FlowId, which: &[u8]) {
        let mut rest = which;
        let mut turns = self.upstream(in_force).map_or(0, |upstream| upstream.settings.retries);
        while !rest.is_empty() {
            let replies_max = self.rules.replies_max();
            // One that has come with others may have had to make room for them.
            let Some(flow) = self.flows.get_mut(id) else {
                return rest.iter().for_each(|_| self.dropped(Dropped::NoRoom));
            };
            let error = match batch.send_on(flow.way.as_fd(), rest, &flow.header) {
                Ok(sent) => {
                    flow.sent(sent, replies_max);
                    rest = rest.get(sent.max(1)..).unwrap_or_default();
                    continue;
                }
                Err(error) => Unsent::of(&error),
            };
            let reason = match error {
                Unsent::Busy => Dropped::Busy,
                Unsent::TooLong => Dropped::TooLong,
                Unsent::Refused | Unsent::Unreachable => {
                    self.fail(in_force, id, fault_of(error));
                    match turns.checked_sub(1).map(|left| (left, self.turn_flow(in_force, id))) {
                        Some((left, Ok(()))) => {
                            turns = left;
                            continue;
                        }
                        Some((_, Err(reason))) => reason,
                        None => Dropped::Unreachable,
                    }
                }
            };
            self.dropped(reason);
            rest = &rest[1..];
        }
    }

    /// The endpoint of a flow is not there: its next datagram goes to another.
    fn fail(&mut self, in_force: &InForce, id: FlowId, kind: FaultKind) {
        let upstream = self.upstream(in_force);
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.way.break_off() {
            flow.fail(kind);
            conclude(upstream, &self.shard, flow, Some(kind));
        }
    }

    /// Gives clients what endpoints have sent.
    fn serve_endpoints(&mut self, batch: &mut Batch, now_ms: u64) {
        self.sockets.look(&mut self.ready);
        if self.ready.is_empty() {
            return;
        }
        let in_force = self.shard.in_force();
        let (mut filled, mut is_emptied) = (0, true);
        for at in 0..self.ready.len() {
            if filled == BATCH_MAX {
                self.send_back(batch, filled);
                filled = 0;
            }
            let most = REPLIES_AT_ONCE.min(BATCH_MAX - filled);
            let id = FlowId::of(self.ready.number(at));
            let (received, taken) = self.replies_of(&in_force, id, (batch, filled, most), now_ms);
            is_emptied &= received < most;
            filled += taken;
        }
        self.send_back(batch, filled);
        if is_emptied {
            self.sockets.is_emptied(&self.ready);
        }
    }

    /// Receives what has come for a flow, from the place `first` on. Returns how much it is, and
    /// how much of it goes to the client.
    fn replies_of(
        &mut self,
        in_force: &InForce,
        id: FlowId,
        (batch, first, most): (&mut Batch, usize, usize),
        now_ms: u64,
    ) -> (usize, usize) {
        let upstream = self.upstream(in_force);
        let Some(flow) = self.flows.get_mut(id) else { return (0, 0) };
        let received = match batch.receive_on(flow.way.as_fd(), first, most) {
            Ok(received) => received,
            Err(error) => {
                let unsent = Unsent::of(&error);
                if unsent == Unsent::Busy {
                    return (0, 0);
                }
                self.fail(in_force, id, fault_of(unsent));
                // There may be replies behind the news.
                return (most, 0);
            }
        };
        let is_counted = self.rules.replies_max().is_some();
        let due = if is_counted { flow.tally.due } else { u64::MAX };
        let taken = received.min(usize::try_from(due).unwrap_or(usize::MAX));
        let mut bytes = 0;
        for at in first..first + taken {
            batch.address(at, flow.client, flow.local);
            bytes += batch.length(at) as u64;
        }
        let tally = &mut flow.tally;
        tally.bytes_out += bytes;
        (tally.is_owed, tally.failure) = (false, None);
        if is_counted {
            tally.due -= taken as u64;
        }
        if !std::mem::replace(&mut tally.is_answered, true) {
            if tally.answered_us == 0 {
                tally.answered_us = self.shard.now_us();
            }
            conclude(upstream, &self.shard, flow, None);
        }
        let is_over = is_counted && flow.tally.due == 0 || self.has_left;
        self.counters().bytes_out.add(bytes);
        (taken..received).for_each(|_| self.dropped(Dropped::ReplyExcess));
        if is_over {
            self.end(id, None);
        } else if self.flows.is_found(id) {
            self.flows.hear(id, now_ms);
        }
        (received, taken)
    }

    /// Sends the first datagrams of a batch to their clients.
    fn send_back(&self, batch: &mut Batch, count: usize) {
        let (mut at, mut sent) = (0, 0);
        while at < count {
            match batch.send_to(self.socket.as_fd(), at, count - at) {
                Ok(taken) => {
                    sent += taken;
                    at += taken.max(1);
                }
                Err(_) => {
                    self.dropped(Dropped::ReplyUnsent);
                    at += 1;
                }
            }
        }
        if sent > 0 {
            self.counters().datagrams.sent.add(sent as u64);
        }
    }

    /// Ends who was silent for too long.
    fn expire(&mut self, now_ms: u64) {
        let idle_ms = match self.has_left {
            true => (FLOW_LINGER.as_millis() as u64).min(self.rules.idle_ms),
            false => self.rules.idle_ms,
        };
        while let Some((id, heard_ms)) = self.flows.oldest() {
            if heard_ms + idle_ms > now_ms {
                return self.timer.set_at(heard_ms + idle_ms);
            }
            let Some(flow) = self.flows.remove(id) else { return };
            let is_unanswered = flow.tally.is_owed && !flow.tally.is_answered;
            let fault = (is_unanswered && self.rules.replies_max().is_some() && !self.has_left)
                .then_some(FaultKind::ResponseTimeout);
            if fault.is_some() {
                let in_force = self.shard.in_force();
                conclude(self.upstream(&in_force), &self.shard, &flow, fault);
            }
            flow.end(fault);
        }
        self.timer.unset();
    }

    /// After a panic nobody knows what is true of the flows.
    fn begin_anew(&mut self) {
        self.shard.counters.panics.add(1);
        for id in self.flows.ids() {
            self.end(id, Some(FaultKind::Internal));
        }
        self.flows = Table::default();
        self.targets.forget();
    }

    /// Gives all flows to the process that serves in place of this one; without one those stay for
    /// a moment that wait for replies.
    fn leave(&mut self) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        let heir = self.shard.heir().filter(|_| self.shard.moves() && !self.place.is_closing());
        let in_force = self.shard.in_force();
        let name = &in_force.plan.listener(self.listener).name;
        for id in self.flows.ids() {
            let Some(key) = self.flows.key(id) else { continue };
            let is_waiting = self.flows.get_mut(id).is_some_and(|flow| flow.tally.is_waiting());
            let is_found = self.flows.is_found(id);
            match &heir {
                Some(heir) if is_found => {
                    let Some(flow) = self.flows.remove(id) else { continue };
                    self.sockets.remove(flow.way.as_fd());
                    let parcel = moved::parcel(name, self.socket.cookie(), key, &flow);
                    drop(tokio::task::spawn_local(moved::give(Rc::clone(heir), parcel, flow)));
                }
                _ if is_waiting => {}
                _ => self.end(id, None),
            }
        }
    }

    /// Goes on with a flow of the process before. A younger one of its client, which has begun
    /// while both were there, waits for its replies alone from now on. One that has no room here,
    /// or whose endpoint gets nothing any more, ends.
    fn take_in(&mut self, moved: Moved, now_ms: u64) {
        let in_force = self.shard.in_force();
        let upstream = self.upstream(&in_force);
        let Moved { told, socket } = moved;
        let (key, local) = (told.key, told.local);
        let ip = key.client.ip().to_canonical();
        let (seat, fault) = match self.seat(ip) {
            Ok(seat) => (Some(seat), None),
            Err(_) => (None, Some(FaultKind::FlowEvicted)),
        };
        let way = upstream
            .filter(|_| seat.is_some())
            .and_then(|to| self.targets.given((&self.shard, to), &told.endpoint, socket));
        if let (Some(upstream), Some(seat), Some(way)) = (upstream, seat, way) {
            let target = SocketAddr::new(key.local, self.socket.local().port());
            let header = way::header(upstream, key.client, target);
            let flow = Flow::new(seat, way, (key.client, local), header, told.tally);
            // It has ended if there is no room.
            self.add(key, flow, now_ms).ok();
            return;
        }
        let ended = Ended {
            listener: self.listener,
            client: SocketAddr::new(ip, key.client.port()),
            upstream: upstream.map_or("", |upstream| &upstream.settings.name),
            endpoint: &told.endpoint,
            tally: &told.tally,
        };
        ended.record(&self.shard, fault.or(told.tally.failure));
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shard.pumps.set(self.shard.pumps.get() - 1);
    }
}

fn fault_of(unsent: Unsent) -> FaultKind {
    match unsent {
        Unsent::Refused => FaultKind::ConnectRefused,
        Unsent::Busy | Unsent::TooLong | Unsent::Unreachable => FaultKind::ConnectFailed,
    }
}

/// Takes in what an endpoint has made of a flow, for the endpoint and for the breaker of its
/// upstream, if that is still where datagrams go.
fn conclude(upstream: Option<&Upstream>, shard: &Shard, flow: &Flow, fault: Option<FaultKind>) {
    let target = &flow.way.target;
    target.observe(shard, fault.is_none());
    if let Some(upstream) = upstream.filter(|one| one.settings.name == target.upstream) {
        attempt::conclude(upstream, fault, 0, flow.way.admitted_ms);
    }
}
