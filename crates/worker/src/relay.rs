//! Step 11: moving pieces of bodies, in the coding that the other side reads, and splicing what is
//! large and plain.

use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};

use fairwater_net::Stream;
use fairwater_proto::h1::ChunkHead;

use crate::limits;
use crate::patience::Patience;
use crate::rate::Meter;
use crate::shard::Shard;
use crate::write::{Stall, WriteError, write_all, write_last, write_one};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Chunked,
}

/// What goes out in one write: data, and perhaps the end of the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub data: &'a [u8],
    pub coding: Coding,
    pub is_last: bool,
    /// Field lines for behind the last chunk; a plain body has no place for them.
    pub trailers: &'a [u8],
    /// The connection is closed right behind this piece.
    pub is_end: bool,
}

/// Up to here copying the data behind the head is cheaper than a second element of a vectored
/// write.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Writes a piece behind what `out` holds, in as few calls as the socket allows: one, nearly
/// always.
pub(crate) async fn write_piece(
    stream: &Stream,
    patience: Patience<'_>,
    out: &mut Vec<u8>,
    piece: Piece<'_>,
    written: &mut u64,
) -> Result<(), WriteError> {
    let chunk = ChunkHead::new(piece.data.len());
    let (before, after): (&[u8], &[u8]) = match piece.coding {
        Coding::Plain => (b"", b""),
        Coding::Chunked => match (piece.data.is_empty(), piece.is_last) {
            (true, false) => (b"", b""),
            (true, true) => (b"", b"0\r\n"),
            (false, false) => (chunk.as_bytes(), b"\r\n"),
            (false, true) => (chunk.as_bytes(), b"\r\n0\r\n"),
        },
    };
    // Trailers exist behind chunks alone; a client that reads none never hears of them.
    let (trailers, end): (&[u8], &[u8]) = match piece.is_last && piece.coding == Coding::Chunked {
        true => (piece.trailers, b"\r\n"),
        false => (b"", b""),
    };
    if piece.data.len() <= COPIED_BYTES_MAX {
        for part in [before, piece.data, after, trailers, end] {
            out.extend_from_slice(part);
        }
        if piece.is_end {
            return write_last(stream, patience, out, written).await;
        }
        return write_one(stream, patience, out, written).await;
    }
    let mut parts = [&**out, before, piece.data, after, trailers, end].map(IoSlice::new);
    write_all(stream, patience, &mut parts, written).await
}

/// Counts what a connection moves, and lets others have their turn now and then.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    bytes: u64,
    meter: Option<Rc<Meter>>,
}

impl Turn {
    /// Of an exchange whose bytes may be limited.
    pub(crate) fn of(meter: Option<Rc<Meter>>) -> Self {
        Self { bytes: 0, meter }
    }

    #[inline]
    pub(crate) async fn spend(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= limits::BYTES_PER_TURN {
            self.charge();
            tokio::task::yield_now().await;
        }
    }

    #[cold]
    fn charge(&mut self) {
        if let Some(meter) = &self.meter {
            meter.charge(self.bytes);
        }
        self.bytes = 0;
    }
}

/// Why a splice stopped before its end.
#[derive(Debug)]
pub(crate) enum SpliceError {
    /// The source ended early.
    Ended,
    ReadFailed,
    ReadStalled,
    WriteFailed,
    WriteStalled,
    /// The one who waits for the bytes has gone.
    Aborted,
}

/// Splices `left` bytes from one socket to the other. `left` counts down as bytes leave the source
/// and `drained` up as the target takes them, so that both are right whenever this is dropped. A
/// pipe is held only while there are bytes to move, and while none come `poll_abort` is asked
/// whether to go on. Returns false when no pipe can be had: then bytes must be copied.
pub(crate) async fn splice(
    shard: &Shard,
    (from, to): (&Stream, &Stream),
    (left, drained): (&mut u64, &mut u64),
    patience: Patience<'_>,
    turn: &mut Turn,
    mut poll_abort: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<bool, SpliceError> {
    if !from.is_plain() || !to.is_plain() {
        return Ok(false);
    }
    while *left > 0 {
        let Some(mut pipe) = shard.pipes.take() else { return Ok(false) };
        let want = usize::try_from(*left).unwrap_or(usize::MAX);
        let filled = poll_fn(|cx| match from.poll_fill(cx, &mut pipe, want) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        });
        match filled.await {
            None => {
                drop(pipe);
                until_readable(from, patience, &mut poll_abort).await?;
                continue;
            }
            Some(Ok(0)) => return Err(SpliceError::Ended),
            Some(Ok(len)) => *left -= len as u64,
            Some(Err(_)) => return Err(SpliceError::ReadFailed),
        }
        while pipe.held() > 0 {
            // A last piece that is not full waits for more only if that is here already.
            let more = *left > 0 && from.unread_bytes() > 0;
            let mut stall = Stall::default();
            let taken = poll_fn(|cx| match to.poll_drain(cx, &mut pipe, more) {
                Poll::Ready(result) => Poll::Ready(result.map_err(|_| SpliceError::WriteFailed)),
                Poll::Pending => {
                    stall.poll(cx, to, patience).map(|()| Err(SpliceError::WriteStalled))
                }
            });
            let len = taken.await?;
            *drained += len as u64;
            turn.spend(len).await;
        }
    }
    Ok(true)
}

async fn until_readable(
    from: &Stream,
    patience: Patience<'_>,
    poll_abort: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<(), SpliceError> {
    patience.renew();
    poll_fn(|cx| match from.poll_readable(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(|_| SpliceError::ReadFailed)),
        Poll::Pending if poll_abort(cx).is_ready() => Poll::Ready(Err(SpliceError::Aborted)),
        Poll::Pending => patience.timer.poll_expired(cx).map(|()| Err(SpliceError::ReadStalled)),
    })
    .await
}
