//! One stream of an HTTP/2 client: the body of its request in, the reply out, under the flow
//! control of both.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use fairwater_message::Trailers;
use fairwater_proto::http2::{Code, Read};

use crate::accept::Accepted;
use crate::h2::{Strand, broken};
use crate::limits;
use crate::transit::piece_bytes;

#[derive(Debug)]
pub(crate) struct Lane {
    strand: Strand,
    connection: Rc<Accepted>,
}

impl Lane {
    pub(super) fn new(strand: Strand, connection: &Rc<Accepted>) -> Self {
        Self { strand, connection: Rc::clone(connection) }
    }

    /// Reads of the body; 0 is its end. The client may send as much again.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.strand.poll_read(cx, buffer)
    }

    /// The next piece of the body; an empty one is its end. The client may send as much again.
    pub(in crate::downstream) fn poll_piece(&self, cx: &Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        self.strand.poll(cx, |engine, id| match engine.read_piece(id, limits::BUFFER_BYTES) {
            (_, Read::Wait) => None,
            (_, Read::Reset(_)) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            (piece, Read::Data(_) | Read::End) => Some(Ok(piece)),
        })
    }

    /// Whether all of the body was read, and no trailers can come.
    pub(in crate::downstream) fn is_read_out(&self) -> bool {
        self.strand.with(|engine, id| engine.is_read_out(id))
    }

    /// The trailers behind a body that has ended: a retry sends them again.
    pub(in crate::downstream) fn trailers(&self) -> Trailers {
        self.strand.with(|engine, id| engine.trailers(id))
    }

    /// Ready when the client has given up.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.strand.poll_reset(cx)
    }

    /// Sends a head, interim or final, which was written for HTTP/1.1. Returns where its text ends.
    pub(in crate::downstream) fn send_head(&self, text: &[u8], is_all: bool) -> io::Result<usize> {
        self.strand.with(|engine, id| engine.send_reply(id, text, is_all)).map_err(broken)
    }

    /// The same of a head that `write` appends, compressed, with the first data behind it. Returns
    /// how much of that the client takes at once.
    pub(in crate::downstream) fn send_block(
        &self,
        (data, is_last): (&[u8], bool),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<usize> {
        let is_all = is_last && data.is_empty();
        let sent = self.strand.with(|engine, id| {
            engine.send_block(id, is_all, write)?;
            if data.is_empty() { Ok(0) } else { engine.send_data(id, data, is_last) }
        });
        sent.map_err(broken)
    }

    /// Lets the client take the stream for a tunnel: in HTTP/2 that is a 200 (RFC 8441, section 5),
    /// and the key that it does not know of is not answered.
    pub(in crate::downstream) fn send_switch(&self, text: &[u8]) -> io::Result<()> {
        let without = b"sec-websocket-accept";
        let sent =
            self.strand.with(|engine, id| engine.send_reply_as(id, 200, text, without, false));
        sent.map(drop).map_err(broken)
    }

    /// Sends data behind the head, as much as the client takes now. Nothing but the end of the
    /// stream waits for no room.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        self.strand.poll_send(cx, data, is_last)
    }

    /// Sends data without a copy of it, as much as [`Self::poll_room`] has told of.
    pub(in crate::downstream) fn send_past(&self, data: &[u8], is_last: bool) -> io::Result<()> {
        self.strand.send_past(&self.connection.stream, data, is_last)
    }

    /// How much data the client takes now.
    pub(in crate::downstream) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.strand.poll_room(cx, piece_bytes(&self.connection.stream))
    }

    /// Ends the reply with trailers.
    pub(in crate::downstream) fn send_trailers(&self, trailers: &Trailers) -> io::Result<()> {
        self.strand.send_trailers(trailers)
    }

    /// Gives up a reply that has begun, so that nobody takes it for complete.
    pub(crate) fn break_off(&self) {
        self.strand.reset(Code::INTERNAL_ERROR);
    }

    /// As a reset ends a connection that is a tunnel (RFC 8441, section 5).
    pub(crate) fn reset(&self) {
        self.strand.reset(Code::CANCEL);
    }
}
