//! Giving up rights, for good: those of a user, capabilities, those that a program may have that
//! is run later, and an image of the memory after a crash.
//!
//! Most of it holds for the calling thread and those that it starts from then on, so that the
//! callers do it before they start any.

use std::io;

/// Reads and writes whatever the owner of a file says.
pub const DAC_OVERRIDE: u64 = 1 << 1;

/// The last capability that any kernel of today has; there are as many bits as a set has room for.
const CAPABILITIES: libc::c_ulong = 64;

/// Becomes another user, in these groups and no others. Takes root.
///
/// # Errors
/// Where the kernel refuses it. The process may be half of another user then, and must end.
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer is valid for as many groups as it says; the other calls touch no memory.
    // The order matters: the last call takes the right to the others away.
    unsafe {
        done(libc::setgroups(groups.len(), groups.as_ptr()))?;
        done(libc::setresgid(group, group, group))?;
        done(libc::setresuid(user, user, user))
    }
}

/// Does something with files as another user would, if this is root. For this thread alone, and for
/// no longer than it takes.
pub fn with_files_of<T>(user: u32, group: u32, act: impl FnOnce() -> T) -> T {
    // SAFETY: the calls take numbers and touch no memory. They give what was before, so that this
    // is undone whatever it was; what they do is for the calling thread.
    unsafe {
        let (old_group, old_user) = (libc::setfsgid(group), libc::setfsuid(user));
        let result = act();
        libc::setfsuid(old_user as libc::uid_t);
        libc::setfsgid(old_group as libc::gid_t);
        result
    }
}

/// Has no program that is run later get other capabilities than these. Where that takes a right
/// that is not there, there is nothing to lose, either.
pub fn bound_capabilities(kept: u64) {
    for number in 0..CAPABILITIES {
        // SAFETY: the options take numbers and touch no memory.
        unsafe {
            if kept & (1 << number) == 0 && libc::prctl(libc::PR_CAPBSET_READ, number) == 1 {
                libc::prctl(libc::PR_CAPBSET_DROP, number);
            }
        }
    }
}

/// Keeps no capability but these, of those that are there.
///
/// # Errors
/// Where the kernel refuses it.
pub fn keep_capabilities(kept: u64) -> io::Result<()> {
    let (clear, none) = (libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0 as libc::c_ulong);
    // SAFETY: the option takes numbers and touches no memory. Kernels before 4.3 have no such set.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, none, none, none) };
    let [had, _] = capabilities()?;
    let kept = [0, 32].map(|shift| Capabilities {
        effective: ((kept & had) >> shift) as u32,
        permitted: ((kept & had) >> shift) as u32,
        inheritable: 0,
    });
    let header = Header::OWN;
    // SAFETY: the header is of the version that takes two of these blocks.
    done(unsafe { libc::syscall(libc::SYS_capset, &header, kept.as_ptr()) as libc::c_int })
}

/// Capabilities that the thread may use: those that are permitted, and those in effect.
///
/// # Errors
/// Never, on Linux.
pub fn capabilities() -> io::Result<[u64; 2]> {
    let header = Header::OWN;
    let mut found = [Capabilities::default(); 2];
    // SAFETY: the header is of the version that writes two of these blocks.
    done(unsafe { libc::syscall(libc::SYS_capget, &header, found.as_mut_ptr()) as libc::c_int })?;
    let [low, high] = found;
    let whole = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    Ok([whole(low.permitted, high.permitted), whole(low.effective, high.effective)])
}

/// The kernel's `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    thread: libc::c_int,
}

impl Header {
    /// Of the calling thread, in version 3, which has 64 bits.
    const OWN: Self = Self { version: 0x2008_0522, thread: 0 };
}

/// The kernel's `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Has no program that is run later gain rights by what its file says (setuid and the like).
///
/// # Errors
/// Never, since Linux 3.5.
pub fn forbid_new() -> io::Result<()> {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: the option takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) })
}

/// Whether a crash leaves an image of the memory; if not, no other process of the same user may
/// look into this one, either. Without the right to it this thread's limit stays as it is.
///
/// # Errors
/// Where the kernel refuses it.
pub fn set_core_dumps(are_on: bool) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are valid for one limit; the option takes a number.
    unsafe {
        done(libc::getrlimit(libc::RLIMIT_CORE, &mut limit))?;
        limit.rlim_cur = if are_on { limit.rlim_max } else { 0 };
        done(libc::setrlimit(libc::RLIMIT_CORE, &limit))?;
        done(libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(are_on)))
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capabilities and the flag are those of a thread: the other tests keep theirs.
    #[test]
    fn what_is_given_up_is_gone() {
        std::thread::spawn(|| {
            let [before, _] = capabilities().unwrap();
            bound_capabilities(DAC_OVERRIDE);
            keep_capabilities(DAC_OVERRIDE).unwrap();
            let left = DAC_OVERRIDE & before;
            assert_eq!(capabilities().unwrap(), [left, left]);
            keep_capabilities(u64::MAX).unwrap();
            assert_eq!(capabilities().unwrap(), [left, left], "nothing comes back");
            keep_capabilities(0).unwrap();
            assert_eq!(capabilities().unwrap(), [0, 0]);
            forbid_new().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("NoNewPrivs:\t1"), "{status}");
            assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
            if before != 0 {
                assert!(status.contains("CapBnd:\t0000000000000002"), "{status}");
            }
        })
        .join()
        .unwrap();
    }
}
