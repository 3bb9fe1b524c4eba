//! Another program in this process: same id, same children, and the descriptors that it shall have.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use crate::child::FIRST;

/// Runs `program` in place of this one, with the name and arguments of `arguments`. It has the
/// descriptors `kept`, under the same numbers, and none of ours that is closed on exec. Returns
/// only if it cannot be; then everything is as before.
pub fn replace(program: &CStr, arguments: &[&OsStr], kept: &[BorrowedFd<'_>]) -> io::Error {
    let arguments: Result<Vec<CString>, _> =
        arguments.iter().map(|argument| CString::new(argument.as_bytes())).collect();
    let Ok(arguments) = arguments else { return io::ErrorKind::InvalidInput.into() };
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    kept.iter().for_each(|fd| set_flags(fd.as_raw_fd(), 0));
    // SAFETY: the pointers lead to C strings that live until the call returns, and the list of them
    // ends with a null.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    let error = io::Error::last_os_error();
    kept.iter().for_each(|fd| set_flags(fd.as_raw_fd(), libc::FD_CLOEXEC));
    error
}

fn set_flags(fd: RawFd, flags: libc::c_int) {
    // SAFETY: the call touches no memory.
    unsafe { libc::fcntl(fd, libc::F_SETFD, flags) };
}

/// What the program before has left open. What is not taken is closed when this is dropped.
#[derive(Debug)]
pub struct Left(HashMap<RawFd, OwnedFd>);

impl Left {
    /// All open descriptors behind standard input, output and error, closed on exec from now on. To
    /// be called before anything of this process opens one.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn find() -> io::Result<Self> {
        let listed: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|fd| *fd >= FIRST)
            .collect();
        // The list itself was read through one that is closed by now.
        // SAFETY: the call touches no memory.
        let is_open = |fd: &RawFd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0;
        let own = |fd: RawFd| {
            set_flags(fd, libc::FD_CLOEXEC);
            // SAFETY: the descriptor is open, and nobody in this process owns it: nothing has been
            // opened yet.
            (fd, unsafe { OwnedFd::from_raw_fd(fd) })
        };
        Ok(Self(listed.into_iter().filter(is_open).map(own).collect()))
    }

    /// The one with this number, once.
    pub fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        self.0.remove(&number)
    }
}
