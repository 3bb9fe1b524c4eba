//! A connection to an endpoint that speaks HTTP/2 (RFC 9113), shared by the exchanges of a thread:
//! one task, which moves its frames, and a call for each request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fairwater_message::HeadLimits;
use fairwater_net::{Stream, Timer, clock};
use fairwater_plan::{Admission, Endpoint, EndpointState, Upstream};
use fairwater_proto::h1::reason_phrase;
use fairwater_proto::http2::{Bounds, Requested, Role};

use super::call::Call;
use crate::h2::windows::{SMALL_BYTES, Windows};
use crate::h2::{Mux, Strand};
use crate::limits;
use crate::shard::Shard;
use crate::upstream::closed;

/// What an endpoint may send ahead, for all calls: far more than for one, so that a client which
/// reads slowly holds up nobody else (docs/decisions/0001).
const TRUNK_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Of a request, taken from a client before the endpoint takes it.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(in crate::upstream) struct Trunk {
    mux: Rc<Mux>,
    /// No further call may begin: the connection is closed behind the last one.
    is_retired: Cell<bool>,
    room: Rc<Room>,
    /// Calls that run, and all that ever began.
    open: Cell<u32>,
    begun: Cell<u32>,
    /// As the settings of the last call said.
    begun_max: Cell<u32>,
    born_ms: u64,
    idle_since_ms: Cell<u64>,
    /// A call has begun on a connection that had been silent: it may be dead.
    is_doubted: Cell<bool>,
}

/// Those who wait for something to become of the connections to an endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Room(RefCell<Vec<Waker>>);

impl Room {
    pub(in crate::upstream) fn wait(&self, cx: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }

    pub(in crate::upstream) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn bounds(head: HeadLimits) -> Bounds {
    Bounds {
        // What is too large for the reader shall get there all the same: it has the last word.
        head_bytes: 2 * usize::from(head.bytes),
        head_fields: 2 * usize::from(head.fields),
        streams: 0,
        stream_window: SMALL_BYTES,
        connection_window: TRUNK_WINDOW_BYTES,
        unsent_bytes: UNSENT_BYTES_MAX,
        phrase: reason_phrase,
    }
}

impl Trunk {
    /// Begins to speak HTTP/2 over a connection that was opened under a permit, which is given back
    /// with its end.
    pub(super) fn begin(
        shard: &Rc<Shard>,
        upstream: &Upstream,
        endpoint: &Endpoint,
        stream: Stream,
        room: &Rc<Room>,
    ) -> Rc<Self> {
        let held = Held {
            shard: Rc::clone(shard),
            admission: Arc::clone(upstream.admission()),
            endpoint: Arc::clone(&endpoint.state),
        };
        let settings = &upstream.settings;
        let now_ms = clock::coarse_ms();
        let trunk = Rc::new(Self {
            mux: Mux::new(Role::Client, bounds(settings.head)),
            is_retired: Cell::new(false),
            room: Rc::clone(room),
            open: Cell::new(0),
            begun: Cell::new(0),
            begun_max: Cell::new(u32::MAX),
            born_ms: now_ms,
            idle_since_ms: Cell::new(now_ms),
            is_doubted: Cell::new(false),
        });
        let patience = settings.timeouts.connect;
        drop(tokio::task::spawn_local(run(Rc::clone(&trunk), stream, held, patience)));
        trunk
    }

    /// Whether no call may begin any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_retired.get()
    }

