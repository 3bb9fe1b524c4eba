//! Pipes and `splice(2)`: moving bytes from socket to socket without bringing them to user space.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A pipe that bytes are spliced through.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    capacity: usize,
    /// Bytes that were spliced in and not yet out.
    held: usize,
}

impl Pipe {
    /// Makes a pipe of about `capacity` bytes, or smaller where the kernel grants less.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let mut fds = [0; 2];
        // SAFETY: the pointer is valid for two descriptors.
        check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: both descriptors are new and owned by nobody else.
        let (reader, writer) =
            unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
        let wanted = libc::c_int::try_from(capacity).unwrap_or(libc::c_int::MAX);
        // SAFETY: the descriptor is open. A refusal (limit of an unprivileged user) leaves the
        // default size, which the next call reads.
        let granted = unsafe {
            libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, wanted);
            libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ)
        };
        Ok(Self { reader, writer, capacity: check(granted)? as usize, held: 0 })
    }

    pub fn held(&self) -> usize {
        self.held
    }

    /// Splices up to `len` bytes from a socket into the pipe; 0 is the end of the stream. The pipe
    /// must be empty, so that `WouldBlock` can only mean the socket.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn fill(&mut self, from: RawFd, len: usize) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a full pipe and a dry socket look the same");
        let count = splice(from, self.writer.as_raw_fd(), len.min(self.capacity))?;
        self.held += count;
        Ok(count)
    }

    /// Splices what the pipe holds into a socket.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn drain(&mut self, to: RawFd, more: bool) -> io::Result<usize> {
        let flags = if more { libc::SPLICE_F_MORE } else { 0 };
        let count = splice_with(self.reader.as_raw_fd(), to, self.held, flags)?;
        self.held -= count;
        Ok(count)
    }

    /// Reads all that the pipe holds.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn empty_into(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + self.held, 0);
        let mut end = start;
        while self.held > 0 {
            let room = &mut out[end..];
            // SAFETY: the pointer is valid for as many bytes as the length says.
            let count = unsafe {
                libc::read(self.reader.as_raw_fd(), room.as_mut_ptr().cast(), room.len())
            };
            let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
                out.truncate(end);
                return Err(io::Error::last_os_error());
            };
            (self.held, end) = (self.held - count, end + count);
        }
        Ok(())
    }
}

fn splice(from: RawFd, to: RawFd, len: usize) -> io::Result<usize> {
    splice_with(from, to, len, 0)
}

fn splice_with(from: RawFd, to: RawFd, len: usize, flags: libc::c_uint) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | flags;
    let none = std::ptr::null_mut();
    // SAFETY: null offsets are what sockets and pipes need; the kernel checks the descriptors.
    let count = unsafe { libc::splice(from, none, to, none, len, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn bytes_pass_through_in_order() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (c, mut d) = UnixStream::pair().unwrap();
        let mut pipe = Pipe::new(64 * 1024).unwrap();
        assert!(pipe.capacity >= 4096);
        a.write_all(b"one two").unwrap();
        assert_eq!(pipe.fill(b.as_raw_fd(), 3).unwrap(), 3);
        assert_eq!(pipe.drain(c.as_raw_fd(), false).unwrap(), 3);
        assert_eq!(pipe.fill(b.as_raw_fd(), 100).unwrap(), 4);
        assert_eq!(pipe.held(), 4);
        assert_eq!(pipe.drain(c.as_raw_fd(), true).unwrap(), 4);
        let mut got = [0; 7];
        d.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"one two");
        a.write_all(b"three").unwrap();
        assert_eq!(pipe.fill(b.as_raw_fd(), 100).unwrap(), 5);
        let mut out = b"two ".to_vec();
        pipe.empty_into(&mut out).unwrap();
        assert_eq!((out.as_slice(), pipe.held()), (&b"two three"[..], 0));
        drop(a);
        assert_eq!(pipe.fill(b.as_raw_fd(), 100).unwrap(), 0);
    }
}
