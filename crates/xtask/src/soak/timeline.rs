//! When each endpoint was down in truth: what decides whose fault a failed request is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Signals take a moment to arrive, and clients a moment to notice.
const SLACK_US: u64 = 200_000;

#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// By endpoint; the last one may be open.
    downs: Vec<Vec<Down>>,
    deaths_us: Vec<u64>,
    pub(crate) stops: usize,
}

#[derive(Debug)]
struct Down {
    from_us: u64,
    until_us: u64,
}

impl Timeline {
    pub(crate) fn new(endpoints: usize) -> Self {
        let downs = (0..endpoints).map(|_| Vec::new()).collect();
        Self { downs, ..Self::default() }
    }

    /// An endpoint no longer serves. One that was stopped may be killed.
    pub(crate) fn down(&mut self, endpoint: usize, at_us: u64, is_death: bool) {
        if is_death {
            self.deaths_us.push(at_us);
        } else {
            self.stops += 1;
        }
        let downs = &mut self.downs[endpoint];
        if downs.last().is_none_or(|last| last.until_us < u64::MAX) {
            downs.push(Down { from_us: at_us, until_us: u64::MAX });
        }
    }

    pub(crate) fn up(&mut self, endpoint: usize, at_us: u64) {
        if let Some(last) = self.downs[endpoint].last_mut() {
            last.until_us = at_us;
        }
    }

    pub(crate) fn deaths(&self) -> usize {
        self.deaths_us.len()
    }

    /// Whether one endpoint was alive and running during all of this time.
    pub(crate) fn one_served(&self, from_us: u64, until_us: u64) -> bool {
        let is_clear =
            |down: &Down| down.from_us > until_us + SLACK_US || down.until_us < from_us - SLACK_US;
        self.downs.iter().any(|downs| downs.iter().all(is_clear))
    }

    /// Whether an endpoint died within this time.
    pub(crate) fn one_died(&self, from_us: u64, until_us: u64) -> bool {
        let range = from_us - SLACK_US..until_us + SLACK_US;
        self.deaths_us.iter().any(|at| range.contains(at))
    }
}

/// Microseconds since the epoch, as in the client's journal.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_served_throughout_is_enough() {
        const S: u64 = 1_000_000;
        let mut timeline = Timeline::new(2);
        timeline.down(0, 10 * S, false);
        timeline.down(0, 12 * S, true);
        timeline.up(0, 14 * S);
        timeline.down(1, 20 * S, true);
        assert!(timeline.one_served(11 * S, 13 * S));
        assert!(timeline.one_served(15 * S, 25 * S));
        assert!(!timeline.one_served(13 * S, 21 * S));
        assert!(timeline.one_died(11 * S, 13 * S));
        assert!(!timeline.one_died(13 * S, 19 * S));
        assert_eq!((timeline.deaths(), timeline.stops), (2, 1));
    }
}
