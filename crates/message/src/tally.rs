//! What a master has counted, for whoever shows it.

use std::fmt;

/// Since the first start of the master; upgrades do not begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Configurations that were put into force after the first one.
    pub reloads: u64,
    /// Those that were not.
    pub reload_failures: u64,
    /// The last one was not.
    pub is_last_bad: bool,
    /// Workers that ended without being told to.
    pub workers_lost: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reloads, reload_failures, is_last_bad, workers_lost } = self;
        write!(f, "{reloads} {reload_failures} {} {workers_lost}", u8::from(*is_last_bad))
    }
}

impl Tally {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (reloads, reload_failures) = (next()?, next()?);
        let (is_last_bad, workers_lost) = (next()? != 0, next()?);
        let tally = Self { reloads, reload_failures, is_last_bad, workers_lost };
        numbers.next().is_none().then_some(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all =
            Tally { reloads: 1 << 40, reload_failures: 2, is_last_bad: true, workers_lost: 3 };
        for tally in [all, Tally::default()] {
            assert_eq!(Tally::parse(&tally.to_string()), Some(tally));
        }
        for text in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x"] {
            assert_eq!(Tally::parse(text), None);
        }
    }
}
