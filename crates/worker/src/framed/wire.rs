//! A connection to an endpoint that the messages of many clients go over. One task reads it; who
//! has a message writes it himself where nothing else is on its way.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::{Stream, Timer, clock};
use fairwater_plan::{Endpoint, Replies, Upstream};
use fairwater_proto::frame::{End as StreamEnd, Look, Progress};

use super::client::Client;
use super::desk::Desk;
use super::job::{Job, Owner};
use super::ledger::{Claim, Ledger, OPEN_END};
use super::order::End;
use crate::attempt::observe;
use crate::limits;
use crate::shard::Shard;
use crate::upstream;

#[derive(Debug)]
pub(super) struct Wire {
    pub shard: Rc<Shard>,
    pub desk: Rc<Desk>,
    pub stream: Stream,
    /// What it is a connection of: its upstream in the newest plan, and its place there.
    at: RefCell<(Arc<Upstream>, usize)>,
    pub slot: usize,
    timer: Timer,
    flow: RefCell<Flow>,
    waker: RefCell<Waker>,
    /// No further message may go over it.
    is_retired: Cell<bool>,
    born_ms: u64,
    /// Since when nothing is on its way.
    idle_since_ms: Cell<u64>,
    served: Cell<u32>,
    /// A message has gone over it since it was idle.
    was_busy: Cell<bool>,
    /// It is among those of its desk that are idle.
    pub is_listed: Cell<bool>,
}

/// What is on its way, in both directions.
#[derive(Debug, Default)]
struct Flow {
    ledger: Ledger<Owner>,
    /// To be sent: what the socket does not take yet.
    out: Vec<u8>,
    out_start: usize,
    /// All that the socket has taken.
    written: u64,
    /// The reply that comes.
    progress: Progress,
    stored: Vec<u8>,
    /// Its pieces go to the client as they come.
    is_cut: bool,
    begun_ms: u64,
    /// Who sends a message piece by piece: nobody else's may come between.
    writer: Option<Rc<Client>>,
    /// Who must take something before more is read.
    reader: Option<Rc<Client>>,
    /// Our direction ends behind what is to be sent.
    ends: bool,
    /// When the endpoint has taken something.
    taken_ms: u64,
    /// The connection has failed, and its task was not told yet.
    broken: Option<Fault>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireEnd {
    fault: Fault,
    is_reset: bool,
}

impl WireEnd {
    fn of(fault: Fault) -> Self {
        Self { fault, is_reset: false }
    }
}

impl Flow {
    fn pending(&self) -> usize {
        self.out.len() - self.out_start
    }

    fn flush(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Result<(), ()> {
        while self.pending() > 0 {
            match stream.poll_write(cx, &[IoSlice::new(&self.out[self.out_start..])]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(len)) => {
                    self.out_start += len;
                    self.written += len as u64;
                    self.taken_ms = clock::coarse_ms();
                }
                Poll::Ready(Err(_)) => return Err(()),
            }
        }
        if std::mem::take(&mut self.ends) {
            // An error means that the connection is gone, as its other direction will tell.
            drop(stream.shut_down());
        }
        self.out.clear();
        self.out_start = 0;
        if self.out.capacity() > limits::BUFFER_BYTES {
            self.out = Vec::new();
        }
        match stream.is_plain() {
            true => Ok(()),
            false => match stream.poll_flush(cx) {
                Poll::Ready(Err(_)) => Err(()),
                _ => Ok(()),
            },
        }
    }

