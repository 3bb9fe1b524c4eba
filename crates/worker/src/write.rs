//! Writing all of something: tried at once, waited for only when the socket is full, and then under
//! a deadline.

use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll};

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
    let mut is_armed = false;
    IoSlice::advance_slices(&mut parts, 0); // leaves out empty ones
    while !parts.is_empty() {
        let poll = |cx: &mut Context<'_>| match &*parts {
            [last] if is_last => stream.poll_write_last(cx, last),
            parts => stream.poll_write(cx, parts),
        };
        let result = poll_fn(|cx| match poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| WriteError::Failed)),
            Poll::Pending => {
                if !is_armed {
                    is_armed = true;
                    timer.set(limits::BODY_STALL);
                }
                timer.poll_expired(cx).map(|()| Err(WriteError::Stalled))
            }
        });
        match result.await? {
            0 => return Err(WriteError::Failed),
            len => {
                *written += len as u64;
                is_armed = false;
                IoSlice::advance_slices(&mut parts, len);
            }
        }
    }
    Ok(())
}
