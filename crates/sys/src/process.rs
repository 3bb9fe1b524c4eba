//! What the process may use, and what it may tell its children.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the soft limit of open descriptors was before it was raised; 0 if it was not.
static DESCRIPTORS_BEFORE: AtomicU64 = AtomicU64::new(0);

/// The soft limit of open descriptors that this process had before it was raised; 0 if it was not.
pub fn descriptors_before() -> u64 {
    DESCRIPTORS_BEFORE.load(Ordering::Relaxed)
}

/// As another program in this process has said what [`descriptors_before`] is.
pub fn remember_descriptors_before(limit: u64) {
    DESCRIPTORS_BEFORE.store(limit, Ordering::Relaxed);
}

/// Lowers the soft limit of open descriptors to what it was, for a child that may count on that.
/// Makes system calls alone.
pub(crate) fn lower_descriptor_limit() {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    let soft = descriptors_before();
    if soft == 0 {
        return;
    }
    // SAFETY: the pointers are valid, and a zeroed rlimit is a valid value. A refusal leaves more.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) == 0 {
            let hard = limit.assume_init().rlim_max;
            let lower = libc::rlimit { rlim_cur: soft.min(hard), rlim_max: hard };
            libc::setrlimit(libc::RLIMIT_NOFILE, &lower);
        }
    }
}

/// The size of a page of memory.
pub fn page_bytes() -> u64 {
    // SAFETY: takes no pointer.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// Raises the soft limit of open descriptors to the hard one. Returns the limit in force.
///
/// # Errors
/// When the limit cannot be read.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the pointer is valid, and a zeroed rlimit is a valid value.
    let (result, mut limit) = unsafe {
        let result = libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr());
        (result, limit.assume_init())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is valid.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } < 0 {
        return Ok(soft);
    }
    if soft < limit.rlim_max {
        remember_descriptors_before(soft);
    }
    Ok(limit.rlim_cur)
}

/// Has the kernel send this process a SIGTERM when its parent ends, so that helpers that were
/// started for a demonstration never outlive it.
///
/// # Errors
/// Never, with a valid signal.
pub fn end_with_parent() -> io::Result<()> {
    // SAFETY: the option takes a signal number and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the calling thread a name, and the process, if it is the first one. Threads that it starts
/// have names of their own, or this one.
pub fn set_name(name: &CStr) {
    // SAFETY: the option takes a C string and copies it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Lets other threads come before the calling one: it keeps a tenth of a processor that all want.
///
/// # Errors
/// When the kernel refuses it.
pub fn give_way() -> io::Result<()> {
    const NICENESS: libc::c_int = 10;
    // SAFETY: the call touches no memory. Linux takes 0 for the calling thread, not its process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Goes on as two processes. The new one gets `None`, the old one its number.
///
/// # Errors
/// When there are too many processes, or another thread runs: it would be gone in the new one, with
/// whatever it has locked.
pub fn fork() -> io::Result<Option<u32>> {
    if threads()? > 1 {
        return Err(io::Error::other("other threads run already"));
    }
    // SAFETY: there is no other thread whose locks could stay locked.
    let id = unsafe { libc::fork() };
    match u32::try_from(id) {
        Ok(0) => Ok(None),
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Threads of this process.
///
/// # Errors
/// Without /proc.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Leaves the terminal and the session of whoever started this process, for one of its own.
///
/// # Errors
/// When it leads a group already.
pub fn new_session() -> io::Result<()> {
    // SAFETY: the call takes nothing.
    if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has standard output and error go to a file, from now on and in one step.
///
/// # Errors
/// Never, with an open file.
pub fn redirect_output(file: BorrowedFd<'_>) -> io::Result<()> {
    redirect(file, &[libc::STDOUT_FILENO, libc::STDERR_FILENO])
}

/// Has standard input come from a file.
///
/// # Errors
/// Never, with an open file.
pub fn redirect_input(file: BorrowedFd<'_>) -> io::Result<()> {
    redirect(file, &[libc::STDIN_FILENO])
}

fn redirect(file: BorrowedFd<'_>, numbers: &[libc::c_int]) -> io::Result<()> {
    for number in numbers {
        // SAFETY: the call touches no memory; whoever uses these numbers gets the other file.
        if unsafe { libc::dup2(file.as_raw_fd(), *number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Takes the end of a child that nobody here has started (an orphan that the kernel has handed to
/// this process), unless `is_ours` knows the first one that has ended. Returns its number.
pub fn reap_orphan(is_ours: impl Fn(u32) -> bool) -> Option<u32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is valid for one siginfo, which is valid zeroed, as it stays if no child
    // has ended; the number is that of a child where one has.
    let id = unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) < 0 {
            return None;
        }
        info.assume_init().si_pid()
    };
    let number = u32::try_from(id).ok().filter(|id| *id > 0 && !is_ours(*id))?;
    // SAFETY: a null status is allowed. The child has ended, so that this does not wait.
    (unsafe { libc::waitpid(id, std::ptr::null_mut(), 0) } == id).then_some(number)
}

/// The user whose rights the process has.
pub fn user_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The number of the calling thread.
pub fn thread_id() -> i32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// The process id of the parent.
pub fn parent_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::getppid() }.unsigned_abs()
}

/// The signals that are sent to processes of ours.
pub const TERM: libc::c_int = libc::SIGTERM;
pub const INT: libc::c_int = libc::SIGINT;
pub const QUIT: libc::c_int = libc::SIGQUIT;
pub const HUP: libc::c_int = libc::SIGHUP;
pub const USR1: libc::c_int = libc::SIGUSR1;
pub const USR2: libc::c_int = libc::SIGUSR2;
pub const WINCH: libc::c_int = libc::SIGWINCH;
pub const KILL: libc::c_int = libc::SIGKILL;

/// Sends SIGTERM to a process that the caller has started and not yet waited for.
///
/// # Errors
/// When it is gone.
pub fn terminate(process_id: u32) -> io::Result<()> {
    signal(process_id, TERM)
}

/// Sends a signal to a process that the caller has started and not yet waited for.
///
/// # Errors
/// When it is gone.
pub fn signal(process_id: u32, number: libc::c_int) -> io::Result<()> {
    let id = libc::pid_t::try_from(process_id).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the call touches no memory.
    let result = unsafe { libc::kill(id, number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal to all processes of a group that a child of the caller leads or has led.
///
/// # Errors
/// When there is none left.
pub fn signal_group(leader_id: u32, number: libc::c_int) -> io::Result<()> {
    let id = libc::pid_t::try_from(leader_id).ok().filter(|id| *id > 1);
    let id = id.ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the call touches no memory.
    let result = unsafe { libc::kill(-id, number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether any process of a group is left, zombies included.
pub fn has_group(leader_id: u32) -> bool {
    match signal_group(leader_id, 0) {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

/// Random bytes from the kernel.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: the pointer is valid for eight bytes. A failure (no such call) leaves the zeros, and
    // the caller with a fixed seed: for balancing and request ids that is no danger.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_ours_are_left_to_who_waits_for_them() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        // Other tests have children too: all are somebody's.
        assert_eq!(reap_orphan(|_| true), None);
        assert!(child.wait().unwrap().success());
        let error = fork().unwrap_err();
        assert!(error.to_string().contains("threads"), "tests are threads: {error}");
    }
}
