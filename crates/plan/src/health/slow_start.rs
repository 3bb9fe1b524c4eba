//! Slow start: an endpoint that comes back gets little at first, and more with time. In steps,
//! since each of them is another plan.

/// Steps on the way, and the parts that a weight is divided into. A power of two, so that the
/// points of a hash ring stay where they are.
const PARTS: u32 = 16;

/// The part of its weight that an endpoint gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    pub const WHOLE: Self = Self(PARTS);

    /// The share so long after the beginning, of a start that takes `length_ms`.
    pub fn after(elapsed_ms: u64, length_ms: u64) -> Self {
        if elapsed_ms >= length_ms {
            return Self::WHOLE;
        }
        // Below 16, since the time is not over.
        let step = (elapsed_ms * u64::from(PARTS) / length_ms) as u32;
        Self(step.max(1))
    }

    /// After how long it is another one; `None` once it is whole.
    pub fn next_ms(elapsed_ms: u64, length_ms: u64) -> Option<u64> {
        let share = Self::after(elapsed_ms, length_ms);
        if share == Self::WHOLE {
            return None;
        }
        let at_ms = (u64::from(share.0 + 1) * length_ms).div_ceil(u64::from(PARTS));
        Some(at_ms.saturating_sub(elapsed_ms).max(1))
    }

    pub const fn parts(self) -> u32 {
        self.0
    }

    /// The parts of a whole one.
    pub const fn parts_of_whole() -> u32 {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_with_time() {
        for (elapsed_ms, parts) in [(0, 1), (999, 1), (2_000, 2), (8_000, 8), (15_999, 15)] {
            assert_eq!(Share::after(elapsed_ms, 16_000).parts(), parts, "{elapsed_ms}");
        }
        assert_eq!(Share::after(16_000, 16_000), Share::WHOLE);
        assert_eq!(Share::after(0, 0), Share::WHOLE, "no slow start");
    }

    #[test]
    fn each_step_is_reached_when_it_was_announced() {
        for length_ms in [1, 7, 100, 12_345] {
            let (mut elapsed_ms, mut steps) = (0, 0);
            while let Some(wait_ms) = Share::next_ms(elapsed_ms, length_ms) {
                let before = Share::after(elapsed_ms, length_ms);
                assert!(Share::after(elapsed_ms + wait_ms, length_ms) > before, "{length_ms}");
                elapsed_ms += wait_ms;
                steps += 1;
            }
            assert!(steps <= 15, "{steps}");
        }
    }
}
