//! Words of a line, as masters write them down for those who come after them.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// What stands for nothing.
const NONE: &str = "-";

/// The words of one line, from the first on.
pub(super) struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self(line.split(' '))
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    pub(super) fn number<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.number::<u8>().map(|number| number != 0)
    }

    /// Nothing at all if it makes no sense, and nothing in it if it says so.
    pub(super) fn maybe<T: FromStr>(&mut self) -> Option<Option<T>> {
        match self.next()? {
            NONE => Some(None),
            word => word.parse().ok().map(Some),
        }
    }

    /// A time that was written by [`ahead`].
    pub(super) fn time(&mut self, now: Instant) -> Option<Option<Instant>> {
        let ms = self.maybe::<u64>()?;
        Some(ms.map(|ms| now + Duration::from_millis(ms)))
    }

    pub(super) fn rest<T: FromStr>(self) -> Option<Vec<T>> {
        self.0.map(|word| word.parse().ok()).collect()
    }
}

pub(super) fn maybe(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// How long it is until then.
pub(super) fn ahead(at: Option<Instant>, now: Instant) -> String {
    maybe(at.map(|at| at.saturating_duration_since(now).as_millis()))
}
