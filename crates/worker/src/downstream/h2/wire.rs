//! The socket below HTTP/2, as the library wants it, and an eye on the frames that come.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use fairwater_net::clock;
use fairwater_proto::frames::{Flood, Frames};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::Accepted;

#[derive(Debug)]
pub(super) struct Wire {
    connection: Rc<Accepted>,
    watch: Rc<Watch>,
    /// What was read before anybody knew that this is HTTP/2.
    ahead: Vec<u8>,
}

impl Wire {
    pub(super) fn new(connection: &Rc<Accepted>, watch: &Rc<Watch>, ahead: Vec<u8>) -> Self {
        Self { connection: Rc::clone(connection), watch: Rc::clone(watch), ahead }
    }
}

/// What is seen of the frames, for the one who serves the connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    frames: RefCell<Frames>,
    flood: Cell<Option<Flood>>,
}

impl Watch {
    /// Why nothing more is read.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// Whether a head has begun that has not ended.
    pub(super) fn is_within_head(&self) -> bool {
        self.frames.borrow().is_within_head()
    }

    fn take(&self, bytes: &[u8]) {
        if let Err(flood) = self.frames.borrow_mut().take(bytes, clock::coarse_ms()) {
            self.flood.set(Some(flood));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.flood().is_some() {
            // Who serves the connection says the last word, and closes it.
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let len = self.ahead.len().min(buffer.remaining());
            self.watch.take(&self.ahead[..len]);
            buffer.put_slice(&self.ahead[..len]);
            self.ahead.drain(..len);
            return Poll::Ready(Ok(()));
        }
        let room = buffer.initialize_unfilled();
        let len = ready!(self.connection.stream.poll_read(cx, room))?;
        self.watch.take(&room[..len]);
        buffer.advance(len);
        Poll::Ready(Ok(()))
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
        let len = ready!(self.connection.stream.poll_write(cx, parts))?;
        self.watch.frames.borrow_mut().sent(len);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.connection.stream.poll_flush(cx))?;
        Poll::Ready(self.connection.stream.shut_down())
    }
}
