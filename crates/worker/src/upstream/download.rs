//! The response of an HTTP/1 endpoint on its way to the client: interim responses, the head, the
//! body in whatever framing the client reads.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fairwater_message::{BodyLength, Fault, FaultKind, HeaderId, RequestHead, Trailers};
use fairwater_net::{Room, Stream, Timer};
use fairwater_plan::UpstreamSettings;
use fairwater_proto::h1::{ResponseReader, write_trailers};

use crate::body::Body;
use crate::downstream::{Part, Sink, Source};
use crate::exchange::{Reply, reply_length};
use crate::follow::HeadWait;
use crate::limits;
use crate::patience::Patience;
use crate::record::Record;
use crate::relay::{SpliceError, Turn};
use crate::shard::Shard;
use crate::websocket;
use crate::work::Buffer;

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Complete, and the endpoint's connection stands at the next response.
    Reusable,
    /// Complete, but the connection must not be used again.
    Spent,
    /// The endpoint switched protocols: bytes are bytes from here on.
    Upgraded,
    /// An error of which only the head was read: a page stands for the rest.
    Intercepted,
    /// A reply that is as good as none: another endpoint is tried. Only the head was read.
    Refused,
    /// The same for a call, whose reply is no more than a head.
    CallRefused,
}

/// What the way of a response depends on.
pub(super) struct Download<'d> {
    pub shard: &'d Shard,
    pub endpoint: &'d Stream,
    /// Set to the deadline of the response head by the caller.
    pub timer: &'d Timer,
    /// For bodies on both sides, without a byte.
    pub stall: Duration,
    pub request: &'d RequestHead,
    /// The protocols that the client would switch to, if it asks.
    pub asks_upgrade: Option<&'d [u8]>,
    /// How the endpoint must answer our own key, which the client knows nothing of.
    pub accept: Option<[u8; 28]>,
    pub upstream: &'d UpstreamSettings,
    /// The request body is still on its way.
    pub is_uploading: bool,
    /// Set with the head of the reply: the request is not sent again then.
    pub is_answered: &'d Cell<bool>,
    pub wait: HeadWait<'d>,
}

/// The client's side, watched while the endpoint works, unless an upload reads from it.
pub(super) type Watch<'w, 's> = Option<&'w mut Source<'s>>;

/// A look at the client that comes before the deadline: until it is due, the timer stands at it and
/// the deadline here. Lives as long as the deadline does, over all reads under it.
#[derive(Debug, Default)]
pub(super) struct Look {
    deadline_ms: Option<u64>,
    is_watching: bool,
}

impl Look {
    /// Ready with a fault when the client goes or the deadline comes, while nothing else does.
    ///
    /// The client is listened to when the endpoint takes its time: most do not, most clients do not
    /// go away within it, and to register for every reply would cost each request.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        timer: &Timer,
        watch: &mut Watch<'_, '_>,
        timeout: FaultKind,
        cx: &mut Context<'_>,
    ) -> Poll<Fault> {
        if let Some(source) = watch {
            if self.is_watching {
                if let Poll::Ready(fault) = source.poll_abort(cx) {
                    return Poll::Ready(fault);
                }
            } else if self.deadline_ms.is_none() {
                self.deadline_ms = Some(timer.set_no_later(limits::WATCH_AFTER));
            }
        }
        ready!(timer.poll_expired(cx));
        if let (Some(at_ms), Some(source)) = (self.deadline_ms.take(), &mut *watch) {
            self.is_watching = true;
            timer.set_at(at_ms);
            if let Poll::Ready(fault) = source.poll_abort(cx) {
                return Poll::Ready(fault);
            }
            ready!(timer.poll_expired(cx));
        }
        Poll::Ready(timeout.into())
    }
}

/// A buffer that has a block from when there is something to read.
struct Lent<'l> {
    shard: &'l Shard,
    buffer: &'l mut Buffer,
}

impl Room for Lent<'_> {
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        self.shard.lend_block(self.buffer);
        self.buffer.room()
    }
}

