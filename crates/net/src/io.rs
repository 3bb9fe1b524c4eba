//! A socket, and how it waits with the runtime.
//!
//! Calls are tried first and wait only on `WouldBlock`. A read that fills less than its buffer has
//! emptied the socket, a short write has filled it: both take back the readiness at once, and save
//! the call that would return `EAGAIN`.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use crate::calls::send;
use crate::secure::Secure;

#[derive(Debug)]
pub(crate) enum Io {
    /// Accepted, and not registered yet; empty only if the registration failed.
    Fresh(Option<std::net::TcpStream>),
    Tcp(TcpStream, IsFull),
    /// In the runtime's type for an end of a pipe, which waits for bytes alone: who waits for room
    /// as well is woken each time that the peer takes some, once more for each request.
    Unix(pipe::Receiver),
    FullUnix(Box<FullUnix>),
    /// One of the two before, with TLS on it.
    Tls(Box<Secure>),
}

/// Whether the last write found too little room: only then is the runtime asked before the next.
pub(crate) type IsFull = bool;

/// A Unix socket whose last write found too little room, with a registration for that alone.
#[derive(Debug)]
pub(crate) struct FullUnix {
    pub(crate) socket: pipe::Receiver,
    /// The same socket by another descriptor, since one has one registration.
    room: pipe::Sender,
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl Io {
    /// A connected Unix socket in non-blocking mode.
    pub(crate) fn unix(socket: UnixStream) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd_unchecked(socket.into()).map(Self::Unix)
    }

    /// Makes a fresh socket one that can be waited for.
    pub(crate) fn register(&mut self) -> io::Result<()> {
        if let Self::Fresh(socket) = self {
            let socket = socket.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = Self::Tcp(TcpStream::from_std(socket)?, false);
        }
        Ok(())
    }

    /// Tries to read from a socket that is still fresh; `None` when it has to wait, or is not
    /// fresh any more, and must go through the runtime.
    #[inline]
    pub(crate) fn read_fresh<T>(
        &mut self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let Self::Fresh(Some(socket)) = self else { return None };
        match call(socket.as_fd()) {
            result if would_block(&result) => self.register().err().map(Err),
            result => Some(result),
        }
    }

