//! Child processes that are given open descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

/// The first descriptor behind standard input, output and error: where a child finds the first of
/// those that it is given.
pub const FIRST: RawFd = 3;

/// Above all that a child is given, and below any limit of open descriptors that leaves room for a
/// connection.
const ASIDE: RawFd = 32;

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
/// is closed on exec. The signals to end reach it at once. Those of ours that mean something else
/// and that this thread blocks wait until the child asks for them: it must not die of one that
/// comes before.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command, fds: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let arrange = move || {
        crate::signal::unblock_ends()?;
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

/// Whose rights a process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: u32,
    pub group: u32,
    /// All groups, the first one included.
    pub groups: Vec<u32>,
}

/// Starts a child that shares nothing with this process but its standard input, output and error:
/// in a process group of its own, whose number is that of the process, which is returned. With all
/// signals as they are by default, the limit of descriptors that this process began with, and the
/// rights of `identity`, if there is one. It is to be waited for with [`ended`]. One descriptor it
/// may have, as [`FIRST`].
///
/// # Errors
/// As [`Command::spawn`]; `PermissionDenied` for another identity, without being root.
pub fn spawn_apart(
    command: &mut Command,
    identity: Option<&Identity>,
    given: Option<BorrowedFd<'_>>,
) -> io::Result<u32> {
    let identity = identity.cloned();
    let given = given.map(|fd| fd.as_raw_fd());
    let arrange = move || {
        crate::signal::reset()?;
        crate::process::lower_descriptor_limit();
        // What this process has got from its own parent is not the child's either. Kernels before
        // 5.11 cannot do it; nothing of ours is open across an exec anyway.
        // SAFETY: the call touches no memory. What `Command` itself has open is closed on exec.
        unsafe { libc::close_range(FIRST as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
        if let Some(fd) = given {
            // SAFETY: the calls touch no memory. The copy stays open across the exec.
            let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, ASIDE) };
            // SAFETY: as above.
            if copy < 0 || unsafe { libc::dup2(copy, FIRST) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let Some(Identity { user, group, groups }) = &identity else { return Ok(()) };
        // SAFETY: the pointer is valid for as many groups as it says; the other calls touch no
        // memory. The user comes last, since it takes the right to the others away.
        let is_done = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr()) == 0
                && libc::setgid(*group) == 0
                && libc::setuid(*user) == 0
        };
        if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes system calls alone: it allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(arrange) };
    command.spawn().map(|child| child.id())
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
    wait(process_id, libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED)
}

/// How a child ended, once it has; it is forgotten then.
///
/// # Errors
/// As [`change`].
pub fn ended(process_id: u32) -> io::Result<Option<ExitStatus>> {
    wait(process_id, libc::WNOHANG)
}

fn wait(process_id: u32, flags: libc::c_int) -> io::Result<Option<ExitStatus>> {
    let id = libc::pid_t::try_from(process_id).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut status = 0;
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

    #[test]
    fn a_child_apart_has_the_limit_that_there_was_before_it_was_raised() {
        let soft = |given: fn(&mut Command) -> u32| {
            let (mut out, out_in) = io::pipe().unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", "ulimit -Sn"]).stdin(Stdio::null()).stdout(out_in);
            let id = given(&mut command);
            drop(command);
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            while ended(id).unwrap().is_none() {}
            text
        };
        let apart = |command: &mut Command| spawn_apart(command, None, None).unwrap();
        let before = soft(apart);
        let raised = crate::process::raise_descriptor_limit().unwrap();
        assert_eq!(soft(apart), before);
        let near = soft(|command| spawn(command, &[]).unwrap().id());
        assert_eq!(near.trim(), raised.to_string());
    }

    #[test]
    fn a_child_can_be_ended_and_does_not_die_of_other_signals() {
        crate::signal::block().unwrap();
        // As a shell does for what it starts in the background.
        // SAFETY: no other test here waits to be interrupted.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        let (mut out, out_in) = io::pipe().unwrap();
        let mut command = Command::new("cat");
        command.arg("/proc/self/status").stdin(Stdio::null()).stdout(out_in);
        let mut child = spawn(&mut command, &[]).unwrap();
        drop(command);
        crate::signal::unblock().unwrap();
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        let is_in = |name: &str, number: i32| {
            let digits = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            u64::from_str_radix(digits, 16).unwrap() & 1 << (number - 1) != 0
        };
        assert!(is_in("SigBlk:", libc::SIGUSR1) && is_in("SigBlk:", libc::SIGHUP), "{text}");
        for end in [libc::SIGTERM, libc::SIGINT] {
            assert!(!is_in("SigBlk:", end) && !is_in("SigIgn:", end), "{text}");
        }
    }

    #[test]
    fn a_child_apart_has_its_own_group_and_the_signals_of_nobody() {
        crate::signal::block().unwrap();
        let (mut out, out_in) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; set -- /proc/$$/fd/*; echo $#; \
                      cut -d' ' -f5 /proc/$$/stat; exit 3";
        command.args(["-c", script]).stdin(Stdio::null()).stdout(out_in);
        // Open in the child, if nobody sees to it.
        let null = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: the call touches no memory.
        unsafe { libc::fcntl(null.as_raw_fd(), libc::F_SETFD, 0) };
        let id = spawn_apart(&mut command, None, None).unwrap();
        drop(command);
        crate::signal::unblock().unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let ["SigBlk:", blocked, "SigIgn:", ignored, descriptors, group] = words[..] else {
            panic!("{text}")
        };
        let set = |text| u64::from_str_radix(text, 16).unwrap();
        // The C library keeps 32 and 33 for itself, and lets nobody touch them.
        assert_eq!((set(blocked), set(ignored) & !(3 << 31)), (0, 0), "{text}");
        // With the one that the shell looks through.
        assert_eq!((descriptors, group), ("4", &*id.to_string()));
        let status = std::iter::from_fn(|| Some(ended(id).unwrap())).flatten().next().unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(!crate::process::has_group(id));
        assert!(ended(id).is_err(), "it is not ours any more");
    }
}
