//! The reply on its way to a client: interim responses, the head, and the body in whatever framing
//! the client reads. What reads from endpoints knows nothing of it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use fairwater_message::{
    BodyLength, Connection, Fault, FaultKind, HeaderName, RequestHead, ResponseHead, Trailers,
    Version,
};
use fairwater_net::Stream;
use fairwater_proto::h1::{Edits, Lines, ReplyFraming, write_response};
use fairwater_proto::http2::Block;

use super::Carrier;
use super::h2::Lane;
use crate::exchange::is_bodiless;
use crate::patience::Patience;
use crate::relay::{self, Coding, Piece, SpliceError};
use crate::shard::Shard;
use crate::transit::piece_bytes;
use crate::write::{WriteError, write_all};

/// Where a reply goes, and how far the client was answered.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    carrier: Carrier<'a>,
    /// Heads and framing that wait for the next write.
    out: &'a mut Vec<u8>,
    /// What waits is a head for a stream, compressed; not lines.
    is_block: bool,
    coding: Coding,
    /// A final response head has gone out, or part of one.
    pub is_started: bool,
    /// The client was told that this connection ends, or must be.
    pub closes: bool,
    /// The end of the body is the end of the connection, so that a broken one must be a reset.
    ends_with_close: bool,
    /// The last piece is out.
    is_over: bool,
    /// The client was told by us that it may send its body.
    has_gone_on: bool,
}