    /// Sends bytes at once if nothing is before them, and keeps what the socket does not take.
    fn send(&mut self, stream: &Stream, cx: &mut Context<'_>, bytes: &[u8], at_once: bool) {
        let mut taken = 0;
        if self.pending() == 0 {
            self.taken_ms = clock::coarse_ms();
        }
        if at_once && self.pending() == 0 {
            match stream.poll_write(cx, &[IoSlice::new(bytes)]) {
                Poll::Pending => {}
                Poll::Ready(Ok(len)) => taken = len,
                Poll::Ready(Err(_)) => self.broken = Some(FaultKind::ReplyReset.into()),
            }
        }
        self.written += taken as u64;
        self.out.extend_from_slice(&bytes[taken..]);
    }
}

impl Wire {
    /// Of a connection over which so many bytes have gone, and nothing is owed.
    pub(super) fn new(
        shard: &Rc<Shard>,
        desk: &Rc<Desk>,
        at: (Arc<Upstream>, usize),
        (stream, written): (Stream, u64),
    ) -> Rc<Self> {
        let now_ms = clock::coarse_ms();
        Rc::new(Self {
            shard: Rc::clone(shard),
            desk: Rc::clone(desk),
            stream,
            slot: at.0.endpoints[at.1].slot,
            at: RefCell::new(at),
            timer: Timer::new(&shard.wheel),
            flow: RefCell::new(Flow { written, ..Flow::default() }),
            waker: RefCell::new(Waker::noop().clone()),
            is_retired: Cell::new(false),
            born_ms: now_ms,
            idle_since_ms: Cell::new(now_ms),
            served: Cell::new(0),
            was_busy: Cell::new(true),
            is_listed: Cell::new(false),
        })
    }

    /// Is there from now on, for who waits.
    pub(super) fn enter(self: &Rc<Self>) {
        self.desk.has_come(self);
        self.refill();
    }

    /// Serves until the connection ends.
    pub(super) async fn run(self: Rc<Self>) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        self.finish(end);
    }

    /// Does something with the endpoint, as the newest plan has it.
    fn with_endpoint<T>(&self, with: impl FnOnce(&Upstream, &Endpoint) -> T) -> T {
        let at = self.at.borrow();
        with(&at.0, &at.0.endpoints[at.1])
    }

    /// The place of its endpoint in this upstream, if it is there.
    pub(super) fn place_in(&self, upstream: &Arc<Upstream>) -> Option<usize> {
        let at = self.at.borrow();
        Arc::ptr_eq(&at.0, upstream).then_some(at.1)
    }

    /// Follows another plan, in which its endpoint has this place.
    pub(super) fn follow(&self, upstream: &Arc<Upstream>, place: usize) {
        *self.at.borrow_mut() = (Arc::clone(upstream), place);
    }