    /// Reads from a registered socket, or waits until that can be done. The call tells how many
    /// bytes it has moved, and whether the next one would have to wait.
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.read_if_ready(&mut call) {
                None => ready!(self.poll_readable(cx))?,
                Some(result) => return Poll::Ready(result),
            }
        }
    }

    /// The same, if the runtime takes it for ready; `None` when there is nothing.
    #[inline]
    pub(crate) fn read_if_ready(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> Option<io::Result<usize>> {
        let (mut is_ready, mut short) = (false, None);
        let result = self.read_now(|socket| {
            is_ready = true;
            match call(socket) {
                // The runtime takes back the readiness for this error.
                Ok((len, true)) => {
                    short = Some(len);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result.map(|(len, _)| len),
            }
        });
        match short {
            Some(len) => Some(Ok(len)),
            None if !is_ready || would_block(&result) => None,
            None => Some(result),
        }
    }

    /// Reads from a registered socket if the runtime takes it for ready.
    #[inline]
    pub(crate) fn read_now(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp, _) => tcp.try_io(Interest::READABLE, || call(tcp.as_fd())),
            Self::Unix(unix) => unix.try_io(|| call(unix.as_fd())),
            Self::FullUnix(full) => full.socket.try_io(|| call(full.socket.as_fd())),
            Self::Fresh(_) | Self::Tls(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether the runtime takes it for ready to be read.
    #[inline]
    pub(crate) fn is_read_ready(&self) -> bool {
        self.read_now(|_| Ok(1)).is_ok()
    }

    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp, _) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::FullUnix(full) => full.socket.poll_read_ready(cx),
            // Its registration failed.
            Self::Fresh(_) | Self::Tls(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Sends, or waits until there is room.
    #[inline]
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, |socket| send_all(socket, parts, flags))
    }

    /// Sends what the socket takes at once.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` when that takes nothing.
    #[inline]
    pub(crate) fn send_now(
        &mut self,
        parts: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> io::Result<usize> {
        self.write_now(|socket| send_all(socket, parts, flags))
    }

    /// Writes, or waits until there is room. The call tells how many bytes it has moved, and
    /// whether the next one would have to wait.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.write_now(&mut call) {
                result if would_block(&result) => ready!(self.poll_room(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes what the socket takes at once. One that took all of the last write is not looked up
    /// with the runtime before.
    #[inline]
    pub(crate) fn write_now(
        &mut self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        let socket = match &*self {
            Self::Fresh(Some(socket)) => socket.as_fd(),
            Self::Tcp(tcp, false) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
            _ => return self.write_if_room(call),
        };
        match call(socket) {
            Ok((len, false)) => Ok(len),
            less => self.fill_up(less.map(|(len, _)| len)),
        }
    }

    #[cold]
    fn write_if_room(
        &mut self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        let mut short = false;
        let call = |socket: BorrowedFd<'_>| {
            call(socket).map(|(len, is_short)| {
                short = is_short;
                len
            })
        };
        let written = match self {
            Self::Tcp(tcp, _) => tcp.try_io(Interest::WRITABLE, || call(tcp.as_fd())),
            Self::FullUnix(full) => full.room.try_io(|| call(full.room.as_fd())),
            _ => Err(io::ErrorKind::NotConnected.into()),
        };
        if short || written.is_err() {
            return self.fill_up(written);
        }
        self.be_full(false);
        written
    }

    /// Has the runtime tell when there is room again, if that is what a write has found missing.
    #[cold]
    fn fill_up(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        if written.is_err() && !would_block(&written) {
            return written;
        }
        if let Err(error) = self.register() {
            // The next write finds no socket.
            return written.or(Err(error));
        }
        self.be_full(true);
        written
    }

    fn be_full(&mut self, now: IsFull) {
        match std::mem::replace(self, Self::Fresh(None)) {
            Self::Tcp(tcp, _) => *self = Self::Tcp(tcp, now),
            Self::Unix(socket) if now => {
                let again = socket.as_fd().try_clone_to_owned();
                *self = match again.and_then(pipe::Sender::from_owned_fd_unchecked) {
                    Ok(room) => Self::FullUnix(Box::new(FullUnix { socket, room })),
                    // There is no descriptor left: who waits looks again in each turn.
                    Err(_) => Self::Unix(socket),
                };
            }
            Self::FullUnix(full) if !now => *self = Self::Unix(full.socket),
            io => *self = io,
        }
        if now {
            // It takes back the readiness for this error. Events come from this thread alone, so
            // that none of them is younger than the write.
            let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            drop(match self {
                Self::Tcp(tcp, _) => tcp.try_io(Interest::WRITABLE, full),
                Self::FullUnix(unix) => unix.room.try_io(full),
                _ => Ok(()),
            });
        }
    }

    /// Ready when there may be room, for who has found too little.
    #[cold]
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp, _) => tcp.poll_write_ready(cx),
            Self::FullUnix(full) => full.room.poll_write_ready(cx),
            Self::Unix(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // Its registration failed.
            Self::Fresh(_) | Self::Tls(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes what the socket takes at once, and never waits for more: for the last word of who is
    /// dropped, where there may be no runtime any more.
    pub(crate) fn write_and_forget(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        call(self.socket().ok_or(io::ErrorKind::NotConnected)?)
    }

    /// The socket below; `None` only for one whose registration failed.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(match self {
            Self::Fresh(socket) => socket.as_ref()?.as_fd(),
            Self::Tcp(tcp, _) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
            Self::FullUnix(full) => full.socket.as_fd(),
            Self::Tls(secure) => return secure.io.socket(),
        })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        match self {
            Self::Fresh(_) | Self::Tcp(..) => true,
            Self::Unix(_) | Self::FullUnix(_) => false,
            Self::Tls(secure) => secure.io.is_tcp(),
        }
    }
}

/// Sends, and tells whether that was less than all.
#[inline]
fn send_all(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    flags: SendFlags,
) -> io::Result<(usize, bool)> {
    let len = send(socket, parts, flags)?;
    let want = match parts {
        [one] => one.len(),
        parts => parts.iter().map(|part| part.len()).sum(),
    };
    Ok((len, len < want))
}
