//! What active checks say of an endpoint: one result of an unknown one decides, and after that it
//! takes several in a row to change anything.

/// How an endpoint stands with its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No check has ended yet.
    #[default]
    Unknown,
    Up,
    Down,
}

/// Results in a row that change a verdict; none is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub rise: u32,
    pub fall: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    state: State,
    /// Results in a row that say otherwise.
    contrary: u32,
    /// The next result decides, whatever was before.
    is_open: bool,
}

impl Verdict {
    /// One that was reached before.
    pub const fn known(state: State) -> Self {
        Self { state, contrary: 0, is_open: false }
    }

    pub const fn state(self) -> State {
        self.state
    }

    /// Results in a row that say otherwise, and are too few yet.
    pub const fn contrary(self) -> u32 {
        self.contrary
    }

    /// Whether more results are wanted soon.
    pub fn is_changing(self) -> bool {
        self.contrary > 0 || self.is_open || self.state == State::Unknown
    }

    /// Another check asks from now on: what was found holds until that has its first result.
    pub fn reopen(&mut self) {
        self.is_open = true;
        self.contrary = 0;
    }

    /// Takes in a result. Returns whether the state is another now.
    pub fn take(&mut self, is_good: bool, thresholds: Thresholds) -> bool {
        let says = if is_good { State::Up } else { State::Down };
        if self.state == says {
            (self.contrary, self.is_open) = (0, false);
            return false;
        }
        self.contrary = self.contrary.saturating_add(1);
        let wanted = if is_good { thresholds.rise } else { thresholds.fall };
        if self.state != State::Unknown && !self.is_open && self.contrary < wanted {
            return false;
        }
        *self = Self::known(says);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { rise: 2, fall: 3 };

    /// `+` and `-` are results; the expected string has the state after each.
    fn check(mut verdict: Verdict, results: &str, expected: &str) {
        let state = |verdict: Verdict| match verdict.state() {
            State::Unknown => '?',
            State::Up => 'u',
            State::Down => 'd',
        };
        let after = |result: char| {
            let before = verdict.state();
            assert_eq!(verdict.take(result == '+', THRESHOLDS), verdict.state() != before);
            state(verdict)
        };
        assert_eq!(results.chars().map(after).collect::<String>(), expected, "{results}");
    }

    #[test]
    fn the_first_result_decides() {
        check(Verdict::default(), "+", "u");
        check(Verdict::default(), "-", "d");
    }

    #[test]
    fn after_that_it_takes_several_in_a_row() {
        check(Verdict::known(State::Up), "--+---", "uuuuud");
        check(Verdict::known(State::Down), "+-++-+", "ddduuu");
    }

    #[test]
    fn flapping_changes_nothing() {
        check(Verdict::known(State::Up), "-+-+-+-+", "uuuuuuuu");
        check(Verdict::known(State::Down), "+-+-+-+-", "dddddddd");
    }

    #[test]
    fn another_check_decides_with_its_first_result() {
        let mut verdict = Verdict::known(State::Down);
        verdict.reopen();
        assert!(verdict.is_changing() && verdict.state() == State::Down);
        check(verdict, "+-", "uu");
        check(verdict, "-+", "dd");
    }

    #[test]
    fn contrary_results_want_more() {
        let mut verdict = Verdict::known(State::Up);
        assert!(!verdict.is_changing() && Verdict::default().is_changing());
        verdict.take(false, THRESHOLDS);
        assert!(verdict.is_changing());
        verdict.take(true, THRESHOLDS);
        assert!(!verdict.is_changing());
    }
}
