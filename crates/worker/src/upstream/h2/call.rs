//! One request to an endpoint over HTTP/2 and its reply: a stream of a trunk, under the flow control
//! of both sides. What can fail here fails as a fault of the endpoint.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fairwater_message::{Fault, FaultKind};
use fairwater_net::Timer;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};

use super::trunk::Trunk;
use crate::h2::{poll_send, text};

/// Counts as one of its trunk while it lives; dropped early it is a reset.
#[derive(Debug)]
pub(crate) struct Call {
    trunk: Rc<Trunk>,
    pub is_reused: bool,
    request: RefCell<Option<SendStream<Bytes>>>,
    reply: RefCell<Reply>,
}

#[derive(Debug)]
enum Reply {
    Unasked,
    Awaited(ResponseFuture),
    /// The body, and what of it was received and not read yet.
    Comes(RecvStream, Bytes),
}

/// A head that came, interim or final.
#[derive(Debug)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub fields: HeaderMap,
    /// Nothing follows.
    pub is_all: bool,
}

/// Data of a body, in the pieces that it came in.
#[derive(Debug)]
pub(crate) enum Piece {
    Data {
        data: Bytes,
        is_last: bool,
    },
    /// As field lines; nothing at all, if there are none.
    End(Vec<u8>),
}

impl Call {
    pub(super) fn new(trunk: Rc<Trunk>, is_reused: bool) -> Self {
        let (request, reply) = (RefCell::default(), RefCell::new(Reply::Unasked));
        Self { trunk, is_reused, request, reply }
    }

    /// Whether its endpoint lets a stream become a tunnel. What it can it says with its first word,
    /// which a new connection has to wait for.
    pub(crate) async fn takes_tunnels(&self, timer: &Timer, patience: Duration) -> bool {
        timer.set(patience);
        poll_fn(|cx| match self.trunk.poll_settled(cx) {
            Poll::Ready(()) => Poll::Ready(self.trunk.takes_tunnels()),
            Poll::Pending => timer.poll_expired(cx).map(|()| false),
        })
        .await
    }

    /// Sends the head, and the end if there is no more.
    pub(crate) fn send(&self, request: Request<()>, is_all: bool) -> Result<(), Fault> {
        let sent = self.trunk.send(request, is_all);
        // What could not even be begun has been seen by nobody.
        let (reply, request) = sent.map_err(|error| {
            let detail = error.reason().map_or("", name);
            Fault { kind: FaultKind::ReplyReset, detail, undelivered: true }
        })?;
        *self.request.borrow_mut() = Some(request);
        *self.reply.borrow_mut() = Reply::Awaited(reply);
        Ok(())
    }

