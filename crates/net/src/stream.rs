//! A connection of either kind, usable from both directions of an exchange at once: all operations
//! take `&self`, and the two sides of a relay poll the same stream.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fairwater_sys::pipe::Pipe;
use socket2::{Domain, SockRef, Socket};
use tokio::io::Interest;
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

/// A connected socket of this thread.
///
/// An accepted TCP socket is registered with the runtime when it first has to wait. Most that come
/// for a single request never do, and save two calls to epoll each.
///
/// Reads and writes are tried first and wait only on `WouldBlock`. A read that fills less than its
/// buffer has emptied the socket, a short write has filled it: both take back the readiness at
/// once, and save the call that would return `EAGAIN`.
#[derive(Debug)]
pub struct Stream {
    io: RefCell<Io>,
}

#[derive(Debug)]
enum Io {
    /// Accepted, and not registered yet; empty only if the registration failed.
    Fresh(Option<std::net::TcpStream>),
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

impl Io {
    /// Makes a fresh socket one that can be waited for.
    fn register(&mut self) -> io::Result<()> {
        if let Self::Fresh(socket) = self {
            let socket = socket.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = Self::Tcp(TcpStream::from_std(socket)?);
        }
        Ok(())
    }

    /// Tries an operation on a socket that is still fresh; `None` when it has to wait, or is not
    /// fresh any more, and must go through the runtime.
    #[inline]
    fn try_fresh<T>(
        &mut self,
        operation: impl FnOnce(&mut std::net::TcpStream) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let Self::Fresh(Some(socket)) = self else { return None };
        match operation(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.register().err().map(Err)
            }
            result => Some(result),
        }
    }

