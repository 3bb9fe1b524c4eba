//! Listening sockets: bound once, by whoever starts the workers; one socket per thread for TCP and
//! UDP, so that the kernel spreads connections and clients, one for all for Unix.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fairwater_message::address::Listen;
use fairwater_sys::exec::Left;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::holder;
use crate::record::ListeningRecord;

/// Of a socket for its owner alone: no place for crowds.
const PRIVATE_BACKLOG: i32 = 128;

/// How long the kernel waits for the first bytes; then the connection comes without.
const DEFER_S: u32 = 1;

/// What the kernel keeps of datagrams that nobody has come to yet: a burst of some thousand. It
/// caps this by `net.core.rmem_max`.
const DATAGRAMS_BYTES: usize = 4 * 1024 * 1024;

/// How an address of datagrams begins.
pub(crate) const UDP: &str = "udp:";

/// The sockets of one listening address, not yet owned by a runtime.
#[derive(Debug)]
pub struct Listening {
    sockets: Vec<Socket>,
    /// The address in force: the port that was chosen where 0 was asked for.
    pub address: Bound,
    /// Of a Unix socket.
    file: Option<FileId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Ip(SocketAddr),
    /// For datagrams.
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Udp(address) => write!(f, "{UDP}{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an address could not be listened on.
#[derive(Debug)]
pub enum BindError {
    /// Something answers there; who, if that can be told.
    InUse(String, Option<String>),
    /// The path is taken by something that is not a socket.
    NotASocket(PathBuf),
    Io(String, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(address, holder) => {
                let holder = holder.as_deref().unwrap_or("another process");
                write!(f, "{address} is in use by {holder}: stop it or choose another")
            }
            Self::NotASocket(path) => {
                write!(f, "{} exists and is no socket: remove it or choose another", path.display())
            }
            Self::Io(address, error) if error.kind() == io::ErrorKind::AddrNotAvailable => write!(
                f,
                "cannot listen on {address}: this machine does not have the address; if it will have \
                 it later, write `freebind = true` for the listener"
            ),
            Self::Io(address, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "cannot listen on {address}: {error}; ")?;
                f.write_str(match address.starts_with("unix:") {
                    true => "the directory must be writable for this user",
                    false => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
                })
            }
            Self::Io(address, error)
                if error.kind() == io::ErrorKind::NotFound && address.starts_with("unix:") =>
            {
                write!(f, "cannot listen on {address}: its directory does not exist; make it first")
            }
            Self::Io(address, error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// How an address is listened on.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Sockets, where there is one for each thread.
    pub threads: usize,
    /// Connections that the kernel holds on each until they are accepted; it caps this by
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// The machine need not have the address yet.
    pub freebind: bool,
    /// For datagrams.
    pub is_udp: bool,
}

/// Binds an address.
///
/// # Errors
/// See [`BindError`]. Nothing stays bound.
pub fn bind(listen: &Listen, manner: Manner) -> Result<Listening, BindError> {
    match listen {
        Listen::Ip(address) => bind_ip(*address, true, manner),
        Listen::Any { port } => {
            // Dual-stack where the host has IPv6, else IPv4 alone.
            match bind_ip((Ipv6Addr::UNSPECIFIED, *port).into(), false, manner) {
                Err(BindError::Io(_, error)) if has_no_ipv6(&error) => {
                    bind_ip((Ipv4Addr::UNSPECIFIED, *port).into(), true, manner)
                }
                Err(BindError::Io(_, error)) => Err(BindError::Io(listen.to_string(), error)),
                result => result,
            }
        }
        // A checked listener of datagrams has none.
        Listen::Unix(path) => bind_unix(path, None, manner.backlog()),
    }
}

impl Manner {
    fn backlog(self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    matches!(number, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

/// Binds a Unix socket that only its owner can open, from the first moment on.
///
/// # Errors
/// As [`bind`].
pub fn bind_private(path: &Path) -> Result<Listening, BindError> {
    bind_unix(path, Some(0o600), PRIVATE_BACKLOG)
}

fn bind_ip(address: SocketAddr, only_v6: bool, manner: Manner) -> Result<Listening, BindError> {
    let bound = if manner.is_udp { Bound::Udp } else { Bound::Ip };
    let shown = |address| bound(address).to_string();
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            BindError::InUse(shown(address), holder::of_port(address, manner.is_udp))
        }
        _ => BindError::Io(shown(address), error),
    };
    // SO_REUSEPORT would let a second Fairwater share the port unnoticed and take half of its
    // connections: a socket without it finds out whether anybody is there, and the free port.
    let probe = unbound(address, only_v6, manner).map_err(refused)?;
    probe.bind(&address.into()).map_err(refused)?;
    let address = probe.local_addr().map_err(refused)?.as_socket().unwrap_or(address);
    drop(probe);
    let shared = || {
        let socket = unbound(address, only_v6, manner)?;
        socket.set_reuse_port(true)?;
        make_ready(&socket, manner.is_udp)?;
        socket.bind(&address.into())?;
        if !manner.is_udp {
            socket.listen(manner.backlog())?;
        }
        Ok(socket)
    };
    let sockets: io::Result<Vec<_>> = (0..manner.threads).map(|_| shared()).collect();
    let sockets = sockets.map_err(refused)?;
    Ok(Listening { sockets, address: bound(address), file: None })
}

fn unbound(address: SocketAddr, only_v6: bool, manner: Manner) -> io::Result<Socket> {
    let (kind, protocol) = match manner.is_udp {
        true => (Type::DGRAM, Protocol::UDP),
        false => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    // For datagrams it would let anybody else have the port as well.
    socket.set_reuse_address(!manner.is_udp)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    match address {
        _ if !manner.freebind => {}
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    Ok(socket)
}

/// Accepted sockets inherit these, which saves a call for each.
fn make_ready(socket: &Socket, is_udp: bool) -> io::Result<()> {
    match is_udp {
        // Less is fine.
        true => drop(socket.set_recv_buffer_size(DATAGRAMS_BYTES)),
        false => socket.set_tcp_nodelay(true)?,
    }
    socket.set_nonblocking(true)
}

fn bind_unix(path: &Path, mode: Option<u32>, backlog: i32) -> Result<Listening, BindError> {
    let name = format!("unix:{}", path.display());
    let failed = |error| BindError::Io(name.clone(), error);
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        if !is_dead(path).map_err(failed)? {
            return Err(BindError::InUse(name, holder::of_path(path)));
        }
        // The file of a process that is gone.
        std::fs::remove_file(path).map_err(failed)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    let bound = SockAddr::unix(path).and_then(|address| socket.bind(&address));
    // Nobody can connect before `listen`, so that the mode is in force before anybody could.
    let restricted = bound.and_then(|()| match mode {
        Some(mode) => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        None => Ok(()),
    });
    restricted
        .and_then(|()| socket.listen(backlog))
        .and_then(|()| socket.set_nonblocking(true))
        .map_err(failed)?;
    let file = FileId::of(path);
    Ok(Listening { sockets: vec![socket], address: Bound::Unix(path.to_owned()), file })
}

/// Whether nobody listens behind a socket file.
///
/// # Errors
/// When that cannot be found out.
fn is_dead(path: &Path) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose backlog is full would block us.
    probe.set_nonblocking(true)?;
    let Err(error) = probe.connect(&SockAddr::unix(path)?) else { return Ok(false) };
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ENOENT) => Ok(true),
        // A full backlog, or a socket of another type.
        Some(libc::EAGAIN | libc::EPROTOTYPE) => Ok(false),
        _ => Err(error),
    }
}

/// Which file it is, whatever its name: the name may belong to a successor by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(Self(metadata.dev(), metadata.ino()))
    }
}

impl Listening {
    /// Sockets that listen already, bound by somebody else: who removes their files, too.
    ///
    /// # Errors
    /// When they are no sockets.
    pub(crate) fn inherited(address: Bound, sockets: Vec<Socket>) -> io::Result<Self> {
        for socket in &sockets {
            match address {
                Bound::Ip(_) => make_ready(socket, false)?,
                Bound::Udp(_) => make_ready(socket, true)?,
                Bound::Unix(_) => socket.set_nonblocking(true)?,
            }
        }
        Ok(Self { sockets, address, file: None })
    }