    pub(super) fn endpoint_is(&self, endpoint: &Endpoint) -> bool {
        self.with_endpoint(|_, own| Arc::ptr_eq(&own.state, &endpoint.state))
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Has its task find out what has come; it is free again if that was nothing.
    pub(super) fn look_again(&self) {
        self.was_busy.set(true);
        self.wake();
    }

    /// Lets no further message go over it; it is closed behind the last reply.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.wake();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    /// Whether an endpoint of this upstream is spoken to as this one is.
    pub(super) fn is_spoken_to_as(&self, upstream: &Upstream) -> bool {
        self.with_endpoint(|own, _| {
            own.settings.tls == upstream.settings.tls
                && own.settings.greeting == upstream.settings.greeting
        })
    }

    pub(super) fn is_idle(&self) -> bool {
        let flow = self.flow.borrow();
        flow.ledger.is_empty()
            && flow.writer.is_none()
            && flow.reader.is_none()
            && flow.pending() == 0
    }

    /// Whether nothing can come of it any more.
    fn is_over(&self) -> bool {
        self.flow.borrow().ledger.has_only_torn() || self.is_idle()
    }

    /// Replies that are owed, or messages that wait to be sent.
    pub(super) fn load(&self) -> usize {
        let flow = self.flow.borrow();
        flow.ledger.len() + flow.pending() / limits::BUFFER_BYTES
    }

    /// Whether a message may go over it that nothing waits before. What has come while nothing was
    /// owed is its end, most likely, and would else be taken for the reply.
    pub(super) fn is_good(&self) -> bool {
        self.has_room() && !(self.is_idle() && self.stream.is_read_ready())
    }

    pub(super) fn idle_since_ms(&self) -> u64 {
        self.idle_since_ms.get()
    }

    /// Whether another message can go over it now.
    pub(super) fn has_room(&self) -> bool {
        let flow = self.flow.borrow();
        let is_free = flow.writer.is_none() && flow.reader.is_none();
        !self.is_retired.get()
            && flow.broken.is_none()
            && is_free
            && flow.ledger.has_room(self.desk.depth())
            && flow.pending() < limits::FRAME_STORED_BYTES
    }

    /// Sends a message: these bytes, or else those that it has.
    pub(super) fn send(
        self: &Rc<Self>,
        mut job: Job,
        bytes: Option<&[u8]>,
        in_flight: fairwater_plan::InFlight,
    ) {
        let shard = &self.shard;
        let counters = &shard.counters.endpoints[self.slot];
        counters.attempts.add(1);
        if self.served.get() > 0 {
            counters.reuses.add(1);
        }
        job.attempts += 1;
        (job.place, job.dial) = (None, None);
        (job.trace.sent_us, job.trace.is_reused) = (shard.now_us(), self.served.get() > 0);
        self.served.set(self.served.get() + 1);
        self.was_busy.set(true);
        let mut flow = self.flow.borrow_mut();
        let start = flow.written + flow.pending() as u64;
        let waker = self.waker.borrow();
        let mut cx = Context::from_waker(&waker);
        let at_once = flow.ledger.is_empty();
        flow.send(&self.stream, &mut cx, bytes.unwrap_or(&job.bytes), at_once);
        let end = flow.written + flow.pending() as u64;
        if let Some(bytes) = bytes
            && bytes.len() <= limits::FRAME_COPY_BYTES
            && !job.is_cut
        {
            job.bytes = self.desk.spare();
            job.bytes.extend_from_slice(bytes);
        }
        if self.desk.is_single || self.is_last(self.served.get()) {
            self.is_retired.set(true);
            flow.ends = self.desk.ends_request && !job.is_cut;
        }
        if flow.pending() > 0 || flow.broken.is_some() || flow.ends || !self.stream.is_plain() {
            waker.wake_by_ref();
        }
        if job.is_cut {
            flow.taken_ms = clock::coarse_ms();
            flow.writer = Some(Rc::clone(&job.client));
            job.client.may_send_on(self);
        }
        let end = if job.is_cut { OPEN_END } else { end };
        let owner = Owner { job, sent_ms: clock::coarse_ms(), in_flight };
        if self.desk.rules.replies == Replies::None && end != OPEN_END {
            drop(flow);
            owner.job.client.deliver(owner.job.number, b"", Some(End::Whole));
            self.conclude(owner);
            return self.rest();
        }
        flow.ledger.owe(owner, start, end);
        if flow.ledger.len() == 1 {
            self.timer.set(self.with_endpoint(|upstream, _| upstream.settings.timeouts.response));
        }
    }

    /// Sends more of a message that goes out piece by piece.
    pub(super) fn send_on(&self, bytes: &[u8], is_last: bool) {
        let mut flow = self.flow.borrow_mut();
        let waker = self.waker.borrow();
        flow.send(&self.stream, &mut Context::from_waker(&waker), bytes, true);
        if let Some((Some(owner), _)) = flow.ledger.last() {
            owner.job.trace.bytes_in += bytes.len() as u64;
        }
        if is_last {
            flow.writer = None;
            flow.ends = self.desk.ends_request;
            self.has_sent(&mut flow);
        }
        let is_done = is_last && self.desk.rules.replies == Replies::None;
        let done = if is_done { flow.ledger.settle() } else { Claim::Nobody };
        if flow.pending() > 0 || flow.broken.is_some() || is_last || !self.stream.is_plain() {
            waker.wake_by_ref();
        }
        drop(flow);
        if let Claim::Of(owner) = done {
            owner.job.client.deliver(owner.job.number, b"", Some(End::Whole));
            self.conclude(owner);
        }
    }

    /// The message that was sent piece by piece, which is the last one, ends here.
    fn has_sent(&self, flow: &mut Flow) {
        let all = flow.written + flow.pending() as u64;
        let is_alone = flow.ledger.len() == 1;
        let Some((owner, end)) = flow.ledger.last() else { return };
        *end = all;
        if let Some(owner) = owner {
            owner.sent_ms = clock::coarse_ms();
        }
        if is_alone {
            self.timer.set(self.with_endpoint(|upstream, _| upstream.settings.timeouts.response));
        }
    }

    /// Whether a piece may be sent on now.
    pub(super) fn takes_more(&self) -> bool {
        let flow = self.flow.borrow();
        flow.broken.is_none() && flow.pending() < limits::FRAME_STORED_BYTES
    }

    /// Whose message goes out piece by piece will send no more of it: what has gone out is torn,
    /// and nothing can follow. Those before it may still get their replies.
    pub(super) fn break_off(&self, client: &Rc<Client>) {
        let mut flow = self.flow.borrow_mut();
        if !flow.writer.as_ref().is_some_and(|writer| Rc::ptr_eq(writer, client)) {
            return;
        }
        flow.writer = None;
        let owner = flow.ledger.tear_last();
        drop(flow);
        if let Some(owner) = owner {
            let fault = FaultKind::ClientAborted.into();
            self.with_endpoint(|upstream, endpoint| {
                owner.job.record(&self.shard, (upstream, Some(endpoint)), Some(fault));
            });
        }
        self.retire();
    }

    /// A client has gone that wants nothing of what is under way for it.
    pub(super) fn abandon(&self, client: &Rc<Client>) {
        let mut flow = self.flow.borrow_mut();
        let is_of_client = |owner: &Owner| Rc::ptr_eq(&owner.job.client, client);
        if flow.ledger.forsake(self.desk.depth(), is_of_client) {
            flow.broken = Some(FaultKind::ClientAborted.into());
            self.wake();
        }
    }
}

/// The task of the connection.
impl Wire {
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<WireEnd> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        let mut budget = limits::BYTES_PER_TURN as usize;
        let has_more = loop {
            if let Err(end) = self.flush(cx) {
                return Poll::Ready(end);
            }
            if self.waits_for_reader() {
                break false;
            }
            if budget == 0 {
                cx.waker().wake_by_ref();
                break true;
            }
            let mut scratch = self.shard.scratch.borrow_mut();
            let len = match self.stream.poll_read(cx, &mut scratch) {
                Poll::Pending => break false,
                Poll::Ready(Ok(0)) => return Poll::Ready(self.end_of_stream(false)),
                Poll::Ready(Ok(len)) => len,
                Poll::Ready(Err(_)) => return Poll::Ready(self.end_of_stream(true)),
            };
            budget = budget.saturating_sub(len);
            if let Err(fault) = self.take_in(&scratch[..len]) {
                return Poll::Ready(WireEnd::of(fault));
            }
        };
        // Not before all that has come is looked at: what was not asked for shows first.
        if !has_more {
            self.refill();
        }
        if let Err(end) = self.flush(cx) {
            return Poll::Ready(end);
        }
        if self.timer.poll_expired(cx).is_ready()
            && let Some(end) = self.look_at_time(cx)
        {
            return Poll::Ready(end);
        }
        if self.is_retired.get() && self.is_over() {
            return Poll::Ready(WireEnd::of(FaultKind::Stopped.into()));
        }
        Poll::Pending
    }

