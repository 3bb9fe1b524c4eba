//! Writing all of something: tried at once, waited for only when the socket is full, and then under
//! a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};
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

/// Writes all parts. Returns how many bytes; on failure `written` says how many the socket took.
pub(crate) async fn write_all(
    stream: &Stream,
    timer: &Timer,
    parts: &mut [IoSlice<'_>],
    written: &mut u64,
) -> Result<(), WriteError> {
    write(stream, timer, parts, written, false).await
}

/// As [`write_all`] with one part, which nearly always goes out at once.
pub(crate) async fn write_one(
    stream: &Stream,
    timer: &Timer,
    bytes: &[u8],
    written: &mut u64,
) -> Result<(), WriteError> {
    let first = poll_fn(|cx| match stream.poll_write(cx, &[IoSlice::new(bytes)]) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
        Poll::Pending => Poll::Ready(Ok(0)),
    });
    let len = first.await?;
    *written += len as u64;
    if len == bytes.len() {
        return Ok(());
    }
    write_all(stream, timer, &mut [IoSlice::new(&bytes[len..])], written).await
}

/// As [`write_all`], for the last bytes before the connection is closed.
pub(crate) async fn write_last(
    stream: &Stream,
    timer: &Timer,
    last: &[u8],
    written: &mut u64,
) -> Result<(), WriteError> {
    write(stream, timer, &mut [IoSlice::new(last)], written, true).await
}

async fn write(
    stream: &Stream,
    timer: &Timer,
    parts: &mut [IoSlice<'_>],
    written: &mut u64,
    is_last: bool,
) -> Result<(), WriteError> {
    let mut parts = parts;
    let mut stall = Stall::default();
    IoSlice::advance_slices(&mut parts, 0); // leaves out empty ones
    while !parts.is_empty() {
        let poll = |cx: &mut Context<'_>| match &*parts {
            [last] if is_last => stream.poll_write_last(cx, last),
            parts => stream.poll_write(cx, parts),
        };
        let result = poll_fn(|cx| match poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
            Poll::Pending => stall.poll(cx, stream, timer).map(|()| Err(WriteError::Stalled)),
        });
        match result.await? {
            0 => return Err(WriteError::Failed),
            len => {
                *written += len as u64;
                stall = Stall::default();
                IoSlice::advance_slices(&mut parts, len);
            }
        }
    }
    Ok(())
}

/// Tells a peer that takes nothing for [`limits::BODY_STALL`] from one that reads slowly: the
/// kernel calls a socket writable only when a third of its buffer is free, which at a kilobyte a
/// second takes longer than any timeout.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Bytes that the peer had acknowledged at the last look, once there was one.
    acknowledged: Option<Option<u64>>,
    is_armed: bool,
}

impl Stall {
    /// Ready when the peer has taken nothing for too long. Sets the timer.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        timer: &Timer,
    ) -> Poll<()> {
        const LOOK: Duration = limits::BODY_STALL.checked_div(2).expect("two is not zero");
        if !self.is_armed {
            self.is_armed = true;
            timer.set(LOOK);
        }
        loop {
            ready!(timer.poll_expired(cx));
            let now = stream.acknowledged_bytes();
            if self.acknowledged.is_some_and(|before| now <= before) {
                return Poll::Ready(());
            }
            self.acknowledged = Some(now);
            timer.set(LOOK);
        }
    }
}
