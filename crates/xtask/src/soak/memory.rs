//! The memory of the process over the run, but for pages of files: flat, once it is warm.

use crate::bench::statistics::slope;

const MIB: f64 = 1024.0 * 1024.0;

/// The part of the run after which memory counts as warm, and the time that is enough of it.
const WARM_SHARE: f64 = 0.2;
const WARM_SECONDS_MAX: f64 = 60.0;

/// A slope needs so long to be told from noise.
pub(crate) const JUDGED_SECONDS_MIN: u64 = 300;

/// Samples that make the level at the end of the warm-up.
const LEVEL_SAMPLES: usize = 15;

/// Seconds since the start, and bytes.
pub(crate) type Sample = (f64, u64);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    pub(crate) warm_mib: f64,
    pub(crate) peak_mib: f64,
    pub(crate) end_mib: f64,
    pub(crate) mib_per_ten_minutes: f64,
}

impl Memory {
    /// `None` when the run was too short for a single warm sample. The end is that of the clients.
    pub(crate) fn of(samples: &[Sample], seconds: u64, end_bytes: u64) -> Option<Self> {
        let warm_at = (seconds as f64 * WARM_SHARE).min(WARM_SECONDS_MAX);
        let to_mib = |&(at, bytes): &Sample| (at, bytes as f64 / MIB);
        let warm: Vec<_> = samples.iter().filter(|s| s.0 >= warm_at).map(to_mib).collect();
        let mut first: Vec<f64> = warm.iter().take(LEVEL_SAMPLES).map(|s| s.1).collect();
        first.sort_by(f64::total_cmp);
        Some(Self {
            warm_mib: *first.get(first.len() / 2)?,
            peak_mib: warm.iter().map(|sample| sample.1).fold(0.0, f64::max),
            end_mib: end_bytes as f64 / MIB,
            mib_per_ten_minutes: if warm.len() > 1 { slope(&warm) * 600.0 } else { 0.0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_told_from_a_warm_up() {
        let grow = |at: u64, step: u64| (at as f64, (at.min(100) + at * step) << 20);
        let flat: Vec<_> = (0..1000).map(|at| grow(at, 0)).collect();
        let memory = Memory::of(&flat[100..], 1000, 100 << 20).unwrap();
        assert!(memory.mib_per_ten_minutes.abs() < 1e-6);
        assert_eq!((memory.warm_mib, memory.end_mib), (100.0, 100.0));
        let leak: Vec<_> = (0..1000).map(|at| grow(at, 1)).collect();
        let memory = Memory::of(&leak[100..], 1000, 1).unwrap();
        assert!((memory.mib_per_ten_minutes - 600.0).abs() < 1e-6);
        assert_eq!(Memory::of(&[], 10, 1), None);
    }
}
