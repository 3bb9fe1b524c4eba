//! One stream of an HTTP/2 connection: the body of its request in, the reply out, under the flow
//! control of both.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, StatusCode};

use crate::h2::{broken, poll_send, text};

#[derive(Debug)]
pub(crate) struct Lane(RefCell<Ends>);

#[derive(Debug)]
struct Ends {
    body: RecvStream,
    /// Of the body, received and not read yet.
    rest: Bytes,
    is_ended: bool,
    /// As field lines, once the body has ended: a retry sends them again.
    trailers: Option<Vec<u8>>,
    respond: SendResponse<Bytes>,
    /// There once the final head is out.
    reply: Option<SendStream<Bytes>>,
}

impl Lane {
    pub(super) fn new(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        let is_ended = body.is_end_stream();
        let (rest, trailers, reply) = (Bytes::new(), None, None);
        Self(RefCell::new(Ends { body, rest, is_ended, trailers, respond, reply }))
    }

    /// Reads of the body; 0 is its end. The client may send as much again.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Ends { body, rest, is_ended, .. } = &mut *self.0.borrow_mut();
        while rest.is_empty() && !*is_ended {
            match ready!(body.poll_data(cx)) {
                Some(data) => *rest = data.map_err(broken)?,
                None => *is_ended = true,
            }
        }
        let len = rest.len().min(buffer.len());
        rest.copy_to_slice(&mut buffer[..len]);
        if len > 0 {
            // Only of a stream that is gone this fails.
            body.flow_control().release_capacity(len).map_err(broken)?;
        }
        Poll::Ready(Ok(len))
    }

    /// Whether all of the body was read, and no trailers can come.
    pub(in crate::downstream) fn is_read_out(&self) -> bool {
        let Ends { body, rest, .. } = &*self.0.borrow();
        rest.is_empty() && body.is_end_stream()
    }

    /// The trailers behind a body that has ended, as field lines.
    pub(in crate::downstream) fn poll_trailers(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Vec<u8>>> {
        let Ends { body, trailers, .. } = &mut *self.0.borrow_mut();
        if trailers.is_none() {
            let came = ready!(body.poll_trailers(cx)).map_err(broken)?;
            *trailers = Some(came.map(|map| text::lines(&map)).unwrap_or_default());
        }
        Poll::Ready(Ok(trailers.clone().unwrap_or_default()))
    }

    /// Ready when the client has given up.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Ends { respond, reply, .. } = &mut *self.0.borrow_mut();
        match reply {
            Some(reply) => reply.poll_reset(cx).map(drop),
            None => respond.poll_reset(cx).map(drop),
        }
    }

    /// Sends an interim head.
    pub(in crate::downstream) fn send_interim(&self, head: &[u8]) -> io::Result<()> {
        let (head, _) = text::response(head).ok_or(io::ErrorKind::InvalidData)?;
        self.0.borrow_mut().respond.send_informational(head).map_err(broken)
    }

    /// Sends the final head. Returns where its text ends.
    pub(in crate::downstream) fn send_head(&self, text: &[u8], is_all: bool) -> io::Result<usize> {
        let (head, len) = text::response(text).ok_or(io::ErrorKind::InvalidData)?;
        let is_all = is_all && len == text.len();
        let Ends { respond, reply, .. } = &mut *self.0.borrow_mut();
        *reply = Some(respond.send_response(head, is_all).map_err(broken)?);
        Ok(len)
    }

    /// Lets the client take the stream for a tunnel: in HTTP/2 that is a 200 (RFC 8441, section 5),
    /// and the key that it does not know of is not answered.
    pub(in crate::downstream) fn send_switch(&self, text: &[u8]) -> io::Result<()> {
        let (mut head, _) = text::response(text).ok_or(io::ErrorKind::InvalidData)?;
        *head.status_mut() = StatusCode::OK;
        head.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        let Ends { respond, reply, .. } = &mut *self.0.borrow_mut();
        *reply = Some(respond.send_response(head, false).map_err(broken)?);
        Ok(())
    }

    /// Sends data behind the head, as much as the client takes now. Nothing but the end of the
    /// stream waits for no room.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.0.borrow_mut();
        let reply = ends.reply.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        poll_send(reply, cx, data, is_last)
    }

    /// Ends the reply with trailers, as field lines.
    pub(in crate::downstream) fn send_trailers(&self, lines: &[u8]) -> io::Result<()> {
        let mut trailers = HeaderMap::new();
        text::fields(lines, &mut trailers).ok_or(io::ErrorKind::InvalidData)?;
        let mut ends = self.0.borrow_mut();
        let reply = ends.reply.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        reply.send_trailers(trailers).map_err(broken)
    }

    /// Gives up a reply that has begun, so that nobody takes it for complete.
    pub(crate) fn break_off(&self) {
        if let Some(reply) = &mut self.0.borrow_mut().reply {
            reply.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}
