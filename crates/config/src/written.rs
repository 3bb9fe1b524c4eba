//! A configuration as it was written, all files as one, with the defaults that hold for the rest:
//! JSON for people and programs that ask what is in force. What a variable stands for is not told.

use fairwater_message::secret::is_secret_header;
use toml::de::{DeTable, DeValue};

use crate::declare::{Absent, Kind, Setting, Table};
use crate::read::{OF_CONNECTIONS, ROOT};

/// The files so far.
#[derive(Debug, Default)]
pub(crate) struct Written(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    /// JSON already.
    Scalar(String),
    List(Vec<Self>),
    Table(Vec<(String, Self)>),
}

impl Written {
    /// Adds a file. What two files must not both have has been reported.
    pub(crate) fn add(&mut self, root: &DeTable<'_>) {
        for (key, value) in entries(root) {
            let before = self.0.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value);
            match (before, value) {
                // Its files are all here.
                _ if key == "include" => {}
                (Some(Value::List(ours)), Value::List(more)) => ours.extend(more),
                (Some(Value::Table(ours)), Value::Table(more)) => ours.extend(more),
                (Some(ours), other) => *ours = other,
                (None, value) => self.0.push((key, value)),
            }
        }
    }

    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        object(&ROOT, &self.0, true, &mut out);
        out
    }
}

fn entries(table: &DeTable<'_>) -> Vec<(String, Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), Value::of(value.get_ref()))
    };
    entries.into_iter().map(entry).collect()
}

impl Value {
    fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Scalar(quoted(&without_userinfo(text))),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default();
                Self::Scalar(read.to_string())
            }
            DeValue::Boolean(value) => Self::Scalar(value.to_string()),
            // No setting takes these; they are not here if the file is good.
            DeValue::Float(_) | DeValue::Datetime(_) => Self::Scalar("null".to_owned()),
            DeValue::Array(values) => {
                Self::List(values.iter().map(|value| Self::of(value.get_ref())).collect())
            }
            DeValue::Table(table) => Self::Table(entries(table)),
        }
    }
}

/// Writes a table with its settings in the order of their declaration.
fn object(table: &Table, values: &[(String, Value)], is_root: bool, out: &mut String) {
    out.push('{');
    let start = out.len();
    for setting in table.all() {
        let before = out.len();
        if before > start {
            out.push(',');
        }
        let value = values.iter().find(|(name, _)| name == setting.name).map(|(_, value)| value);
        if !member(setting, value, values, is_root, out) {
            out.truncate(before);
        }
    }
    out.push('}');
}

/// Writes a setting; nothing if there is nothing to say.
fn member(
    setting: &Setting,
    value: Option<&Value>,
    beside: &[(String, Value)],
    is_root: bool,
    out: &mut String,
) -> bool {
    out.push_str(&quoted(setting.name));
    out.push(':');
    match (value, &setting.absent, &setting.kind) {
        (Some(value), _, kind) => written(kind, value, out),
        (None, Absent::Default(text), _) if applies(setting, beside) => out.push_str(text),
        // A table of the top level has its defaults without being written.
        (None, _, Kind::Table(table)) if is_root => {
            let before = out.len();
            object(table, &[], false, out);
            return out.len() > before + 2;
        }
        _ => return false,
    }
    true
}

/// Whether a setting of listeners for some protocols means anything to this one.
fn applies(setting: &Setting, beside: &[(String, Value)]) -> bool {
    let written = beside.iter().find_map(|(name, value)| match value {
        Value::Scalar(text) if name == "protocol" => Some(text.trim_matches('"')),
        _ => None,
    });
    let protocol = written.unwrap_or("http");
    if protocol == "udp" && OF_CONNECTIONS.contains(&setting.name) {
        return false;
    }
    let Some((owners, _)) = setting.meaning.split_once(" only") else { return true };
    let mut owners = owners.split(" and ").map(|owner| owner.trim_matches('`'));
    let is_protocol = |owner: &str| matches!(owner, "http" | "tcp" | "framed" | "udp");
    if !owners.clone().all(is_protocol) {
        return true;
    }
    owners.any(|owner| owner == protocol)
}

fn written(kind: &Kind, value: &Value, out: &mut String) {
    match (kind, value) {
        (Kind::Secret(_) | Kind::Either(Kind::Secret(_), _), _) => out.push_str("\"***\""),
        (Kind::OneOrMore(kind), Value::Scalar(_)) => written(kind, value, out),
        (_, Value::Scalar(json)) => out.push_str(json),
        (Kind::OneOrMore(kind) | Kind::List(kind), Value::List(values)) => {
            list(values.iter().map(|value| (*kind, value)), out);
        }
        (_, Value::List(values)) => list(values.iter().map(|value| (kind, value)), out),
        (Kind::Table(table), Value::Table(values)) => object(table, values, false, out),
        (Kind::Either(one, other), Value::Table(_)) => {
            let is_table = |kind: &Kind| !kind.tables().is_empty();
            written(if is_table(one) { one } else { other }, value, out);
        }
        (Kind::OneOrMore(kind), Value::Table(_)) => written(kind, value, out),
        (kind, Value::Table(values)) => {
            out.push('{');
            for (index, (name, value)) in values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&quoted(name));
                out.push(':');
                match kind {
                    Kind::Map(_) if is_told_secret(name, value) => out.push_str("\"***\""),
                    Kind::Named(table) => written(&Kind::Table(table), value, out),
                    Kind::Map(kind) => written(kind, value, out),
                    kind => written(kind, value, out),
                }
            }
            out.push('}');
        }
    }
}

