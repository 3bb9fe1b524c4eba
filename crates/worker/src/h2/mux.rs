//! A connection of HTTP/2 between its socket and the tasks of its streams. One task moves the
//! bytes; what the others write goes out with its next turn, all in one call.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use fairwater_net::{Stream, clock};
use fairwater_proto::http2::{Bounds, Code, Connection, Gone, PAYLOAD_BYTES_MAX, Role, Waiter};

use crate::limits;
use crate::shard::Shard;
use crate::transit::STREAM_BYTES;

/// What is read of a peer at a time, however much work each byte makes.
const READ_BYTES_MIN: usize = 512;
/// What is read first: nobody knows yet what it is.
const FIRST_READ_BYTES: u64 = 4 * 1024;

/// Frames of what is sent past the engine at a time.
const PAST_FRAMES: usize = STREAM_BYTES.div_ceil(PAYLOAD_BYTES_MAX);

/// The task that waits for a stream.
#[derive(Debug, Default)]
pub(crate) struct Wait(Option<Waker>);

impl Wait {
    /// Sees to it that the task is woken.
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        if !self.0.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.0 = Some(cx.waker().clone());
        }
    }
}

impl Waiter for Wait {
    fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Mux {
    engine: RefCell<Connection<Wait>>,
    /// The task that moves the bytes.
    task: RefCell<Option<Waker>>,
    /// When the peer has said something, in milliseconds; 0 before it has.
    heard_ms: Cell<u64>,
    read_bytes: Cell<u64>,
    /// What may still be read in this turn.
    turn_bytes: Cell<u64>,
    /// So many bytes like the last ones make the work of a turn.
    read_max: Cell<u64>,
    /// How the socket has ended.
    lost: Cell<Option<io::ErrorKind>>,
}

impl Mux {
    pub(crate) fn new(role: Role, bounds: Bounds) -> Rc<Self> {
        Rc::new(Self {
            engine: RefCell::new(Connection::new(role, bounds)),
            task: RefCell::default(),
            heard_ms: Cell::default(),
            read_bytes: Cell::default(),
            turn_bytes: Cell::new(limits::BYTES_PER_TURN),
            read_max: Cell::new(FIRST_READ_BYTES),
            lost: Cell::default(),
        })
    }

    /// Does something with the engine. What it has to say then goes out soon.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Connection<Wait>) -> T) -> T {
        let mut engine = self.engine.borrow_mut();
        let had_out = engine.has_out();
        let result = f(&mut engine);
        if engine.has_out() && !had_out {
            drop(engine);
            self.kick();
        }
        result
    }

    /// Gives the task that moves the bytes a turn.
    pub(crate) fn kick(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// When the peer has said something last, in milliseconds; 0 before it has.
    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms.get()
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// How the socket has ended, if it has.
    pub(crate) fn lost(&self) -> Option<io::ErrorKind> {
        self.lost.get()
    }

    /// Takes bytes that the socket gave before.
    pub(crate) fn take_ahead(&self, shard: &Shard, bytes: &[u8]) {
        let now_ms = clock::coarse_ms();
        self.heard_ms.set(now_ms);
        self.engine.borrow_mut().receive(bytes, now_ms, &mut shard.fields.borrow_mut());
    }

    /// The task has nothing more to do now: its next turn may read as much as one may.
    pub(crate) fn end_turn(&self) {
        self.turn_bytes.set(limits::BYTES_PER_TURN);
    }

    /// Reads for as long as there is something, the turn is not over, and the peer takes what it is
    /// told. Ready when the socket has ended, which the streams hear of.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        shard: &Shard,
        socket: &Stream,
    ) -> Poll<()> {
        if !self.task.borrow().as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *self.task.borrow_mut() = Some(cx.waker().clone());
        }
        let mut engine = self.engine.borrow_mut();
        let mut scratch = shard.scratch.borrow_mut();
        while engine.end().is_none() {
            if self.turn_bytes.get() == 0 {
                // Others have their turn, and this one its next, when the sockets of all have been
                // looked at: a task that is only woken may come before.
                return pin!(tokio::task::yield_now()).poll(cx);
            }
            if engine.is_choked() && ready!(self.poll_send(cx, &mut engine, socket)).is_err() {
                return Poll::Ready(());
            }
            let read_max = usize::try_from(self.read_max.get()).unwrap_or(usize::MAX);
            let room = read_max.clamp(READ_BYTES_MIN, scratch.len());
            let len = match ready!(socket.poll_read(cx, &mut scratch[..room])) {
                Ok(0) => {
                    self.lose(&mut engine, io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(());
                }
                Ok(len) => len,
                Err(error) => {
                    self.lose(&mut engine, error.kind());
                    return Poll::Ready(());
                }
            };
            let now_ms = clock::coarse_ms();
            self.heard_ms.set(now_ms);
            self.read_bytes.set(self.read_bytes.get() + len as u64);
            engine.receive(&scratch[..len], now_ms, &mut shard.fields.borrow_mut());
            let work = engine.take_work().max(len as u64);
            self.read_max.set(limits::BYTES_PER_TURN * len as u64 / work);
            self.turn_bytes.set(self.turn_bytes.get().saturating_sub(work));
        }
        Poll::Pending
    }

    fn lose(&self, engine: &mut Connection<Wait>, kind: io::ErrorKind) {
        self.lost.set(Some(kind));
        engine.lose(Code::CANCEL);
    }

    /// Sends what there is to say. Ready when all of it is out, or the socket takes nothing more.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>, socket: &Stream) -> Poll<io::Result<()>> {
        let mut engine = self.engine.borrow_mut();
        ready!(self.poll_send(cx, &mut engine, socket))?;
        if socket.is_plain() { Poll::Ready(Ok(())) } else { socket.poll_flush(cx) }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        engine: &mut Connection<Wait>,
        socket: &Stream,
    ) -> Poll<io::Result<()>> {
        while engine.has_out() {
            let len = match ready!(socket.poll_write(cx, &[IoSlice::new(engine.out())])) {
                Ok(len) => len,
                Err(error) => {
                    self.lose(engine, error.kind());
                    return Poll::Ready(Err(error));
                }
            };
            engine.sent(len);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends data of a stream, which has room for it, past the engine: only what the socket does
    /// not take at once is copied, and goes with the next turn.
    pub(super) fn send_past(
        &self,
        socket: &Stream,
        id: u32,
        data: &[u8],
        is_last: bool,
    ) -> Result<(), Gone> {
        let mut engine = self.engine.borrow_mut();
        let frames = engine.frame_data(id, data.len(), is_last)?;
        let mut pieces = [([0; 9], &[][..]); PAST_FRAMES];
        pieces.iter_mut().zip(frames.around(data)).for_each(|(place, piece)| *place = piece);
        let mut parts = [IoSlice::new(engine.out()); 1 + 2 * PAST_FRAMES];
        for (pair, (head, piece)) in parts[1..].chunks_exact_mut(2).zip(&pieces) {
            pair.copy_from_slice(&[&head[..], piece].map(IoSlice::new));
        }
        // Whoever goes on with what is left meets the error again.
        let taken = socket.write_now(&parts[..1 + 2 * frames.count()]).unwrap_or(0);
        engine.sent_past(taken, frames, data);
        if engine.has_out() || !socket.is_flushed() {
            drop(engine);
            self.kick();
        }
        Ok(())
    }

    /// Streams hear that nothing more comes.
    pub(crate) fn close(&self) {
        self.engine.borrow_mut().lose(Code::CANCEL);
    }
}
