//! A connection of either kind, usable from both directions of an exchange at once: all operations
//! take `&self`, and the two sides of a relay poll the same stream.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_sys::pipe::Pipe;
use fairwater_sys::poll::has_ended;
use fairwater_sys::socket::peek;
use fairwater_tls::{Agreed, Session};
use rustix::net::SendFlags;
use socket2::{Domain, SockRef, Socket};
use tokio::net::TcpStream;

use crate::calls::receive;
use crate::io::Io;
use crate::secure::Secure;

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

    /// 0 for one that has none.
    pub fn port(self) -> u16 {
        match self {
            Self::Ip { port, .. } => port,
            Self::Unix => 0,
        }
    }
}

/// A connected socket of this thread.
///
/// An accepted TCP socket is registered with the runtime when it first has to wait. Most that come
/// for a single request never do, and save two calls to epoll each.
#[derive(Debug)]
pub struct Stream {
    io: RefCell<Io>,
}

/// Where what is read goes.
pub trait Room {
    /// Not empty.
    fn room(&mut self) -> &mut [u8];
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::of(Io::Tcp(stream, false))
    }
}

impl Stream {
    fn of(io: Io) -> Self {
        Self { io: RefCell::new(io) }
    }

    /// A TCP socket that was just accepted, in non-blocking mode.
    pub(crate) fn fresh(socket: std::net::TcpStream) -> Self {
        Self::of(Io::Fresh(Some(socket)))
    }

    /// An accepted Unix socket in non-blocking mode.
    pub(crate) fn unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Io::unix(socket).map(Self::of)
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
            Io::Tcp(tcp, _) => tcp.into_std().map(OwnedFd::from),
            Io::Unix(unix) => unix.into_nonblocking_fd(),
            Io::FullUnix(full) => full.socket.into_nonblocking_fd(),
            // What the session holds would be lost.
            Io::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Does something with its descriptor, which stays here.
    pub fn with_fd<T>(&self, action: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.with_socket(|socket| action(socket.as_fd()))
    }

