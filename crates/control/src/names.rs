//! What names stand for: the last good answer to each question, and when to ask again. Time comes
//! in as an argument, answers from `dns`.

use std::collections::BTreeMap;

use crate::dns::{Addresses, Answer, Failure, Question, Target};

/// Names that are looked up at the same time.
const LOOKUPS_MAX: usize = 64;
/// Answers hold for at least this long: no name is asked for more often.
const TTL_MS_MIN: u64 = 1000;
/// And at most for this long: whoever moves a host may have forgotten to lower the time before.
const TTL_MS_MAX: u64 = 3_600_000;
/// After a failure, doubled with each further one.
const LOOKUP_RETRY_MS: u64 = 1000;
const LOOKUP_RETRY_MS_MAX: u64 = 30_000;

/// All questions that endpoints ask.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Question, Known>);

/// What is known about a question.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last good answer.
    answer: Option<Answer>,
    /// Why the last look-up gave none.
    problem: Option<Failure>,
    /// Look-ups in a row that failed.
    failures: u32,
    /// When the last good answer came.
    answered_ms: Option<u64>,
    /// When it is asked again.
    due_ms: u64,
    is_asked: bool,
}

/// What a look-up has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The endpoints are others now.
    pub is_other: bool,
    /// For people.
    pub line: Option<String>,
}

