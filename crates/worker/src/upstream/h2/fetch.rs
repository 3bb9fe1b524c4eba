//! The reply of a call on its way to the client: interim heads, the head, the body in whatever
//! framing the client reads.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use fairwater_message::{
    BodyLength, Fault, FaultKind, HeadLimits, HeaderId, RequestHead, Trailers, Version,
};
use fairwater_net::Timer;
use fairwater_plan::UpstreamSettings;
use fairwater_proto::h1::{ResponseReader, write_trailers};
use fairwater_proto::http2::Head;

use super::call::Piece;
use super::{Call, Progress};
use crate::downstream::Part;
use crate::exchange::{Reply, reply_length};
use crate::follow::HeadWait;
use crate::grpc;
use crate::limits;
use crate::patience::Patience;
use crate::record::Record;
use crate::relay::Turn;
use crate::shard::Shard;
use crate::upstream::download::{Look, Outcome, Watch};
use crate::websocket;

/// What the way of a reply depends on.
pub(super) struct Fetch<'d> {
    pub shard: &'d Shard,
    pub call: &'d Call,
    /// Set to the deadline of the head by the caller.
    pub timer: &'d Timer,
    /// For bodies on both sides, without a byte.
    pub stall: Duration,
    pub request: (&'d RequestHead, &'d [u8]),
    /// A reply that says yes makes a tunnel.
    pub is_tunnel: bool,
    pub upstream: &'d UpstreamSettings,
    pub progress: &'d Progress,
    pub wait: HeadWait<'d>,
}