    /// As it is written down for the next master.
    pub(crate) fn record(&self) -> ListeningRecord {
        ListeningRecord {
            sockets: self.sockets.iter().map(AsRawFd::as_raw_fd).collect(),
            address: self.address.to_string(),
            file: self.file.map(|FileId(device, number)| (device, number)),
        }
    }

    /// One that the master before has bound.
    pub(crate) fn of(record: &ListeningRecord, left: &mut Left) -> Option<Self> {
        let sockets = record.sockets.iter().map(|number| left.take(*number).map(Socket::from));
        let address = match record.address.strip_prefix("unix:") {
            Some(path) => Bound::Unix(path.into()),
            None => match record.address.strip_prefix(UDP) {
                Some(address) => Bound::Udp(address.parse().ok()?),
                None => Bound::Ip(record.address.parse().ok()?),
            },
        };
        let file = record.file.map(|(device, number)| FileId(device, number));
        Some(Self { sockets: sockets.collect::<Option<_>>()?, address, file })
    }

    /// Its own descriptors.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// The socket that thread `index` serves: its own, or its own handle of the shared one.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn share(&self, index: usize) -> io::Result<Socket> {
        self.sockets[index % self.sockets.len()].try_clone()
    }

    /// All sockets, for another process: one for each thread, or one for all.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Sets how many connections wait in the kernel, and whether they come with their first bytes.
    pub(crate) fn tune(&self, backlog: u32, waits_for_data: bool) {
        if matches!(self.address, Bound::Udp(_)) {
            return;
        }
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        for socket in &self.sockets {
            // Without either everything works, a little slower.
            socket.listen(backlog).ok();
            if matches!(self.address, Bound::Ip(_)) {
                let seconds = if waits_for_data { DEFER_S } else { 0 };
                fairwater_sys::socket::defer_accept(socket.as_fd(), seconds).ok();
            }
        }
    }

    /// For protocols in which the client speaks first: connections come with their first bytes, so
    /// that a request costs one wake-up less, and what connects and says nothing costs none for a
    /// second. Apache httpd does the same.
    pub fn defer_until_data(&self) {
        if matches!(self.address, Bound::Ip(_)) {
            for socket in &self.sockets {
                // Without it everything works, a little slower.
                fairwater_sys::socket::defer_accept(socket.as_fd(), DEFER_S).ok();
            }
        }
    }

    /// Lets go of the sockets once every thread has its share, so that the address is free as soon
    /// as the threads stop accepting: a connection that nobody would serve is refused.
    pub fn release(&mut self) {
        self.sockets.clear();
    }

    /// Removes the file of a Unix socket, if it still is ours; for the process that bound it, at
    /// its end.
    pub fn clean_up(&self) {
        if let Bound::Unix(path) = &self.address
            && FileId::of(path) == self.file
        {
            drop(std::fs::remove_file(path));
        }
    }
}
