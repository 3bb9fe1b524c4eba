//! Clocks: the coarse one for deadlines, the fine one for what is measured.

use std::mem::MaybeUninit;

/// Milliseconds of the monotonic clock as of the last kernel tick (4 ms at HZ=250): a few
/// nanoseconds to read, and good enough for every deadline.
#[inline]
pub fn coarse_ms() -> u64 {
    let time = read(libc::CLOCK_MONOTONIC_COARSE);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

/// Microseconds of the monotonic clock.
#[inline]
pub fn precise_us() -> u64 {
    let time = read(libc::CLOCK_MONOTONIC);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Microseconds since the epoch; may jump.
#[inline]
pub fn wall_us() -> u64 {
    let time = read(libc::CLOCK_REALTIME);
    time.tv_sec.max(0) as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Milliseconds of processor time that a thread of this process has had; 0 for one that is none.
pub fn thread_ms(thread_id: i32) -> u64 {
    /// How Linux makes a clock of a thread's number: all that the scheduler counts for it.
    const OF_THREAD: libc::clockid_t = 0b110;
    let time = read(!thread_id << 3 | OF_THREAD);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

#[inline]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is valid for one timespec; a zeroed timespec is a valid value, so that
    // even a failing call (unknown clock) leaves it initialised.
    unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    }
}

/// A calendar date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: u32,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl Civil {
    pub const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

    /// From seconds since the epoch (Howard Hinnant's civil_from_days).
    pub fn from_epoch(seconds: u64) -> Self {
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let rest = seconds % 86_400;
        Self {
            year: year as u32,
            month: month as u32,
            day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u32,
            hour: (rest / 3_600) as u32,
            minute: (rest % 3_600 / 60) as u32,
            second: (rest % 60) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (seconds, expected) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (4_107_542_399, (2100, 2, 28, 23, 59, 59)),
            (1_795_258_507, (2026, 11, 21, 10, 55, 7)),
        ] {
            let c = Civil::from_epoch(seconds);
            assert_eq!((c.year, c.month, c.day, c.hour, c.minute, c.second), expected, "{seconds}");
        }
    }

    #[test]
    fn clocks_go_forward() {
        let (coarse, precise) = (coarse_ms(), precise_us());
        assert!(coarse_ms() >= coarse && precise_us() >= precise);
    }
}
