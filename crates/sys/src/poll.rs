//! Waiting for several descriptors at once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until one of them can be read or has ended, or for `at_most`. Tells which can; none may.
///
/// # Errors
/// As `poll(2)`; a signal that interrupts it is none.
pub fn readable(fds: &[BorrowedFd<'_>], at_most: Duration) -> io::Result<Vec<bool>> {
    let mut asked: Vec<_> = fds
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let timeout = libc::c_int::try_from(at_most.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is valid for as many entries as it says.
    let result = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, timeout) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
            _ => Err(error),
        };
    }
    Ok(asked.iter().map(|entry| entry.revents != 0).collect())
}

/// Whether a write of up to 4 KiB (`PIPE_BUF`) would not have to wait.
pub fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is valid for one entry.
    let result = unsafe { libc::poll(&mut asked, 1, 0) };
    result == 1 && asked.revents & libc::POLLOUT != 0
}

/// Whether the other side of a socket sends nothing more, whatever is still to be read.
pub fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: the pointer is valid for one entry.
    let result = unsafe { libc::poll(&mut asked, 1, 0) };
    result != 0
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_can_be_read_is_told() {
        let (first, mut first_in) = io::pipe().unwrap();
        let (second, second_in) = io::pipe().unwrap();
        let wait =
            || readable(&[first.as_fd(), second.as_fd()], Duration::from_millis(20)).unwrap();
        assert_eq!(wait(), [false, false]);
        first_in.write_all(b"x").unwrap();
        assert_eq!(wait(), [true, false]);
        drop(second_in);
        assert_eq!(wait(), [true, true]);
    }

    #[test]
    fn a_full_pipe_is_not_written_to() {
        let (_reader, mut writer) = io::pipe().unwrap();
        while is_writable(writer.as_fd()) {
            writer.write_all(&[0; 4096]).unwrap();
        }
    }
}
