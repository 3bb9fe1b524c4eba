//! Reading and writing sockets, by the calls of the kernel themselves. Those of the C library are
//! points where a thread may be cancelled, which nobody does here: to be told so before and after
//! each call takes two atomic operations.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

#[inline]
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buffer, RecvFlags::empty())?.0)
}

/// A peer that is gone is an error, and no signal.
#[inline]
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(match parts {
        [one] => rustix::net::send(socket, one, flags)?,
        parts => rustix::net::sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags)?,
    })
}

/// A socket as libraries read and write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a>(pub BorrowedFd<'a>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        receive(self.0, buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.0, parts, SendFlags::empty())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