impl Names {
    /// Keeps these questions, old and new, and forgets all others.
    pub(crate) fn want(&mut self, questions: impl IntoIterator<Item = Question>) {
        let mut before = std::mem::take(&mut self.0);
        for question in questions {
            let known = before.remove(&question);
            self.0.entry(question).or_insert(known.unwrap_or_default());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last good answer.
    pub(crate) fn answer(&self, question: &Question) -> Option<&Answer> {
        self.0.get(question)?.answer.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Question, &Known)> {
        self.0.iter()
    }

    /// Whether each question was answered, one way or the other.
    pub(crate) fn are_all_known(&self) -> bool {
        self.0.values().all(|known| known.answer.is_some() || known.problem.is_some())
    }

    /// Those that were asked and have no answer yet.
    pub(crate) fn asked(&self) -> Vec<Question> {
        let asked = self.0.iter().filter(|(_, known)| known.is_asked);
        asked.map(|(question, _)| question.clone()).collect()
    }

    /// The questions to ask now, and after how many milliseconds to look again.
    pub(crate) fn due(&mut self, now_ms: u64) -> (Vec<Question>, u64) {
        let mut room = LOOKUPS_MAX - self.0.values().filter(|known| known.is_asked).count();
        let mut next_ms = now_ms + TTL_MS_MAX;
        let mut due = Vec::new();
        for (question, known) in self.0.iter_mut().filter(|(_, known)| !known.is_asked) {
            if known.due_ms > now_ms {
                next_ms = next_ms.min(known.due_ms);
            } else if room > 0 {
                room -= 1;
                known.is_asked = true;
                due.push(question.clone());
            }
        }
        // Where there is no room, an answer makes it, and is followed by another look.
        (due, next_ms - now_ms)
    }

    /// Takes in what became of a question.
    pub(crate) fn told(
        &mut self,
        question: &Question,
        result: Result<(Answer, u32), Failure>,
        now_ms: u64,
    ) -> News {
        // It may have been forgotten meanwhile.
        let Some(known) = self.0.get_mut(question) else { return News::default() };
        known.is_asked = false;
        match result.and_then(|(answer, ttl_s)| {
            let whole = answer.completed_by(known.answer.as_ref());
            if whole.is_empty() { Err(Failure::NoAddress) } else { Ok((whole, ttl_s)) }
        }) {
            Ok((answer, ttl_s)) => known.answered(question, answer, ttl_s, now_ms),
            Err(failure) => known.failed(question, failure, now_ms),
        }
    }
}

impl Known {
    fn answered(&mut self, question: &Question, answer: Answer, ttl_s: u32, now_ms: u64) -> News {
        let what = match self.answer {
            Some(_) => "can be looked up again",
            None => "has an address now",
        };
        let line = self.problem.take().map(|_| format!("{question} {what}"));
        let is_other = self.answer.as_ref() != Some(&answer);
        self.answer = Some(answer);
        self.failures = 0;
        self.answered_ms = Some(now_ms);
        self.due_ms = now_ms + (u64::from(ttl_s) * 1000).clamp(TTL_MS_MIN, TTL_MS_MAX);
        News { is_other, line }
    }

    fn failed(&mut self, question: &Question, failure: Failure, now_ms: u64) -> News {
        let line = match (&self.problem, &self.answer) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(format!(
                "warning: {question} cannot be looked up: {failure}; its last addresses stay in use"
            )),
            (None, None) => Some(format!(
                "warning: {question} has no address: {failure}; its endpoints take no traffic until it has one"
            )),
        };
        self.problem = Some(failure);
        let wait_ms =
            LOOKUP_RETRY_MS.saturating_mul(1 << self.failures.min(16)).min(LOOKUP_RETRY_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.due_ms = now_ms + wait_ms;
        News { is_other: false, line }
    }

    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    pub(crate) fn problem(&self) -> Option<&Failure> {
        self.problem.as_ref()
    }

    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    pub(crate) fn answered_ms(&self) -> Option<u64> {
        self.answered_ms
    }
}

impl Answer {
    /// With what is missing taken from an answer before.
    fn completed_by(self, before: Option<&Self>) -> Self {
        match (self, before) {
            (Self::Host(ours), Some(Self::Host(theirs))) => Self::Host(ours.completed_by(theirs)),
            (Self::Service(targets), before) => {
                let theirs = match before {
                    Some(Self::Service(theirs)) => &theirs[..],
                    _ => &[],
                };
                let complete = |target: Target| {
                    let same = theirs.iter().find(|their| their.host == target.host);
                    let addresses = match same {
                        Some(same) => target.addresses.completed_by(&same.addresses),
                        None => target.addresses,
                    };
                    Target { addresses, ..target }
                };
                let targets = targets.into_iter().map(complete);
                Self::Service(targets.filter(|target| !target.addresses.is_empty()).collect())
            }
            (answer, _) => answer,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Host(addresses) => addresses.is_empty(),
            Self::Service(targets) => targets.is_empty(),
        }
    }
}

impl Addresses {
    fn completed_by(self, before: &Self) -> Self {
        Self {
            v4: self.v4.or_else(|| before.v4.clone()),
            v6: self.v6.or_else(|| before.v6.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn app() -> Question {
        Question::Host("app".to_owned())
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.want([app()]);
        names
    }

    fn v4(last: u8) -> Answer {
        let v4 = Some(vec![Ipv4Addr::new(10, 0, 0, last)]);
        Answer::Host(Addresses { v4, v6: Some(Vec::new()) })
    }

    /// Asks at the time that is due, and gives the time until the next.
    fn tell(names: &mut Names, now_ms: u64, result: Result<(Answer, u32), Failure>) -> (News, u64) {
        assert_eq!(names.due(now_ms).0, [app()], "{now_ms}");
        assert_eq!(names.due(now_ms).0, [], "it is asked already");
        let news = names.told(&app(), result, now_ms);
        (news, names.due(now_ms).1)
    }

    #[test]
    fn names_are_asked_for_again_when_their_time_is_over() {
        let mut names = names();
        assert!(!names.are_all_known());
        let (news, next_ms) = tell(&mut names, 100, Ok((v4(1), 20)));
        assert_eq!((news, next_ms), (News { is_other: true, line: None }, 20_000));
        assert!(names.are_all_known());
        assert_eq!(names.due(20_099).0, []);
        let (news, next_ms) = tell(&mut names, 20_100, Ok((v4(1), 0)));
        assert_eq!((news, next_ms), (News::default(), TTL_MS_MIN));
        let (_, next_ms) = tell(&mut names, 30_000, Ok((v4(2), u32::MAX)));
        assert_eq!(next_ms, TTL_MS_MAX);
    }

    #[test]
    fn failures_keep_the_last_answer_and_are_told_once() {
        let mut names = names();
        tell(&mut names, 0, Ok((v4(1), 1)));
        let mut now_ms = 1000;
        let mut waits = Vec::new();
        for failure in [Failure::NoName, Failure::NoAddress, Failure::Refused("x".to_owned())] {
            let (news, wait_ms) = tell(&mut names, now_ms, Err(failure));
            assert!(!news.is_other);
            assert_eq!(news.line.is_some(), waits.is_empty(), "{news:?}");
            waits.push(wait_ms);
            now_ms += wait_ms;
        }
        assert_eq!(waits, [1000, 2000, 4000]);
        assert_eq!(names.answer(&app()), Some(&v4(1)));
        let (news, _) = tell(&mut names, now_ms, Ok((v4(1), 1)));
        let line = Some("app can be looked up again".to_owned());
        assert_eq!(news, News { is_other: false, line });
    }

    #[test]
    fn what_is_missing_of_an_answer_is_as_before() {
        let mut names = names();
        let v6 = Some(vec![Ipv6Addr::LOCALHOST]);
        let both = Answer::Host(Addresses { v6, ..Addresses::default() });
        let Answer::Host(Addresses { v4: four, .. }) = v4(1) else { unreachable!() };
        tell(&mut names, 0, Ok((both, 1)));
        let half = Answer::Host(Addresses { v4: four.clone(), v6: None });
        let (news, _) = tell(&mut names, 1000, Ok((half, 1)));
        assert!(news.is_other);
        let whole = Answer::Host(Addresses { v4: four, v6: Some(vec![Ipv6Addr::LOCALHOST]) });
        assert_eq!(names.answer(&app()), Some(&whole));
    }

    #[test]
    fn a_service_without_any_host_that_is_there_fails() {
        let question = Question::Service("s".to_owned());
        let mut names = Names::default();
        names.want([question.clone()]);
        let target = |host: &str, addresses| Target {
            host: host.to_owned(),
            port: 80,
            weight: 1,
            addresses,
        };
        let Answer::Host(there) = v4(1) else { unreachable!() };
        let lost = |host| target(host, Addresses::default());
        names.told(&question, Ok((Answer::Service(vec![lost("a")]), 1)), 0);
        assert_eq!(names.answer(&question), None);
        let both = vec![target("a", there.clone()), lost("b")];
        names.told(&question, Ok((Answer::Service(both), 1)), 0);
        let only = Answer::Service(vec![target("a", there)]);
        assert_eq!(names.answer(&question), Some(&only));
        names.told(&question, Ok((Answer::Service(vec![lost("a"), lost("b")]), 1)), 0);
        assert_eq!(names.answer(&question), Some(&only), "a lost host has its last address");
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        let mut names = names();
        names.want([]);
        assert!(names.is_empty());
        assert_eq!(names.told(&app(), Ok((v4(1), 1)), 0), News::default());
    }
}