    /// Sends data of the request, as much as the endpoint takes now.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        let mut request = self.request.borrow_mut();
        let request = request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        poll_send(request, cx, data, is_last)
    }

    /// Ends the request with trailers, as field lines.
    pub(crate) fn send_trailers(&self, lines: &[u8]) -> io::Result<()> {
        let mut trailers = HeaderMap::new();
        text::fields(lines, &mut trailers).ok_or(io::ErrorKind::InvalidData)?;
        let mut request = self.request.borrow_mut();
        let request = request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        request.send_trailers(trailers).map_err(crate::h2::broken)
    }

    /// The next head, interim ones first.
    pub(crate) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        let mut reply = self.reply.borrow_mut();
        let Reply::Awaited(future) = &mut *reply else {
            return Poll::Ready(Err(FaultKind::Internal.into()));
        };
        match future.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                let (parts, ()) = interim.into_parts();
                let (status, fields) = (parts.status, parts.headers);
                return Poll::Ready(Ok(Head { status, fields, is_all: false }));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(fault(&error))),
            Poll::Ready(None) => {}
            Poll::Pending => return Poll::Pending,
        }
        let came = ready!(std::pin::Pin::new(future).poll(cx)).map_err(|error| fault(&error))?;
        let (parts, body) = came.into_parts();
        let head =
            Head { status: parts.status, fields: parts.headers, is_all: body.is_end_stream() };
        *reply = Reply::Comes(body, Bytes::new());
        Poll::Ready(Ok(head))
    }

    /// The next piece of the body. What it takes is given back with [`Self::release`], once the
    /// client has it.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        let mut reply = self.reply.borrow_mut();
        let Reply::Comes(body, _) = &mut *reply else {
            return Poll::Ready(Err(FaultKind::Internal.into()));
        };
        match ready!(body.poll_data(cx)) {
            Some(Ok(data)) => Poll::Ready(Ok(Piece::Data { data, is_last: body.is_end_stream() })),
            Some(Err(error)) => Poll::Ready(Err(cut(&error))),
            None => {
                let trailers = ready!(body.poll_trailers(cx)).map_err(|error| cut(&error))?;
                Poll::Ready(Ok(Piece::End(
                    trailers.map(|map| text::lines(&map)).unwrap_or_default(),
                )))
            }
        }
    }

    /// The endpoint may send as much again.
    pub(crate) fn release(&self, len: usize) {
        if let Reply::Comes(body, _) = &mut *self.reply.borrow_mut() {
            // Only of a stream that is gone this fails.
            drop(body.flow_control().release_capacity(len));
        }
    }

    /// Reads of a body that is a tunnel; 0 is its end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut reply = self.reply.borrow_mut();
        let Reply::Comes(body, rest) = &mut *reply else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while rest.is_empty() {
            match ready!(body.poll_data(cx)) {
                Some(data) => *rest = data.map_err(crate::h2::broken)?,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let len = rest.len().min(buffer.len());
        rest.copy_to_slice(&mut buffer[..len]);
        body.flow_control().release_capacity(len).map_err(crate::h2::broken)?;
        Poll::Ready(Ok(len))
    }

    /// Gives up, in the middle of whatever goes on.
    pub(crate) fn break_off(&self) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            request.send_reset(Reason::CANCEL);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The library resets a stream whose ends are both dropped before they were done.
        *self.request.borrow_mut() = None;
        *self.reply.borrow_mut() = Reply::Unasked;
        self.trunk.leave();
    }
}

/// Why there is no reply.
fn fault(error: &h2::Error) -> Fault {
    let detail = error.reason().map_or("", name);
    if error.is_remote() {
        // A stream that an endpoint refuses, or that it has not seen before it went away, was not
        // worked on (RFC 9113, section 8.7). The library tells of GOAWAY only those it has not seen.
        let undelivered = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
        return Fault { kind: FaultKind::ReplyReset, detail, undelivered };
    }
    match error.get_io() {
        Some(io) if io.kind() == io::ErrorKind::ConnectionReset => FaultKind::ReplyReset.into(),
        Some(_) => FaultKind::EmptyReply.into(),
        None => Fault::because(FaultKind::BadReply, detail),
    }
}

/// Why a reply that has begun goes no further.
fn cut(error: &h2::Error) -> Fault {
    let detail = error.reason().map_or("", name);
    let kind = match error.is_remote() || error.is_io() {
        true => FaultKind::BodyTruncated,
        false => FaultKind::BodyMalformed,
    };
    Fault::because(kind, detail)
}

/// What the log calls a code (RFC 9113, section 7).
fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::NO_ERROR => "http2_no_error",
        Reason::PROTOCOL_ERROR => "http2_protocol_error",
        Reason::INTERNAL_ERROR => "http2_internal_error",
        Reason::FLOW_CONTROL_ERROR => "http2_flow_control_error",
        Reason::SETTINGS_TIMEOUT => "http2_settings_timeout",
        Reason::STREAM_CLOSED => "http2_stream_closed",
        Reason::FRAME_SIZE_ERROR => "http2_frame_size_error",
        Reason::REFUSED_STREAM => "http2_refused_stream",
        Reason::CANCEL => "http2_cancel",
        Reason::COMPRESSION_ERROR => "http2_compression_error",
        Reason::CONNECT_ERROR => "http2_connect_error",
        Reason::ENHANCE_YOUR_CALM => "http2_enhance_your_calm",
        Reason::INADEQUATE_SECURITY => "http2_inadequate_security",
        Reason::HTTP_1_1_REQUIRED => "http2_http11_required",
        _ => "http2_unknown_code",
    }
}
