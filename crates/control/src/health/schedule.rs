//! When each probe is made. Time and chance come in as arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::target::Target;

/// Probes at the same time: each takes a descriptor.
const PROBES_MAX: usize = 256;
/// Nobody waits for anything.
const IDLE_MS: u64 = 3_600_000;
/// The part of an interval by which it differs at most, so that probes of many endpoints, and of
/// many proxies, spread out.
const JITTER_PART: u64 = 10;

/// All probes, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Schedule(BTreeMap<String, Planned>);

#[derive(Debug)]
struct Planned {
    target: Arc<Target>,
    users: Vec<User>,
    due_ms: u64,
    is_running: bool,
}

/// An endpoint that a probe tells of: its upstream, and its key there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub upstream: String,
    pub key: String,
}

impl Schedule {
    /// Keeps these, old and new, and forgets all others. New ones are due at once.
    pub(crate) fn want(&mut self, wanted: impl IntoIterator<Item = (Target, User)>) {
        let mut before = std::mem::take(&mut self.0);
        for (target, user) in wanted {
            let key = target.key();
            if let Some(planned) = self.0.get_mut(&key) {
                planned.users.push(user);
                continue;
            }
            let (due_ms, is_running) =
                before.remove(&key).map_or((0, false), |known| (known.due_ms, known.is_running));
            let (target, users) = (Arc::new(target), vec![user]);
            self.0.insert(key, Planned { target, users, due_ms, is_running });
        }
    }

    /// What to probe now, and after how many milliseconds to look again.
    pub(crate) fn due(&mut self, now_ms: u64) -> (Vec<(String, Arc<Target>)>, u64) {
        let running = self.0.values().filter(|planned| planned.is_running).count();
        let mut room = PROBES_MAX.saturating_sub(running);
        let mut next_ms = now_ms + IDLE_MS;
        let mut due = Vec::new();
        for (key, planned) in self.0.iter_mut().filter(|(_, planned)| !planned.is_running) {
            if planned.due_ms > now_ms {
                next_ms = next_ms.min(planned.due_ms);
            } else if room > 0 {
                room -= 1;
                planned.is_running = true;
                due.push((key.clone(), Arc::clone(&planned.target)));
            }
        }
        // Where there is no room, the end of a probe makes it, and is followed by another look.
        (due, next_ms - now_ms)
    }

    /// Whom a probe that has ended tells of; nobody, if nobody wants it any more.
    pub(crate) fn users(&self, key: &str) -> &[User] {
        self.0.get(key).map_or(&[], |planned| &planned.users)
    }

    /// A probe has ended, and is made again after its interval.
    pub(crate) fn ended(&mut self, key: &str, is_changing: bool, now_ms: u64, random: u64) {
        let Some(planned) = self.0.get_mut(key) else { return };
        let (steady, fast) = planned.target.ask.intervals();
        let interval_ms = if is_changing { fast } else { steady }.as_millis() as u64;
        planned.is_running = false;
        planned.due_ms = now_ms + spread(interval_ms, random);
    }
}

/// An interval, give or take a part of it.
fn spread(interval_ms: u64, random: u64) -> u64 {
    let part = interval_ms / JITTER_PART;
    let chance = ((random >> 32) * (2 * part + 1)) >> 32;
    (interval_ms - part + chance).max(1)
}

#[cfg(test)]
mod tests {
    use fairwater_config::Health;
    use fairwater_plan::Dial;

    use super::*;
    use crate::health::target::{Ask, Http2};

    fn target(port: u16) -> Target {
        Target {
            dial: Dial::Ip(vec![([127, 0, 0, 1], port).into()]),
            ask: Ask::Check(Health::http("/").check),
            host: String::new(),
            tls: None,
            http2: Http2::No,
            header: Vec::new(),
            is_relaxed: false,
        }
    }

    fn want(schedule: &mut Schedule, ports: impl IntoIterator<Item = u16>) {
        let user = |port: u16| User { upstream: "app".to_owned(), key: port.to_string() };
        schedule.want(ports.into_iter().map(|port| (target(port), user(port))));
    }

    #[track_caller]
    fn check(schedule: &mut Schedule, now_ms: u64, ports: &[u16], wait_ms: u64) {
        let (due, wait) = schedule.due(now_ms);
        let mut due: Vec<_> = due.into_iter().map(|(key, _)| key).collect();
        let mut expected: Vec<_> = ports.iter().map(|port| target(*port).key()).collect();
        due.sort();
        expected.sort();
        assert_eq!((due, wait), (expected, wait_ms));
    }

    #[test]
    fn the_same_probe_is_made_once_and_tells_of_all() {
        let mut schedule = Schedule::default();
        want(&mut schedule, [1, 1, 2]);
        check(&mut schedule, 0, &[1, 2], IDLE_MS);
        check(&mut schedule, 0, &[], IDLE_MS);
        assert_eq!(schedule.users(&target(1).key()).len(), 2);
        assert!(schedule.users(&target(3).key()).is_empty());
    }

    #[test]
    fn a_probe_is_made_again_after_its_interval() {
        let mut schedule = Schedule::default();
        want(&mut schedule, [1]);
        check(&mut schedule, 1000, &[1], IDLE_MS);
        schedule.ended(&target(1).key(), false, 1000, u64::MAX / 2);
        check(&mut schedule, 1000, &[], 2000);
        check(&mut schedule, 3000, &[1], IDLE_MS);
        schedule.ended(&target(1).key(), true, 3000, u64::MAX / 2);
        check(&mut schedule, 3000, &[], 500);
        schedule.ended(&target(2).key(), true, 3000, 0);
        assert_eq!(schedule.0.len(), 1, "nobody wants it");
    }

    #[test]
    fn what_is_wanted_again_keeps_its_time() {
        let mut schedule = Schedule::default();
        want(&mut schedule, [1]);
        schedule.due(0);
        schedule.ended(&target(1).key(), false, 0, u64::MAX / 2);
        want(&mut schedule, [1, 2]);
        check(&mut schedule, 1, &[2], 1999);
    }

    #[test]
    fn no_more_run_than_may() {
        let mut schedule = Schedule::default();
        want(&mut schedule, 1..=300);
        assert_eq!(schedule.due(0).0.len(), PROBES_MAX);
        assert!(schedule.due(0).0.is_empty());
    }

    #[test]
    fn intervals_differ_by_a_tenth() {
        for (random, expected) in [(0, 1800), (u64::MAX, 2200), (u64::MAX / 2, 2000)] {
            assert_eq!(spread(2000, random), expected);
        }
        assert_eq!(spread(1, 0), 1);
    }
}