    /// Its own address; none on a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.with_socket(|socket| socket.local_addr().ok()?.as_socket()).flatten()
    }

    /// Speaks TLS from now on; the handshake comes next.
    ///
    /// # Errors
    /// When the runtime cannot take the socket.
    pub fn secure(&self, session: Session) -> io::Result<()> {
        let mut io = self.io.borrow_mut();
        io.register()?;
        let plain = std::mem::replace(&mut *io, Io::Fresh(None));
        *io = Io::Tls(Box::new(Secure { io: plain, session, is_reset: false, agreed: None }));
        Ok(())
    }

    /// Goes on with a handshake; done at once without TLS.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.io.borrow_mut() {
            Io::Tls(secure) => secure.poll_handshake(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits until all that was written is the kernel's.
    #[inline]
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.io.borrow_mut() {
            Io::Tls(secure) => secure.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether bytes are written as they are: only those may be spliced, or go to another process.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !matches!(&*self.io.borrow(), Io::Tls(_))
    }

    /// What was agreed on with TLS; nothing without it, or before the handshake.
    pub fn agreed(&self) -> Option<Rc<Agreed>> {
        match &*self.io.borrow() {
            Io::Tls(secure) => secure.agreed.clone(),
            _ => None,
        }
    }

    /// Reads into `buffer`; 0 is the end of the stream. `buffer` must not be empty.
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!buffer.is_empty(), "an empty read looks like the end of the stream");
        let mut io = self.io.borrow_mut();
        if let Some(result) = io.read_fresh(|socket| receive(socket, buffer)) {
            return Poll::Ready(result);
        }
        match &mut *io {
            Io::Tls(secure) => secure.poll_read(cx, buffer),
            io => io.poll_read(cx, |socket| receive_once(socket, buffer)),
        }
    }

    /// Reads if the runtime knows of something to read. Registers nothing: only for who is already
    /// waiting, for bytes without TLS.
    #[inline]
    pub fn read_if_ready(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        self.io.borrow().read_if_ready(|socket| receive_once(socket, buffer))
    }

    /// The same, into room that is asked for when there may be something to read.
    #[inline]
    pub fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        into: &mut impl Room,
    ) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        if let Some(result) = io.read_fresh(|socket| receive(socket, into.room())) {
            return Poll::Ready(result);
        }
        match &mut *io {
            Io::Tls(secure) => secure.poll_read(cx, into.room()),
            io => io.poll_read(cx, |socket| receive_once(socket, into.room())),
        }
    }

    /// Looks at what has come and leaves it there to be read, before TLS. Waits for more than
    /// `seen` bytes; with no more than that the stream has ended.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        let mut look = |socket: BorrowedFd<'_>| {
            let len = peek(socket, buffer)?;
            match len {
                0 => Ok(0),
                _ if len > seen || len == buffer.len() => Ok(len),
                // More may have come just before the end.
                _ if has_ended(socket) => peek(socket, buffer),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        };
        let mut io = self.io.borrow_mut();
        if let Some(result) = io.read_fresh(&mut look) {
            return Poll::Ready(result);
        }
        // It can be read until it is, and nothing that comes later must be missed.
        io.poll_read(cx, |socket| look(socket).map(|len| (len, false)))
    }

    /// Writes as much as the socket takes.
    #[inline]
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, parts, SendFlags::empty())
    }

    /// As `poll_write`, for the last bytes before the connection is closed: they wait for the end
    /// of the stream and leave with it in one packet. A Unix socket ignores the flag.
    pub fn poll_write_last(&self, cx: &mut Context<'_>, last: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(last)], SendFlags::MORE)
    }

    #[inline]
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        match &mut *self.io.borrow_mut() {
            Io::Tls(secure) => secure.poll_write(cx, parts),
            io => io.poll_send(cx, parts, flags),
        }
    }

    /// Writes as much as the socket takes at once; 0 if that is nothing. Nobody is woken when it
    /// takes more: for who leaves that to somebody else.
    ///
    /// # Errors
    /// Those of the socket, which whoever writes next gets as well.
    pub fn write_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &mut *self.io.borrow_mut() {
            Io::Tls(secure) => secure.write_now(parts),
            io => io.send_now(parts, SendFlags::empty()),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Whether all that was written is the kernel's.
    pub fn is_flushed(&self) -> bool {
        match &*self.io.borrow() {
            Io::Tls(secure) => !secure.session.wants_write(),
            _ => true,
        }
    }

    /// Waits until there may be something to read, without a buffer to read it into. Always ready
    /// for a fresh socket: reading it finds out.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.io.borrow_mut() {
            Io::Fresh(_) => Poll::Ready(Ok(())),
            Io::Tls(secure) => secure.poll_readable(cx),
            io => io.poll_readable(cx),
        }
    }

    /// Whether the runtime knows of something to read. Registers nothing: only for who is already
    /// waiting, and wants to know cheaply whether that is over.
    #[inline]
    pub fn is_read_ready(&self) -> bool {
        match &*self.io.borrow() {
            Io::Fresh(_) => true,
            Io::Tls(secure) => secure.is_read_ready(),
            io => io.is_read_ready(),
        }
    }

    /// Whether an idle connection may be used again: nothing has come from the peer, neither bytes
    /// nor an end. Costs a system call only if the runtime has seen something come.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let result = match &mut *self.io.borrow_mut() {
            Io::Fresh(socket) => {
                socket.as_ref().map_or(Ok(0), |socket| receive(socket.as_fd(), &mut byte))
            }
            Io::Tls(secure) => return secure.is_quiet(),
            io => io.read_now(|socket| receive(socket, &mut byte)),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As `is_quiet`, and asks the kernel whatever the runtime has seen.
    pub fn is_quiet_for_sure(&self) -> bool {
        if let Io::Tls(secure) = &mut *self.io.borrow_mut() {
            return secure.is_quiet();
        }
        let looked = self.with_fd(|socket| peek(socket, &mut [0]));
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
        io.poll_read(cx, |socket| pipe.fill(socket.as_raw_fd(), len).map(|len| (len, false)))
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
        io.poll_write(cx, |socket| pipe.drain(socket.as_raw_fd(), more).map(|len| (len, false)))
    }

    /// Ends our direction; the peer reads the end of the stream.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn shut_down(&self) -> io::Result<()> {
        if let Io::Tls(secure) = &mut *self.io.borrow_mut() {
            secure.close();
        }
        let shut_down = |socket: SockRef<'_>| socket.shutdown(std::net::Shutdown::Write);
        self.with_socket(shut_down).unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Makes the close that follows a reset: the peer learns that something went wrong.
    pub fn reset_on_close(&self) {
        if let Io::Tls(secure) = &mut *self.io.borrow_mut() {
            secure.is_reset = true;
        }
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

    /// About how many bytes the socket would take now.
    pub fn write_room(&self) -> usize {
        let buffer = self.with_socket(|socket| socket.send_buffer_size());
        buffer.and_then(Result::ok).unwrap_or(0).saturating_sub(self.untaken_bytes())
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
            Io::Tcp(tcp, _) => fairwater_sys::socket::acknowledged_bytes(tcp.as_fd()).ok(),
            Io::Fresh(_) | Io::Unix(_) | Io::FullUnix(_) | Io::Tls(_) => None,
        }
    }

    /// Whether something was sent again and again, and the peer's host has not acknowledged it.
    pub fn is_unheard(&self) -> bool {
        let is_unheard = self.with_socket(|socket| {
            fairwater_sys::socket::is_unheard(socket.as_fd()).unwrap_or(false)
        });
        is_unheard.unwrap_or(false)
    }

    /// Whether the peer has reset the connection. For a socket that is not being read; one that is
    /// tells by itself.
    pub fn is_reset(&self) -> bool {
        let error = self.with_socket(|socket| socket.take_error());
        !matches!(error, Some(Ok(None)))
    }

    pub fn is_tcp(&self) -> bool {
        self.io.borrow().is_tcp()
    }

    /// `None` only for a socket whose registration failed.
    fn with_socket<T>(&self, action: impl FnOnce(SockRef<'_>) -> T) -> Option<T> {
        let io = self.io.borrow();
        let fd = io.socket()?;
        Some(action(SockRef::from(&fd)))
    }
}

