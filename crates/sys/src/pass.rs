//! Messages between processes of ours, with open descriptors in them: a pair of sockets that keep
//! messages apart.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The most descriptors of one message; the kernel takes a few more.
pub const DESCRIPTORS_MAX: usize = 250;

/// Room for the descriptors of a message behind their header, aligned as that must be.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; CONTROL_BYTES],
}

// SAFETY: the macro only computes.
const CONTROL_BYTES: usize =
    unsafe { libc::CMSG_SPACE((DESCRIPTORS_MAX * size_of::<RawFd>()) as u32) } as usize;

/// Two connected sockets, closed on exec. What one sends, the other receives message by message.
///
/// # Errors
/// When there is no descriptor left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the pointer is valid for two integers.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors are new and owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Sends one message.
///
/// # Errors
/// As `sendmsg(2)`; `InvalidInput` for too many descriptors or an empty message, which would read
/// as the end.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > DESCRIPTORS_MAX || bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; CONTROL_BYTES] };
    // SAFETY: zero is a valid value of all its fields.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let len = (fds.len() * size_of::<RawFd>()) as u32;
        message.msg_control = std::ptr::from_mut(&mut control).cast();
        // SAFETY: the macros only compute; the control block is aligned for a header and has room
        // for one with `DESCRIPTORS_MAX` descriptors, and there are no more.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(len) as usize;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(len) as usize;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            for (at, fd) in fds.iter().enumerate() {
                data.add(at).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    // SAFETY: the message points to blocks that live until the call returns.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// As [`send`], without descriptors, and without waiting for room.
///
/// # Errors
/// As `send(2)`; `WouldBlock` if the other side does not read; `InvalidInput` for an empty message.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the pointer is valid for as many bytes as it says.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message into `buffer`: its length, 0 at the end, and its descriptors, which are
/// closed on exec.
///
/// # Errors
/// As `recvmsg(2)`; `InvalidData` for a message that is longer than the buffer or has too many
/// descriptors.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let (len, fds, is_whole) = receive_any(socket, buffer)?;
    if is_whole { Ok((len, fds)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// As [`receive`], but a message that has not come whole is one without descriptors: there may be
/// room for none in this process, and whoever sent it may want to know.
///
/// # Errors
/// As `recvmsg(2)`.
pub fn receive_what_fits(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let (len, fds, is_whole) = receive_any(socket, buffer)?;
    Ok((len, if is_whole { fds } else { Vec::new() }))
}

/// The last tells whether nothing of the message is missing.
fn receive_any(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>, bool)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; CONTROL_BYTES] };
    // SAFETY: zero is a valid value of all its fields.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = std::ptr::from_mut(&mut control).cast();
    message.msg_controllen = CONTROL_BYTES;
    // SAFETY: the message points to blocks that live until the call returns.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut fds = Vec::new();
    // SAFETY: the kernel has written whole headers into the control block, each with as many
    // descriptors as its length says, all of them new and owned by nobody else.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(current) = header.as_ref() {
            if current.cmsg_level == libc::SOL_SOCKET && current.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                let bytes = current.cmsg_len - libc::CMSG_LEN(0) as usize;
                for at in 0..bytes / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    let is_whole = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) == 0;
    Ok((len.unsigned_abs(), fds, is_whole))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn messages_arrive_one_by_one_with_their_descriptors() {
        let (left, right) = pair().unwrap();
        let (mut read, mut write) = io::pipe().unwrap();
        send(left.as_fd(), b"first", &[write.as_fd(), read.as_fd()]).unwrap();
        send(left.as_fd(), b"second", &[]).unwrap();
        let mut buffer = [0; 16];
        let (len, mut fds) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..len], fds.len()), (&b"first"[..], 2));
        let (len, none) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..len], none.len()), (&b"second"[..], 0));
        // The descriptors are those of before, under other numbers.
        let mut other = File::from(fds.remove(0));
        other.write_all(b"x").unwrap();
        let mut byte = [0];
        read.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        write.write_all(b"y").unwrap();
        File::from(fds.remove(0)).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"y");
        drop(left);
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 0);
    }

    #[test]
    fn many_descriptors_pass_and_too_many_do_not() {
        let (left, right) = pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let fds = vec![null.as_fd(); DESCRIPTORS_MAX];
        send(left.as_fd(), b"x", &fds).unwrap();
        assert_eq!(receive(right.as_fd(), &mut [0; 1]).unwrap().1.len(), DESCRIPTORS_MAX);
        let more = vec![null.as_fd(); DESCRIPTORS_MAX + 1];
        let error = send(left.as_fd(), b"x", &more).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_message_that_does_not_fit_is_an_error() {
        let (left, right) = pair().unwrap();
        send(left.as_fd(), b"long", &[]).unwrap();
        let error = receive(right.as_fd(), &mut [0; 2]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let null = File::open("/dev/null").unwrap();
        send(left.as_fd(), b"long", &[null.as_fd()]).unwrap();
        let mut buffer = [0; 2];
        let (len, fds) = receive_what_fits(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..len], fds.len()), (&b"lo"[..], 0));
    }
}
