//! Sockets for datagrams in the hands of one thread: the one that clients send to, and a set of
//! those that endpoints answer to, of which the runtime sees one descriptor.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use fairwater_sys::datagram::{self, BATCH_MAX, Batch};
use fairwater_sys::epoll::{Epoll, READY_MAX, Ready};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;

/// A socket that clients send datagrams to.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    local: SocketAddr,
    cookie: u64,
}

/// Whether a socket is one for datagrams.
pub fn takes_datagrams(socket: &Socket) -> bool {
    socket.r#type().is_ok_and(|kind| kind == Type::DGRAM)
}

impl Datagrams {
    /// Registers a socket with the runtime of this thread. One for all addresses of the machine
    /// tells from now on where its datagrams came to.
    ///
    /// # Errors
    /// When the runtime cannot take it.
    pub fn new(socket: Socket) -> io::Result<Self> {
        let cookie = socket.cookie()?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        if local.ip().is_unspecified() {
            datagram::tell_destinations(socket.as_fd(), local.is_ipv6())?;
        }
        Ok(Self { socket, local, cookie })
    }

    /// The address that it is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A number that no other socket of this machine has had since it started, the same in every
    /// process that has the socket.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Ready when there may be a datagram.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    /// Receives what has come. Fewer datagrams than a call takes were all: the next one makes the
    /// socket ready again, and no call is spent on finding out.
    ///
    /// # Errors
    /// As `recvmmsg(2)`; `WouldBlock` for none.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut count = 0;
        let result = self.socket.try_io(Interest::READABLE, || {
            count = batch.receive_from(self.socket.as_fd())?;
            if count < BATCH_MAX { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match result {
            Err(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sockets that are waited for together, each with a number.
#[derive(Debug)]
pub struct Gathering(AsyncFd<Epoll>);

impl Gathering {
    /// # Errors
    /// When the process may have no further descriptor.
    pub fn new() -> io::Result<Self> {
        #[allow(deprecated, reason = "a set keeps its descriptor for as long as it lives")]
        let set = AsyncFd::new(Epoll::new()?)?;
        Ok(Self(set))
    }

    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn add(&self, socket: BorrowedFd<'_>, number: u64) -> io::Result<()> {
        self.0.get_ref().add(socket, number)
    }

    /// For a socket that somebody else keeps. One that is closed leaves by itself.
    pub fn remove(&self, socket: BorrowedFd<'_>) {
        // It is in the set.
        self.0.get_ref().remove(socket).ok();
    }

    /// Ready when there may be something to read.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx).map_ok(|mut guard| guard.retain_ready())
    }

    /// Looks who can be read.
    pub fn look(&self, ready: &mut Ready) {
        // Who cannot be looked at now can be later.
        self.0.try_io(Interest::READABLE, |epoll| epoll.look(ready)).ok();
    }

    /// All that the last look has told of was read, so that only what comes from now on makes the
    /// set ready again. There may be more than a look tells.
    pub fn is_emptied(&self, ready: &Ready) {
        if ready.len() < READY_MAX {
            let nothing = |_: &Epoll| Err::<(), _>(io::ErrorKind::WouldBlock.into());
            self.0.try_io(Interest::READABLE, nothing).ok();
        }
    }
}

/// A socket whose datagrams go to this address and come from there alone.
///
/// # Errors
/// When there is no way there, no port left, or no descriptor.
pub fn dial_datagrams(address: SocketAddr) -> io::Result<OwnedFd> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// Whether there was no descriptor, no port or no memory for a socket: who gives one back makes
/// room.
pub fn is_want_of_room(error: &io::Error) -> bool {
    // The kernel says EAGAIN where it finds no port.
    let number = error.raw_os_error();
    let few = [libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOMEM, libc::ENOBUFS];
    number.is_some_and(|number| few.contains(&number))
}

/// Why a datagram could not be sent to an endpoint, or none came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Right now.
    Busy,
    /// Datagrams of its length never can.
    TooLong,
    /// Nobody is there: so ICMP says (RFC 1122, section 4.1.3.3).
    Refused,
    /// There is no way there.
    Unreachable,
}

impl Unsent {
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => Self::Busy,
            Some(libc::EMSGSIZE) => Self::TooLong,
            Some(libc::ECONNREFUSED) => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}

/// Asks one question with a datagram, and gives the first answer; to be given up by who waits.
///
/// # Errors
/// As of [`dial_datagrams`], and what ICMP says.
pub async fn ask_by_datagram(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    /// Longer ones are cut off.
    const ANSWER_BYTES_MAX: usize = 65_535;
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let len = socket.recv(&mut answer).await?;
    answer.truncate(len);
    Ok(answer)
}
