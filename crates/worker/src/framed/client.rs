//! A client that sends messages: what it sends is told apart here, and what it gets goes out here,
//! in the order in which it has asked.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::clock;
use fairwater_plan::{FrameRules, Replies, TcpIdle, Timeouts};

use super::desk::Desk;
use super::identity::introduce;
use super::input::{Input, Piece};
use super::job::{Job, Line, Trace};
use super::order::{Delivery, End, Number, Order, TooEarly};
use super::wire::Wire;
use crate::accept::Accepted;
use crate::in_force::InForce;
use crate::limits;
use crate::patience::Patience;
use crate::rate::Meter;
use crate::write::Stall;

#[derive(Debug)]
pub(super) struct Client {
    pub accepted: Accepted,
    /// The host that it asks for, in a session that is not ours.
    pub server_name: Option<Box<str>>,
    /// Where its messages go, by the plan that was in force for the last one.
    desk: RefCell<(Rc<InForce>, Rc<Desk>)>,
    input: RefCell<Input>,
    outlet: RefCell<Outlet>,
    waker: RefCell<Waker>,
    /// Its task has something to do once a reply is whole.
    awaits_turn: Cell<bool>,
    /// The connection that its message goes out over, piece by piece.
    sends_over: RefCell<Option<Rc<Wire>>>,
    is_sending: Cell<bool>,
    /// Messages that it may still send in this turn of its task.
    turn: Cell<u32>,
    /// The rest of what it sends is not read.
    is_cut_short: Cell<bool>,
    received_ms: Cell<u64>,
    moved_ms: Cell<u64>,
    is_gone: Cell<bool>,
    /// No other process takes it.
    pub stays: Cell<bool>,
    /// The end of its reply is that of its connection, as with endpoints.
    ends_reply: bool,
    meter: Option<Rc<Meter>>,
}

/// What goes to the client.
#[derive(Debug, Default)]
struct Outlet {
    order: Order,
    out: Vec<u8>,
    out_start: usize,
    stall: Option<Stall>,
    /// Connections that read nothing until it has taken something.
    waiting: Vec<Weak<Wire>>,
    over: Option<Over>,
}

/// Why nothing more goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// A reply is missing, behind those before it.
    Lost,
    /// The rest of one is.
    Torn,
    /// The client is gone.
    Reset,
    /// It has asked for more than is kept.
    TooEarly,
}

/// What there is to read of a client from whom nothing is read right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    Some,
    /// Its end, and nothing before it.
    End,
}

/// How the connection of a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has closed, and has all its replies.
    Closed,
    /// It shall come again: this process ends, or its listener has.
    Over,
    /// A reply is missing.
    Lost,
    /// The rest of one is.
    Torn,
    Fault(Fault),
    /// Another process goes on with it.
    Moves,
}

impl Outlet {
    fn pending(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// Takes in a piece of a reply, and sends what the client gets now, or keeps what it does not
    /// take. Returns whether the client has got something.
    fn deliver(
        &mut self,
        accepted: &Accepted,
        cx: &mut Context<'_>,
        (number, piece, end): (Number, &[u8], Option<End>),
    ) -> bool {
        let Self { order, out, out_start, over, .. } = self;
        let delivery = order.deliver(number, piece, end, |piece| {
            let mut taken = 0;
            if out.len() == *out_start && !piece.is_empty() {
                match accepted.stream.poll_write(cx, &[IoSlice::new(piece)]) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(len)) => taken = len,
                    Poll::Ready(Err(_)) => *over = Some(Over::Reset),
                }
            }
            out.extend_from_slice(&piece[taken..]);
        });
        match delivery {
            Ok(Delivery::Out) => {}
            Ok(Delivery::Kept) => return false,
            Ok(Delivery::Last) => {
                let why = if order.is_begun() { Over::Torn } else { Over::Lost };
                *over = over.or(Some(why));
            }
            Err(TooEarly) => *over = Some(Over::TooEarly),
        }
        true
    }

    fn flush(&mut self, accepted: &Accepted, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        while self.pending() > 0 {
            let rest = [IoSlice::new(&self.out[self.out_start..])];
            match accepted.stream.poll_write(cx, &rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(len)) => {
                    self.out_start += len;
                    self.stall = None;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Over::Reset)),
            }
        }
        (self.out, self.out_start) = (Vec::new(), 0);
        match accepted.stream.is_plain() {
            true => Poll::Ready(Ok(())),
            false => accepted.stream.poll_flush(cx).map_err(|_| Over::Reset),
        }
    }
}

