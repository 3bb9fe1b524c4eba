//! One stream of a connection, in the hands of the task that has it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use fairwater_message::Trailers;
use fairwater_net::Stream;
use fairwater_proto::http2::{Code, Connection, Gone, Read};

use super::Mux;
use super::mux::Wait;

/// Given up when it is dropped, if it is not over by then.
#[derive(Debug)]
pub(crate) struct Strand {
    mux: Rc<Mux>,
    id: u32,
}

impl Strand {
    pub(crate) fn new(mux: &Rc<Mux>, id: u32) -> Self {
        Self { mux: Rc::clone(mux), id }
    }

    pub(crate) fn mux(&self) -> &Mux {
        &self.mux
    }

    /// Does something with the stream.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Connection<Wait>, u32) -> T) -> T {
        self.mux.with(|engine| f(engine, self.id))
    }

    /// The same, for what may have to wait: nothing is what it waits for.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        f: impl FnOnce(&mut Connection<Wait>, u32) -> Option<T>,
    ) -> Poll<T> {
        self.with(|engine, id| match f(engine, id) {
            Some(result) => Poll::Ready(result),
            None => {
                if let Some(waiter) = engine.waiter(id) {
                    waiter.register(cx);
                }
                Poll::Pending
            }
        })
    }

    /// Reads of the body; 0 is its end. The peer may send as much again.
    pub(crate) fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |engine, id| match engine.read(id, buffer) {
            Read::Data(len) => Some(Ok(len)),
            Read::End => Some(Ok(0)),
            Read::Reset(_) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            Read::Wait => None,
        })
    }

    /// Sends data of a body, as much as the peer takes now. Nothing but the end waits for no room.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        data: &[u8],
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |engine, id| match engine.send_data(id, data, is_last) {
            Ok(0) if !data.is_empty() => None,
            Ok(len) => Some(Ok(len)),
            Err(Gone) => Some(Err(io::ErrorKind::BrokenPipe.into())),
        })
    }

    /// How much data can be sent at once, up to `at_rest` while nothing waits to be sent.
    pub(crate) fn poll_room(&self, cx: &Context<'_>, at_rest: usize) -> Poll<io::Result<usize>> {
        self.poll(cx, |engine, id| match engine.room(id, at_rest) {
            Ok(0) => None,
            room => Some(room.map_err(broken)),
        })
    }

    /// Sends data at once, no more than there is room for.
    pub(crate) fn send_past(&self, socket: &Stream, data: &[u8], is_last: bool) -> io::Result<()> {
        self.mux.send_past(socket, self.id, data, is_last).map_err(broken)
    }

    pub(crate) fn send_trailers(&self, trailers: &Trailers) -> io::Result<()> {
        self.with(|engine, id| engine.send_trailers(id, trailers)).map_err(broken)
    }

    /// Ready when the stream has ended by force.
    pub(crate) fn poll_reset(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx, |engine, id| engine.reset_of(id).map(drop))
    }

    pub(crate) fn reset(&self, code: Code) {
        self.with(|engine, id| engine.reset(id, code));
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        self.with(|engine, id| engine.release(id));
    }
}

pub(crate) fn broken(_: Gone) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
