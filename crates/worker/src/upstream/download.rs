//! The response of an HTTP/1 endpoint on its way to the client: interim responses, the head, the
//! body in whatever framing the client reads.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use fairwater_message::{
    BodyLength, Connection, Fault, FaultKind, HeaderId, RequestHead, ResponseHead,
};
use fairwater_net::{Stream, Timer};
use fairwater_proto::h1::{ReplyFraming, ResponseReader, write_response, write_trailers};

use crate::body::Body;
use crate::downstream::Source;
use crate::exchange::{Reply, is_bodiless, reads_chunks, reply_length};
use crate::limits;
use crate::record::Record;
use crate::relay::{self, Coding, Piece, SpliceError, Turn};
use crate::shard::Shard;
use crate::write::WriteError;

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Complete, and the endpoint's connection stands at the next response.
    Reusable,
    /// Complete, but the connection must not be used again.
    Spent,
    /// The endpoint switched protocols: bytes are bytes from here on.
    Upgraded,
}

/// What the way of a response depends on.
pub(super) struct Download<'d> {
    pub shard: &'d Shard,
    pub client: &'d Stream,
    pub endpoint: &'d Stream,
    /// Set to the deadline of the response head by the caller.
    pub timer: &'d Timer,
    pub request: &'d RequestHead,
    /// The protocols that the client would switch to, if it asks.
    pub asks_upgrade: Option<&'d [u8]>,
    pub is_relaxed: bool,
    /// The request body is still on its way.
    pub is_uploading: bool,
}

/// The client's side, watched while the endpoint works, unless an upload reads from it.
pub(super) type Watch<'w, 's> = Option<&'w mut Source<'s>>;

/// A look at the client that comes before the deadline: while it is due, the timer stands at it and
/// the deadline here. Lives as long as the deadline does, over all reads under it.
#[derive(Debug, Default)]
struct Look {
    deadline_ms: Option<u64>,
}

