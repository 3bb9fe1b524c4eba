//! Parameters of requests, as forms and query strings have them: `weight=3&state=drain`.

use fairwater_config::{WEIGHT_DEFAULT, WEIGHT_MAX};

use crate::changes::{RESTS, Rest};
use crate::problem::Problem;

/// What a request asks for; what it does not mention is left as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub address: Option<String>,
    pub weight: Option<Wish<u16>>,
    pub state: Option<Wish<Rest>>,
    /// Whether it survives reloads and restarts.
    pub persist: bool,
}

/// A value, or none of its own any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish<T> {
    Value(T),
    AsConfigured,
}

impl<T> Wish<T> {
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::AsConfigured => None,
        }
    }
}

impl Form {
    /// What it sets, as it is asked for, and for how long.
    pub(crate) fn words(&self) -> String {
        let weight = self.weight.map(|wish| match wish.value() {
            Some(weight) => format!("weight={weight}"),
            None => "weight=default".to_owned(),
        });
        let state = self.state.map(|wish| {
            let word = |rest| RESTS.iter().find(|(_, one)| *one == rest).map(|(word, _)| *word);
            format!("state={}", wish.value().and_then(word).unwrap_or("active"))
        });
        let set: Vec<String> = weight.into_iter().chain(state).collect();
        let colon = if set.is_empty() { "" } else { ": " };
        let span = if self.persist { "to stay" } else { "until the next reload" };
        format!("{colon}{}, {span}", set.join(" "))
    }

    /// Reads the query of the target and the body, which count the same.
    ///
    /// # Errors
    /// Which parameter is wrong, and what to write.
    pub(crate) fn parse(query: &str, body: &str) -> Result<Self, Problem> {
        let mut form = Self::default();
        let pairs = query.split('&').chain(body.trim_end().split('&'));
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(&value.replace('+', " "))?;
            match name {
                "address" => form.address = Some(value),
                "weight" => form.weight = Some(weight(&value)?),
                "state" => form.state = Some(state(&value)?),
                "persist" => form.persist = boolean(&value)?,
                _ => {
                    return Err(Problem::bad(
                        format!("there is no parameter `{name}`"),
                        "the parameters are `address`, `weight`, `state` and `persist`, \
                         as in -d weight=3",
                    ));
                }
            }
        }
        Ok(form)
    }
}

fn weight(value: &str) -> Result<Wish<u16>, Problem> {
    if value == "default" {
        return Ok(Wish::AsConfigured);
    }
    match value.parse() {
        Ok(weight) if weight <= WEIGHT_MAX => Ok(Wish::Value(weight)),
        _ => Err(Problem::bad(
            format!("`weight` cannot be `{value}`"),
            format!(
                "write a number from 0 to {WEIGHT_MAX}, or `default` for that of the \
                 configuration ({WEIGHT_DEFAULT} without one)"
            ),
        )),
    }
}

fn state(value: &str) -> Result<Wish<Rest>, Problem> {
    if value == "active" {
        return Ok(Wish::AsConfigured);
    }
    let found = RESTS.iter().find(|(word, _)| *word == value);
    found.map(|(_, rest)| Wish::Value(*rest)).ok_or_else(|| {
        let help = "the states are `active`, `drain` and `maintenance`";
        Problem::bad(format!("`state` cannot be `{value}`"), help)
    })
}

fn boolean(value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::bad(format!("`persist` cannot be `{value}`"), "write `true` or `false`")),
    }
}

/// Text with its `%2F` read.
///
/// # Errors
/// When an escape is none, or what it makes is no text.
pub(crate) fn decoded(text: &str) -> Result<String, Problem> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        // `from_str_radix` would take a sign.
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                let help = "write `%` itself as `%25`";
                return Err(Problem::bad(format!("`{text}` has a broken escape"), help));
            }
        }
    }
    String::from_utf8(out).map_err(|_| {
        Problem::bad(format!("`{text}` is not UTF-8"), "escape the bytes of UTF-8 text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_from_query_and_body() {
        let form = Form::parse("persist=true", "address=unix%3A%2Frun%2Fa+b.sock&weight=3\n");
        let expected = Form {
            address: Some("unix:/run/a b.sock".to_owned()),
            weight: Some(Wish::Value(3)),
            state: None,
            persist: true,
        };
        let form = form.unwrap();
        assert_eq!((form.words(), form), (": weight=3, to stay".to_owned(), expected));
        let form = Form::parse("", "state=drain&weight=default&persist").unwrap();
        assert_eq!(form.words(), ": weight=default state=drain, to stay");
        assert_eq!(form.state, Some(Wish::Value(Rest::Drain)));
        assert_eq!((form.weight, form.persist), (Some(Wish::AsConfigured), true));
        assert_eq!(Form::parse("", "").unwrap(), Form::default());
        assert_eq!(Form::default().words(), ", until the next reload");
        let form = Form { state: Some(Wish::AsConfigured), ..Form::default() };
        assert_eq!(form.words(), ": state=active, until the next reload");
    }

    #[test]
    fn wrong_parameters_are_told_what_to_write() {
        for (form, problem) in [
            ("wieght=1", "there is no parameter `wieght`"),
            ("weight=1001", "`weight` cannot be `1001`"),
            ("weight=-1", "`weight` cannot be `-1`"),
            ("state=up", "`state` cannot be `up`"),
            ("persist=maybe", "`persist` cannot be `maybe`"),
            ("address=%", "`%` has a broken escape"),
            ("address=%+1", "`% 1` has a broken escape"),
            ("address=%ff", "`%ff` is not UTF-8"),
        ] {
            assert_eq!(Form::parse(form, "").unwrap_err().error, problem);
        }
    }
}
