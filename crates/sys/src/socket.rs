//! What sockets can tell and do beyond what the libraries cover.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Bytes that the peer's kernel has acknowledged on this TCP connection, over its whole life; the
/// set-up of the connection counts as one.
///
/// # Errors
/// When the socket is not TCP.
pub fn acknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    tcp_info(socket).map(|info| info.bytes_acked)
}

/// Whether something was sent to the peer, and sent again and again, and its kernel has not
/// acknowledged it. What does come from it says little: it may not get our acknowledgements either.
///
/// # Errors
/// When the socket is not TCP.
pub fn is_unheard(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let TcpInfo { states, words, .. } = tcp_info(socket)?;
    // `tcpi_retransmits`, which begins anew with each acknowledgement, and `tcpi_unacked`.
    let (again, unacknowledged) = (states[2], words[4]);
    Ok(again >= 2 && unacknowledged > 0)
}

/// The start of the kernel's `struct tcp_info` up to `tcpi_bytes_acked` (since Linux 4.1).
#[repr(C)]
struct TcpInfo {
    states: [u8; 8],
    words: [u32; 24],
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
}

fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut info = MaybeUninit::<TcpInfo>::zeroed();
    let mut len = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: the pointers are valid for `len` bytes and one length; the kernel writes at most
    // `len` bytes, and all bit patterns, zero included, are valid for the integers inside.
    let (result, info) = unsafe {
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut len,
        );
        (result, info.assume_init())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

/// Bytes in the receive buffer.
///
/// # Errors
/// As `ioctl(2)`.
pub fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    count(socket, libc::FIONREAD)
}

/// Bytes in the send buffer that the peer has not acknowledged (TCP), or not read (Unix; with the
/// kernel's overhead).
///
/// # Errors
/// As `ioctl(2)`.
pub fn untaken_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    count(socket, libc::TIOCOUTQ)
}

fn count(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: both requests write one integer, for which the pointer is valid.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &mut count) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

/// Reads what has come, at its front, and leaves it there.
///
/// # Errors
/// As `recv(2)`.
pub fn peek(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the pointer is valid for as many bytes as it says.
    let result = unsafe { libc::recv(socket.as_raw_fd(), start, len, flags) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Whether a Unix socket is there, but of another type than the one that was to be connected to it.
pub fn is_of_other_type(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPROTOTYPE)
}

/// Whether a datagram was longer than the socket takes.
pub fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Has the kernel hand over a connection only when its first bytes are here, or after about
/// `seconds`: for protocols in which the client speaks first.
///
/// # Errors
/// When the socket is not TCP.
pub fn defer_accept(listener: BorrowedFd<'_>, seconds: u32) -> io::Result<()> {
    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    set_option(listener, (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT), seconds)
}

/// Sets an option that is one integer.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    (level, option): (libc::c_int, libc::c_int),
    value: libc::c_int,
) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    // SAFETY: the pointer is valid for one integer, whose size is given.
    let result = unsafe {
        let start = std::ptr::from_ref(&value).cast();
        libc::setsockopt(fd, level, option, start, size_of::<libc::c_int>() as libc::socklen_t)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Accepts a connection in one call: non-blocking, closed on exec. The address is `None` on a Unix
/// socket.
///
/// # Errors
/// As `accept4(2)`.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the pointers are valid for `len` bytes and one length; a zeroed storage is valid, so
    // that it is initialised whatever the kernel writes.
    let (fd, storage) = unsafe {
        let fd = libc::accept4(
            listener.as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &mut len,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        );
        (fd, storage.assume_init())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, address(&storage)))
}

/// With the link of an address that means nothing without.
pub(crate) fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer = std::ptr::from_ref(storage);
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which type it is; the storage is large and aligned enough
            // for each.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some((ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn accepted_sockets_know_their_peer() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (fd, peer) = accept(listener.as_fd()).unwrap();
            assert_eq!(peer, Some(client.local_addr().unwrap()));
            let error = TcpStream::from(fd).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn what_is_looked_at_stays() {
        use std::os::unix::net::UnixStream;

        use crate::poll::has_ended;

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        let pairs: [(OwnedFd, OwnedFd); 2] =
            [(server.into(), client.into()), (here.into(), there.into())];
        for (here, there) in pairs {
            let (socket, mut there) = (here.as_fd(), std::fs::File::from(there));
            let mut buffer = [0; 8];
            let empty = peek(socket, &mut buffer).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
            // In pieces, of which each look shows all.
            for len in [2, 4] {
                there.write_all(b"ab").unwrap();
                assert_eq!(peek(socket, &mut buffer).unwrap(), len);
                assert_eq!(peek(socket, &mut buffer[..1]).unwrap(), 1);
                assert!(!has_ended(socket));
            }
            drop(there);
            assert!(has_ended(socket));
            assert_eq!(peek(socket, &mut buffer).unwrap(), 4);
            let mut here = std::fs::File::from(here);
            here.read_exact(&mut [0; 4]).unwrap();
            assert_eq!(peek(here.as_fd(), &mut buffer).unwrap(), 0);
        }
    }

    #[test]
    fn what_a_closed_peer_never_took_is_not_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let fresh = acknowledged_bytes(client.as_fd()).unwrap();
        client.write_all(b"12345").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"ok").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(acknowledged_bytes(client.as_fd()).unwrap() - fresh, 5);
        drop(server);
        // The server's FIN is here, its socket is gone: what is sent now is answered by a reset.
        assert_eq!(client.read(&mut [0; 2]).unwrap(), 0);
        client.write_all(b"lost").unwrap();
        // On loopback the reset arrives within the call.
        assert_eq!(acknowledged_bytes(client.as_fd()).unwrap() - fresh, 5);
    }
}