impl Download<'_> {
    fn patience(&self) -> Patience<'_> {
        Patience { timer: self.timer, stall: self.stall }
    }

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
                    // Writing may have to wait, and the deadline of the reply goes on meanwhile.
                    let timer = Timer::new(&self.shard.wheel);
                    let head = (&*reply.head, reply.buffer.data());
                    let patience = Patience { timer: &timer, stall: self.stall };
                    reply.sink.interim(patience, self.request, head, reply.removed).await?;
                    let len = reply.head.len;
                    reply.buffer.consume(len);
                }
                _ => break,
            }
        }
        if watch.as_ref().is_some_and(|source| source.is_held())
            && self.wait.refuses(reply.head, reply.buffer.data())
        {
            return Ok(Outcome::Refused);
        }
        self.is_answered.set(true);
        record.answered(reply.head, reply.buffer.data());
        // The drain may have begun after the request had come.
        reply.sink.look_for_drain(self.shard);
        reply.sink.closes |= self.is_uploading && self.request.expects_continue;
        if reply.interception.is_some_and(|pages| pages.take(reply.head.status)) {
            return Ok(Outcome::Intercepted);
        }
        self.relay(reply, record, &mut watch).await
    }

    async fn read_head(
        &self,
        reply: &mut Reply<'_>,
        watch: &mut Watch<'_, '_>,
        look: &mut Look,
    ) -> Result<(), Fault> {
        let mut reader = ResponseReader::new(self.upstream.relaxed_responses, self.upstream.head);
        reply.head.clear();
        reply.buffer.compact();
        loop {
            if !reply.buffer.is_empty() && reader.read(reply.buffer.data(), reply.head)? {
                return Ok(());
            }
            let is_silent = reply.buffer.is_empty();
            if reply.buffer.is_full() {
                return Err(FaultKind::ReplyHeadTooLarge.into());
            }
            let read = match self.read(reply.buffer, watch, look, FaultKind::ResponseTimeout).await
            {
                Ok(read) => read,
                Err(fault) => {
                    self.wait.go_on(fault, Some(self.endpoint), self.timer)?;
                    continue;
                }
            };
            match read {
                Ok(0) if is_silent => return Err(FaultKind::EmptyReply.into()),
                Ok(0) => return Err(bad("truncated_head")),
                Ok(_) => {}
                Err(_) if is_silent => return Err(FaultKind::ReplyReset.into()),
                Err(_) => return Err(bad("reset_within_head")),
            }
        }
    }

    /// Reads from the endpoint until the deadline, with an eye on the client. Who waits has no
    /// block: it is used by those whose endpoints have answered, and stays near the processor.
    async fn read(
        &self,
        buffer: &mut Buffer,
        watch: &mut Watch<'_, '_>,
        look: &mut Look,
        timeout: FaultKind,
    ) -> Result<io::Result<usize>, Fault> {
        poll_fn(|cx| {
            match self.endpoint.poll_read_into(cx, &mut Lent { shard: self.shard, buffer }) {
                Poll::Ready(result) => {
                    buffer.end += *result.as_ref().unwrap_or(&0);
                    Poll::Ready(Ok(result))
                }
                Poll::Pending => {
                    self.shard.take_block_back(buffer);
                    look.poll(self.timer, watch, timeout, cx).map(Err)
                }
            }
        })
        .await
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
        if let Some(accept) = &self.accept
            && !websocket::is_accepted(&reply.head.fields, reply.buffer.data(), accept)
        {
            return Err(bad("websocket_key_differs"));
        }
        record.answered(reply.head, reply.buffer.data());
        let edits = reply.changes.edits(reply.removed);
        reply.sink.switch(self.patience(), (reply.head, reply.buffer.data()), edits).await?;
        record.status = reply.sink.switch_status();
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
        let edits = reply.changes.edits(reply.removed);
        reply.sink.start(self.request, (reply.head, reply.buffer.data()), edits);
        let len = reply.head.len;
        reply.buffer.consume(len);
        let body = Body::of_response(length);
        let is_spliced = self.relay_body(reply, record, watch, body).await?;
        // A 204 that announces a body may yet send it, to whoever asks next.
        let has_stray_body = reply.head.status == 204
            && !matches!(reply.head.body, BodyLength::UntilClose | BodyLength::Known(0));
        // Behind a spliced body nothing is in memory.
        let is_excessive = has_stray_body
            || !reply.buffer.is_empty()
            || (is_spliced && self.endpoint.is_plain() && self.endpoint.unread_bytes() > 0);
        if is_excessive {
            record.fault(FaultKind::ExcessBytes.into());
        }
        let is_reusable =
            reply.head.allows_reuse() && length != BodyLength::UntilClose && !is_excessive;
        Ok(if is_reusable { Outcome::Reusable } else { Outcome::Spent })
    }

    /// The body, behind a head that is still to go. Returns whether its end was spliced.
    async fn relay_body(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        watch: &mut Watch<'_, '_>,
        mut body: Body,
    ) -> Result<bool, Fault> {
        let mut turn = Turn::of(record.meter.clone());
        let mut has_pipes = true;
        let is_read_out = watch.as_ref().is_some_and(|source| source.is_read_out());
        loop {
            self.relay_piece(reply, record, &mut body, is_read_out, &mut turn).await?;
            if body.is_done() {
                return Ok(false);
            }
            if has_pipes
                && reply.sink.takes_splice()
                && let Body::Length(left) = &mut body
                && *left >= limits::SPLICE_BYTES_MIN
            {
                has_pipes = self.splice(&mut reply.sink, record, left, watch, &mut turn).await?;
                if has_pipes {
                    return Ok(true);
                }
            }
            if reply.sink.takes_pouring()
                && let Body::Length(left) = &mut body
                && *left >= limits::POUR_BYTES_MIN
            {
                self.pour(&mut reply.sink, record, left, watch, &mut turn).await?;
                return Ok(true);
            }
            self.patience().renew();
            let look = &mut Look::default();
            match self.read(reply.buffer, watch, look, FaultKind::BodyTimeout).await? {
                Ok(0) if matches!(body, Body::UntilClose) => body = Body::Done,
                Ok(0) | Err(_) => return Err(FaultKind::BodyTruncated.into()),
                Ok(_) => {}
            }
        }
    }

    /// Writes what is in the buffer, behind the head if that is still to go.
    async fn relay_piece(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        body: &mut Body,
        is_read_out: bool,
        turn: &mut Turn,
    ) -> Result<(), Fault> {
        let (start, end) = (reply.buffer.start, reply.buffer.end);
        let malformed = |fault: Fault| match reply.sink.is_started {
            true => fault,
            // Nothing has gone out: the client can still be told.
            false => Fault::because(FaultKind::BadReply, fault.detail),
        };
        let taken = body.take(&mut reply.buffer.bytes[start..end]).map_err(malformed)?;
        let mut trailers = Trailers::default(); // allocates only for trailers
        if let Some(decoder) = body.take_trailers() {
            write_trailers(decoder.trailers(), false, reply.removed, &mut trailers.lines)
                .map_err(malformed)?;
        }
        let data = &reply.buffer.bytes[start + taken.data.start..start + taken.data.end];
        let len = data.len();
        let is_last = body.is_done();
        let part = Part { data, is_last, trailers: &trailers, is_read_out };
        reply.sink.send::<false>(self.patience(), part).await?;
        record.bytes_out += len as u64;
        reply.buffer.consume(taken.consumed);
        turn.spend(len).await;
        Ok(())
    }

    /// The rest of a body of known length to a client that is given what it takes at the moment:
    /// hardly anything is kept, and what is read is large.
    async fn pour(
        &self,
        sink: &mut Sink<'_>,
        record: &mut Record<'_>,
        left: &mut u64,
        watch: &mut Watch<'_, '_>,
        turn: &mut Turn,
    ) -> Result<(), Fault> {
        while *left > 0 {
            sink.until_room(self.patience()).await?;
            self.patience().renew();
            let mut look = Look::default();
            let poured = poll_fn(|cx| match sink.poll_pour(cx, self.shard, self.endpoint, *left) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => look.poll(self.timer, watch, FaultKind::BodyTimeout, cx).map(Err),
            });
            let len = poured.await?;
            *left -= len as u64;
            record.bytes_out += len as u64;
            turn.spend(len).await;
        }
        sink.end_pouring(self.patience()).await
    }

    async fn splice(
        &self,
        sink: &mut Sink<'_>,
        record: &mut Record<'_>,
        left: &mut u64,
        watch: &mut Watch<'_, '_>,
        turn: &mut Turn,
    ) -> Result<bool, Fault> {
        let abort = |cx: &mut Context<'_>| match watch {
            Some(source) => source.poll_abort(cx).map(|_| ()),
            None => Poll::Pending,
        };
        let (shard, endpoint, patience) = (self.shard, self.endpoint, self.patience());
        let counts = (left, &mut record.bytes_out);
        let result = sink.splice_from(shard, endpoint, counts, patience, turn, abort).await;
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
}

fn bad(detail: &'static str) -> Fault {
    Fault::because(FaultKind::BadReply, detail)
}
