//! Lines of the access log: flat JSON objects.

use std::collections::BTreeMap;
use std::time::Duration;

/// One line: names and values, all as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(BTreeMap<String, String>);

impl Line {
    /// The value, or an empty text.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A number, or 0.
    pub fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// Who waits for room waits for no endpoint and for no network: so long he did, and it all
    /// fits into the whole.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn assert_waited(&self, at_least: Duration) {
        let times = ["queue_us", "connect_us", "response_us", "total_us"];
        let [queue, connect, response, total] = times.map(|name| self.number(name));
        assert!(u128::from(queue) >= at_least.as_micros(), "{self:?}");
        assert!(!self.get("connect_us").is_empty(), "{self:?}");
        assert!(queue + connect + response <= total, "{self:?}");
    }

    /// # Errors
    /// Says what is no flat JSON object in pure ASCII.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text.strip_suffix('\n').unwrap_or(text) };
        let mut line = Self::default();
        parser.expect("{")?;
        while !parser.rest.starts_with('}') {
            if !line.0.is_empty() {
                parser.expect(",")?;
            }
            let name = parser.string()?;
            parser.expect(":")?;
            let value = parser.value()?;
            if line.0.insert(name.clone(), value).is_some() {
                return Err(format!("{name} twice: {text}"));
            }
        }
        parser.expect("}")?;
        if parser.rest.is_empty() { Ok(line) } else { Err(format!("more than an object: {text}")) }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(text).ok_or(format!("no {text} at {}", self.rest))?;
        Ok(())
    }

    fn value(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return self.string();
        }
        let end = self.rest.find([',', '}']).ok_or("no end of a value")?;
        let (value, rest) = self.rest.split_at(end);
        let is_known = matches!(value, "true" | "false" | "null") || value.parse::<f64>().is_ok();
        self.rest = rest;
        if is_known { Ok(value.to_owned()) } else { Err(format!("value {value}")) }
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => out.push(escape(&mut chars)?),
                Some(c @ ' '..='~') => out.push(c),
                other => return Err(format!("{other:?} in a string")),
            }
        }
        self.rest = chars.as_str();
        Ok(out)
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    match chars.next() {
        Some('u') => {
            let digits: String = chars.by_ref().take(4).collect();
            let code = u32::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
            char::from_u32(code).ok_or(format!("escape {digits}"))
        }
        Some(c @ ('"' | '\\' | '/')) => Ok(c),
        other => Err(format!("escape {other:?}")),
    }
}