    /// Whether the endpoint has said its first word, which tells what it can and how much of it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_over() || self.mux.with(|engine| engine.has_settings())
    }

    /// Whether another call can begin now.
    pub(super) fn has_room(&self) -> bool {
        self.is_settled()
            && !self.is_over()
            && self.open.get() < limits::CALLS_PER_TRUNK
            && self.open.get() < self.mux.with(|engine| engine.streams_max())
    }

    pub(super) fn begun(&self) -> u32 {
        self.begun.get()
    }

    /// Counts a call, which is begun with its request; the last one, if it makes `max`.
    pub(super) fn call(self: &Rc<Self>, max: u32) -> Call {
        self.begun_max.set(max);
        let is_reused = self.begun.get() > 0;
        self.open.set(self.open.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Call::new(Rc::clone(self), is_reused)
    }

    /// Begins a stream; nothing, if the endpoint takes no more. The last one that there may be
    /// takes the way with it.
    pub(super) fn send(
        &self,
        asked: Requested,
        is_all: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Strand> {
        let heard_ms = self.mux.heard_ms();
        let is_silent = heard_ms + limits::DOUBT_AFTER.as_millis() as u64 <= clock::coarse_ms();
        if heard_ms > 0 && is_silent {
            self.is_doubted.set(true);
        }
        let id = self.mux.with(|engine| engine.send_request(asked, is_all, write));
        if id.is_none() || self.begun.get() >= self.begun_max.get() {
            self.retire();
        }
        id.map(|id| Strand::new(&self.mux, id))
    }

    pub(super) fn leave(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.idle_since_ms.set(clock::coarse_ms());
            if self.is_over() {
                self.mux.kick();
            }
        }
        self.room.wake();
    }

    /// Lets no further call begin. What runs goes on, and the connection ends with the last one.
    pub(in crate::upstream) fn retire(&self) {
        self.is_retired.set(true);
        self.room.wake();
        self.mux.kick();
    }

    pub(in crate::upstream) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Whether it has been idle, or there, for so long.
    pub(in crate::upstream) fn is_too_old(
        &self,
        now_ms: u64,
        idle: Duration,
        age: Option<Duration>,
    ) -> bool {
        let is_over = |since_ms: u64, time: Duration| now_ms >= since_ms + time.as_millis() as u64;
        self.is_idle() && is_over(self.idle_since_ms.get(), idle)
            || age.is_some_and(|age| is_over(self.born_ms, age))
    }

    /// Ready once the endpoint has said all that it says first: some send their settings in two
    /// pieces.
    pub(super) fn poll_known(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_over() || self.takes_tunnels() || self.mux.with(|engine| engine.is_known()) {
            return Poll::Ready(());
        }
        self.room.wait(cx);
        Poll::Pending
    }

    /// Whether the endpoint lets streams become tunnels (RFC 8441, section 3).
    pub(super) fn takes_tunnels(&self) -> bool {
        self.mux.with(|engine| engine.takes_tunnels())
    }
}

/// What an open connection is accounted to.
struct Held {
    shard: Rc<Shard>,
    admission: Arc<Admission>,
    endpoint: Arc<EndpointState>,
}

impl Drop for Held {
    fn drop(&mut self) {
        closed(&self.shard, &self.admission, self.endpoint.slot());
    }
}

/// Moves bytes until the connection ends.
async fn run(trunk: Rc<Trunk>, socket: Stream, held: Held, patience: Duration) {
    let timer = Timer::new(&held.shard.wheel);
    let mut doubt = Doubt { asked_ms: None, patience };
    let mut windows = Windows::new(&held.shard);
    let (mut said, mut is_ending) = ((false, false), false);
    let mux = &*trunk.mux;
    poll_fn(|cx| {
        mux.end_turn();
        windows.fit(mux.read_bytes(), trunk.open.get(), |bytes| {
            mux.with(|engine| engine.set_windows(bytes, TRUNK_WINDOW_BYTES))
        });
        let read = mux.poll_read(cx, &held.shard, &socket);
        if !trunk.is_over() && mux.with(|engine| engine.is_left()) {
            trunk.retire();
        }
        let now = mux.with(|engine| (engine.has_settings(), engine.is_known()));
        if said != now {
            said = now;
            trunk.room.wake();
        }
        if !is_ending && trunk.is_over() && trunk.is_idle() {
            is_ending = true;
            mux.with(|engine| engine.leave());
            timer.set(limits::GOODBYE);
        }
        if !is_ending && doubt.poll(&trunk, &timer, cx).is_ready() {
            return Poll::Ready(());
        }
        let flushed = mux.poll_flush(cx, &socket);
        let is_over = mux.with(|engine| engine.end().is_some() || engine.has_left());
        if read.is_ready() || flushed.is_ready() && (is_over || mux.lost().is_some()) {
            return Poll::Ready(());
        }
        if is_ending { timer.poll_expired(cx) } else { Poll::Pending }
    })
    .await;
    trunk.retire();
    // Calls that still run hear of it.
    mux.close();
}

/// Asks an endpoint that was silent whether it is there.
struct Doubt {
    /// Since when an answer is waited for.
    asked_ms: Option<u64>,
    patience: Duration,
}

impl Doubt {
    /// Ready when the endpoint does not answer.
    fn poll(&mut self, trunk: &Trunk, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        if trunk.is_doubted.take() && self.asked_ms.is_none() {
            trunk.mux.with(|engine| engine.ping());
            self.asked_ms = Some(clock::coarse_ms());
            timer.set(self.patience);
        }
        let Some(asked_ms) = self.asked_ms else { return Poll::Pending };
        if trunk.mux.with(|engine| engine.take_pong()) {
            self.asked_ms = None;
            return Poll::Pending;
        }
        while timer.poll_expired(cx).is_ready() {
            if trunk.mux.heard_ms() <= asked_ms {
                return Poll::Ready(());
            }
            // It is there, and busy.
            timer.set(self.patience);
        }
        Poll::Pending
    }
}
