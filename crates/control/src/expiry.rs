//! Certificates that come to their end while the process serves: a word as each of them comes to
//! its last month, week and day, and when it is over. What is near at the time when its file is
//! read is told then, and not here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fairwater_net::clock;
use fairwater_plan::{Listener, Plan};

use crate::lookups::Shared;

const DAY: u64 = 86_400;

/// A clock that is set anew is noticed by then.
const LOOK: Duration = Duration::from_secs(3600);

/// Of certificates that come to a stage at the same time so many are told, and how many more there
/// are.
const LINES_MAX: usize = 20;

/// How near an end is. The later ones are nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Far,
    Month,
    Week,
    Day,
    Over,
}

impl Stage {
    /// All that are told, with the seconds that are left when they begin.
    const TOLD: [(Self, u64); 3] =
        [(Self::Month, 30 * DAY), (Self::Week, 7 * DAY), (Self::Day, DAY)];

    fn of(end: u64, now: u64) -> Self {
        let Some(left) = end.checked_sub(now) else { return Self::Over };
        let begun = Self::TOLD.iter().rev().find(|(_, from)| left <= *from);
        begun.map_or(Self::Far, |(stage, _)| *stage)
    }

    /// Seconds until the next stage; nothing, if this was the last.
    fn wait(end: u64, now: u64) -> Option<u64> {
        let left = end.checked_sub(now)?;
        let next = Self::TOLD.iter().find(|(_, from)| left > *from);
        Some(next.map_or(left + 1, |(_, from)| left - from))
    }

    fn words(self) -> &'static str {
        match self {
            Self::Far => "is good for long",
            Self::Month => "ends in 30 days",
            Self::Week => "ends in 7 days",
            Self::Day => "ends in 1 day",
            Self::Over => "has ended: clients refuse to connect",
        }
    }
}

/// What has been said, or was told when the files were read.
#[derive(Debug, Default)]
struct Known(HashMap<(String, u64), Stage>);

impl Known {
    /// Takes in the certificates of listeners as they are, each with its subject and its end. Gives
    /// what is to be said of them, and the seconds until there may be more to say.
    fn look<'a>(
        &mut self,
        certificates: impl Iterator<Item = (&'a str, &'a (String, u64))>,
        now: u64,
    ) -> (Vec<String>, Option<u64>) {
        let (mut lines, mut more, mut wait) = (Vec::new(), 0, None::<u64>);
        let mut known = HashMap::new();
        for (listener, certificate) in certificates {
            let (subject, end) = certificate;
            let stage = Stage::of(*end, now);
            wait = wait.into_iter().chain(Stage::wait(*end, now)).min();
            let before = known.insert(certificate.clone(), stage);
            // One that is new was told of by whoever read its file.
            let before = before.or_else(|| self.0.get(certificate).copied()).unwrap_or(stage);
            if stage <= before {
                continue;
            }
            let words = stage.words();
            match lines.len() {
                0..LINES_MAX => lines.push(format!(
                    "warning: the certificate of `{subject}` at listener {listener} {words}"
                )),
                _ => more += 1,
            }
        }
        if more > 0 {
            lines.push(format!("warning: and so it is with {more} more certificates"));
        }
        self.0 = known;
        (lines, wait)
    }
}

/// Looks after the certificates of the plan in force, for ever.
pub(crate) async fn keep(shared: Shared) {
    let mut known = Known::default();
    let mut seen: Option<Arc<[Arc<Listener>]>> = None;
    let mut due_ms = 0;
    loop {
        let listeners = listeners(&shared);
        let is_same = listeners.as_ref().zip(seen.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        let now_ms = clock::coarse_ms();
        if !is_same || now_ms >= due_ms {
            let certificates = listeners.iter().flat_map(|all| all.iter()).flat_map(|listener| {
                let ends = listener.tls.iter().flat_map(|server| server.ends());
                ends.map(|end| (listener.name.as_str(), end))
            });
            let (lines, wait) = known.look(certificates, clock::wall_us() / 1_000_000);
            let say = shared.steward.borrow().outside.say;
            lines.iter().for_each(|line| say(line));
            let wait = wait.map_or(LOOK, Duration::from_secs).min(LOOK);
            due_ms = now_ms + wait.as_millis() as u64;
            seen = listeners;
        }
        let wait = Duration::from_millis(due_ms.saturating_sub(now_ms).max(1));
        // The bell rings after a reload.
        tokio::time::timeout(wait, shared.bell.notified()).await.ok();
    }
}

fn listeners(shared: &Shared) -> Option<Arc<[Arc<Listener>]>> {
    let steward = shared.steward.borrow();
    let plan: Arc<Plan> = steward.sources()?.plan.get();
    Some(Arc::clone(&plan.listeners))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 1_000 * DAY;

    #[test]
    fn the_stages_of_a_certificate_follow_one_another() {
        for (left, stage, wait) in [
            (31 * DAY, Stage::Far, DAY),
            (30 * DAY + 1, Stage::Far, 1),
            (30 * DAY, Stage::Month, 23 * DAY),
            (7 * DAY + 1, Stage::Month, 1),
            (7 * DAY, Stage::Week, 6 * DAY),
            (DAY, Stage::Day, DAY + 1),
            (0, Stage::Day, 1),
        ] {
            let now = END - left;
            assert_eq!((Stage::of(END, now), Stage::wait(END, now)), (stage, Some(wait)), "{left}");
            assert!(Stage::of(END, now + wait) > stage, "{left}");
        }
        assert_eq!((Stage::of(END, END + 1), Stage::wait(END, END + 1)), (Stage::Over, None));
    }

    fn certificate(subject: &str, end: u64) -> (String, u64) {
        (subject.to_owned(), end)
    }

    #[test]
    fn each_stage_is_told_once() {
        let mut known = Known::default();
        let (a, b) = (certificate("CN=a", END), certificate("CN=b", END + 100 * DAY));
        let mut look = |all: &[&(String, u64)], left_days: i64| {
            let now = END.saturating_add_signed(-left_days * DAY as i64);
            let (lines, wait) = known.look(all.iter().map(|one| ("web", *one)), now);
            (lines.join("\n"), wait)
        };
        let ends =
            |words: &str| format!("warning: the certificate of `CN=a` at listener web {words}");
        assert_eq!(look(&[&a, &b], 40), (String::new(), Some(10 * DAY)));
        assert_eq!(look(&[&a, &b], 30), (ends("ends in 30 days"), Some(23 * DAY)));
        assert_eq!(look(&[&a, &b], 29).0, "");
        // At two listeners it is one.
        assert_eq!(look(&[&a, &a], 7).0, ends("ends in 7 days"));
        // What is new is told by whoever reads it, and what was there stays known.
        assert_eq!(look(&[&a, &certificate("CN=a", END + 1)], 6).0, "");
        assert_eq!(look(&[&a], 1).0, ends("ends in 1 day"));
        let (line, wait) = look(&[&a], -1);
        assert_eq!((line, wait), (ends("has ended: clients refuse to connect"), None));
        assert_eq!(look(&[&a], -2).0, "");
    }

    #[test]
    fn many_at_once_are_counted() {
        let mut known = Known::default();
        let all: Vec<_> = (0..100).map(|index| certificate(&format!("CN={index}"), END)).collect();
        let mut look = |now| known.look(all.iter().map(|one| ("web", one)), now).0;
        assert_eq!(look(END - 8 * DAY).len(), 0);
        let lines = look(END - 7 * DAY);
        assert_eq!(
            (lines.len(), lines[20].as_str()),
            (21, "warning: and so it is with 80 more certificates")
        );
    }
}