    fn flush(&self, cx: &mut Context<'_>) -> Result<(), WireEnd> {
        let mut flow = self.flow.borrow_mut();
        let had = flow.pending();
        if had > 0 || flow.ends || !self.stream.is_plain() {
            flow.flush(&self.stream, cx)
                .map_err(|()| WireEnd { fault: FaultKind::ReplyReset.into(), is_reset: true })?;
        }
        if let Some(fault) = flow.broken {
            return Err(WireEnd { fault, is_reset: true });
        }
        let writer = flow.writer.clone();
        let has_room = had > 0 && flow.pending() < limits::FRAME_STORED_BYTES;
        drop(flow);
        if let Some(writer) = writer.filter(|_| has_room) {
            writer.wake();
        }
        Ok(())
    }

    /// Whether a client has to take some of its reply first.
    fn waits_for_reader(&self) -> bool {
        let mut flow = self.flow.borrow_mut();
        flow.reader.take_if(|reader| !reader.is_behind());
        flow.reader.is_some()
    }

    /// Takes messages that wait, while there is room for them.
    fn refill(self: &Rc<Self>) {
        if self.is_too_old() {
            self.is_retired.set(true);
        }
        self.desk.give_way(self);
        while self.has_room() {
            let Some((job, in_flight)) = self.desk.next_for(self) else { break };
            self.send(job, None, in_flight);
        }
        self.rest();
    }

