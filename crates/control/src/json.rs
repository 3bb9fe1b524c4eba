//! JSON as it is written here: small documents, each made in one go.

use std::fmt::Display;

/// A JSON string.
pub(crate) fn text(value: impl Display) -> String {
    let value = value.to_string();
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An object of members whose values are JSON already.
pub(crate) fn object(members: &[(&str, String)]) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// A list of values that are JSON already.
pub(crate) fn list(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<_> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        assert_eq!(text("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
        let inner = list([text("x"), "1".to_owned()]);
        assert_eq!(object(&[("a", inner), ("b", "null".to_owned())]), r#"{"a":["x",1],"b":null}"#);
    }
}
