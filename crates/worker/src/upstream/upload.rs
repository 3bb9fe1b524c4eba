//! The request on its way to an HTTP/1 endpoint: head and first bytes in one write, the rest as it
//! comes from the client.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use fairwater_message::{BodyLength, Fault, FaultKind};
use fairwater_net::Stream;
use fairwater_plan::{Endpoint, HostHeader, Upstream};
use fairwater_proto::form::Form;
use fairwater_proto::h1::{Edits, Forwarding, HostPolicy, Lines, RequestFraming, write_request};

use crate::downstream::Source;
use crate::exchange::Exchange;
use crate::patience::Patience;
use crate::rate::Meter;
use crate::relay::{self, Coding, Piece, SpliceError};
use crate::shard::Shard;
use crate::write::WriteError;

/// Writes the request head into `exchange.out`. Returns how the body goes.
pub(super) fn write_head(
    exchange: &mut Exchange<'_>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    close: bool,
) -> Coding {
    let mut out = std::mem::take(exchange.out);
    out.clear();
    write_head_as(exchange, upstream, endpoint, close, &mut Lines(&mut out));
    *exchange.out = out;
    match exchange.head.body {
        BodyLength::Chunked => Coding::Chunked,
        _ => Coding::Plain,
    }
}

/// The same in any form.
#[inline(always)]
pub(super) fn write_head_as(
    exchange: &Exchange<'_>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    close: bool,
    form: &mut impl Form,
) {
    let framing = match exchange.head.body {
        BodyLength::None | BodyLength::UntilClose => RequestFraming::None,
        BodyLength::Known(length) => RequestFraming::Length(length),
        BodyLength::Chunked => RequestFraming::Chunked,
    };
    let peer = exchange.connection.peer().ip();
    let forwarding = Forwarding {
        peer,
        is_trusted: peer.is_some_and(|ip| exchange.listener.trusts(ip)),
        is_tls: exchange.connection.is_secured(),
        host: match &upstream.settings.host {
            HostHeader::Keep if !exchange.head.authority.is_empty() => HostPolicy::Keep,
            // HTTP/1.0 may come without a host, and the HTTP/1.1 that we write must have one.
            HostHeader::Keep | HostHeader::Endpoint => HostPolicy::Set(endpoint.host.as_bytes()),
            HostHeader::Name(name) => HostPolicy::Set(name.as_bytes()),
        },
        close,
        edits: exchange
            .filters
            .map_or(Edits::default(), |filters| exchange.changes.edits(&filters.request.removed)),
    };
    write_request(form, exchange.head, exchange.bytes, framing, &forwarding);
}

/// The request body and the connection that it goes to.
pub(super) struct Upload<'u, 's> {
    pub shard: &'u Shard,
    pub source: &'u mut Source<'s>,
    pub endpoint: &'u Stream,
    pub coding: Coding,
    pub is_answered: &'u Cell<bool>,
    /// Bytes that the endpoint's socket took, heads included.
    pub written: &'u mut u64,
    pub meter: Option<Rc<Meter>>,
}

impl Upload<'_, '_> {
    /// Sends what `out` holds and what was taken of the body. Returns whether the endpoint took it;
    /// if not, it may have answered all the same, which is read next.
    pub(super) async fn send(
        &mut self,
        patience: Patience<'_>,
        out: &mut Vec<u8>,
        data: Range<usize>,
    ) -> Result<bool, Fault> {
        let trailers = self.source.take_trailers()?;
        let piece = Piece {
            data: self.source.data(data),
            coding: self.coding,
            is_last: self.source.is_done(),
            trailers: &trailers.lines,
            is_end: false,
        };
        match relay::write_piece(self.endpoint, patience, out, piece, self.written).await {
            Ok(()) => Ok(true),
            Err(WriteError::Stalled) => Err(FaultKind::UploadStalled.into()),
            Err(WriteError::Failed) => Ok(false),
        }
    }

    /// Sends the rest of the body as it comes. Returns as `send`.
    pub(super) async fn send_rest(
        &mut self,
        patience: Patience<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let mut turn = relay::Turn::of(self.meter.take());
        let mut is_spliced = true;
        loop {
            if is_spliced && self.source.is_worth_splicing() {
                match self.splice(patience, &mut turn).await? {
                    Spliced::Done => return Ok(true),
                    Spliced::Refused => return Ok(false),
                    Spliced::NoPipe => is_spliced = false,
                }
            }
            if self.is_answered.get() {
                self.source.let_go();
            }
            self.source.fill(patience).await?;
            let data = self.source.take()?;
            turn.spend(data.len()).await;
            out.clear();
            if !self.send(patience, out, data).await? {
                return Ok(false);
            }
            if self.source.is_done() {
                return Ok(true);
            }
        }
    }

    async fn splice(
        &mut self,
        patience: Patience<'_>,
        turn: &mut relay::Turn,
    ) -> Result<Spliced, Fault> {
        let (endpoint, written) = (self.endpoint, &mut *self.written);
        match self.source.splice_to(self.shard, endpoint, written, patience, turn).await {
            Ok(true) => Ok(Spliced::Done),
            Ok(false) => Ok(Spliced::NoPipe),
            Err(SpliceError::Ended | SpliceError::ReadFailed | SpliceError::Aborted) => {
                Err(FaultKind::ClientAborted.into())
            }
            Err(SpliceError::ReadStalled) => Err(FaultKind::RequestBodyTimeout.into()),
            Err(SpliceError::WriteStalled) => Err(FaultKind::UploadStalled.into()),
            Err(SpliceError::WriteFailed) => Ok(Spliced::Refused),
        }
    }
}

enum Spliced {
    Done,
    /// The endpoint takes no more.
    Refused,
    NoPipe,
}