/// What others do with a client.
impl Client {
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.accepted.peer().ip()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Gives it a piece of the reply to a message.
    pub(super) fn deliver(&self, number: Number, piece: &[u8], end: Option<End>) {
        if self.is_gone() {
            return;
        }
        let waker = self.waker.borrow();
        let mut cx = Context::from_waker(&waker);
        let mut outlet = self.outlet.borrow_mut();
        if outlet.over.is_some() {
            return;
        }
        if !outlet.deliver(&self.accepted, &mut cx, (number, piece, end)) {
            return;
        }
        self.moved_ms.set(clock::coarse_ms());
        let is_blocked = outlet.pending() > 0 || !self.accepted.stream.is_plain();
        if is_blocked || self.ends_reply || outlet.over.is_some() || self.awaits_turn.get() {
            waker.wake_by_ref();
        }
    }

    /// There is no reply to a message: it gets the bytes for that, or the end.
    /// Returns how many bytes that are.
    pub(super) fn fails(&self, number: Number, kind: FaultKind, rules: &FrameRules) -> u64 {
        let errors = &rules.on_error;
        let is_last = self.outlet.borrow().order.is_last(number);
        let bytes = match kind {
            FaultKind::UpstreamFull => &errors.full,
            FaultKind::ResponseTimeout | FaultKind::BodyTimeout | FaultKind::UploadStalled => {
                &errors.timeout
            }
            FaultKind::EmptyReply
            | FaultKind::ReplyReset
            | FaultKind::BadReply
            | FaultKind::BodyTruncated
            | FaultKind::ExcessBytes => &errors.closed,
            FaultKind::ClientAborted => &None,
            _ => &errors.connect,
        };
        let (text, end) = match rules.replies {
            Replies::One { .. } => self.outlet.borrow().order.instead(number, bytes.as_deref()),
            // Nobody waits for anything.
            Replies::None => (&b""[..], End::Whole),
        };
        self.deliver(number, text, Some(end));
        if self.is_sending.get() && is_last {
            // The rest of its message belongs to nothing: nothing can follow.
            self.sends_in_vain();
        }
        text.len() as u64
    }

    /// Whether it has not taken what it was sent.
    pub(super) fn is_behind(&self) -> bool {
        !self.is_gone() && self.outlet.borrow().pending() > 0
    }

    /// Whether that is so much that nothing should be added.
    pub(super) fn is_far_behind(&self) -> bool {
        !self.is_gone() && self.outlet.borrow().pending() > limits::FRAME_UNTAKEN_BYTES
    }

    /// Somebody goes on once it has taken that.
    pub(super) fn keeps_waiting(&self, wire: &Rc<Wire>) {
        self.outlet.borrow_mut().waiting.push(Rc::downgrade(wire));
    }

    /// The connection for the rest of its message is there.
    pub(super) fn may_send_on(&self, wire: &Rc<Wire>) {
        *self.sends_over.borrow_mut() = Some(Rc::clone(wire));
        self.wake();
    }
}

/// The rest of its message.
impl Client {
    /// The connection that it goes out over has ended: nobody wants it. If the message has its
    /// reply already, the client gets that, and those before it.
    pub(super) fn sends_in_vain(&self) {
        if self.is_sending.replace(false) {
            *self.sends_over.borrow_mut() = None;
            self.input.borrow_mut().cut_short();
            self.is_cut_short.set(true);
        }
        self.wake();
    }
}

/// The task of a client.
impl Client {
    pub(super) fn new(
        accepted: Accepted,
        server_name: Option<Box<str>>,
        desk: (Rc<InForce>, Rc<Desk>),
        meter: Option<Rc<Meter>>,
        held: Vec<u8>,
    ) -> Self {
        let now_ms = clock::coarse_ms();
        let ends_reply = desk.1.ends_reply;
        Self {
            ends_reply,
            accepted,
            server_name,
            desk: RefCell::new(desk),
            input: RefCell::new(Input::starting_with(held)),
            outlet: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            awaits_turn: Cell::new(false),
            sends_over: RefCell::new(None),
            is_sending: Cell::new(false),
            turn: Cell::new(0),
            is_cut_short: Cell::new(false),
            received_ms: Cell::new(now_ms),
            moved_ms: Cell::new(now_ms),
            is_gone: Cell::new(false),
            stays: Cell::new(false),
            meter,
        }
    }

