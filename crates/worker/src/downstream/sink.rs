//! The reply on its way to an HTTP/1 client: interim responses, the head, and the body in whatever
//! framing the client reads. What reads from endpoints knows nothing of it.

use std::io::IoSlice;
use std::task::{Context, Poll};

use fairwater_message::{
    BodyLength, Connection, Fault, FaultKind, HeaderName, RequestHead, ResponseHead, Version,
};
use fairwater_net::Stream;
use fairwater_proto::h1::{Edits, ReplyFraming, write_response};

use crate::exchange::is_bodiless;
use crate::patience::Patience;
use crate::relay::{self, Coding, Piece, SpliceError};
use crate::shard::Shard;
use crate::write::{WriteError, write_all};

/// Where a reply goes, and how far the client was answered.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    stream: &'a Stream,
    /// Heads and framing that wait for the next write.
    out: &'a mut Vec<u8>,
    coding: Coding,
    /// A final response head has gone out, or part of one.
    pub is_started: bool,
    /// The client was told that this connection ends, or must be.
    pub closes: bool,
    /// The end of the body is the end of the connection, so that a broken one must be a reset.
    ends_with_close: bool,
    /// The last piece is out.
    is_over: bool,
}

/// A piece of a response body as it comes from an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub data: &'a [u8],
    pub is_last: bool,
    /// Field lines for behind the last piece.
    pub trailers: &'a [u8],
    /// Nothing of the client is left to read, so that a close right behind the last piece is clean.
    pub is_read_out: bool,
}

impl<'a> Sink<'a> {
    /// The client.
    pub(crate) fn stream(&self) -> &'a Stream {
        self.stream
    }

    pub(crate) fn new(stream: &'a Stream, out: &'a mut Vec<u8>, closes: bool) -> Self {
        let coding = Coding::Plain;
        Self {
            stream,
            out,
            coding,
            is_started: false,
            closes,
            ends_with_close: false,
            is_over: false,
        }
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
        if !reads_chunks(request) || (head.status == 100 && !request.expects_continue) {
            return Ok(());
        }
        // What is added is for the final one.
        let edits = Edits { removed, ..Edits::default() };
        self.out.clear();
        write_response(self.out, head, bytes, ReplyFraming::Bare, Connection::default(), edits);
        self.flush(patience).await
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
        write_response(self.out, head, bytes, ReplyFraming::Bare, connection, edits);
        self.is_started = true;
        self.flush(patience).await
    }

    /// Writes the final head, which leaves with the first piece of the body.
    pub(crate) fn start(
        &mut self,
        request: &RequestHead,
        (head, bytes): (&ResponseHead, &[u8]),
        edits: Edits<'_>,
    ) {
        let framing = self.framing(request, head);
        let connection = self.connection(request);
        self.out.clear();
        write_response(self.out, head, bytes, framing, connection, edits);
        self.coding =
            if framing == ReplyFraming::Chunked { Coding::Chunked } else { Coding::Plain };
    }

    fn framing(&mut self, request: &RequestHead, head: &ResponseHead) -> ReplyFraming {
        if is_bodiless(request.method, head.status) {
            return if head.status == 204 { ReplyFraming::Bare } else { ReplyFraming::AsWritten };
        }
        match head.body {
            BodyLength::Known(length) => ReplyFraming::Length(length),
            BodyLength::None => ReplyFraming::Length(0),
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
    pub(crate) async fn send(
        &mut self,
        patience: Patience<'_>,
        part: Part<'_>,
    ) -> Result<(), Fault> {
        let Part { data, is_last, trailers, is_read_out } = part;
        let is_end = is_last && self.closes && is_read_out;
        let piece = Piece { data, coding: self.coding, is_last, trailers, is_end };
        self.is_started = true;
        relay::write_piece(self.stream, patience, self.out, piece, &mut 0)
            .await
            .map_err(fault_of)?;
        self.is_over = is_last;
        self.out.clear();
        Ok(())
    }

    /// Whether a body may be spliced behind what was sent.
    pub(crate) fn takes_splice(&self) -> bool {
        self.coding == Coding::Plain
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
        write_response(self.out, head, bytes, framing, connection, edits);
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
        poll_abort: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<bool, SpliceError> {
        relay::splice(shard, (endpoint, self.stream), counts, patience, poll_abort).await
    }

    /// Sends a reply of our own, which `write` makes.
    pub(crate) async fn answer(
        &mut self,
        patience: Patience<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Fault> {
        self.out.clear();
        write(self.out);
        self.is_started = true;
        self.flush(patience).await
    }

    /// Gives up a reply that has begun and can't be completed.
    pub(crate) fn break_off(&mut self, kind: FaultKind) {
        if kind == FaultKind::ClientStalled {
            self.stream.reset_on_close();
        }
    }

    async fn flush(&mut self, patience: Patience<'_>) -> Result<(), Fault> {
        let result = write_all(self.stream, patience, &mut [IoSlice::new(self.out)], &mut 0).await;
        self.out.clear();
        result.map_err(fault_of)
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        if self.is_started && self.ends_with_close && !self.is_over {
            // An early end, of whatever cause, would look like the complete body.
            self.stream.reset_on_close();
        }
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
