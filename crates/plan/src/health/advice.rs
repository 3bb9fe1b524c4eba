//! What an endpoint asks for itself, in a header of the reply to its check or through an agent. The
//! words are those that agents of HAProxy say, so that they can stay.

use std::fmt;

/// How an endpoint wants to be kept from new traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisedRest {
    Drain,
    Maintenance,
    /// It says that it cannot serve.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisedWeight {
    /// Of the weight that it would have.
    Percent(u32),
    Exactly(u32),
}

/// What an endpoint asks for; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    pub rest: Option<AdvisedRest>,
    pub weight: Option<AdvisedWeight>,
}

/// In the words that it is read from.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rest {
            None => "up",
            Some(AdvisedRest::Drain) => "drain",
            Some(AdvisedRest::Maintenance) => "maint",
            Some(AdvisedRest::Down) => "down",
        })?;
        match self.weight {
            None => Ok(()),
            Some(AdvisedWeight::Percent(percent)) => write!(f, " {percent}%"),
            Some(AdvisedWeight::Exactly(weight)) => write!(f, " weight={weight}"),
        }
    }
}

impl Advice {
    /// What it asks for from now on, after a text of words such as `75% ready`: what they do not
    /// mention stays. `None` if one of them is not understood.
    #[must_use]
    pub fn updated(self, text: &[u8], weight_max: u32) -> Option<Self> {
        /// The longest text that an agent says.
        const WORDS_MAX: usize = 8;
        let text = std::str::from_utf8(text).ok()?;
        // Behind `#` is an explanation for people.
        let words = text.split('#').next().unwrap_or("");
        let mut words = words.split([' ', '\t', ',', ';', '\r', '\n']).filter(|w| !w.is_empty());
        let mut advice = self;
        for word in words.by_ref().take(WORDS_MAX) {
            advice.take(&word.to_ascii_lowercase(), weight_max)?;
        }
        words.next().is_none().then_some(advice)
    }

    fn take(&mut self, word: &str, weight_max: u32) -> Option<()> {
        match word {
            "up" | "ready" => self.rest = None,
            "drain" => self.rest = Some(AdvisedRest::Drain),
            "maint" | "maintenance" => self.rest = Some(AdvisedRest::Maintenance),
            "down" | "fail" | "failed" | "stopped" => self.rest = Some(AdvisedRest::Down),
            word => self.weight = Some(weight(word, weight_max)?),
        }
        Some(())
    }

    /// The weight in parts of which `one` make 1.
    pub(super) fn apply(self, weight: u32, one: u32) -> u64 {
        let (weight, one) = (u64::from(weight), u64::from(one));
        match self.weight {
            None => weight * one,
            Some(AdvisedWeight::Exactly(exactly)) if weight > 0 => u64::from(exactly) * one,
            Some(AdvisedWeight::Percent(percent)) if percent > 0 && weight > 0 => {
                (weight * one * u64::from(percent) / 100).max(1)
            }
            Some(_) => 0,
        }
    }
}

/// A percentage, or a number behind `weight=`.
fn weight(word: &str, max: u32) -> Option<AdvisedWeight> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_number)
    };
    if let Some(digits) = word.strip_suffix('%') {
        // More than the configured weight is as much as ten times it, at most.
        return number(digits).filter(|percent| *percent <= 1000).map(AdvisedWeight::Percent);
    }
    let digits = word.strip_prefix("weight=")?;
    number(digits).filter(|weight| *weight <= max).map(AdvisedWeight::Exactly)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Option<AdvisedRest>, Option<AdvisedWeight>)>) {
        let expected = expected.map(|(rest, weight)| Advice { rest, weight });
        assert_eq!(Advice::default().updated(text.as_bytes(), 1000), expected, "{text}");
    }

    #[test]
    fn words_are_those_of_agents() {
        use AdvisedRest::{Down, Drain, Maintenance};
        use AdvisedWeight::{Exactly, Percent};
        check("", Some((None, None)));
        check("up\n", Some((None, None)));
        check("75%\r\n", Some((None, Some(Percent(75)))));
        check("ready, 0%", Some((None, Some(Percent(0)))));
        check("drain", Some((Some(Drain), None)));
        check("DOWN # disk full, ask Bob", Some((Some(Down), None)));
        check("maint weight=30", Some((Some(Maintenance), Some(Exactly(30)))));
        for text in ["sideways", "1001%", "-1%", "%", "weight=", "weight=1001", "maxconn:3", "7"] {
            check(text, None);
        }
        check(&"up ".repeat(9), None);
        assert_eq!(Advice::default().updated(b"\xff", 1000), None);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["up", "drain 50%", "maint", "down weight=30", "up 0%"] {
            assert_eq!(Advice::default().updated(text.as_bytes(), 1000).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let advice = Advice::default().updated(b"drain 50%", 1000).unwrap();
        let after = advice.updated(b"20%", 1000).unwrap();
        assert_eq!(after.rest, Some(AdvisedRest::Drain));
        assert_eq!(after.updated(b"ready", 1000).unwrap().weight, Some(AdvisedWeight::Percent(20)));
    }

    #[test]
    fn a_part_of_a_small_weight_is_never_nothing() {
        let percent =
            |percent| Advice { weight: Some(AdvisedWeight::Percent(percent)), rest: None };
        assert_eq!(percent(50).apply(1, 16), 8);
        assert_eq!(percent(1).apply(1, 16), 1);
        assert_eq!(percent(0).apply(1, 16), 0);
        assert_eq!(percent(100).apply(0, 16), 0);
    }
}
