//! A descriptor that can be read once in each period (`timerfd_create(2)`): who waits for sockets
//! anyway waits for time with the same call.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

#[derive(Debug)]
pub struct Ticker(OwnedFd);

impl Ticker {
    /// # Errors
    /// When the process may have no further descriptor.
    pub fn every(period: Duration) -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let period = libc::timespec {
            tv_sec: period.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(period.subsec_nanos()),
        };
        let times = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: the pointer is valid for one entry; nothing is asked for what was set before.
        let result =
            unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &times, std::ptr::null_mut()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(fd)) }
    }

    /// How many periods have passed since this was asked last.
    ///
    /// # Errors
    /// `WouldBlock` for none.
    pub fn passed(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        // SAFETY: the pointer is valid for as many bytes as it says.
        let len = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        if len < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from_ne_bytes(count)) }
    }
}

impl AsRawFd for Ticker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_counted() {
        let ticker = Ticker::every(Duration::from_millis(200)).unwrap();
        assert_eq!(ticker.passed().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        std::thread::sleep(Duration::from_millis(450));
        assert!(ticker.passed().unwrap() >= 2);
    }
}
