//! A set of descriptors that is itself one descriptor (epoll(7)): readable while any of them is.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Descriptors that one look tells of at the most.
pub const READY_MAX: usize = 64;

#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What one look has found.
pub struct Ready {
    events: [libc::epoll_event; READY_MAX],
    count: usize,
}

impl Default for Ready {
    fn default() -> Self {
        Self { events: [libc::epoll_event { events: 0, u64: 0 }; READY_MAX], count: 0 }
    }
}

impl Ready {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of one that can be read, or has an error to tell of.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn number(&self, at: usize) -> u64 {
        assert!(at < self.count);
        self.events[at].u64
    }
}

impl Epoll {
    /// # Errors
    /// When the process may have no further descriptor.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Tells of this one by its number, for as long as it can be read.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`: it is in the set already, or the user has too many in sets.
    pub fn add(&self, fd: BorrowedFd<'_>, number: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number };
        // SAFETY: the pointer is valid for one entry.
        let result = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Tells of it no more. One that is closed everywhere leaves the set by itself.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`: it is not in the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: no pointer is looked at for this.
        let result = unsafe {
            let none = std::ptr::null_mut();
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), none)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Looks who can be read now, without waiting.
    ///
    /// # Errors
    /// As `epoll_wait(2)`; `WouldBlock` if it is nobody.
    pub fn look(&self, ready: &mut Ready) -> io::Result<()> {
        ready.count = 0;
        let (start, len) = (ready.events.as_mut_ptr(), READY_MAX as libc::c_int);
        // SAFETY: the pointer is valid for as many entries as it says.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), start, len, 0) };
        match usize::try_from(count) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(count) => {
                ready.count = count;
                Ok(())
            }
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn who_can_be_read_is_told_by_its_number() {
        let (mut first, mut first_in) = io::pipe().unwrap();
        let (second, mut second_in) = io::pipe().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(first.as_fd(), 7).unwrap();
        epoll.add(second.as_fd(), u64::MAX).unwrap();
        let mut ready = Ready::default();
        let mut look = || {
            let looked = epoll.look(&mut ready);
            assert_eq!(looked.is_err(), ready.is_empty());
            let mut numbers: Vec<_> = (0..ready.len()).map(|at| ready.number(at)).collect();
            numbers.sort_unstable();
            numbers
        };
        assert!(look().is_empty());
        first_in.write_all(b"x").unwrap();
        assert_eq!((look(), look()), (vec![7], vec![7]), "as long as there is something");
        second_in.write_all(b"x").unwrap();
        assert_eq!(look(), [7, u64::MAX]);
        first.read_exact(&mut [0]).unwrap();
        epoll.remove(second.as_fd()).unwrap();
        assert!(look().is_empty());
    }
}