    /// Is free for others, if nothing is under way any more.
    fn rest(self: &Rc<Self>) {
        if self.is_idle() && self.was_busy.replace(false) {
            self.idle_since_ms.set(clock::coarse_ms());
            if !self.is_retired.get() {
                self.desk.is_free(self);
            }
            self.timer.set(self.with_endpoint(|upstream, _| upstream.settings.timeouts.idle));
        }
    }

    /// Whether it may have no more messages than that.
    fn is_last(&self, served: u32) -> bool {
        let at = self.at.borrow();
        at.0.settings.max_requests.is_some_and(|max| served >= max)
    }

    fn is_too_old(&self) -> bool {
        let at = self.at.borrow();
        let born_ms = self.born_ms;
        let is_over = |age: Duration| clock::coarse_ms() >= born_ms + age.as_millis() as u64;
        at.0.settings.max_age.is_some_and(is_over)
    }

    /// Takes in bytes from the endpoint.
    fn take_in(self: &Rc<Self>, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut flow = self.flow.borrow_mut();
            if !flow.ledger.is_asked(flow.written) {
                self.shard.counters.endpoints[self.slot].unsolicited.add(1);
                return Err(Fault::because(FaultKind::ExcessBytes, "unsolicited"));
            }
            match flow.progress.look(&self.desk.rules.reply, rest) {
                Err(bad) => return Err(Fault::because(FaultKind::BadReply, bad.detail())),
                Ok(Look::More) => {
                    self.part(flow, rest);
                    return Ok(());
                }
                Ok(Look::Ends(len)) => {
                    let (last, behind) = rest.split_at(len);
                    rest = behind;
                    self.settle(flow, last)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of the oldest reply, which goes on behind them.
    fn part(self: &Rc<Self>, mut flow: std::cell::RefMut<'_, Flow>, bytes: &[u8]) {
        if !flow.ledger.is_begun() {
            flow.begun_ms = clock::coarse_ms();
            self.timer.set(self.with_endpoint(|upstream, _| upstream.settings.timeouts.reply));
        }
        let now_us = self.shard.now_us();
        let (stored, is_cut) = (flow.stored.len(), flow.is_cut);
        let total = flow.progress.total().unwrap_or_default();
        let stays = stored + bytes.len() <= limits::FRAME_STORED_BYTES
            && total <= limits::FRAME_STORED_BYTES as u64;
        let Claim::Of(owner) = flow.ledger.part() else { return };
        if owner.job.trace.answered_us == 0 {
            owner.job.trace.answered_us = now_us;
        }
        owner.job.trace.bytes_out += bytes.len() as u64;
        let (client, number) = (Rc::clone(&owner.job.client), owner.job.number);
        if stays && !is_cut {
            flow.stored.extend_from_slice(bytes);
            return;
        }
        flow.is_cut = true;
        let stored = std::mem::take(&mut flow.stored);
        drop(flow);
        client.deliver(number, &stored, None);
        client.deliver(number, bytes, None);
        if client.is_behind() {
            client.keeps_waiting(self);
            self.flow.borrow_mut().reader = Some(client);
        }
    }

    /// The last bytes of the oldest reply.
    fn settle(
        self: &Rc<Self>,
        mut flow: std::cell::RefMut<'_, Flow>,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let is_early = !flow.ledger.is_sent(flow.written);
        let claim = flow.ledger.settle();
        let mut stored = std::mem::take(&mut flow.stored);
        flow.progress = Progress::default();
        flow.is_cut = false;
        let next_ms = flow.ledger.owners().next().map(|owner| owner.sent_ms);
        drop(flow);
        if let Some(sent_ms) = next_ms {
            let response = self.with_endpoint(|upstream, _| upstream.settings.timeouts.response);
            self.timer.set_at(sent_ms + response.as_millis() as u64);
        }
        match claim {
            Claim::Of(mut owner) => {
                let (client, number) = (Rc::clone(&owner.job.client), owner.job.number);
                match stored.is_empty() {
                    true => client.deliver(number, bytes, Some(End::Whole)),
                    false => {
                        stored.extend_from_slice(bytes);
                        client.deliver(number, &stored, Some(End::Whole));
                    }
                }
                if owner.job.trace.answered_us == 0 {
                    owner.job.trace.answered_us = self.shard.now_us();
                }
                owner.job.trace.bytes_out += bytes.len() as u64;
                self.conclude(owner);
                if client.is_far_behind() {
                    client.keeps_waiting(self);
                    self.flow.borrow_mut().reader = Some(client);
                }
            }
            Claim::Nobody => self.shard.counters.endpoints[self.slot].late_replies.add(1),
            Claim::Excess => return Err(FaultKind::ExcessBytes.into()),
        }
        if stored.capacity() <= limits::BUFFER_BYTES {
            stored.clear();
            self.flow.borrow_mut().stored = stored;
        }
        match is_early {
            // The rest of the message is of no use to anybody, and what is sent of it is torn.
            true => Err(Fault::because(FaultKind::ExcessBytes, "early_reply")),
            false => Ok(()),
        }
    }

    /// A message has come to its good end.
    fn conclude(&self, owner: Owner) {
        let Owner { mut job, in_flight, .. } = owner;
        drop(in_flight);
        self.with_endpoint(|upstream, endpoint| {
            observe(&self.shard, upstream, endpoint, None, 0);
            self.desk.conclude(upstream, &job, None);
            job.record(&self.shard, (upstream, Some(endpoint)), None);
        });
        self.desk.give_back(std::mem::take(&mut job.bytes));
    }

    /// The endpoint has closed its direction, or the connection was reset.
    fn end_of_stream(self: &Rc<Self>, is_reset: bool) -> WireEnd {
        let flow = self.flow.borrow_mut();
        let kind = match is_reset {
            _ if flow.ledger.is_empty() => FaultKind::Stopped,
            true => FaultKind::ReplyReset,
            false => match flow.progress.at_end(&self.desk.rules.reply) {
                StreamEnd::Complete => {
                    self.is_retired.set(true);
                    let settled = self.settle(flow, &[]);
                    let fault = settled.err().unwrap_or(FaultKind::Stopped.into());
                    return WireEnd::of(fault);
                }
                StreamEnd::Between => FaultKind::EmptyReply,
                StreamEnd::Torn => FaultKind::BodyTruncated,
            },
        };
        WireEnd { fault: kind.into(), is_reset }
    }

    /// The timer has fired: looks at what is due, and sets it anew.
    fn look_at_time(self: &Rc<Self>, cx: &mut Context<'_>) -> Option<WireEnd> {
        loop {
            let now_ms = clock::coarse_ms();
            let (due_ms, fault) = self.due();
            if now_ms < due_ms {
                self.timer.set_at(due_ms);
                if self.timer.poll_expired(cx).is_pending() {
                    return None;
                }
                continue;
            }
            if self.is_idle() && self.desk.keeps(self) {
                self.idle_since_ms.set(now_ms);
                continue;
            }
            let mut flow = self.flow.borrow_mut();
            let is_begun = flow.ledger.is_begun();
            let Some(owner) = flow.ledger.give_up_first(self.desk.depth()) else {
                // Nobody gets what may come late.
                return Some(WireEnd::of(fault.into()));
            };
            // Others wait for theirs behind it, which may yet come; nothing new is sent.
            drop(flow);
            self.retire();
            self.with_endpoint(|upstream, endpoint| {
                observe(&self.shard, upstream, endpoint, Some(fault), 0);
            });
            self.desk.failed(owner, fault.into(), (is_begun, false), self.slot);
            let grace = self.with_endpoint(|upstream, _| upstream.settings.timeouts.response);
            self.timer.set(grace);
        }
    }

    /// When the next thing must have happened, and what it means if it has not.
    fn due(&self) -> (u64, FaultKind) {
        let flow = self.flow.borrow();
        let at = self.at.borrow();
        let times = &at.0.settings.timeouts;
        let after = |since_ms: u64, time: Duration| since_ms + time.as_millis() as u64;
        if flow.reader.is_some() {
            // Nothing is read meanwhile; the client has a time of its own to take it.
            return (after(clock::coarse_ms(), times.reply), FaultKind::ClientStalled);
        }
        if flow.ledger.is_empty() {
            return match flow.pending() {
                0 => (after(self.idle_since_ms.get(), times.idle), FaultKind::Stopped),
                _ => (after(flow.taken_ms, times.response), FaultKind::UploadStalled),
            };
        }
        match flow.ledger.owners().next() {
            // The client has times of its own for what it sends.
            _ if !flow.ledger.is_whole() && flow.pending() == 0 => {
                (after(clock::coarse_ms(), times.response), FaultKind::ResponseTimeout)
            }
            _ if !flow.ledger.is_whole() => {
                (after(flow.taken_ms, times.response), FaultKind::UploadStalled)
            }
            _ if flow.ledger.is_begun() => {
                (after(flow.begun_ms, times.reply), FaultKind::BodyTimeout)
            }
            Some(owner) => (after(owner.sent_ms, times.response), FaultKind::ResponseTimeout),
            None => (self.timer.deadline_ms(), FaultKind::ResponseTimeout),
        }
    }

    /// Somebody else may open a connection in its place.
    fn give_up_place(&self) {
        self.with_endpoint(|upstream, endpoint| {
            endpoint.state.disconnect();
            upstream::closed(&self.shard, upstream.admission(), self.slot);
        });
    }

    /// The thread ends: gives out those who wait.
    pub(super) fn end(&self) -> Vec<Owner> {
        self.give_up_place();
        let mut flow = self.flow.borrow_mut();
        (flow.writer, flow.reader) = (None, None);
        flow.ledger.close().map(|(owner, ..)| owner).collect()
    }

    /// Gives up the connection, and what is owed over it.
    fn finish(self: Rc<Self>, end: WireEnd) {
        self.is_retired.set(true);
        self.desk.has_gone(&self);
        let (owners, written, writer) = {
            let mut flow = self.flow.borrow_mut();
            let owners: Vec<_> = flow.ledger.close().collect();
            flow.reader = None;
            (owners, flow.written, flow.writer.take())
        };
        let acknowledged = match end.is_reset || owners.is_empty() {
            true => None,
            false => self.stream.acknowledged_bytes(),
        };
        let mut is_blamed = false;
        for (owner, was_begun, start) in owners {
            // The set-up of a connection counts as one acknowledged byte.
            let undelivered =
                written <= start || acknowledged.is_some_and(|bytes| bytes <= start + 1);
            if !undelivered && !std::mem::replace(&mut is_blamed, true) {
                let kind = end.fault.kind;
                self.with_endpoint(|upstream, endpoint| {
                    observe(&self.shard, upstream, endpoint, Some(kind), 0);
                });
            }
            self.desk.failed(owner, end.fault, (was_begun, undelivered), self.slot);
        }
        writer.inspect(|writer| writer.sends_in_vain());
        self.give_up_place();
        self.desk.tend(&self.shard);
    }
}
