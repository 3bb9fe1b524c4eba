//! Endpoints that are tried when none of those that get traffic is left: backups, those of later
//! priorities, those that no check has judged yet, and those that are ejected. Checks and ejections
//! find out later than a request does.

/// Who is in reserve, by place among the endpoints of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// The first ones are tried first.
    tiers: Vec<Vec<Reservist>>,
}

/// One of them, with its share among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservist {
    pub index: u32,
    pub weight: u32,
}

impl Reserve {
    pub fn new(tiers: Vec<Vec<Reservist>>) -> Self {
        Self { tiers }
    }

    /// One that may be taken, of the first tier that has any: by chance, by weight. Who may be is
    /// asked about once each, at the most.
    pub fn pick(&self, random: u64, mut may: impl FnMut(usize) -> bool) -> Option<usize> {
        self.tiers.iter().find_map(|tier| {
            let total: u64 = tier.iter().map(|one| u64::from(one.weight)).sum();
            let mut at = random % total.max(1);
            let start = tier.iter().position(|one| {
                let is_it = at < u64::from(one.weight);
                at = at.saturating_sub(u64::from(one.weight));
                is_it
            });
            let start = start.unwrap_or(0);
            let places = (0..tier.len()).map(|step| (start + step) % tier.len());
            places.map(|place| tier[place].index as usize).find(|&index| may(index))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(tiers: &[&[(u32, u32)]]) -> Reserve {
        let tier = |tier: &&[(u32, u32)]| {
            tier.iter().map(|&(index, weight)| Reservist { index, weight }).collect()
        };
        Reserve::new(tiers.iter().map(tier).collect())
    }

    #[test]
    fn tiers_come_one_after_another() {
        let reserve = reserve(&[&[(4, 1)], &[(1, 1), (2, 1)]]);
        let mut tried = Vec::new();
        while let Some(index) = reserve.pick(1, |index| !tried.contains(&index)) {
            tried.push(index);
        }
        assert_eq!(tried, [4, 2, 1]);
        assert_eq!(Reserve::default().pick(7, |_| true), None);
    }

    #[test]
    fn weights_are_shares() {
        let reserve = reserve(&[&[(0, 3), (1, 1)]]);
        let mut counts = [0; 2];
        (0..400).for_each(|random| counts[reserve.pick(random, |_| true).unwrap()] += 1);
        assert_eq!(counts, [300, 100]);
    }
}
