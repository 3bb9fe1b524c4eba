//! Those who wait for data on the streams of a connection. When windows shrink (`windows.rs`), what
//! a peer has sent may be more than it may send now; if all of that was read before, only its
//! reader can have the library think of giving it more.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;

/// By the numbers of their streams.
#[derive(Debug, Default)]
pub(crate) struct Readers(RefCell<Vec<(u32, Waker)>>);

impl Readers {
    /// The next data of a stream; nothing at its end.
    pub(crate) fn poll_data(
        &self,
        body: &mut RecvStream,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let next = body.poll_data(cx);
        if next.is_pending() {
            // Gives nothing back, but lets the library compare what was given with the window. Only
            // of a stream that is gone it fails.
            drop(body.flow_control().release_capacity(0));
            self.wait(body.stream_id().as_u32(), cx);
        }
        next
    }

    fn wait(&self, stream: u32, cx: &Context<'_>) {
        let mut all = self.0.borrow_mut();
        match all.iter_mut().find(|(own, _)| *own == stream) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => all.push((stream, cx.waker().clone())),
        }
    }

    /// A stream of which nothing more is read.
    pub(crate) fn leave(&self, stream: u32) {
        self.0.borrow_mut().retain(|(own, _)| *own != stream);
    }

    /// Lets all look again.
    pub(crate) fn wake(&self) {
        self.0.borrow().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }
}
