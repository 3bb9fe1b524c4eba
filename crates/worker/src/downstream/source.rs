//! The body of a request, as it is read from a client.

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use fairwater_message::{BodyLength, Fault, FaultKind, HeaderName, Trailers};
use fairwater_net::{Stream, Timer};
use fairwater_proto::h1::write_trailers;

use super::{Carrier, Lane};
use crate::body::Body;
use crate::hold::Holding;
use crate::limits::{self, BUFFER_BYTES};
use crate::patience::Patience;
use crate::relay::{self, SpliceError};
use crate::shard::Shard;
use crate::work::Rest;

/// The request body: where the rest of it comes from, and what of it is in memory.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    carrier: Carrier<'a>,
    /// The part of the request buffer behind the head; or what is held, with room behind it.
    tail: &'a mut [u8],
    /// In place of the tail, of a stream: what has come of it, in the memory that it came in, so
    /// that one that waits has none.
    piece: Vec<u8>,
    /// Where a body can be held; nothing, once one is.
    apart: Option<&'a mut Vec<u8>>,
    held: Option<Box<Held<'a>>>,
    /// Bytes of the tail that were read and are not used yet.
    start: usize,
    end: usize,
    body: Body,
    /// As the head said it: what a retry starts from.
    length: BodyLength,
    /// Nothing was written over the first bytes, so that they can be sent again.
    is_held: bool,
    /// The client has closed its direction.
    pub is_half_closed: bool,
    /// Bytes of a body of unknown length.
    bytes: u64,
    bytes_max: u64,
    /// Trailers of these names are dropped, as fields of the head are.
    removed: &'a [HeaderName],
    /// Those of a stream, which come apart from its body.
    trailers: Trailers,
}

/// The first part of a body, or all of it, that is in memory and decoded: what a retry starts from.
#[derive(Debug)]
struct Held<'a> {
    len: usize,
    /// What comes behind it.
    then: Body,
    _holding: Holding<'a>,
}

impl Held<'_> {
    fn body(&self) -> Body {
        if self.len > 0 { Body::Held(self.len) } else { self.then.clone() }
    }
}

/// Streams have no framing of their own: a body ends with its stream, behind its trailers, and that
/// it is as long as it said the library sees to.
fn body_of(carrier: Carrier<'_>, length: BodyLength) -> Body {
    match (carrier, length) {
        (Carrier::Lane(_), BodyLength::Chunked | BodyLength::Known(_)) => Body::UntilClose,
        _ => Body::of_request(length),
    }
}

impl<'a> Source<'a> {
    #[inline(always)]
    pub(crate) fn new(
        carrier: Carrier<'a>,
        (tail, apart): (&'a mut [u8], &'a mut Vec<u8>),
        len: usize,
        length: BodyLength,
    ) -> Self {
        Self {
            carrier,
            tail,
            piece: Vec::new(),
            apart: Some(apart),
            held: None,
            start: 0,
            end: len,
            body: body_of(carrier, length),
            length,
            is_held: true,
            is_half_closed: false,
            bytes: 0,
            bytes_max: u64::MAX,
            removed: &[],
            trailers: Trailers::default(),
        }
    }

