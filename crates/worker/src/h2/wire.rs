//! The socket below HTTP/2, as the library wants it, and an eye on the frames that pass.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use fairwater_net::{Stream, clock};
use fairwater_proto::frames::{Frames, Offence, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::Accepted;
use crate::limits;

/// Whose connection it is.
#[derive(Debug)]
pub(crate) enum Socket {
    Client(Rc<Accepted>),
    Endpoint(Stream),
}

#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    watch: Rc<Watch>,
    /// What was read before anybody knew that this is HTTP/2.
    ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: Socket, watch: &Rc<Watch>, ahead: Vec<u8>) -> Self {
        Self { socket, watch: Rc::clone(watch), ahead }
    }

    fn stream(&self) -> &Stream {
        match &self.socket {
            Socket::Client(accepted) => &accepted.stream,
            Socket::Endpoint(stream) => stream,
        }
    }
}

/// What is seen of the frames, for the one who serves the connection.
#[derive(Debug)]
pub(crate) struct Watch {
    frames: RefCell<Frames>,
    offence: Cell<Option<Offence>>,
    /// When the peer has said something, in milliseconds; 0 before it has.
    heard_ms: Cell<u64>,
    /// Bytes that were read, in this turn and in all.
    turn_bytes: Cell<u64>,
    read_bytes: Cell<u64>,
}

impl Watch {
    pub(crate) fn new(frames: Frames) -> Rc<Self> {
        Rc::new(Self {
            frames: RefCell::new(frames),
            offence: Cell::default(),
            heard_ms: Cell::default(),
            turn_bytes: Cell::default(),
            read_bytes: Cell::default(),
        })
    }

    /// Another turn begins, and may read as much as one may.
    pub(crate) fn begin_turn(&self) {
        self.turn_bytes.set(0);
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Why nothing more is read.
    pub(crate) fn offence(&self) -> Option<Offence> {
        self.offence.get()
    }

    /// Whether no further stream should begin, before the library ends them all.
    pub(crate) fn is_worn(&self) -> bool {
        self.frames.borrow().is_worn()
    }

    /// Bytes of bodies that the socket has taken.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.frames.borrow().data_bytes()
    }

    /// The request on this stream is given to somebody, unless it was refused meanwhile.
    pub(crate) fn take_stream(&self, stream: u32) -> bool {
        self.frames.borrow_mut().take_stream(stream)
    }

    /// What the library has made of a request that it gave to nobody.
    pub(crate) fn next_refused(&self) -> Option<Refusal> {
        self.frames.borrow_mut().next_refused()
    }

    /// Whether a head has begun that has not ended.
    pub(crate) fn is_within_head(&self) -> bool {
        self.frames.borrow().is_within_head()
    }

    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms.get()
    }

    /// Looks at bytes of the peer. Returns how many of them may be read.
    fn take(&self, bytes: &[u8]) -> usize {
        let now_ms = clock::coarse_ms();
        self.heard_ms.set(now_ms);
        let len = bytes.len() as u64;
        self.turn_bytes.set(self.turn_bytes.get() + len);
        self.read_bytes.set(self.read_bytes.get() + len);
        match self.frames.borrow_mut().take(bytes, now_ms) {
            Ok(()) => bytes.len(),
            Err((good, offence)) => {
                self.offence.set(Some(offence));
                good
            }
        }
    }

    /// Looks at bytes that went to the peer.
    fn sent(&self, parts: &[IoSlice<'_>], len: usize) {
        let (mut frames, mut left) = (self.frames.borrow_mut(), len);
        for part in parts {
            let sent = &part[..left.min(part.len())];
            left -= sent.len();
            if let Err(offence) = frames.sent(sent) {
                self.offence.set(Some(offence));
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.offence().is_some() {
            // Who serves the connection says the last word, and closes it.
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let len = self.ahead.len().min(buffer.remaining());
            let good = self.watch.take(&self.ahead[..len]);
            buffer.put_slice(&self.ahead[..good]);
            self.ahead.drain(..len);
            return if good > 0 { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if self.watch.turn_bytes.get() >= limits::BYTES_PER_TURN {
            // Others have their turn, and this one its next.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = buffer.initialize_unfilled();
        let len = ready!(self.stream().poll_read(cx, room))?;
        let good = self.watch.take(&room[..len]);
        buffer.advance(good);
        // Nothing at all would be the end.
        if good > 0 || len == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(self.stream().poll_write(cx, parts))?;
        self.watch.sent(parts, len);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream().poll_flush(cx))?;
        Poll::Ready(self.stream().shut_down())
    }
}