impl Fetch<'_> {
    /// Relays one reply. On return `reply.head` is its head.
    pub(super) async fn run(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        mut watch: Watch<'_, '_>,
    ) -> Result<Outcome, Fault> {
        let mut interim = 0;
        let mut look = Look::default();
        loop {
            let head = poll_fn(|cx| match self.call.poll_head(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    look.poll(self.timer, &mut watch, FaultKind::ResponseTimeout, cx).map(Err)
                }
            });
            let head = match head.await {
                Ok(head) => head,
                Err(fault) => {
                    self.wait.go_on(fault, None, self.timer)?;
                    continue;
                }
            };
            let (status, is_all) = (head.status, head.is_all);
            self.read(head, reply)?;
            if status >= 200 {
                if is_all && self.is_refused(reply) {
                    return Ok(Outcome::CallRefused);
                }
                if self.wait.refuses(reply.head, reply.buffer.data()) {
                    return Ok(Outcome::Refused);
                }
                break;
            }
            interim += 1;
            if interim > limits::INTERIM_RESPONSES {
                return Err(bad("too_many_interim_responses"));
            }
            // Writing may have to wait, and the deadline of the reply goes on meanwhile.
            let timer = Timer::new(&self.shard.wheel);
            let head = (&*reply.head, reply.buffer.data());
            let patience = Patience { timer: &timer, stall: self.stall };
            reply.sink.interim(patience, self.request.0, head, reply.removed).await?;
        }
        self.progress.is_answered.set(true);
        record.answered(reply.head, reply.buffer.data());
        // The drain may have begun after the request had come.
        reply.sink.look_for_drain(self.shard);
        if self.is_tunnel && (200..300).contains(&reply.head.status) {
            return self.switch(reply, record).await;
        }
        reply.sink.closes |= self.progress.is_uploading.get() && self.request.0.expects_continue;
        if reply.interception.is_some_and(|pages| pages.take(reply.head.status)) {
            return Ok(Outcome::Intercepted);
        }
        self.relay(reply, record, &mut watch).await?;
        Ok(Outcome::Spent)
    }

    /// Puts a head where one of HTTP/1 would be, read as strictly.
    fn read(&self, head: Head, reply: &mut Reply<'_>) -> Result<(), Fault> {
        if head.status == 101 {
            return Err(bad("unasked_switch_of_protocols"));
        }
        if head.text.is_empty() {
            return Err(FaultKind::ReplyHeadTooLarge.into());
        }
        reply.head.clear();
        reply.buffer.adopt(head.text);
        let mut reader = ResponseReader::new(false, self.upstream.head);
        let is_whole = reader.read(reply.buffer.data(), reply.head)?;
        if !is_whole || reply.head.len != reply.buffer.data().len() {
            return Err(bad("head_with_line_ends"));
        }
        reply.head.version = Version::Http2;
        reply.head.has_secrets = head.has_secrets;
        if head.is_all && !matches!(reply.head.body, BodyLength::Known(_)) {
            reply.head.body = BodyLength::None;
        }
        Ok(())
    }

    /// Whether a reply without any message says what is tried again.
    fn is_refused(&self, reply: &Reply<'_>) -> bool {
        let (codes, bytes) = (self.upstream.grpc_retries, reply.buffer.data());
        !codes.is_empty()
            && grpc::is_call(self.request.0, self.request.1)
            && grpc::status(&reply.head.fields, bytes).is_some_and(|code| codes.contains(code))
    }

    /// Tells the client that the stream is a tunnel now: one of HTTP/1.1 by a 101, and with the
    /// answer to its key, which the endpoint knows nothing of.
    async fn switch(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
    ) -> Result<Outcome, Fault> {
        let (head, bytes) = self.request;
        let mut lines = Vec::with_capacity(1024);
        lines.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        for field in &reply.head.fields {
            let of = |span: fairwater_message::Span| span.of(reply.buffer.data());
            if field.id != HeaderId::ContentLength {
                lines
                    .extend_from_slice(&[of(field.name), b": ", of(field.value), b"\r\n"].concat());
            }
        }
        lines.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        if let Some(accept) = websocket::expected(&head.fields, bytes) {
            lines.extend_from_slice(&[&b"sec-websocket-accept: "[..], &accept, b"\r\n"].concat());
        }
        lines.extend_from_slice(b"\r\n");
        reply.head.clear();
        reply.buffer.hold(&lines);
        ResponseReader::new(false, HeadLimits { fields: u16::MAX, bytes: u16::MAX })
            .read(&lines, reply.head)?;
        let edits = reply.changes.edits(reply.removed);
        let patience = Patience { timer: self.timer, stall: self.stall };
        reply.sink.switch(patience, (reply.head, reply.buffer.data()), edits).await?;
        record.status = reply.sink.switch_status();
        Ok(Outcome::Upgraded)
    }

    async fn relay(
        &self,
        reply: &mut Reply<'_>,
        record: &mut Record<'_>,
        watch: &mut Watch<'_, '_>,
    ) -> Result<(), Fault> {
        let length = reply_length(self.request.0.method, reply.head);
        let mut next = match length {
            BodyLength::None => Poll::Ready(Piece::End(Trailers::default())),
            _ => self.look(reply).await?,
        };
        let sent = self.begin(reply, &next)?;
        let is_read_out = watch.as_ref().is_some_and(|source| source.is_read_out());
        let end = Part { data: &[], is_last: true, trailers: Trailers::NONE, is_read_out };
        let patience = Patience { timer: self.timer, stall: self.stall };
        let mut turn = Turn::of(record.meter.clone());
        // Of the next piece.
        let (mut is_begun, mut sent) = (sent.is_some(), sent.filter(|_| next.is_ready()));
        loop {
            let piece = match next {
                Poll::Ready(piece) => piece,
                Poll::Pending => {
                    if !is_begun {
                        reply.sink.send::<true>(patience, Part { is_last: false, ..end }).await?;
                    }
                    passed(self.piece(patience, watch).await?, reply)?
                }
            };
            is_begun = true;
            match (piece, sent.take()) {
                (Piece::Data { data, is_last }, sent) => {
                    let rest = &data[sent.unwrap_or(0)..];
                    if !rest.is_empty() {
                        let part = Part { data: rest, is_last, ..end };
                        reply.sink.send::<true>(patience, part).await?;
                    }
                    record.bytes_out += data.len() as u64;
                    // Who asks for more says that this is done with.
                    self.call.release(data.len());
                    if is_last {
                        return Ok(());
                    }
                    turn.spend(data.len()).await;
                }
                (Piece::End(trailers), Some(_)) if trailers.is_empty() => return Ok(()),
                (Piece::End(trailers), _) => {
                    let part = Part { trailers: &trailers, ..end };
                    return reply.sink.send::<true>(patience, part).await;
                }
            }
            next = self.look(reply).await?;
        }
    }

    /// The next piece, if it is there.
    async fn look(&self, reply: &Reply<'_>) -> Result<Poll<Piece>, Fault> {
        let next = poll_fn(|cx| Poll::Ready(self.call.poll_piece(cx))).await;
        match next? {
            Poll::Ready(piece) => passed(piece, reply).map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Begins a reply with what is there of its body: the head goes ahead of one that takes its
    /// time. Returns what of it has gone at once; nothing, where that goes otherwise.
    fn begin(&self, reply: &mut Reply<'_>, next: &Poll<Piece>) -> Result<Option<usize>, Fault> {
        let first = match next {
            Poll::Ready(Piece::Data { data, is_last }) => (&data[..], *is_last),
            Poll::Ready(Piece::End(trailers)) => (&[][..], trailers.is_empty()),
            Poll::Pending => (&[][..], false),
        };
        let edits = reply.changes.edits(reply.removed);
        let head = (&*reply.head, reply.buffer.data());
        let sent = reply.sink.start_at_once(self.request.0, head, edits, first)?;
        if sent.is_none() {
            reply.sink.start(self.request.0, head, edits);
        }
        reply.buffer.clear();
        Ok(sent)
    }

    /// The next piece, with an eye on the client.
    async fn piece(
        &self,
        patience: Patience<'_>,
        watch: &mut Watch<'_, '_>,
    ) -> Result<Piece, Fault> {
        patience.renew();
        let mut look = Look::default();
        poll_fn(|cx| match self.call.poll_piece(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => look.poll(self.timer, watch, FaultKind::BodyTimeout, cx).map(Err),
        })
        .await
    }
}

/// A piece with those trailers alone that pass. What is wrong with them is found before anything of
/// a reply has gone out that has nothing else behind its head.
fn passed(piece: Piece, reply: &Reply<'_>) -> Result<Piece, Fault> {
    match piece {
        Piece::End(trailers) if !trailers.is_empty() => {
            let mut lines = Vec::new();
            write_trailers(&trailers.lines, false, reply.removed, &mut lines)?;
            Ok(Piece::End(Trailers { lines, ..trailers }))
        }
        piece => Ok(piece),
    }
}

fn bad(detail: &'static str) -> Fault {
    Fault::because(FaultKind::BadReply, detail)
}
