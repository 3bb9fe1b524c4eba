//! What happens to the endpoints and when: made from a seed before the run, so that a seed repeats
//! it. One endpoint at least runs at any time, but for short moments in which all are dead.

use std::collections::HashMap;

/// Pauses between two faults.
const PAUSE_MS: (u64, u64) = (300, 3_500);
const DEAD_MS: (u64, u64) = (100, 6_000);
/// Below every timeout of the proxy, so that a stopped endpoint is slow and not lost.
const STOPPED_MS: (u64, u64) = (50, 4_500);
const ALL_DEAD_MS: (u64, u64) = (200, 800);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Kill,
    Stop,
    Continue,
    Revive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) at_ms: u64,
    pub(crate) endpoint: usize,
    pub(crate) act: Act,
}

/// In the order of time; everything is revived by its end.
pub(crate) fn schedule(seed: u64, seconds: u64, endpoints: usize) -> Vec<Event> {
    let mut random = Random(seed);
    let mut events = Vec::new();
    let mut down_until: HashMap<usize, u64> = HashMap::new();
    let mut now_ms = 1_000;
    let end_ms = (seconds * 1000).saturating_sub(DEAD_MS.1);
    while now_ms < end_ms {
        let is_up = |down: &HashMap<usize, u64>, endpoint| {
            down.get(&endpoint).is_none_or(|until| *until < now_ms)
        };
        let up: Vec<usize> = (0..endpoints).filter(|e| is_up(&down_until, *e)).collect();
        let mut push = |at_ms, endpoint, act| events.push(Event { at_ms, endpoint, act });
        if random.percent(4) {
            let until_ms = now_ms + random.within(ALL_DEAD_MS);
            for &endpoint in &up {
                push(now_ms, endpoint, Act::Kill);
                push(until_ms, endpoint, Act::Revive);
                down_until.insert(endpoint, until_ms);
            }
        } else if up.len() > 1 {
            let endpoint = up[random.within((0, up.len() as u64 - 1)) as usize];
            let until_ms = if random.percent(55) {
                let until_ms = now_ms + random.within(DEAD_MS);
                push(now_ms, endpoint, Act::Kill);
                push(until_ms, endpoint, Act::Revive);
                until_ms
            } else {
                let until_ms = now_ms + random.within(STOPPED_MS);
                push(now_ms, endpoint, Act::Stop);
                if random.percent(20) {
                    // With requests that it has taken and not read.
                    push(until_ms - 1, endpoint, Act::Kill);
                    push(until_ms, endpoint, Act::Revive);
                } else {
                    push(until_ms, endpoint, Act::Continue);
                }
                until_ms
            };
            down_until.insert(endpoint, until_ms);
        }
        now_ms += random.within(PAUSE_MS);
    }
    events.sort();
    events
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn within(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_down_for_short_moments_alone_and_up_at_the_end() {
        for seed in 0..50 {
            let events = schedule(seed, 600, 3);
            assert_eq!(events, schedule(seed, 600, 3));
            let mut down = [false; 3];
            let mut all_since = None;
            for event in &events {
                down[event.endpoint] = matches!(event.act, Act::Kill | Act::Stop);
                match (down == [true; 3], all_since) {
                    (true, None) => all_since = Some(event.at_ms),
                    (false, Some(since)) => {
                        assert!(event.at_ms - since <= ALL_DEAD_MS.1, "{seed} {event:?}");
                        all_since = None;
                    }
                    _ => {}
                }
            }
            assert_eq!(down, [false; 3]);
            assert!(events.len() > 200, "{}", events.len());
        }
    }
}