    pub(crate) fn carrier(&self) -> Carrier<'a> {
        self.carrier
    }

    /// Sets the most bytes that the body may have.
    pub(crate) fn limit(&mut self, bytes_max: u64) -> Result<(), Fault> {
        self.bytes_max = bytes_max;
        match self.length {
            BodyLength::Known(length) if length > bytes_max => {
                Err(FaultKind::RequestBodyTooLarge.into())
            }
            _ => Ok(()),
        }
    }

    /// Sets which trailers are dropped.
    pub(crate) fn remove(&mut self, names: &'a [HeaderName]) {
        self.removed = names;
    }

    /// Whether all of the body has been taken out.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Whether the request ends here: of its body all was taken out, and no trailers are behind it.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_done() && self.trailers.is_empty()
    }

    /// Whether all of the body has been taken out, and nothing has come behind it.
    #[inline(always)]
    pub(crate) fn is_read_out(&self) -> bool {
        self.is_done() && self.start == self.end
    }

    /// What was read and belongs to no body yet, as a range of the tail.
    pub(crate) fn behind(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Takes out what was read behind the request.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        let ahead = self.data(self.behind()).to_vec();
        self.start = self.end;
        ahead
    }

    /// Whether the body can be sent once more from the start.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Goes back to the start of a body that is still held.
    pub(crate) fn rewind(&mut self) {
        debug_assert!(self.is_held, "what was overwritten cannot be sent again");
        if self.length != BodyLength::None {
            (self.start, self.bytes) = (0, 0);
            self.body = match &self.held {
                None => body_of(self.carrier, self.length),
                Some(held) => held.body(),
            };
        }
    }

    /// What was read behind the request: a part of the request buffer, or, behind a body that was
    /// held apart from it, these bytes.
    #[inline]
    pub(crate) fn take_rest(&mut self) -> Rest {
        match self.held {
            // A stream ends with its body.
            None if !self.piece.is_empty() => Rest::Behind(0..0),
            None => Rest::Behind(self.behind()),
            Some(_) => Rest::Apart(self.take_ahead()),
        }
    }

    /// Reads the body until it is whole, or has more than `bytes_max`, or `holding` has no room for
    /// more; what was read is taken from then on as if it had just come.
    pub(crate) async fn hold(
        &mut self,
        bytes_max: usize,
        mut holding: Holding<'a>,
        patience: Patience<'_>,
    ) -> Result<(), Fault> {
        let Some(apart) = self.apart.take() else { return Ok(()) };
        apart.clear();
        loop {
            let range = self.take()?;
            let is_nothing = range.is_empty();
            apart.extend_from_slice(self.data(range));
            if self.is_whole() || apart.len() > bytes_max {
                break;
            }
            if is_nothing {
                // Before it is there: who sends nothing is not told that there is no room.
                if !holding.has_room_for(apart.capacity() + BUFFER_BYTES) {
                    break;
                }
                self.let_go();
                self.fill(patience).await?;
            }
        }
        let len = apart.len();
        if len == 0 && !self.is_whole() {
            self.apart = Some(apart);
            return Ok(()); // there was room for nothing
        }
        let behind = self.data(self.behind());
        // With room for what comes next.
        apart.reserve_exact(behind.len() + BUFFER_BYTES);
        apart.extend_from_slice(behind);
        self.let_go();
        (self.start, self.end) = (0, apart.len());
        apart.resize(self.end + BUFFER_BYTES, 0);
        holding.count(apart.capacity());
        self.tail = apart.as_mut_slice();
        let then = std::mem::replace(&mut self.body, Body::Done);
        self.held = Some(Box::new(Held { len, then, _holding: holding }));
        self.is_held = true;
        self.rewind();
        Ok(())
    }

    /// Whether nothing more of the body will come; trailers may be there and not taken yet.
    fn is_whole(&self) -> bool {
        match &self.body {
            Body::Chunked(decoder) => decoder.is_done(),
            body => body.is_done(),
        }
    }

    /// Takes the next piece of data that is in memory already, as a range of the tail. An empty
    /// range means that more must be read (or that the body is done).
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Range<usize>, Fault> {
        let bytes = if self.piece.is_empty() { &mut *self.tail } else { &mut self.piece };
        let taken = self.body.take(&mut bytes[self.start..self.end])?;
        if self.held.is_some() {
            self.leave_held();
        }
        // A second decoding would not find the chunks again.
        self.is_held &= !taken.is_moved;
        let range = self.start + taken.data.start..self.start + taken.data.end;
        self.start += taken.consumed;
        self.bytes += range.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(FaultKind::RequestBodyTooLarge.into());
        }
        Ok(range)
    }

    /// Goes on behind what is held, once that is taken.
    #[cold]
    fn leave_held(&mut self) {
        if let (Body::Held(0), Some(held)) = (&self.body, &self.held) {
            self.body = held.then.clone();
        }
    }

    /// The bytes of a range that `take` gave.
    #[inline]
    pub(crate) fn data(&self, range: Range<usize>) -> &[u8] {
        if self.piece.is_empty() { &self.tail[range] } else { &self.piece[range] }
    }

    /// What a stream has sent is not kept for a retry any longer.
    pub(crate) fn let_go(&mut self) {
        if matches!(self.carrier, Carrier::Lane(_)) && self.held.is_none() {
            (self.piece, self.start, self.end) = (Vec::new(), 0, 0);
            self.is_held = false;
        }
    }

    /// The trailers of a body that is complete but for them; ends the body. Nearly always there are
    /// none.
    #[inline]
    pub(crate) fn take_trailers(&mut self) -> Result<Trailers, Fault> {
        match self.body {
            Body::Done | Body::Length(_) if self.trailers.is_empty() => Ok(Trailers::default()),
            _ => self.write_trailers(),
        }
    }

    fn write_trailers(&mut self) -> Result<Trailers, Fault> {
        let mut lines = Vec::new();
        if !self.trailers.is_empty() {
            write_trailers(&self.trailers.lines, true, self.removed, &mut lines)?;
        }
        if let Some(decoder) = self.body.take_trailers() {
            write_trailers(decoder.trailers(), true, self.removed, &mut lines)?;
        }
        Ok(Trailers { lines, has_secrets: self.trailers.has_secrets })
    }

    /// Whether so much is left of a body of known length that splicing it is cheaper.
    pub(crate) fn is_worth_splicing(&self) -> bool {
        let is_long = matches!(self.body, Body::Length(left) if left >= limits::SPLICE_BYTES_MIN);
        is_long && self.start == self.end && self.carrier.connection().is_some()
    }

    /// Splices the rest of a body of known length to an endpoint, and counts what that takes. What
    /// was read and did not get there is lost, but known as read: the next request begins behind
    /// it. Returns false when there is no pipe to be had; what is left is then copied.
    pub(crate) async fn splice_to(
        &mut self,
        shard: &Shard,
        endpoint: &Stream,
        written: &mut u64,
        patience: Patience<'_>,
        turn: &mut relay::Turn,
    ) -> Result<bool, SpliceError> {
        debug_assert_eq!(self.start, self.end, "what is in memory goes first");
        let (Body::Length(left), Some(client)) = (&mut self.body, self.carrier.connection()) else {
            return Ok(false);
        };
        self.is_held = false;
        let ends = (client, endpoint);
        relay::splice(shard, ends, (left, written), patience, turn, |_| Poll::Pending).await
    }

    /// Body bytes that were taken in, without framing.
    pub(crate) fn bytes(&self) -> u64 {
        match (self.length, &self.body) {
            // What was spliced is counted here alone.
            (BodyLength::Known(length), Body::Length(left)) => length - left,
            (BodyLength::Known(length), Body::Done) => length,
            _ => self.bytes,
        }
    }

    /// Reads more of the body; the bytes before must all be taken. Those that were read behind the
    /// held part of a body, for a try that failed, are there already.
    pub(crate) async fn fill(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        if self.held.is_some() && self.start < self.end {
            return Ok(());
        }
        patience.renew();
        self.fill_in_time(patience.timer).await
    }

    /// As `fill`, under a deadline that is set already.
    pub(crate) async fn fill_in_time(&mut self, timer: &Timer) -> Result<(), Fault> {
        poll_fn(|cx| match self.poll_fill(cx) {
            Poll::Pending => {
                timer.poll_expired(cx).map(|()| Err(FaultKind::RequestBodyTimeout.into()))
            }
            ready => ready,
        })
        .await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        debug_assert_eq!(self.start, self.end, "read bytes are taken before more are read");
        if let (Carrier::Lane(lane), None) = (self.carrier, &self.held) {
            return self.poll_piece(lane, cx);
        }
        // As long as there is room, what came before is kept for a retry.
        let is_held = self.is_held && self.end < self.tail.len();
        let at = if is_held { self.end } else { 0 };
        let result = ready!(self.carrier.poll_read(cx, &mut self.tail[at..]));
        Poll::Ready(match (result, self.carrier) {
            (Ok(0), Carrier::Lane(lane)) if matches!(self.body, Body::UntilClose) => {
                (self.body, self.trailers) = (Body::Done, lane.trailers());
                Ok(())
            }
            (Ok(0) | Err(_), _) => Err(FaultKind::ClientAborted.into()),
            (Ok(len), carrier) => {
                (self.start, self.end) = (at, at + len);
                self.is_held = is_held;
                if let Carrier::Lane(lane) = carrier
                    && lane.is_read_out()
                {
                    self.body = Body::Length(len as u64); // nothing comes behind
                }
                Ok(())
            }
        })
    }

    /// The same of a stream. As much as a buffer takes is kept for a retry.
    fn poll_piece(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.is_held {
            self.let_go();
        }
        let piece = match ready!(lane.poll_piece(cx)) {
            Ok(piece) if piece.is_empty() => {
                (self.body, self.trailers) = (Body::Done, lane.trailers());
                return Poll::Ready(Ok(()));
            }
            Ok(piece) => piece,
            Err(_) => return Poll::Ready(Err(FaultKind::ClientAborted.into())),
        };
        let len = piece.len();
        if self.piece.is_empty() {
            self.piece = piece;
        } else if self.piece.len() + len <= BUFFER_BYTES {
            self.piece.extend_from_slice(&piece);
        } else {
            (self.piece, self.is_held) = (piece, false);
        }
        (self.start, self.end) = (self.piece.len() - len, self.piece.len());
        if lane.is_read_out() {
            self.body = Body::Length(len as u64); // nothing comes behind
        }
        Poll::Ready(Ok(()))
    }

    /// While the endpoint works: notices a client that resets, and takes in what it sends ahead.
    /// Ready only with a fault.
    pub(crate) fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let client = match self.carrier {
            Carrier::Connection(client) => client,
            Carrier::Lane(lane) => {
                return lane.poll_reset(cx).map(|()| FaultKind::ClientAborted.into());
            }
        };
        while !self.is_half_closed && self.is_done() && self.end < self.tail.len() {
            match client.poll_read(cx, &mut self.tail[self.end..]) {
                Poll::Pending => return Poll::Pending,
                // A client that closes its direction may still want the answer.
                Poll::Ready(Ok(0)) => self.is_half_closed = true,
                Poll::Ready(Ok(len)) => self.end += len,
                Poll::Ready(Err(_)) => return Poll::Ready(FaultKind::ClientAborted.into()),
            }
        }
        Poll::Pending
    }
}