/// A piece of a response body as it comes from an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub data: &'a [u8],
    pub is_last: bool,
    /// For behind the last piece.
    pub trailers: &'a Trailers,
    /// Nothing of the client is left to read, so that a close right behind the last piece is clean.
    pub is_read_out: bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(carrier: Carrier<'a>, out: &'a mut Vec<u8>, closes: bool) -> Self {
        let coding = Coding::Plain;
        Self {
            carrier,
            out,
            is_block: false,
            coding,
            is_started: false,
            closes,
            ends_with_close: false,
            is_over: false,
            has_gone_on: false,
        }
    }

    /// Tells a client that waits for it to send its body.
    pub(crate) async fn go_on(
        &mut self,
        patience: Patience<'_>,
        request: &RequestHead,
    ) -> Result<(), Fault> {
        if !reads_chunks(request) {
            return Ok(()); // HTTP/1.0 knows no interim responses
        }
        self.has_gone_on = true;
        self.out.clear();
        self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        match self.carrier {
            Carrier::Connection(_) => self.flush(patience).await,
            Carrier::Lane(lane) => lane.send_head(self.out, false).map(drop).map_err(aborted),
        }
    }

    /// A client that shall come again by another connection is told so, if it can still be.
    pub(crate) fn look_for_drain(&mut self, shard: &Shard) {
        self.closes |= self.carrier.is_sent_away(shard);
    }

    /// Forwards an interim response.
    pub(crate) async fn interim(
        &mut self,
        patience: Patience<'_>,
        request: &RequestHead,
        (head, bytes): (&ResponseHead, &[u8]),
        removed: &[HeaderName],
    ) -> Result<(), Fault> {
        // HTTP/1.0 knows no interim responses; 100 is for those alone who asked.
        let wants_continue = request.expects_continue && !self.has_gone_on;
        if !reads_chunks(request) || (head.status == 100 && !wants_continue) {
            return Ok(());
        }
        // What is added is for the final one.
        let edits = Edits { removed, ..Edits::default() };
        self.out.clear();
        let (form, connection) = (&mut Lines(self.out), Connection::default());
        write_response(form, head, bytes, ReplyFraming::Bare, connection, edits);
        match self.carrier {
            Carrier::Connection(_) => self.flush(patience).await,
            Carrier::Lane(lane) => lane.send_head(self.out, false).map(drop).map_err(aborted),
        }
    }

    /// Tells the client that the endpoint switches protocols.
    pub(crate) async fn switch(
        &mut self,
        patience: Patience<'_>,
        (head, bytes): (&ResponseHead, &[u8]),
        edits: Edits<'_>,
    ) -> Result<(), Fault> {
        self.out.clear();
        let connection = Connection { upgrade: true, ..Connection::default() };
        write_response(&mut Lines(self.out), head, bytes, ReplyFraming::Bare, connection, edits);
        self.is_started = true;
        if let Carrier::Lane(lane) = self.carrier {
            self.is_over = true; // the rest is the tunnel's
            return lane.send_switch(self.out).map_err(aborted);
        }
        self.flush(patience).await
    }

    /// What the client was told by that.
    pub(crate) fn switch_status(&self) -> u16 {
        if self.lane().is_some() { 200 } else { 101 }
    }

    /// Writes the final head, which leaves with the first piece of the body.
    #[inline]
    pub(crate) fn start(
        &mut self,
        request: &RequestHead,
        (head, bytes): (&ResponseHead, &[u8]),
        edits: Edits<'_>,
    ) {
        let framing = self.framing(request, head);
        let connection = self.connection(request);
        self.out.clear();
        if self.lane().is_some() {
            let form = &mut Block::of_reply(self.out).with_secrets(head.has_secrets);
            write_response(form, head, bytes, framing, connection, edits);
            self.is_block = true;
            return;
        }
        write_response(&mut Lines(self.out), head, bytes, framing, connection, edits);
        self.coding =
            if framing == ReplyFraming::Chunked { Coding::Chunked } else { Coding::Plain };
    }

    /// Sends the final head on a stream, and the first piece of the body behind it, without a wait.
    /// Returns how much of the piece the client has taken; nothing if it reads no streams.
    pub(crate) fn start_at_once(
        &mut self,
        request: &RequestHead,
        (head, bytes): (&ResponseHead, &[u8]),
        edits: Edits<'_>,
        (data, is_last): (&[u8], bool),
    ) -> Result<Option<usize>, Fault> {
        let Some(lane) = self.lane() else { return Ok(None) };
        let framing = self.framing(request, head);
        let connection = self.connection(request);
        self.is_started = true;
        self.out.clear();
        let sent = lane.send_block((data, is_last), |out| {
            let form = &mut Block::of_reply(out).with_secrets(head.has_secrets);
            write_response(form, head, bytes, framing, connection, edits);
        });
        let sent = sent.map_err(aborted)?;
        self.is_over = is_last && sent == data.len();
        Ok(Some(sent))
    }

    fn framing(&mut self, request: &RequestHead, head: &ResponseHead) -> ReplyFraming {
        if is_bodiless(request.method, head.status) {
            return if head.status == 204 { ReplyFraming::Bare } else { ReplyFraming::AsWritten };
        }
        match head.body {
            BodyLength::Known(length) => ReplyFraming::Length(length),
            // The end of a stream says it.
            BodyLength::None if self.lane().is_some() => ReplyFraming::Bare,
            BodyLength::None => ReplyFraming::Length(0),
            BodyLength::Chunked | BodyLength::UntilClose if self.lane().is_some() => {
                ReplyFraming::Bare
            }
            BodyLength::Chunked | BodyLength::UntilClose if reads_chunks(request) => {
                ReplyFraming::Chunked
            }
            BodyLength::Chunked | BodyLength::UntilClose => {
                self.closes = true;
                self.ends_with_close = true;
                ReplyFraming::Bare
            }
        }
    }

    /// Sends a piece of the body, behind the head if that is still to go.
    ///
    /// `IS_CALL` is whether it comes from a call of HTTP/2; for that is a copy apart, as in
    /// [`crate::attempt::run`].
    pub(crate) async fn send<const IS_CALL: bool>(
        &mut self,
        patience: Patience<'_>,
        part: Part<'_>,
    ) -> Result<(), Fault> {
        let Part { data, is_last, trailers, is_read_out } = part;
        self.is_started = true;
        if let Carrier::Lane(lane) = self.carrier {
            // Nearly always all of it goes with the head, without a future that has to be kept.
            if let Some(rest) = self.send_block(lane, part)? {
                send_on(lane, patience, self.out, rest).await?;
            }
            self.is_over = is_last;
            return Ok(());
        }
        let is_end = is_last && self.closes && is_read_out;
        let trailers = &*trailers.lines;
        let piece = Piece { data, coding: self.coding, is_last, trailers, is_end };
        let Some(client) = self.carrier.connection() else { return Ok(()) };
        relay::write_piece(client, patience, self.out, piece, &mut 0).await.map_err(fault_of)?;
        self.is_over = is_last;
        self.out.clear();
        Ok(())
    }

    /// Sends a compressed head, if one is still to go, and of a part of the body behind it what the
    /// client takes at once. Returns the rest, if any is left.
    fn send_block<'p>(&mut self, lane: &Lane, part: Part<'p>) -> Result<Option<Part<'p>>, Fault> {
        if !self.is_block || self.out.is_empty() {
            return Ok(Some(part));
        }
        let Part { data, is_last, trailers, .. } = part;
        let ends_here = is_last && trailers.is_empty();
        let head = &*self.out;
        let sent = lane.send_block((data, ends_here), |out| out.extend_from_slice(head));
        let rest = &data[sent.map_err(aborted)?..];
        self.out.clear();
        let is_all = rest.is_empty() && (ends_here || !is_last);
        Ok((!is_all).then_some(Part { data: rest, ..part }))
    }

    /// Whether a body may be spliced behind what was sent.
    pub(crate) fn takes_splice(&self) -> bool {
        self.coding == Coding::Plain && self.lane().is_none()
    }

    /// Whether a body of known length may be poured behind what was sent: read when the client
    /// takes it, and no more than that.
    pub(crate) fn takes_pouring(&self) -> bool {
        match self.carrier {
            Carrier::Lane(_) => true,
            // In clear there are pipes, or so many slow readers that none should have much.
            Carrier::Connection(client) => !client.is_plain() && self.coding == Coding::Plain,
        }
    }

    /// Pours some of a body, of which so much is left. Ready with nothing when the client takes
    /// nothing now: see [`Self::until_room`].
    pub(crate) fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        endpoint: &Stream,
        left: u64,
    ) -> Poll<Result<usize, Fault>> {
        let room = match self.carrier {
            Carrier::Lane(lane) => match lane.poll_room(cx) {
                Poll::Ready(room) => room.map_err(aborted)?,
                Poll::Pending => return Poll::Ready(Ok(0)),
            },
            Carrier::Connection(client) => piece_bytes(client),
        };
        let mut scratch = shard.scratch.borrow_mut();
        let scratch = scratch.for_stream();
        let want = room.min(scratch.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        let len = match ready!(endpoint.poll_read(cx, &mut scratch[..want])) {
            Ok(0) | Err(_) => return Poll::Ready(Err(FaultKind::BodyTruncated.into())),
            Ok(len) => len,
        };
        let is_last = len as u64 == left;
        match self.carrier {
            Carrier::Lane(lane) => {
                self.is_over = is_last;
                lane.send_past(&scratch[..len], is_last).map_err(aborted)?;
            }
            Carrier::Connection(client) => {
                let parts = [IoSlice::new(&scratch[..len])];
                let taken = client.write_now(&parts).map_err(aborted)?;
                self.out.extend_from_slice(&scratch[taken..len]);
            }
        }
        Poll::Ready(Ok(len))
    }

    /// Waits until the client takes something.
    pub(crate) async fn until_room(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        let Some(lane) = self.lane() else { return self.pour_out(patience).await };
        patience.timer.set(patience.for_large_steps());
        poll_fn(|cx| match lane.poll_room(cx) {
            Poll::Ready(room) => Poll::Ready(room.map(drop).map_err(aborted)),
            Poll::Pending => {
                patience.timer.poll_expired(cx).map(|()| Err(FaultKind::ClientStalled.into()))
            }
        })
        .await
    }

    /// All of a body was poured: on a connection something of it may still have to be written.
    pub(crate) async fn end_pouring(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        if self.lane().is_none() {
            self.pour_out(patience).await?;
            self.is_over = true;
        }
        Ok(())
    }

    /// Writes what a connection did not take at once of what was poured.
    async fn pour_out(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        let Some(client) = self.carrier.connection() else { return Ok(()) };
        if self.out.is_empty() && client.is_flushed() {
            return Ok(());
        }
        let mut parts = [IoSlice::new(self.out)];
        write_all(client, patience, &mut parts, &mut 0).await.map_err(fault_of)?;
        self.out.clear();
        Ok(())
    }

    /// Sends the head of an endpoint with a body of our own.
    pub(crate) async fn replace(
        &mut self,
        patience: Patience<'_>,
        request: &RequestHead,
        (head, bytes): (&ResponseHead, &[u8]),
        edits: Edits<'_>,
        body: &[u8],
    ) -> Result<(), Fault> {
        let connection = self.connection(request);
        let framing = ReplyFraming::Length(body.len() as u64);
        let body = if is_bodiless(request.method, head.status) { &[] } else { body };
        self.out.clear();
        write_response(&mut Lines(self.out), head, bytes, framing, connection, edits);
        self.is_block = false;
        self.out.extend_from_slice(body);
        self.is_started = true;
        self.flush(patience).await
    }

    /// What the client is told of its connection.
    #[inline]
    fn connection(&self, request: &RequestHead) -> Connection {
        Connection {
            close: self.closes,
            keep_alive: !self.closes && !reads_chunks(request),
            ..Connection::default()
        }
    }

    /// Splices the rest of a body of known length from an endpoint, as [`relay::splice`].
    pub(crate) async fn splice_from(
        &mut self,
        shard: &Shard,
        endpoint: &Stream,
        counts: (&mut u64, &mut u64),
        patience: Patience<'_>,
        turn: &mut relay::Turn,
        poll_abort: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<bool, SpliceError> {
        let Some(client) = self.carrier.connection() else { return Ok(false) };
        relay::splice(shard, (endpoint, client), counts, patience, turn, poll_abort).await
    }

    /// Sends a reply of our own, which `write` makes.
    pub(crate) async fn answer(
        &mut self,
        patience: Patience<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Fault> {
        self.out.clear();
        self.is_block = false;
        write(self.out);
        self.is_started = true;
        self.flush(patience).await
    }

    /// Gives up a reply that has begun and can't be completed.
    pub(crate) fn break_off(&mut self, kind: FaultKind) {
        if let Some(client) = self.carrier.connection()
            && kind == FaultKind::ClientStalled
        {
            client.reset_on_close();
        }
    }

    fn lane(&self) -> Option<&'a Lane> {
        match self.carrier {
            Carrier::Connection(_) => None,
            Carrier::Lane(lane) => Some(lane),
        }
    }

    /// Sends what was written: a head, and a whole body behind it if that has one.
    async fn flush(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        let result = match self.carrier {
            Carrier::Connection(client) => {
                write_all(client, patience, &mut [IoSlice::new(self.out)], &mut 0)
                    .await
                    .map_err(fault_of)
            }
            Carrier::Lane(lane) => {
                let trailers = Trailers::NONE;
                let all = Part { data: &[], is_last: true, trailers, is_read_out: false };
                let result = send_on(lane, patience, self.out, all).await;
                self.is_over |= result.is_ok();
                result
            }
        };
        self.out.clear();
        result
    }
}

/// Sends on a stream what `out` holds of the reply, lines and perhaps all of a body, and a part of
/// the body behind it.
async fn send_on(
    lane: &Lane,
    patience: Patience<'_>,
    out: &mut Vec<u8>,
    part: Part<'_>,
) -> Result<(), Fault> {
    let Part { data, is_last, trailers, .. } = part;
    let ends_here = is_last && trailers.is_empty();
    if !out.is_empty() {
        let is_all = ends_here && data.is_empty();
        let head_len = lane.send_head(out, is_all).map_err(aborted)?;
        if head_len < out.len() {
            send_data(lane, patience, &out[head_len..], is_all).await?;
        }
        out.clear();
        if is_all {
            return Ok(());
        }
    }
    if !data.is_empty() || ends_here {
        send_data(lane, patience, data, ends_here).await?;
    }
    if is_last && !trailers.is_empty() {
        lane.send_trailers(trailers).map_err(aborted)?;
    }
    Ok(())
}

async fn send_data(
    lane: &Lane,
    patience: Patience<'_>,
    data: &[u8],
    is_last: bool,
) -> Result<(), Fault> {
    let mut rest = data;
    loop {
        // Of what the client takes is seen what leaves the library, and that in large steps.
        patience.timer.set(patience.for_large_steps());
        let sent = poll_fn(|cx| match lane.poll_send(cx, rest, is_last) {
            Poll::Ready(result) => Poll::Ready(result.map_err(aborted)),
            Poll::Pending => {
                patience.timer.poll_expired(cx).map(|()| Err(FaultKind::ClientStalled.into()))
            }
        });
        rest = &rest[sent.await?..];
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn aborted(_: io::Error) -> Fault {
    FaultKind::ClientAborted.into()
}

impl Drop for Sink<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_started && !self.is_over {
            end_early(self.carrier, self.ends_with_close);
        }
    }
}

/// An early end, of whatever cause, would look like the complete body.
///
/// Takes no sink, so that one which is over need not be put together in memory to be dropped.
#[cold]
fn end_early(carrier: Carrier<'_>, ends_with_close: bool) {
    match carrier {
        Carrier::Connection(client) if ends_with_close => client.reset_on_close(),
        Carrier::Connection(_) => {}
        Carrier::Lane(lane) => lane.break_off(),
    }
}

/// Whether the client reads chunked bodies.
pub(crate) fn reads_chunks(head: &RequestHead) -> bool {
    head.version != Version::Http10
}

fn fault_of(error: WriteError) -> Fault {
    match error {
        WriteError::Stalled => FaultKind::ClientStalled.into(),
        WriteError::Failed => FaultKind::ClientAborted.into(),
    }
}
