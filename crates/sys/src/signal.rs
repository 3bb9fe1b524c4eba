//! Signals, taken one by one by the thread that waits for them.

use std::io;
use std::mem::MaybeUninit;
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
    mask(libc::SIG_BLOCK)
}

/// Takes back what [`block`] did, also for a process that has it from the one that started it.
///
/// # Errors
/// Never, with the signals above.
pub fn unblock() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK)
}

fn mask(how: libc::c_int) -> io::Result<()> {
    let set = set();
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

fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set; the numbers are valid.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for (_, number) in ALL {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}