/// Whether a header that opens doors stands there with its value, and not with a variable for it.
fn is_told_secret(name: &str, value: &Value) -> bool {
    let is_text =
        matches!(value, Value::Scalar(json) if json.starts_with('"') && !json.contains("${"));
    is_text && is_secret_header(name)
}

fn list<'v>(values: impl Iterator<Item = (&'v Kind, &'v Value)>, out: &mut String) {
    out.push('[');
    for (index, (kind, value)) in values.enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        written(kind, value, out);
    }
    out.push(']');
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `https://user:password@host/` with stars for who it is.
fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(['/', '?', '#', ' ', '"']).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                out.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the files make has all of these parts.
    fn check(files: &[&str], parts: &[&str]) {
        let mut written = Written::default();
        for file in files {
            written.add(DeTable::parse(file).unwrap().get_ref());
        }
        let json = written.json();
        parts.iter().for_each(|part| assert!(json.contains(part), "{part}: {json}"));
    }

    #[test]
    fn defaults_hold_for_what_is_not_written() {
        check(&[""], &[r#""access_log":{"format":"json""#]);
        let listener = |protocol: &str| {
            format!("listeners.a = {{ bind = ':1', protocol = '{protocol}', upstream = 'x' }}")
        };
        let tcp = r#""protocol":"tcp","upstream":"x","half_close_timeout":"30s","backlog":4096"#;
        check(&[&listener("tcp")], &[tcp]);
        let framed = r#""mode":"exchange","pipeline":1,"max_inflight":1,"#;
        check(&[&listener("framed")], &[r#""upstream":"x","body_timeout":"30s""#, framed]);
        let udp = r#""protocol":"udp","upstream":"x","freebind":false,"max_flows":8192}"#;
        check(&[&listener("udp")], &[udp]);
        check(&[&listener("http")], &[r#""upstream":"x","#, r#""max_hops":10"#]);
        let auth = "listeners.a = { basic_auth = { users = { ada = '$2y$10$x' }, realm = 'r' } }";
        check(&[auth], &[r#""basic_auth":{"users":{"ada":"***"},"realm":"r""#]);
        let endpoints = "upstreams.a.endpoints = ['b:1', { address = 'c:1' }]";
        let shown =
            r#""endpoints":["b:1",{"address":"c:1","weight":1,"backup":false,"priority":0}]"#;
        check(&[endpoints], &[shown, r#""connect_timeout":"2s""#]);
    }

    #[test]
    fn files_are_put_together() {
        check(
            &[
                "include = 'x'\nthreads = 0x10\naccess_log.format = 'off'\nlisteners.b = {}\n\
                 [[routes]]\npath = '/b'",
                "listeners.a = { idle = 'client' }\n[[routes]]\npath = '/a'\nquery = { q = true }",
            ],
            &[
                r#"{"threads":16,"#,
                r#""access_log":{"format":"off""#,
                r#""listeners":{"b":{"protocol":"http","#,
                r#""a":{"protocol":"http","http2":true,"idle":"client","#,
                r#""routes":[{"path":"/b"},{"path":"/a","query":{"q":true}}]"#,
            ],
        );
    }

    #[test]
    fn secrets_are_not_told() {
        let headers = "'x-api-key' = 'a', cookie = 'b${C}', x-tier = 'gold'";
        let file = format!("[[routes]]\nrequest_headers = {{ set = {{ {headers} }} }}");
        let shown = r#"{"x-api-key":"***","cookie":"b${C}","x-tier":"gold"}"#;
        check(&[&file], &[shown]);
        for login in ["'AUTH x'", "{ hex = '00' }"] {
            let file = format!("[upstreams.a]\non_connect = {{ send = {login}, expect = '+OK' }}");
            check(&[&file], &[r#""on_connect":{"send":"***","expect":"+OK"}"#]);
        }
        for (secret, shown) in [("'a'", "\"***\""), ("['a', 'b']", "[\"***\",\"***\"]")] {
            let file = format!("[upstreams.a]\nsticky = {{ secret = {secret} }}");
            check(&[&file], &[&format!("\"secret\":{shown}")]);
        }
        for (text, expected) in [
            ("Bearer ${TOKEN}", "Bearer ${TOKEN}"),
            ("https://me:secret@a.example/x@y", "https://***@a.example/x@y"),
            ("https://a.example/x@y", "https://a.example/x@y"),
            ("a://b@c d://e:f@g", "a://***@c d://***@g"),
            ("me@a.example", "me@a.example"),
        ] {
            assert_eq!(without_userinfo(text), expected);
        }
    }
}
