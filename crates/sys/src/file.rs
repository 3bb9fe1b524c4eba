//! Opening what may not be a file, and locking what is one.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for appending, and makes it if it is not there. Never blocks: a named pipe that
/// nobody reads is refused (`ENXIO`).
///
/// # Errors
/// As `open(2)`.
pub fn open_for_appending(path: &Path) -> io::Result<File> {
    // What clients ask for is nobody's business but the group's.
    let mut options = File::options();
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path)?;
    // SAFETY: the descriptor is open; both calls take and give flags alone.
    let result = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// Has reads and writes of this end of a pipe or socket fail where they would wait.
///
/// # Errors
/// As `fcntl(2)`.
pub fn never_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open; both calls take and give flags alone.
    let result = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Locks an open file for this process, and whoever gets this descriptor, until the last copy of it
/// is closed. Tells whether it could: another process may have it.
///
/// # Errors
/// As `flock(2)`.
pub fn lock(file: &File) -> io::Result<bool> {
    // SAFETY: the descriptor is open; the call touches no memory.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
}

/// That the last part of a path is no symbolic link, for [`OpenOptionsExt::custom_flags`].
pub const NO_LINK: i32 = libc::O_NOFOLLOW;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_log_is_for_its_owner_and_group() {
        let path = std::env::temp_dir().join(format!("fairwater-log-{}", std::process::id()));
        let file = open_for_appending(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o137, 0);
        std::fs::remove_file(&path).unwrap();
    }
}
