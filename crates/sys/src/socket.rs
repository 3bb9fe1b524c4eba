//! What sockets can tell and do beyond what the libraries cover.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes that the peer's kernel has acknowledged on this TCP connection, over its whole life, the
/// one for the connection's set-up not counted.
///
/// # Errors
/// When the socket is not TCP.
pub fn acknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    /// The start of the kernel's `struct tcp_info` up to `tcpi_bytes_acked` (since Linux 4.1).
    #[repr(C)]
    struct TcpInfo {
        states: [u8; 8],
        words: [u32; 24],
        pacing_rate: u64,
        max_pacing_rate: u64,
        bytes_acked: u64,
    }
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
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info.bytes_acked) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

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
