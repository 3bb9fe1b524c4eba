//! TLS on a socket. What the session wants to say goes out with the next call for either direction:
//! none of them may be the last before a wait, so all of them try.

use std::io::{self, IoSlice, Read};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::calls::Wire;
use crate::io::Io;
use fairwater_sys::clock;
use fairwater_tls::{Agreed, Session};

/// A socket that is registered with the runtime, and the session on it.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) io: Io,
    pub(crate) session: Session,
    /// Neither side is told that the session ends: the connection is reset.
    pub(crate) is_reset: bool,
    pub(crate) agreed: Option<Rc<Agreed>>,
}

impl Secure {
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_flush(cx))?;
            if self.session.is_handshaking() && ready!(self.poll_take(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let agreed = self.session.agreed();
        if let Some(agreed) = &agreed
            && let Err(ended) = self.session.look_again(agreed, clock::wall_us() / 1_000_000)
        {
            self.is_reset = true;
            return Poll::Ready(Err(ended));
        }
        self.agreed = agreed.map(Rc::new);
        self.poll_flush(cx)
    }

    /// Gives the socket all that waits for it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, session, .. } = self;
        while session.wants_write() {
            let give = |socket: BorrowedFd<'_>| Ok((session.give(&mut Wire(socket))?, false));
            ready!(io.poll_write(cx, give))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes from the socket, once; 0 is its end.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { io, session, .. } = self;
        let taken = ready!(io.poll_read(cx, |socket| take(session, socket)));
        if let Err(error) = &taken
            && error.kind() == io::ErrorKind::InvalidData
        {
            // Says why, if the socket takes it at once.
            drop(self.poll_flush(cx));
            self.is_reset = true;
        }
        Poll::Ready(taken)
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.session.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            self.flush_what_goes(cx)?;
            ready!(self.poll_take(cx))?;
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let len = self.session.write(parts)?;
        self.flush_what_goes(cx)?;
        Poll::Ready(Ok(len))
    }

    /// The same for who does not wait.
    ///
    /// # Errors
    /// As those of the socket; `WouldBlock` when that takes nothing.
    pub(crate) fn write_now(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush_now()?;
        let len = self.session.write(parts)?;
        match self.flush_now() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(len),
        }
    }

    /// Gives the socket all that waits for it; `WouldBlock` when it does not take all of it.
    fn flush_now(&mut self) -> io::Result<()> {
        let Self { io, session, .. } = self;
        while session.wants_write() {
            io.write_now(|socket| Ok((session.give(&mut Wire(socket))?, false)))?;
        }
        Ok(())
    }

    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush_what_goes(cx)?;
        match self.session.has_unread() {
            true => Poll::Ready(Ok(())),
            false => self.io.poll_readable(cx),
        }
    }

    /// Whether something to read is known of, to the session or to the runtime.
    pub(crate) fn is_read_ready(&self) -> bool {
        self.session.has_unread() || self.io.is_read_ready()
    }

    fn flush_what_goes(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_flush(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Whether nothing has come but what the session itself deals with, such as tickets.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let Self { io, session, .. } = self;
        while !session.has_unread() {
            match io.read_now(|socket| take(session, socket).map(|(len, _)| len)) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Tells the other side that nothing more comes, if the socket takes that at once.
    pub(crate) fn close(&mut self) {
        let Self { io, session, .. } = self;
        session.close();
        while session.wants_write()
            && io.write_and_forget(|socket| session.give(&mut Wire(socket))).is_ok()
        {}
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        // Without it, the end could be anybody's (RFC 8446, section 6.1).
        if !self.is_reset && !self.session.is_handshaking() {
            self.close();
        }
    }
}

/// Reads once; tells as well whether that has emptied the socket.
fn take(session: &mut Session, socket: BorrowedFd<'_>) -> io::Result<(usize, bool)> {
    let mut reader = Watching { wire: Wire(socket), is_short: false };
    let len = session.take(&mut reader)?;
    Ok((len, reader.is_short))
}

/// Sees whether a read has filled its buffer.
struct Watching<'a> {
    wire: Wire<'a>,
    is_short: bool,
}

impl Read for Watching<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.wire.read(buffer)?;
        self.is_short = 0 < len && len < buffer.len();
        Ok(len)
    }
}
