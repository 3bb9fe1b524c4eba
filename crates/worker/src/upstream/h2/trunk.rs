//! A connection to an endpoint that speaks HTTP/2 (RFC 9113), shared by the exchanges of a thread:
//! one task, which moves its frames, and a call for each request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use fairwater_message::HeadLimits;
use fairwater_net::{Stream, Timer, clock};
use fairwater_plan::{Admission, Endpoint, EndpointState, Upstream};
use fairwater_proto::frames::Frames;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::Request;

use super::call::Call;
use crate::h2::windows::{SMALL_BYTES, Windows};
use crate::h2::wire::{Socket, Watch, Wire};
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
    /// Gone once no further call may begin: the library closes the connection behind the last one.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    watch: Rc<Watch>,
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

fn builder(limits: HeadLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(SMALL_BYTES)
        .initial_connection_window_size(TRUNK_WINDOW_BYTES)
        .max_header_list_size(limits.bytes.into())
        .max_send_buffer_size(UNSENT_BYTES_MAX)
        .initial_max_send_streams(limits::CALLS_PER_TRUNK as usize);
    builder
}

impl Trunk {
    /// Begins to speak HTTP/2 over a connection that was opened under a permit.
    ///
    /// # Errors
    /// When the endpoint does not take the first bytes. The permit is given back in any case, with
    /// the end of the connection.
    pub(super) async fn begin(
        shard: &Rc<Shard>,
        upstream: &Upstream,
        endpoint: &Endpoint,
        stream: Stream,
        room: &Rc<Room>,
    ) -> io::Result<Rc<Self>> {
        let held = Held {
            shard: Rc::clone(shard),
            admission: Arc::clone(upstream.admission()),
            endpoint: Arc::clone(&endpoint.state),
        };
        let settings = &upstream.settings;
        let watch = Watch::new(Frames::of_endpoint());
        let wire = Wire::new(Socket::Endpoint(stream), &watch, Vec::new());
        let shaken = builder(settings.head).handshake::<_, Bytes>(wire).await;
        let (sender, connection) = shaken.map_err(crate::h2::broken)?;
        let now_ms = clock::coarse_ms();
        let trunk = Rc::new(Self {
            sender: RefCell::new(Some(sender)),
            watch,
            room: Rc::clone(room),
            open: Cell::new(0),
            begun: Cell::new(0),
            begun_max: Cell::new(u32::MAX),
            born_ms: now_ms,
            idle_since_ms: Cell::new(now_ms),
            is_doubted: Cell::new(false),
        });
        let patience = settings.timeouts.connect;
        drop(tokio::task::spawn_local(run(Rc::clone(&trunk), connection, held, patience)));
        Ok(trunk)
    }

    /// Whether no call may begin any more.
    pub(super) fn is_over(&self) -> bool {
        self.sender.borrow().is_none()
    }

    /// Whether the endpoint has said its first word, which tells what it can and how much of it.
    pub(super) fn is_settled(&self) -> bool {
        self.watch.heard_ms() > 0 || self.is_over()
    }

    /// Whether another call can begin now.
    pub(super) fn has_room(&self) -> bool {
        self.is_settled()
            && self.sender.borrow().as_ref().is_some_and(|sender| {
                let max = sender.current_max_send_streams();
                self.open.get() < limits::CALLS_PER_TRUNK && (self.open.get() as usize) < max
            })
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

    /// Begins a call. The last one that there may be takes the way with it.
    pub(super) fn send(
        &self,
        request: Request<()>,
        is_all: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let heard_ms = self.watch.heard_ms();
        let is_silent = heard_ms + limits::DOUBT_AFTER.as_millis() as u64 <= clock::coarse_ms();
        if heard_ms > 0 && is_silent {
            self.is_doubted.set(true);
        }
        // A handle of its own: one that was used before may have to wait for that.
        let mut sender = self.sender.borrow().clone().ok_or(Reason::REFUSED_STREAM)?;
        let sent = sender.send_request(request, is_all);
        if sent.is_err() || self.begun.get() >= self.begun_max.get() {
            self.retire();
        }
        sent
    }

    pub(super) fn leave(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.idle_since_ms.set(clock::coarse_ms());
        }
        self.room.wake();
    }

    /// Lets no further call begin. What runs goes on, and the connection ends with the last one.
    pub(in crate::upstream) fn retire(&self) {
        drop(self.sender.take());
        self.room.wake();
    }

    /// Retires it when the endpoint has said that it takes no more (GOAWAY).
    fn look_for_end(&self, cx: &mut Context<'_>) {
        let end = match &mut *self.sender.borrow_mut() {
            Some(sender) => matches!(sender.poll_ready(cx), Poll::Ready(Err(_))),
            None => false,
        };
        if end {
            self.retire();
        }
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

    pub(super) fn poll_settled(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_settled() {
            return Poll::Ready(());
        }
        self.room.wait(cx);
        Poll::Pending
    }

    /// Whether the endpoint lets streams become tunnels (RFC 8441, section 3).
    pub(super) fn takes_tunnels(&self) -> bool {
        let sender = self.sender.borrow();
        sender.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled)
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

/// Moves frames until the connection ends.
async fn run(
    trunk: Rc<Trunk>,
    mut connection: Connection<Wire, Bytes>,
    held: Held,
    patience: Duration,
) {
    let timer = Timer::new(&held.shard.wheel);
    let mut doubt = Doubt { pings: connection.ping_pong(), asked_ms: None, patience };
    let mut windows = Windows::new(&held.shard);
    let (mut is_settled, mut is_ending) = (false, false);
    poll_fn(|cx| {
        trunk.watch.begin_turn();
        windows.fit(trunk.watch.read_bytes(), trunk.open.get(), |bytes| {
            connection.set_initial_window_size(bytes).is_ok()
        });
        if Pin::new(&mut connection).poll(cx).is_ready() || trunk.watch.offence().is_some() {
            return Poll::Ready(());
        }
        trunk.look_for_end(cx);
        if trunk.watch.is_worn() && !trunk.is_over() {
            trunk.retire();
        }
        if !is_settled && trunk.watch.heard_ms() > 0 {
            is_settled = true;
            trunk.room.wake();
        }
        if !is_ending && trunk.is_over() && trunk.is_idle() {
            is_ending = true;
            timer.set(limits::GOODBYE);
        }
        if is_ending {
            return timer.poll_expired(cx);
        }
        doubt.poll(&trunk, &timer, cx)
    })
    .await;
    trunk.retire();
    // Calls that still run hear of it.
    drop(connection);
}

/// Asks an endpoint that was silent whether it is there.
struct Doubt {
    pings: Option<PingPong>,
    /// Since when an answer is waited for.
    asked_ms: Option<u64>,
    patience: Duration,
}

impl Doubt {
    /// Ready when the endpoint does not answer.
    fn poll(&mut self, trunk: &Trunk, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        if trunk.is_doubted.take()
            && self.asked_ms.is_none()
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.asked_ms = Some(clock::coarse_ms());
            timer.set(self.patience);
            // The connection sends it with its next turn.
            cx.waker().wake_by_ref();
        }
        let Some(asked_ms) = self.asked_ms else { return Poll::Pending };
        if pings.poll_pong(cx).is_ready() {
            self.asked_ms = None;
            return Poll::Pending;
        }
        while timer.poll_expired(cx).is_ready() {
            if trunk.watch.heard_ms() <= asked_ms {
                return Poll::Ready(());
            }
            // It is there, and busy.
            timer.set(self.patience);
        }
        Poll::Pending
    }
}
