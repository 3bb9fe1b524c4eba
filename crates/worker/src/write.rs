//! Writing all of something: tried at once, waited for only when the socket is full, and then under
//! a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fairwater_net::{Stream, clock};

use crate::limits;
use crate::patience::Patience;

/// How a write failed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The peer took nothing for as long as it may.
    Stalled,
    /// The connection is closed or reset.
    Failed,
}

/// Writes all parts, and counts up in `written` what the socket takes.
pub(crate) async fn write_all(
    stream: &Stream,
    patience: Patience<'_>,
    parts: &mut [IoSlice<'_>],
    written: &mut u64,
) -> Result<(), WriteError> {
    write(stream, patience, parts, written, false).await
}

/// As [`write_all`] with one part, which nearly always goes out at once.
pub(crate) async fn write_one(
    stream: &Stream,
    patience: Patience<'_>,
    bytes: &[u8],
    written: &mut u64,
) -> Result<(), WriteError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let first = poll_fn(|cx| match stream.poll_write(cx, &[IoSlice::new(bytes)]) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
        Poll::Pending => Poll::Ready(Ok(0)),
    });
    let len = first.await?;
    *written += len as u64;
    if len == bytes.len() {
        return match stream.is_plain() {
            true => Ok(()),
            false => flush(stream, patience).await,
        };
    }
    write_all(stream, patience, &mut [IoSlice::new(&bytes[len..])], written).await
}

/// As [`write_all`], for the last bytes before the connection is closed.
pub(crate) async fn write_last(
    stream: &Stream,
    patience: Patience<'_>,
    last: &[u8],
    written: &mut u64,
) -> Result<(), WriteError> {
    write(stream, patience, &mut [IoSlice::new(last)], written, true).await
}

async fn write(
    stream: &Stream,
    patience: Patience<'_>,
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
            Poll::Pending => stall.poll(cx, stream, patience).map(|()| Err(WriteError::Stalled)),
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
    match stream.is_plain() {
        true => Ok(()),
        false => flush(stream, patience).await,
    }
}

/// Waits until what TLS holds back is the kernel's.
async fn flush(stream: &Stream, patience: Patience<'_>) -> Result<(), WriteError> {
    let mut stall = Stall::default();
    poll_fn(|cx| match stream.poll_flush(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
        Poll::Pending => stall.poll(cx, stream, patience).map(|()| Err(WriteError::Stalled)),
    })
    .await
}

/// Tells a peer that takes nothing from one that reads slowly: the kernel calls a socket writable
/// only when a third of its buffer is free, which at a kilobyte a second takes longer than any
/// timeout. Where even what is taken shows in large steps only, there is more time.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    untaken: usize,
    stall: Duration,
    /// Since when the peer has taken nothing; 0 before the first look.
    since_ms: u64,
}

impl Stall {
    /// Ready when the peer has taken nothing for too long. Sets the timer.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        patience: Patience<'_>,
    ) -> Poll<()> {
        if self.since_ms == 0 {
            self.stall = match stream.takes_large_steps() {
                true => patience.for_large_steps(),
                false => patience.stall,
            };
            (self.untaken, self.since_ms) = (stream.untaken_bytes(), clock::coarse_ms());
            patience.timer.set(self.stall.min(limits::STALL_LOOK));
        }
        loop {
            ready!(patience.timer.poll_expired(cx));
            let (untaken, now_ms) = (stream.untaken_bytes(), clock::coarse_ms());
            if untaken < self.untaken {
                (self.untaken, self.since_ms) = (untaken, now_ms);
            }
            let until_ms = self.since_ms + self.stall.as_millis() as u64;
            if now_ms >= until_ms {
                return Poll::Ready(());
            }
            patience.timer.set_at(until_ms.min(now_ms + limits::STALL_LOOK.as_millis() as u64));
        }
    }
}