impl Download<'_> {
    /// Relays one response. On return `reply.head` is its head.
    pub(super) async fn run(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        mut watch: Watch<'_, '_>,
    ) -> Result<Outcome, Fault> {
        let mut interim = 0;
        let mut look = Look::default();
        loop {
            self.read_head(reply, &mut watch, &mut look).await?;
            match reply.head.status {
                101 => return self.upgrade(reply, record).await,
                100..200 => {
                    interim += 1;
                    if interim > limits::INTERIM_RESPONSES {
                        return Err(bad("too_many_interim_responses"));
                    }
                    // Writing may have to wait, and that takes the timer.
                    let deadline_ms = look.deadline_ms.unwrap_or_else(|| self.timer.deadline_ms());
                    self.forward_interim(reply).await?;
                    look = Look::default();
                    self.timer.set_at(deadline_ms);
                }
                _ => break,
            }
        }
        record.answered();
        record.status = reply.head.status;
        self.relay(reply, record, &mut watch).await
    }

    async fn read_head(
        &self,
        reply: &mut Reply<'_>,
        watch: &mut Watch<'_, '_>,
        look: &mut Look,
    ) -> Result<(), Fault> {
        let mut reader = ResponseReader::new(self.is_relaxed);
        reply.head.clear();
        reply.buffer.compact();
        loop {
            if !reply.buffer.is_empty() && reader.read(reply.buffer.data(), reply.head)? {
                return Ok(());
            }
            let is_silent = reply.buffer.is_empty();
            let room = reply.buffer.room();
            if room.is_empty() {
                return Err(FaultKind::ReplyHeadTooLarge.into());
            }
            match self.read(room, watch, look, FaultKind::ResponseTimeout).await? {
                Ok(0) if is_silent => return Err(FaultKind::EmptyReply.into()),
                Ok(0) => return Err(bad("truncated_head")),
                Ok(len) => reply.buffer.end += len,
                Err(_) if is_silent => return Err(FaultKind::ReplyReset.into()),
                Err(_) => return Err(bad("reset_within_head")),
            }
        }
    }

    /// Reads from the endpoint until the deadline, with an eye on the client.
    async fn read(
        &self,
        room: &mut [u8],
        watch: &mut Watch<'_, '_>,
        look: &mut Look,
        timeout: FaultKind,
    ) -> Result<io::Result<usize>, Fault> {
        // A client that nobody listens to yet is listened to when the endpoint takes its time:
        // most do not, and most clients do not go away within it.
        poll_fn(|cx| {
            if let Poll::Ready(result) = self.endpoint.poll_read(cx, room) {
                return Poll::Ready(Ok(result));
            }
            if let Some(source) = watch {
                if self.client.is_fresh() && look.deadline_ms.is_none() {
                    look.deadline_ms = Some(self.timer.set_no_later(limits::WATCH_AFTER));
                } else if let Poll::Ready(fault) = source.poll_abort(cx) {
                    return Poll::Ready(Err(fault));
                }
            }
            ready!(self.timer.poll_expired(cx));
            if let (Some(at_ms), Some(source)) = (look.deadline_ms.take(), &mut *watch) {
                self.timer.set_at(at_ms);
                if let Poll::Ready(fault) = source.poll_abort(cx) {
                    return Poll::Ready(Err(fault));
                }
                ready!(self.timer.poll_expired(cx));
            }
            Poll::Ready(Err(timeout.into()))
        })
        .await
    }

    async fn forward_interim(&self, reply: &mut Reply<'_>) -> Result<(), Fault> {
        let len = reply.head.len;
        // HTTP/1.0 knows no interim responses; 100 is for those alone who asked.
        if reads_chunks(self.request) && (reply.head.status != 100 || self.request.expects_continue)
        {
            let connection = Connection::default();
            reply.out.clear();
            let bytes = reply.buffer.data();
            write_response(reply.out, reply.head, bytes, ReplyFraming::Bare, connection);
            self.write(reply.out, HEAD_ONLY).await?;
        }
        reply.buffer.consume(len);
        Ok(())
    }

    async fn upgrade(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
    ) -> Result<Outcome, Fault> {
        let protocol = reply.head.find(HeaderId::Upgrade).filter(|_| reply.head.connection.upgrade);
        let protocol = protocol.map(|field| field.value.of(reply.buffer.data()));
        let is_asked = match (self.asks_upgrade, protocol) {
            (Some(asked), Some(protocol)) => {
                let mut asked = asked.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                asked.any(|name| name.eq_ignore_ascii_case(protocol))
            }
            _ => false,
        };
        if !is_asked || self.is_uploading {
            return Err(bad("unasked_switch_of_protocols"));
        }
        record.answered();
        record.status = 101;
        reply.out.clear();
        let connection = Connection { upgrade: true, ..Connection::default() };
        let bytes = reply.buffer.data();
        write_response(reply.out, reply.head, bytes, ReplyFraming::Bare, connection);
        reply.is_started = true;
        self.write(reply.out, HEAD_ONLY).await?;
        let len = reply.head.len;
        reply.buffer.consume(len);
        Ok(Outcome::Upgraded)
    }

    async fn relay(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        watch: &mut Watch<'_, '_>,
    ) -> Result<Outcome, Fault> {
        let length = reply_length(self.request.method, reply.head);
        let framing = self.framing(reply);
        reply.closes |= self.is_uploading && self.request.expects_continue;
        let connection = Connection {
            close: reply.closes,
            keep_alive: !reply.closes && !reads_chunks(self.request),
            ..Connection::default()
        };
        reply.out.clear();
        write_response(reply.out, reply.head, reply.buffer.data(), framing, connection);
        let len = reply.head.len;
        reply.buffer.consume(len);
        let coding = if framing == ReplyFraming::Chunked { Coding::Chunked } else { Coding::Plain };
        self.relay_body(reply, record, watch, Body::of_response(length), coding).await?;
        // A 204 that announces a body may yet send it, to whoever asks next.
        let has_stray_body = reply.head.status == 204
            && !matches!(reply.head.body, BodyLength::UntilClose | BodyLength::Known(0));
        let is_reusable = reply.head.allows_reuse()
            && !has_stray_body
            && length != BodyLength::UntilClose
            && reply.buffer.is_empty();
        Ok(if is_reusable { Outcome::Reusable } else { Outcome::Spent })
    }

    fn framing(&self, reply: &mut Reply<'_>) -> ReplyFraming {
        let ResponseHead { status, body, .. } = *reply.head;
        if is_bodiless(self.request.method, status) {
            return if status == 204 { ReplyFraming::Bare } else { ReplyFraming::AsWritten };
        }
        match body {
            BodyLength::Known(length) => ReplyFraming::Length(length),
            BodyLength::None => ReplyFraming::Length(0),
            BodyLength::Chunked | BodyLength::UntilClose if reads_chunks(self.request) => {
                ReplyFraming::Chunked
            }
            BodyLength::Chunked | BodyLength::UntilClose => {
                reply.closes = true;
                reply.ends_with_close = true;
                ReplyFraming::Bare
            }
        }
    }

    /// The head in `reply.out` and the body behind it.
    async fn relay_body(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        watch: &mut Watch<'_, '_>,
        mut body: Body,
        coding: Coding,
    ) -> Result<(), Fault> {
        let mut turn = Turn::default();
        let mut has_pipes = true;
        // Nothing of the client is left to read, so that the close which follows is a clean one.
        let is_end = reply.closes && watch.as_ref().is_some_and(|source| source.is_read_out());
        loop {
            self.relay_piece(reply, record, &mut body, coding, is_end, &mut turn).await?;
            if body.is_done() {
                return Ok(());
            }
            if has_pipes
                && coding == Coding::Plain
                && let Body::Length(left) = &mut body
                && *left >= limits::SPLICE_BYTES_MIN
            {
                has_pipes = self.splice(record, left, watch).await?;
                if has_pipes {
                    return Ok(());
                }
            }
            self.timer.set(limits::BODY_STALL);
            let room = reply.buffer.room();
            match self.read(room, watch, &mut Look::default(), FaultKind::BodyTimeout).await? {
                Ok(0) if matches!(body, Body::UntilClose) => body = Body::Done,
                Ok(0) | Err(_) => return Err(FaultKind::BodyTruncated.into()),
                Ok(len) => reply.buffer.end += len,
            }
        }
    }

    /// Writes what is in the buffer, behind the head if that is still to go.
    async fn relay_piece(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        body: &mut Body,
        coding: Coding,
        is_end: bool,
        turn: &mut Turn,
    ) -> Result<(), Fault> {
        let (start, end) = (reply.buffer.start, reply.buffer.end);
        let malformed = |fault: Fault| match reply.is_started {
            true => fault,
            // Nothing has gone out: the client can still be told.
            false => Fault::because(FaultKind::BadReply, fault.detail),
        };
        let taken = body.take(&mut reply.buffer.bytes[start..end]).map_err(malformed)?;
        let mut trailers = Vec::new(); // allocates only for trailers
        if let Some(decoder) = body.take_trailers() {
            write_trailers(decoder.trailers(), false, &mut trailers).map_err(malformed)?;
        }
        let data = &reply.buffer.bytes[start + taken.data.start..start + taken.data.end];
        let len = data.len();
        let is_last = body.is_done();
        let is_end = is_last && is_end;
        let piece = Piece { data, coding, is_last, trailers: &trailers, is_end };
        reply.is_started = true;
        self.write(reply.out, piece).await?;
        reply.out.clear();
        record.bytes_out += len as u64;
        reply.buffer.consume(taken.consumed);
        turn.spend(len).await;
        Ok(())
    }

    async fn splice(
        &self,
        record: &mut Record<'_>,
        left: &mut u64,
        watch: &mut Watch<'_, '_>,
    ) -> Result<bool, Fault> {
        let before = *left;
        let abort = |cx: &mut Context<'_>| match watch {
            Some(source) => source.poll_abort(cx).map(|_| ()),
            None => Poll::Pending,
        };
        let result =
            relay::splice(self.shard, self.endpoint, self.client, left, self.timer, abort).await;
        record.bytes_out += before - *left;
        result.map_err(|error| {
            let kind = match error {
                SpliceError::Ended | SpliceError::ReadFailed => FaultKind::BodyTruncated,
                SpliceError::ReadStalled => FaultKind::BodyTimeout,
                SpliceError::WriteFailed | SpliceError::Aborted => FaultKind::ClientAborted,
                SpliceError::WriteStalled => FaultKind::ClientStalled,
            };
            kind.into()
        })
    }

    async fn write(&self, out: &mut Vec<u8>, piece: Piece<'_>) -> Result<(), Fault> {
        let result = relay::write_piece(self.client, self.timer, out, piece, &mut 0).await;
        result.map_err(|error| match error {
            WriteError::Stalled => FaultKind::ClientStalled.into(),
            WriteError::Failed => FaultKind::ClientAborted.into(),
        })
    }
}

const HEAD_ONLY: Piece<'_> =
    Piece { data: b"", coding: Coding::Plain, is_last: false, trailers: b"", is_end: false };

fn bad(detail: &'static str) -> Fault {
    Fault::because(FaultKind::BadReply, detail)
}
