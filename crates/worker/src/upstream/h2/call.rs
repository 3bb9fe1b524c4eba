//! One request to an endpoint over HTTP/2 and its reply: a stream of a trunk, under the flow
//! control of both sides. What can fail here fails as a fault of the endpoint.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::{Fault, FaultKind, Trailers};
use fairwater_net::Timer;
use fairwater_proto::http2::{Code, Head, Read, Requested};

use super::trunk::Trunk;
use crate::h2::Strand;

/// Counts as one of its trunk while it lives; dropped early it is a reset.
#[derive(Debug)]
pub(crate) struct Call {
    trunk: Rc<Trunk>,
    pub is_reused: bool,
    /// There once the request has begun.
    strand: OnceCell<Strand>,
}

/// Data of a body, in the pieces that it came in.
#[derive(Debug)]
pub(crate) enum Piece {
    Data { data: Vec<u8>, is_last: bool },
    End(Trailers),
}

impl Call {
    pub(super) fn new(trunk: Rc<Trunk>, is_reused: bool) -> Self {
        Self { trunk, is_reused, strand: OnceCell::new() }
    }

    /// Whether its endpoint lets a stream become a tunnel. What it can it says with its first word,
    /// which a new connection has to wait for.
    pub(crate) async fn takes_tunnels(&self, timer: &Timer, patience: Duration) -> bool {
        timer.set(patience);
        poll_fn(|cx| match self.trunk.poll_known(cx) {
            Poll::Ready(()) => Poll::Ready(self.trunk.takes_tunnels()),
            Poll::Pending => timer.poll_expired(cx).map(|()| false),
        })
        .await
    }

    /// Sends the head, which `write` appends, and the end if there is no more.
    pub(crate) fn send(
        &self,
        asked: Requested,
        is_all: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Fault> {
        let begun = self.trunk.send(asked, is_all, write);
        // What could not even be begun has been seen by nobody.
        let strand = begun.ok_or(Fault::undelivered(FaultKind::ReplyReset))?;
        drop(self.strand.set(strand));
        Ok(())
    }

    fn strand(&self) -> &Strand {
        // Every way to here leads over `send`.
        self.strand.get().expect("a call is sent before anything else becomes of it")
    }

    /// Sends data of the request, as much as the endpoint takes now.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        self.strand().poll_send(cx, data, is_last)
    }

    /// Ends the request with trailers.
    pub(crate) fn send_trailers(&self, trailers: &Trailers) -> io::Result<()> {
        self.strand().send_trailers(trailers)
    }

    /// The next head, interim ones first.
    pub(crate) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        let reset = self.strand().poll(cx, |engine, id| match engine.next_head(id) {
            Some(head) => Some(Ok(head)),
            None => engine.reset_of(id).map(Err),
        });
        reset.map(|result| result.map_err(|reset| self.fault(reset)))
    }

    /// The next piece of the body. What it takes is given back with [`Self::release`], once the
    /// client has it.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        let piece = self.strand().poll(cx, |engine, id| match engine.read_all(id) {
            (data, Read::Data(_)) => {
                Some(Ok(Piece::Data { data, is_last: engine.is_read_out(id) }))
            }
            (_, Read::End) => Some(Ok(Piece::End(engine.trailers(id)))),
            (_, Read::Reset(_)) => engine.reset_of(id).map(Err),
            (_, Read::Wait) => None,
        });
        piece.map(|result| result.map_err(|reset| self.cut(reset)))
    }

    /// The endpoint may send as much again.
    pub(crate) fn release(&self, len: usize) {
        self.strand().with(|engine, id| engine.give_back(id, len));
    }

    /// Reads of a body that is a tunnel; 0 is its end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.strand().poll_read(cx, buffer)
    }

    /// Gives up, in the middle of whatever goes on.
    pub(crate) fn break_off(&self) {
        self.strand().reset(Code::CANCEL);
    }

    /// Why there is no reply.
    fn fault(&self, (code, is_remote, is_unseen): (Code, bool, bool)) -> Fault {
        if is_remote {
            if code == Code::ENHANCE_YOUR_CALM {
                // It is the connection that has too much on it: others go over another one.
                self.trunk.retire();
            }
            // A stream that an endpoint refuses, or that it has not seen before it went away, was
            // not worked on (RFC 9113, section 8.7).
            let undelivered = is_unseen || code == Code::REFUSED_STREAM;
            return Fault { kind: FaultKind::ReplyReset, detail: code.name(), undelivered };
        }
        match self.strand().mux().lost() {
            Some(io::ErrorKind::ConnectionReset) => FaultKind::ReplyReset.into(),
            Some(_) => FaultKind::EmptyReply.into(),
            None => self.of_engine(code, FaultKind::BadReply, FaultKind::EmptyReply),
        }
    }

    /// Why a reply that has begun goes no further.
    fn cut(&self, (code, is_remote, _): (Code, bool, bool)) -> Fault {
        match (is_remote, self.strand().mux().lost()) {
            (true, _) => Fault::because(FaultKind::BodyTruncated, code.name()),
            (false, Some(_)) => FaultKind::BodyTruncated.into(),
            (false, None) => {
                self.of_engine(code, FaultKind::BodyMalformed, FaultKind::BodyTruncated)
            }
        }
    }

    /// The engine has ended the stream for what came, or given up a connection that said nothing.
    fn of_engine(&self, code: Code, broken: FaultKind, silent: FaultKind) -> Fault {
        if code == Code::CANCEL { silent.into() } else { Fault::because(broken, code.name()) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        drop(self.strand.take());
        self.trunk.leave();
    }
}
