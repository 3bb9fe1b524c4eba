//! A connection of either kind, usable from both directions of an exchange at once: all operations
//! take `&self`, and the two sides of a relay poll the same stream.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fairwater_sys::pipe::Pipe;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Ip { ip: IpAddr, port: u16 },
    Unix,
}

impl Peer {
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip { ip, .. } => Some(ip),
            Self::Unix => None,
        }
    }
}

/// A connected socket, registered with the runtime of this thread.
///
/// Reads and writes are tried first and wait only on `WouldBlock`. They go through tokio's own poll
/// functions, which clear the readiness after a short read; trying by hand would cost one more call
/// that returns `EAGAIN` for every message.
#[derive(Debug)]
pub struct Stream {
    io: RefCell<Io>,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { io: RefCell::new(Io::Tcp(stream)) }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self { io: RefCell::new(Io::Unix(stream)) }
    }
}

impl Stream {
    /// Reads into `buffer`; 0 is the end of the stream. `buffer` must not be empty.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!buffer.is_empty(), "an empty read looks like the end of the stream");
        let mut read = ReadBuf::new(buffer);
        let result = match &mut *self.io.borrow_mut() {
            Io::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut read),
            Io::Unix(unix) => Pin::new(unix).poll_read(cx, &mut read),
        };
        result.map_ok(|()| read.filled().len())
    }

    /// Writes as much as the socket takes.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (&mut *self.io.borrow_mut(), parts) {
            (Io::Tcp(tcp), [one]) => Pin::new(tcp).poll_write(cx, one),
            (Io::Tcp(tcp), parts) => Pin::new(tcp).poll_write_vectored(cx, parts),
            (Io::Unix(unix), [one]) => Pin::new(unix).poll_write(cx, one),
            (Io::Unix(unix), parts) => Pin::new(unix).poll_write_vectored(cx, parts),
        }
    }

    /// Waits until there is something to read, without a buffer to read it into.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => tcp.poll_read_ready(cx),
            Io::Unix(unix) => unix.poll_read_ready(cx),
        }
    }

    /// Whether an idle connection may be used again: nothing has come from the peer, neither bytes
    /// nor an end. Costs a system call only if the runtime has seen something come.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let result = match &*self.io.borrow() {
            Io::Tcp(tcp) => tcp.try_read(&mut byte),
            Io::Unix(unix) => unix.try_read(&mut byte),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Splices from the socket into an empty pipe; 0 is the end of the stream.
    pub fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match self.attempt(Interest::READABLE, |fd| pipe.fill(fd, len)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Splices what the pipe holds into the socket.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        more: bool,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match &*self.io.borrow() {
                Io::Tcp(tcp) => tcp.poll_write_ready(cx),
                Io::Unix(unix) => unix.poll_write_ready(cx),
            })?;
            match self.attempt(Interest::WRITABLE, |fd| pipe.drain(fd, more)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn attempt<T>(
        &self,
        interest: Interest,
        action: impl FnOnce(RawFd) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => tcp.try_io(interest, || action(tcp.as_raw_fd())),
            Io::Unix(unix) => unix.try_io(interest, || action(unix.as_raw_fd())),
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn shut_down(&self) -> io::Result<()> {
        self.with_socket(|socket| socket.shutdown(std::net::Shutdown::Write))
    }

    /// Makes the close that follows a reset: the peer learns that something went wrong.
    pub fn reset_on_close(&self) {
        // Only TCP knows resets; on a Unix socket the close is all that there is.
        if self.is_tcp() {
            drop(self.with_socket(|socket| socket.set_linger(Some(Duration::ZERO))));
        }
    }

    /// Has the kernel probe a silent peer, so that one that vanished is noticed.
    pub fn keep_alive(&self, idle: Duration, interval: Duration) {
        if self.is_tcp() {
            let probes =
                socket2::TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
            drop(self.with_socket(|socket| socket.set_tcp_keepalive(&probes)));
        }
    }

    /// Bytes that the peer's kernel has acknowledged; `None` where that is not known.
    pub fn acknowledged_bytes(&self) -> Option<u64> {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => fairwater_sys::socket::acknowledged_bytes(tcp.as_fd()).ok(),
            Io::Unix(_) => None,
        }
    }

    /// Whether the peer has reset the connection. For a socket that is not being read; one that is
    /// tells by itself.
    pub fn is_reset(&self) -> bool {
        self.with_socket(|socket| !matches!(socket.take_error(), Ok(None)))
    }

    pub fn is_tcp(&self) -> bool {
        matches!(&*self.io.borrow(), Io::Tcp(_))
    }

    fn with_socket<T>(&self, action: impl FnOnce(socket2::SockRef<'_>) -> T) -> T {
        let io = self.io.borrow();
        let fd: BorrowedFd<'_> = match &*io {
            Io::Tcp(tcp) => tcp.as_fd(),
            Io::Unix(unix) => unix.as_fd(),
        };
        action(socket2::SockRef::from(&fd))
    }
}
