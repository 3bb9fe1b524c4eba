//! Child processes that are given open descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

/// The first descriptor behind standard input, output and error: where a child finds the first of
/// those that it is given.
pub const FIRST: RawFd = 3;

/// Above all that a child is given, and above most of what is open.
const ASIDE: RawFd = 1000;

/// What a service manager tells a process itself, and none of those that it starts.
const OF_SERVICE_MANAGER: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Starts a child that finds these descriptors from [`FIRST`] on, in this order, and no other that
/// is closed on exec. It takes all signals, whatever this thread blocks.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command, fds: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let arrange = move || {
        crate::signal::unblock()?;
        // First out of the way: one may stand where another shall.
        let mut moved = [0; 16];
        let moved = moved.get_mut(..fds.len()).ok_or(io::ErrorKind::InvalidInput)?;
        for (to, from) in moved.iter_mut().zip(&fds) {
            // SAFETY: both calls touch no memory.
            *to = unsafe { libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, ASIDE) };
            if *to < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for (at, from) in moved.iter().enumerate() {
            // SAFETY: as above. What is open there is closed: only the child's own copy.
            if unsafe { libc::dup2(*from, FIRST + at as RawFd) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls alone: it allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(arrange) };
    OF_SERVICE_MANAGER.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.spawn()
}

/// The same descriptor under a number where no child has what it is given: for a program that is
/// started by it.
///
/// # Errors
/// When there is no descriptor left.
pub fn aside(fd: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory.
    let fd = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ASIDE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What has become of a child since the last call: it has ended, was stopped, or goes on. One of
/// this process, whichever of its programs started it.
///
/// # Errors
/// When it is no child of ours.
pub fn change(process_id: u32) -> io::Result<Option<ExitStatus>> {
    let id = libc::pid_t::try_from(process_id).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (flags, mut status) = (libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED, 0);
    // SAFETY: the pointer is valid.
    match unsafe { libc::waitpid(id, &mut status, flags) } {
        0 => Ok(None),
        changed if changed == id => Ok(Some(ExitStatus::from_raw(status))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the descriptor with this index of those that this process was given by [`spawn`]; closed
/// on exec from now on. To be called once for each, before anything else opens descriptors.
///
/// # Errors
/// When there is none.
pub fn given(index: u8) -> io::Result<OwnedFd> {
    let at = FIRST + RawFd::from(index);
    // SAFETY: both calls touch no memory. What is closed is the number that the child was given,
    // which nobody in this process owns yet.
    let fd = unsafe { libc::fcntl(at, libc::F_DUPFD_CLOEXEC, ASIDE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe { libc::close(at) };
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes so many descriptors from [`FIRST`] on, which this process was started with by somebody
/// else; closed on exec from now on. To be called once, before anything else opens descriptors.
/// What is not open is left out.
pub fn inherited(count: usize) -> Vec<OwnedFd> {
    let end = FIRST.saturating_add(RawFd::try_from(count).unwrap_or(0));
    let take = |fd: RawFd| {
        // SAFETY: the calls touch no memory; the number was given to this process to be its own.
        unsafe {
            (libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) >= 0)
                .then(|| OwnedFd::from_raw_fd(fd))
        }
    };
    (FIRST..end).filter_map(take).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_child_finds_what_it_is_given_and_nothing_that_is_closed_on_exec() {
        let (mut first, first_in) = io::pipe().unwrap();
        let (mut second, second_in) = io::pipe().unwrap();
        let secret = crate::memory_file::sealed(c"a-secret-file", b"").unwrap();
        let script = "echo one >&3; echo two >&4; ls -l /proc/$$/fd | grep -c a-secret-file >&4";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let fds = [first_in.as_fd(), second_in.as_fd()];
        let mut child = spawn(&mut command, &fds).unwrap();
        drop((first_in, second_in));
        let (mut one, mut two) = (String::new(), String::new());
        first.read_to_string(&mut one).unwrap();
        second.read_to_string(&mut two).unwrap();
        child.wait().unwrap();
        assert_eq!((one.as_str(), two.as_str()), ("one\n", "two\n0\n"));
        drop(secret);
    }
}
