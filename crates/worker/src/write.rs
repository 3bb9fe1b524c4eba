//! Writing all of something: tried at once, waited for only when the socket is full, and then under
//! a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_net::{Stream, Timer};

use crate::limits;

/// How a write failed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The peer took nothing for [`limits::BODY_STALL`].
    Stalled,
    /// The connection is closed or reset.
    Failed,
}

/// The patience with a peer that has to take bytes. The kernel reports room only once a third of its
/// buffer is free, which a slow reader may need minutes for: so what counts is whether the peer's
/// kernel has acknowledged anything. Looked at when the deadline comes, never before.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    is_armed: bool,
    acknowledged: Option<u64>,
}

/// Half, since it takes two looks to see that nothing has moved.
const LOOK: Duration = limits::BODY_STALL.checked_div(2).expect("two is not zero");

impl Patience {
    /// Ready when the peer has taken nothing for [`limits::BODY_STALL`].
    pub(crate) fn poll_stalled(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        timer: &Timer,
    ) -> Poll<()> {
        if !self.is_armed {
            self.is_armed = true;
            timer.set(LOOK);
        }
        while timer.poll_expired(cx).is_ready() {
            let acknowledged = stream.acknowledged_bytes().unwrap_or(0);
            if self.acknowledged.replace(acknowledged) == Some(acknowledged) {
                return Poll::Ready(());
            }
            timer.set(LOOK);
        }
        Poll::Pending
    }
}

/// Writes all parts. Returns how many bytes; on failure `written` says how many the socket took.
pub(crate) async fn write_all(
    stream: &Stream,
    timer: &Timer,
    parts: &mut [IoSlice<'_>],
    written: &mut u64,
) -> Result<(), WriteError> {
    let mut parts = parts;
    let mut patience = Patience::default();
    IoSlice::advance_slices(&mut parts, 0); // leaves out empty ones
    while !parts.is_empty() {
        let result = poll_fn(|cx| match stream.poll_write(cx, parts) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
            Poll::Pending => {
                let stalled = patience.poll_stalled(cx, stream, timer);
                stalled.map(|()| Err(WriteError::Stalled))
            }
        });
        match result.await? {
            0 => return Err(WriteError::Failed),
            len => {
                *written += len as u64;
                patience = Patience::default();
                IoSlice::advance_slices(&mut parts, len);
            }
        }
    }
    Ok(())
}