/// Reads, and tells whether that has emptied the socket.
#[inline]
fn receive_once(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let len = receive(socket, buffer)?;
    Ok((len, 0 < len && len < buffer.len()))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Writes until there is no room, has the peer read all of it, and writes again.
    fn fill_and_drain(ours: OwnedFd, mut theirs: impl Read) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = Stream::given(ours).unwrap();
            let block = [7; 64 * 1024];
            let write = |cx: &mut Context<'_>| stream.poll_write(cx, &[IoSlice::new(&block)]);
            for _ in 0..3 {
                let mut sent = 0;
                while let Poll::Ready(len) = poll_fn(|cx| Poll::Ready(write(cx))).await {
                    sent += len.unwrap();
                }
                assert!(sent > 0);
                assert_eq!(stream.write_now(&[IoSlice::new(&block)]).unwrap(), 0);
                theirs.read_exact(&mut vec![0; sent]).unwrap();
                let next = tokio::time::timeout(Duration::from_secs(10), poll_fn(write)).await;
                let len = next.expect("it is told of room").unwrap();
                assert!(len > 0);
                theirs.read_exact(&mut vec![0; len]).unwrap();
            }
        });
    }

    #[test]
    fn a_write_that_found_no_room_goes_on_when_there_is_some() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        fill_and_drain(ours.into(), theirs);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        fill_and_drain(ours.into(), listener.accept().unwrap().0);
    }
}