    /// Makes a call on a registered socket, or waits until it can be made. Less than `want` says
    /// that the next one would have to wait.
    #[inline]
    fn poll(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        want: usize,
        mut call: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut short = None;
            let mut call = |socket: SockRef<'_>| match call(&socket) {
                // The runtime takes back the readiness for this error.
                Ok(len) if 0 < len && len < want => {
                    short = Some(len);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result,
            };
            let result = match self {
                Self::Tcp(tcp) => tcp.try_io(interest, || call(SockRef::from(tcp))),
                Self::Unix(unix) => unix.try_io(interest, || call(SockRef::from(unix))),
                Self::Fresh(_) => Err(io::ErrorKind::NotConnected.into()),
            };
            match (short, result) {
                (Some(len), _) => return Poll::Ready(Ok(len)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_ready(cx, interest))?;
                }
                (None, result) => return Poll::Ready(result),
            }
        }
    }

    #[inline]
    fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) if interest.is_readable() => tcp.poll_read_ready(cx),
            Self::Tcp(tcp) => tcp.poll_write_ready(cx),
            Self::Unix(unix) if interest.is_readable() => unix.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_write_ready(cx),
            // Its registration failed.
            Self::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Stream {
    /// A TCP socket that was just accepted, in non-blocking mode.
    pub(crate) fn fresh(socket: std::net::TcpStream) -> Self {
        Self { io: RefCell::new(Io::Fresh(Some(socket))) }
    }

    /// An accepted Unix socket in non-blocking mode.
    pub(crate) fn unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        UnixStream::from_std(socket).map(Self::from)
    }

    /// A connected socket that came from another process, in non-blocking mode.
    ///
    /// # Errors
    /// When it is no socket, or the runtime cannot take it.
    pub fn given(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        match socket.domain()? {
            Domain::UNIX => Self::unix(socket.into()),
            _ => Ok(Self::fresh(socket.into())),
        }
    }

    /// The socket alone, which no runtime knows of any more.
    ///
    /// # Errors
    /// When the runtime does not let go of it.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        match self.io.into_inner() {
            Io::Fresh(socket) => {
                socket.map(OwnedFd::from).ok_or(io::ErrorKind::NotConnected.into())
            }
            Io::Tcp(tcp) => tcp.into_std().map(OwnedFd::from),
            Io::Unix(unix) => unix.into_std().map(OwnedFd::from),
        }
    }

    /// Does something with its descriptor, which stays here.
    pub fn with_fd<T>(&self, action: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.with_socket(|socket| action(socket.as_fd()))
    }

    /// Reads into `buffer`; 0 is the end of the stream. `buffer` must not be empty.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!buffer.is_empty(), "an empty read looks like the end of the stream");
        let mut io = self.io.borrow_mut();
        if let Some(result) = io.try_fresh(|socket| socket.read(buffer)) {
            return Poll::Ready(result);
        }
        let want = buffer.len();
        io.poll(cx, Interest::READABLE, want, |socket| (&*socket).read(buffer))
    }

    /// Writes as much as the socket takes.
    #[inline]
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, parts, libc::MSG_NOSIGNAL)
    }

    /// As `poll_write`, for the last bytes before the connection is closed: they wait for the end
    /// of the stream and leave with it in one packet. A Unix socket ignores the flag.
    pub fn poll_write_last(&self, cx: &mut Context<'_>, last: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(last)], libc::MSG_NOSIGNAL | libc::MSG_MORE)
    }

    #[inline]
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        flags: i32,
    ) -> Poll<io::Result<usize>> {
        let send = |socket: &Socket| match parts {
            [one] => socket.send_with_flags(one, flags),
            parts => socket.send_vectored_with_flags(parts, flags),
        };
        let mut io = self.io.borrow_mut();
        if let Some(result) = io.try_fresh(|socket| send(&SockRef::from(&*socket))) {
            return Poll::Ready(result);
        }
        let want = parts.iter().map(|part| part.len()).sum();
        io.poll(cx, Interest::WRITABLE, want, send)
    }

    /// Waits until there may be something to read, without a buffer to read it into. Always ready
    /// for a fresh socket: reading it finds out.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.io.borrow() {
            Io::Fresh(_) => Poll::Ready(Ok(())),
            io => io.poll_ready(cx, Interest::READABLE),
        }
    }

    /// Whether the runtime knows of something to read. Registers nothing: only for who is already
    /// waiting, and wants to know cheaply whether that is over.
    #[inline]
    pub fn is_read_ready(&self) -> bool {
        match &*self.io.borrow() {
            Io::Fresh(_) => true,
            Io::Tcp(tcp) => tcp.try_io(Interest::READABLE, || Ok(())).is_ok(),
            Io::Unix(unix) => unix.try_io(Interest::READABLE, || Ok(())).is_ok(),
        }
    }

    /// Whether an idle connection may be used again: nothing has come from the peer, neither bytes
    /// nor an end. Costs a system call only if the runtime has seen something come.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let result = match &mut *self.io.borrow_mut() {
            Io::Fresh(socket) => socket.as_ref().map_or(Ok(0), |mut socket| socket.read(&mut byte)),
            Io::Tcp(tcp) => tcp.try_read(&mut byte),
            Io::Unix(unix) => unix.try_read(&mut byte),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As `is_quiet`, and asks the kernel whatever the runtime has seen.
    pub fn is_quiet_for_sure(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let looked = self.with_socket(|socket| {
            socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT)
        });
        matches!(looked, Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Splices from the socket into an empty pipe; 0 is the end of the stream.
    pub fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        io.register()?;
        io.poll(cx, Interest::READABLE, 0, |socket| pipe.fill(socket.as_raw_fd(), len))
    }

    /// Splices what the pipe holds into the socket.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        more: bool,
    ) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        io.register()?;
        io.poll(cx, Interest::WRITABLE, 0, |socket| pipe.drain(socket.as_raw_fd(), more))
    }

    /// Ends our direction; the peer reads the end of the stream.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn shut_down(&self) -> io::Result<()> {
        let shut_down = |socket: SockRef<'_>| socket.shutdown(std::net::Shutdown::Write);
        self.with_socket(shut_down).unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
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
            let probes = socket2::TcpKeepalive::new()
                .with_time(idle)
                .with_interval(interval)
                .with_retries(3);
            drop(self.with_socket(|socket| socket.set_tcp_keepalive(&probes)));
        }
    }

    /// Bytes that have come and were not read.
    pub fn unread_bytes(&self) -> usize {
        self.with_socket(|socket| fairwater_sys::socket::unread_bytes(socket.as_fd()))
            .and_then(Result::ok)
            .unwrap_or(0)
    }

    /// Bytes that were written and that the peer has not taken: its kernel, over TCP, or the
    /// program itself on a Unix socket.
    pub fn untaken_bytes(&self) -> usize {
        self.with_socket(|socket| fairwater_sys::socket::untaken_bytes(socket.as_fd()))
            .and_then(Result::ok)
            .unwrap_or(0)
    }

    /// Whether what the peer takes is seen in steps of tens of kilobytes only: on Unix sockets, and
    /// over interfaces with large packets such as loopback.
    pub fn takes_large_steps(&self) -> bool {
        const LARGE: u32 = 16 * 1024;
        !self.is_tcp()
            || self
                .with_socket(|socket| socket.tcp_mss())
                .and_then(Result::ok)
                .is_some_and(|bytes| bytes >= LARGE)
    }

    /// Bytes that the peer's kernel has acknowledged; `None` where that is not known.
    pub fn acknowledged_bytes(&self) -> Option<u64> {
        match &*self.io.borrow() {
            Io::Tcp(tcp) => fairwater_sys::socket::acknowledged_bytes(tcp.as_fd()).ok(),
            Io::Fresh(_) | Io::Unix(_) => None,
        }
    }

    /// Whether the peer has reset the connection. For a socket that is not being read; one that is
    /// tells by itself.
    pub fn is_reset(&self) -> bool {
        let error = self.with_socket(|socket| socket.take_error());
        !matches!(error, Some(Ok(None)))
    }

    pub fn is_tcp(&self) -> bool {
        matches!(&*self.io.borrow(), Io::Tcp(_) | Io::Fresh(_))
    }

    /// `None` only for a socket whose registration failed.
    fn with_socket<T>(&self, action: impl FnOnce(SockRef<'_>) -> T) -> Option<T> {
        let io = self.io.borrow();
        let fd: BorrowedFd<'_> = match &*io {
            Io::Fresh(socket) => socket.as_ref()?.as_fd(),
            Io::Tcp(tcp) => tcp.as_fd(),
            Io::Unix(unix) => unix.as_fd(),
        };
        Some(action(SockRef::from(&fd)))
    }
}
