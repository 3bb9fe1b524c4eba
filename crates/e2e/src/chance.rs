//! Numbers by chance that are the same for the same seed.

/// xorshift64*.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // All that it makes of 0 is 0.
        Self(seed.max(1))
    }

    /// One of many with the same seed, each by numbers of its own.
    pub fn of(seed: u64, numbers: [u64; 2]) -> Self {
        let [a, b] = numbers;
        let mut chance =
            Self::new(seed ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.rotate_left(32));
        // Small seeds need some rounds until all of their bits have spread.
        for _ in 0..32 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        // The upper half is the better one.
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    /// Up to 2^31 have the same chance.
    pub fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

/// `FAIRWATER_SEED`, to see again what has failed.
pub fn given_seed() -> Option<u64> {
    std::env::var("FAIRWATER_SEED").ok()?.parse().ok()
}
