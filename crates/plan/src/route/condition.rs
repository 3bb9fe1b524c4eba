//! What a route asks of a request beside its host and path.

use std::net::IpAddr;

use fairwater_message::network::IpNet;
use fairwater_message::{HeaderName, RequestHead, target};

use crate::filter::preflight;

/// All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conditions(pub Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// One of these methods, as they are written.
    Method(Vec<String>),
    /// The same, or a browser asks whether it may send one of these.
    MethodOrPreflight(Vec<String>),
    Header {
        name: HeaderName,
        value: ValueRule,
    },
    /// A parameter of the query.
    Query {
        name: String,
        value: ValueRule,
    },
    /// The client's address is in one of these networks; one without an address is in none.
    Client(Vec<IpNet>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueRule {
    Present,
    Absent,
    /// One of the values is this one.
    Is(String),
}

/// A request, as far as routes look at it.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub head: &'a RequestHead,
    pub bytes: &'a [u8],
    /// Asked only if a route depends on it: to know the client may cost a look into its headers.
    pub client: &'a dyn Fn() -> Option<IpAddr>,
}

impl Conditions {
    pub(super) fn hold(&self, facts: Facts<'_>) -> bool {
        self.0.iter().all(|condition| condition.holds(facts))
    }
}

impl Condition {
    fn holds(&self, facts: Facts<'_>) -> bool {
        let Facts { head, bytes, client } = facts;
        match self {
            Self::Method(methods) => has_method(methods, head.method_span.of(bytes)),
            Self::MethodOrPreflight(methods) => {
                let asked = preflight(head, bytes).unwrap_or(head.method_span.of(bytes));
                has_method(methods, asked)
            }
            Self::Header { name, value } => value.holds(values_of(name, head, bytes)),
            Self::Query { name, value } => {
                let query = target::query_of(head.path.of(bytes));
                value.holds(parameters(query, name.as_bytes()))
            }
            Self::Client(networks) => {
                client().is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
            }
        }
    }
}

/// A route for GET answers HEAD as well (RFC 9110, section 9.3.2).
fn has_method(methods: &[String], method: &[u8]) -> bool {
    let has = |method: &[u8]| methods.iter().any(|known| known.as_bytes() == method);
    has(method) || (method == b"HEAD" && has(b"GET"))
}

impl ValueRule {
    fn holds<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Is(expected) => values.any(|value| value.as_ref() == expected.as_bytes()),
        }
    }
}

/// Also of fields that some servers read as this one: nobody shall take another route than the one
/// that is for what the endpoint reads.
fn values_of<'a>(
    name: &'a HeaderName,
    head: &'a RequestHead,
    bytes: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields.iter().filter(move |field| name.covers(field, bytes));
    fields.map(|field| field.value.of(bytes))
}

/// The values of one parameter, decoded.
fn parameters<'a>(query: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Vec<u8>> {
    let pairs = query.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
    pairs.filter_map(move |pair| {
        let (key, value) = match pair.iter().position(|&b| b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        (decoded(key) == name).then(|| decoded(value))
    })
}

/// As HTML forms encode it: escapes, and `+` for a blank.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escaped = match text.get(at + 1..at + 3) {
            Some([high, low]) if byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        at += if escaped.is_some() { 3 } else { 1 };
        out.push(match (escaped, byte) {
            (Some((high, low)), _) => high << 4 | low,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_may_repeat() {
        let values = |query: &str, name: &str| -> Vec<String> {
            parameters(query.as_bytes(), name.as_bytes())
                .map(|value| String::from_utf8(value).unwrap())
                .collect()
        };
        assert_eq!(values("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(values("a", "a"), [""]);
        assert_eq!(values("%61=x%20y+z%2", "a"), ["x y z%2"]);
        assert_eq!(values("", ""), [""; 0]);
        assert_eq!(values("&&=1", ""), ["1"]);
        assert_eq!(values("aa=1&A=2", "a"), [""; 0]);
    }
}
