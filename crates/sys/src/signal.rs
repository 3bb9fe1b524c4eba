//! Signals, taken one by one by the thread that waits for them.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The signals that the program acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
    Hangup,
    User1,
    User2,
    Child,
}

const ALL: [(Signal, libc::c_int); 6] = [
    (Signal::Terminate, libc::SIGTERM),
    (Signal::Interrupt, libc::SIGINT),
    (Signal::Hangup, libc::SIGHUP),
    (Signal::User1, libc::SIGUSR1),
    (Signal::User2, libc::SIGUSR2),
    (Signal::Child, libc::SIGCHLD),
];

/// Blocks the program's signals in this thread and all that it starts from now on, so that only
/// [`wait`] sees them. Call it before the first thread is started.
///
/// # Errors
/// Never, with the signals above.
pub fn block() -> io::Result<()> {
    mask(libc::SIG_BLOCK, set())
}

/// Takes back what [`block`] did, also for a process that has it from the one that started it.
///
/// # Errors
/// Never, with the signals above.
pub fn unblock() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK, set())
}

/// Gives every signal its default meaning and blocks none, for a child that shall know nothing of
/// what its parent has set up. Makes system calls alone.
///
/// # Errors
/// Never.
pub(crate) fn reset() -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set; a null old set is allowed. The default is a valid
    // disposition; signals that have no other, or do not exist, are refused, which changes nothing.
    let result = unsafe {
        for number in 1..=libc::SIGRTMAX() {
            libc::signal(number, libc::SIG_DFL);
        }
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// As [`unblock`], for the signals to end alone, which are not ignored any more either: a shell
/// starts what is in the background so that it ignores INT. Makes system calls alone.
///
/// # Errors
/// Never.
pub(crate) fn unblock_ends() -> io::Result<()> {
    let is_end = |signal| matches!(signal, Signal::Terminate | Signal::Interrupt);
    for (_, number) in ALL.into_iter().filter(|(signal, _)| is_end(*signal)) {
        // SAFETY: the default is a valid disposition of these signals.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    mask(libc::SIG_UNBLOCK, set_of(is_end))
}

fn mask(how: libc::c_int, set: libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised; a null old set is allowed.
    let result = unsafe { libc::pthread_sigmask(how, &set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Waits for the next blocked signal, `None` when there was none in time.
///
/// # Errors
/// Never, with the signals above.
pub fn wait(at_most: Duration) -> io::Result<Option<Signal>> {
    let set = set();
    let timeout = libc::timespec {
        tv_sec: at_most.as_secs() as libc::time_t,
        tv_nsec: at_most.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the set and the timeout are valid; a null info is allowed.
    let number = unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), &timeout) };
    if number >= 0 {
        return Ok(ALL.iter().find(|(_, known)| *known == number).map(|(signal, _)| *signal));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(None),
        _ => Err(error),
    }
}

/// Blocked signals, to be waited for together with other descriptors. Closed on exec.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Takes the signals that [`block`] has blocked.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let set = set();
        // SAFETY: the set is initialised.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has come.
    pub fn next(&self) -> Option<Signal> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the pointer is valid for the size; all bit patterns are valid for the integers
        // inside, and a zeroed one stays where nothing is read.
        let (len, info) = unsafe {
            let len = libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (len, info.assume_init())
        };
        let number = (len == size as isize).then_some(info.ssi_signo as libc::c_int)?;
        ALL.iter().find(|(_, known)| *known == number).map(|(signal, _)| *signal)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set() -> libc::sigset_t {
    set_of(|_| true)
}

fn set_of(is_in: impl Fn(Signal) -> bool) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set; the numbers are valid.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for (_, number) in ALL.into_iter().filter(|(signal, _)| is_in(*signal)) {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}