    pub(super) async fn run(self: &Rc<Self>) -> Ending {
        let ending = poll_fn(|cx| self.poll(cx)).await;
        if ending == Ending::Moves {
            return ending;
        }
        self.is_gone.set(true);
        // Some of its messages may have begun under another plan.
        for desk in self.accepted.shard.desks.all() {
            desk.forget(self);
            if desk.rules.aborts {
                desk.abandon(self);
            }
        }
        if let Some(wire) = self.sends_over.take() {
            wire.break_off(self);
        }
        let waiting = std::mem::take(&mut self.outlet.borrow_mut().waiting);
        waiting.iter().filter_map(Weak::upgrade).for_each(|wire| wire.wake());
        ending
    }

    /// What was read of it and belongs to no message that was given out.
    pub(super) fn held(&self) -> Option<Vec<u8>> {
        self.input.borrow().at_rest()
    }

    fn open(&self) -> u64 {
        self.outlet.borrow().order.open()
    }

    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        self.awaits_turn.set(false);
        self.turn.set(limits::PIPELINED_PER_TURN);
        loop {
            let is_blocked = match self.flush(cx) {
                Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                Poll::Ready(None) => false,
                Poll::Pending => true,
            };
            if let Poll::Ready(ending) = self.read(cx, is_blocked) {
                return Poll::Ready(ending);
            }
            // What was answered at once may have been the end.
            if is_blocked || self.outlet.borrow().over.is_none() {
                break;
            }
        }
        self.look_at_time(cx)
    }

    /// Sends what is left to be sent. Ready with how it ends, if it does.
    fn flush(&self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let mut outlet = self.outlet.borrow_mut();
        let flushed = outlet.flush(&self.accepted, cx);
        let waiting = match outlet.pending() {
            0 => std::mem::take(&mut outlet.waiting),
            _ => Vec::new(),
        };
        let over = outlet.over;
        drop(outlet);
        waiting.iter().filter_map(Weak::upgrade).for_each(|wire| wire.wake());
        match (flushed, over) {
            (Poll::Ready(Err(_)), _) | (_, Some(Over::Reset)) => {
                Poll::Ready(Some(Ending::Fault(FaultKind::ClientAborted.into())))
            }
            (_, Some(Over::TooEarly)) => {
                let fault = Fault::because(FaultKind::ClientStalled, "replies_out_of_order");
                Poll::Ready(Some(Ending::Fault(fault)))
            }
            (Poll::Ready(Ok(())), Some(Over::Lost)) => Poll::Ready(Some(Ending::Lost)),
            (Poll::Ready(Ok(())), Some(Over::Torn)) => Poll::Ready(Some(Ending::Torn)),
            (Poll::Ready(Ok(())), None) => Poll::Ready(None),
            (Poll::Pending, _) => Poll::Pending,
        }
    }

    /// Reads and gives out messages, as far as they may be under way.
    fn read(self: &Rc<Self>, cx: &mut Context<'_>, is_blocked: bool) -> Poll<Ending> {
        loop {
            if self.is_sending.get() {
                match self.send_on(cx) {
                    Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                    Poll::Ready(None) if self.turn.get() > 0 => {
                        self.turn.set(self.turn.get() - 1);
                        continue;
                    }
                    Poll::Ready(None) => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            let (is_between, end) = {
                let input = self.input.borrow();
                (input.is_between(), input.end)
            };
            let open = self.open();
            if open == 0 && !is_blocked {
                if let Some(fault) = end {
                    let is_cut_short = self.is_cut_short.get();
                    let good = if is_cut_short { Ending::Over } else { Ending::Closed };
                    return Poll::Ready(fault.map_or(good, Ending::Fault));
                }
                if self.accepted.moves() && !self.stays.get() {
                    return Poll::Ready(Ending::Moves);
                }
                let is_served = self.ends_reply && self.outlet.borrow().order.has_passed();
                if is_served || is_between && self.accepted.is_over() {
                    return Poll::Ready(Ending::Over);
                }
            }
            if open > 0 && (self.accepted.is_over() || self.accepted.moves()) {
                self.awaits_turn.set(true);
            }
            let most = u64::from(self.desk.borrow().1.rules.in_flight_max);
            if end.is_some() || is_blocked || open >= most || self.outlet.borrow().over.is_some() {
                let news = self.news(cx);
                if open > 0 && self.is_given_up(news, end == Some(None)) {
                    return Poll::Ready(Ending::Fault(self.abort_fault()));
                }
                let has_news = end.is_some() || news != News::None;
                self.awaits_turn.set(has_news || self.awaits_turn.get());
                return Poll::Pending;
            }
            if self.turn.get() == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.take_next(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    let fault = self.abort_fault();
                    return Poll::Ready(Ending::Fault(fault));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What has come that could be read.
    fn news(&self, cx: &mut Context<'_>) -> News {
        let stream = &self.accepted.stream;
        if self.input.borrow().has_ahead() {
            return News::Some;
        }
        if stream.poll_readable(cx).is_pending() {
            return News::None;
        }
        if !stream.is_plain() {
            return News::Some;
        }
        // One that was never waited for counts as readable, and would tell nothing of its end.
        match stream.poll_peek(cx, &mut [0], 0) {
            Poll::Pending => News::None,
            Poll::Ready(Ok(len)) if len > 0 => News::Some,
            Poll::Ready(_) => News::End,
        }
    }

    /// Whether nobody waits for what is under way: the client was reset, or it has closed and
    /// shall be taken for gone with that.
    fn is_given_up(&self, news: News, has_ended: bool) -> bool {
        let desk = &self.desk.borrow().1;
        let is_end = news == News::End || has_ended;
        is_end && (desk.rules.aborts && !desk.ends_request || self.accepted.stream.is_reset())
    }

    fn abort_fault(&self) -> Fault {
        FaultKind::ClientAborted.into()
    }

    /// Gives out the next message, of what was read before, or of what there is to read. Ready
    /// with whether the connection goes on.
    fn take_next(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<bool> {
        self.follow_plan();
        let shard = Rc::clone(&self.accepted.shard);
        let ahead = self.input.borrow_mut().take_ahead();
        if let Some((ahead, start)) = ahead {
            let taken = self.take_in(&ahead[start..]);
            self.input.borrow_mut().put_back(ahead, start + taken);
            return Poll::Ready(true);
        }
        let mut scratch = shard.scratch.borrow_mut();
        let len = match self.accepted.stream.poll_read(cx, &mut scratch) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(0)) => {
                drop(scratch);
                self.ends();
                return Poll::Ready(true);
            }
            Poll::Ready(Ok(len)) => len,
        };
        let now_ms = clock::coarse_ms();
        self.received_ms.set(now_ms);
        self.moved_ms.set(now_ms);
        if let Some(meter) = &self.meter {
            meter.charge(len as u64);
        }
        let taken = self.take_in(&scratch[..len]);
        self.input.borrow_mut().keep_ahead(&scratch[taken..len]);
        Poll::Ready(true)
    }

    /// The client has closed its direction.
    fn ends(self: &Rc<Self>) {
        let rules = std::sync::Arc::clone(&self.desk.borrow().1.rules);
        let piece = self.input.borrow_mut().at_end(&rules.request);
        if let Some(bytes) = piece {
            self.submit(&bytes, false);
        }
    }

    /// Looks through bytes that have come, as far as messages may be under way. Returns how many of
    /// them that were.
    fn take_in(self: &Rc<Self>, bytes: &[u8]) -> usize {
        let desk = Rc::clone(&self.desk.borrow().1);
        let mut rest = bytes;
        while !rest.is_empty() {
            let open = self.open();
            let is_over = self.outlet.borrow().over.is_some() || self.input.borrow().end.is_some();
            let is_full = open >= u64::from(desk.rules.in_flight_max);
            if is_over || self.is_sending.get() || is_full || self.turn.get() == 0 {
                break;
            }
            let piece = self.input.borrow_mut().take(&desk.rules.request, rest);
            match piece {
                Piece::Whole { len } => {
                    let (message, behind) = rest.split_at(len);
                    self.submit(message, false);
                    rest = behind;
                }
                Piece::Joined { message, len } => {
                    rest = &rest[len..];
                    self.submit(&message, false);
                    desk.give_back(message);
                }
                Piece::Part => {
                    let _ = self.accepted.timer.set_no_later(self.head_patience());
                    return bytes.len();
                }
                Piece::Begun { message } => {
                    self.is_sending.set(true);
                    self.submit(&message, true);
                    return bytes.len();
                }
                Piece::Bad => return bytes.len(),
            }
        }
        bytes.len() - rest.len()
    }

    fn head_patience(&self) -> Duration {
        self.accepted.of_listener(|listener| listener.timeouts.head)
    }

    /// A message has come, or as much of it as is kept.
    fn submit(self: &Rc<Self>, message: &[u8], is_cut: bool) {
        self.turn.set(self.turn.get().saturating_sub(1));
        let desk = Rc::clone(&self.desk.borrow().1);
        let number = self.outlet.borrow_mut().order.begin();
        let shard = Rc::clone(&self.accepted.shard);
        if let Some(ping) = &desk.rules.ping
            && ping.request == message
        {
            return self.deliver(number, &ping.reply, Some(End::Whole));
        }
        let begun_us = shard.now_us();
        let upstream = desk.upstream();
        let key = super::key_of(&desk.rules, &upstream, message);
        let mut introduced = Vec::new();
        let message = match desk.rules.identity {
            None => message,
            Some(identity) => {
                introduced = desk.spare();
                let who = (identity, self.accepted.peer());
                let result = introduce(who, &desk.rules.request, message, &mut introduced);
                if result.is_err() {
                    let fault = Fault::because(FaultKind::BadFrame, "too_long_with_identity");
                    self.tell(fault, message.len() as u64);
                    return self.deliver(number, b"", Some(End::Lost));
                }
                &introduced
            }
        };
        let job = Job {
            client: Rc::clone(self),
            number,
            bytes: Vec::new(),
            is_cut,
            key,
            tried: Default::default(),
            attempts: 0,
            admitted_ms: 0,
            place: None,
            until_ms: 0,
            dial: None,
            trace: Trace { begun_us, bytes_in: message.len() as u64, ..Trace::default() },
        };
        let (in_force, _) = &*self.desk.borrow();
        if let Some(deposits) = in_force.deposits.get(upstream.settings.index) {
            deposits.add_request(upstream.budget());
        }
        desk.submit(&shard, job, message);
        desk.give_back(introduced);
    }

    /// Sends more of the message that goes out piece by piece. Ready with nothing when it is all
    /// sent.
    fn send_on(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        if self.outlet.borrow().over.is_some() {
            return Poll::Pending;
        }
        let Some(wire) = self.sends_over.borrow().clone() else { return Poll::Pending };
        if !wire.takes_more() {
            return Poll::Pending;
        }
        let shard = Rc::clone(&self.accepted.shard);
        let rules = std::sync::Arc::clone(&self.desk.borrow().1.rules);
        let mut scratch = shard.scratch.borrow_mut();
        let len = match self.accepted.stream.poll_read(cx, &mut scratch) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(len)) if len > 0 => len,
            Poll::Ready(Err(_)) => {
                return Poll::Ready(Some(Ending::Fault(self.abort_fault())));
            }
            Poll::Ready(Ok(_)) => {
                let is_whole = self.input.borrow_mut().at_end(&rules.request).is_some();
                if !is_whole {
                    return Poll::Ready(Some(Ending::Fault(self.abort_fault())));
                }
                0
            }
        };
        let now_ms = clock::coarse_ms();
        self.received_ms.set(now_ms);
        self.moved_ms.set(now_ms);
        self.accepted.timer.set(self.accepted.patience().stall);
        let (taken, is_last) = match len {
            0 => (0, true),
            _ => match self.input.borrow_mut().take_more(&rules.request, &scratch[..len]) {
                Ok(Some(taken)) => (taken, true),
                Ok(None) => (len, false),
                Err(fault) => return Poll::Ready(Some(Ending::Fault(fault))),
            },
        };
        wire.send_on(&scratch[..taken], is_last);
        if is_last {
            self.is_sending.set(false);
            *self.sends_over.borrow_mut() = None;
            self.input.borrow_mut().keep_ahead(&scratch[taken..len]);
        }
        Poll::Ready(None)
    }

    /// Goes by the plan that is in force now, if no message has begun.
    fn follow_plan(&self) {
        let shard = &self.accepted.shard;
        let is_newest = shard.is_in_force(&self.desk.borrow().0);
        if is_newest || !self.input.borrow().is_between() {
            return;
        }
        let in_force = shard.in_force();
        if let Some(desk) = super::desk_of(shard, &in_force, self) {
            *self.desk.borrow_mut() = (in_force, desk);
        }
    }
}

/// How long it may do nothing.
impl Client {
    fn look_at_time(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let timer = &self.accepted.timer;
        let mut outlet = self.outlet.borrow_mut();
        if outlet.pending() > 0 {
            let stall = self.accepted.patience().stall;
            let (stream, patience) = (&self.accepted.stream, Patience { timer, stall });
            let stalled = outlet.stall.get_or_insert_default().poll(cx, stream, patience);
            return stalled.map(|()| Ending::Fault(FaultKind::ClientStalled.into()));
        }
        drop(outlet);
        loop {
            let (due_ms, fault) = self.due();
            let now_ms = clock::coarse_ms();
            if now_ms >= due_ms {
                return Poll::Ready(Ending::Fault(fault.into()));
            }
            // Room is made by those who do nothing.
            if timer.is_shed() && self.is_idle() {
                return Poll::Ready(Ending::Over);
            }
            if !timer.is_set() || timer.deadline_ms() > due_ms || now_ms >= timer.deadline_ms() {
                timer.set_idle_at(due_ms);
            }
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_idle(&self) -> bool {
        !self.is_sending.get() && self.open() == 0 && self.input.borrow().is_between()
    }

    /// When it must have done something, and what it means if it has not.
    fn due(&self) -> (u64, FaultKind) {
        let times: Timeouts = self.accepted.of_listener(|listener| listener.timeouts);
        let after = |since_ms: u64, time: Duration| since_ms + time.as_millis() as u64;
        let input = self.input.borrow();
        if self.is_sending.get() {
            // While it waits for a connection it cannot send.
            let since_ms = match &*self.sends_over.borrow() {
                Some(wire) if wire.takes_more() => self.received_ms.get(),
                _ => clock::coarse_ms(),
            };
            return (after(since_ms, times.body), FaultKind::FrameTimeout);
        }
        if let Some(begun_ms) = input.begun_ms() {
            return (after(begun_ms, times.head), FaultKind::FrameTimeout);
        }
        if self.open() > 0 {
            // The endpoint has times of its own.
            return (after(clock::coarse_ms(), times.idle), FaultKind::IdleTimeout);
        }
        let since_ms = match self.desk.borrow().1.rules.idle {
            TcpIdle::Client => self.received_ms.get(),
            TcpIdle::Both => self.moved_ms.get(),
        };
        (after(since_ms, times.idle), FaultKind::IdleTimeout)
    }

    /// Counts and tells a fault that belongs to the connection.
    pub(super) fn ends_by(&self, fault: Fault) {
        self.tell(fault, self.input.borrow().unfinished());
    }

    /// Counts and tells a fault that belongs to no whole message, of which so many bytes have come.
    fn tell(&self, fault: Fault, bytes_in: u64) {
        if fault.kind == FaultKind::ClientAborted && self.open() > 0 {
            // Each message that was under way has a line of its own.
            return;
        }
        let shard = &self.accepted.shard;
        self.accepted.count_fault(fault.kind);
        if !self.is_sending.get() {
            // Otherwise an endpoint was to get it, and it is counted with what has become of that.
            let counters = &shard.counters.listeners[self.accepted.listener.0 as usize];
            counters.bytes_in.add(bytes_in);
        }
        if shard.log_is_on {
            let now_us = shard.now_us();
            let trace = Trace { bytes_in, ..Trace::default() };
            Line { fault: Some(fault), trace, ..Line::default() }.write(shard, self, now_us);
        }
    }
}
