//! The JSON schema of a configuration file (draft 7, which editors of TOML know), made of the
//! declarations.

use crate::declare::{Absent, Kind, Setting, Table, Word};
use crate::read::ROOT;

/// The schema as one JSON document.
pub fn schema() -> String {
    let mut out = String::from(
        "{\n\"$schema\":\"http://json-schema.org/draft-07/schema#\",\n\"title\":\"fairwater.toml\",\n",
    );
    table(&ROOT, &mut out);
    out.push_str("\n}\n");
    out
}

/// The members of an object schema, without its braces.
fn table(table: &Table, out: &mut String) {
    out.push_str("\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (index, setting) in table.all().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        property(setting, out);
    }
    out.push('}');
    let is_required = |setting: &&'static Setting| matches!(setting.absent, Absent::Required);
    let required: Vec<_> = table.all().filter(is_required).collect();
    if !required.is_empty() {
        let names: Vec<_> = required.iter().map(|setting| quoted(setting.name)).collect();
        out.push_str(&format!(",\"required\":[{}]", names.join(",")));
    }
}

fn property(setting: &Setting, out: &mut String) {
    out.push_str(&format!(
        "{}:{{\"description\":{}",
        quoted(setting.name),
        quoted(setting.meaning)
    ));
    if let Absent::Default(value) = setting.absent {
        // Defaults are written so that TOML and JSON read the same.
        out.push_str(&format!(",\"default\":{value}"));
    }
    out.push(',');
    kind(&setting.kind, out);
    out.push('}');
}

fn kind(of: &Kind, out: &mut String) {
    match of {
        Kind::Boolean => out.push_str("\"type\":\"boolean\""),
        Kind::Integer { min, max } => {
            out.push_str(&format!("\"type\":\"integer\",\"minimum\":{min},\"maximum\":{max}"));
        }
        Kind::Duration { .. } => {
            // A variable may stand for any of it.
            out.push_str("\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h|d)$|\\\\$\\\\{\"");
        }
        Kind::Size { .. } => {
            out.push_str("\"type\":\"string\",\"pattern\":\"^[0-9]+([KMG]i?)?B$|\\\\$\\\\{\"");
        }
        Kind::Text(_) | Kind::Secret(_) => out.push_str("\"type\":\"string\""),
        Kind::Choice(words) => {
            out.push_str(&format!("\"type\":\"string\",\"enum\":[{}]", listed(words)));
        }
        Kind::WordOrText(words, _) => {
            out.push_str(&format!("\"type\":\"string\",\"examples\":[{}]", listed(words)));
        }
        Kind::OneOrMore(one) => {
            out.push_str("\"anyOf\":[{");
            kind(one, out);
            out.push_str("},{");
            list(one, out);
            out.push_str("}]");
        }
        Kind::List(one) => list(one, out),
        Kind::Either(one, other) => {
            out.push_str("\"anyOf\":[{");
            kind(one, out);
            out.push_str("},{");
            kind(other, out);
            out.push_str("}]");
        }
        Kind::Map(of) => {
            out.push_str("\"type\":\"object\",\"additionalProperties\":{");
            kind(of, out);
            out.push('}');
        }
        Kind::Table(of) => table(of, out),
        Kind::Named(of) => {
            out.push_str("\"type\":\"object\",\"additionalProperties\":{");
            table(of, out);
            out.push('}');
        }
    }
}

fn list(of: &Kind, out: &mut String) {
    out.push_str("\"type\":\"array\",\"minItems\":1,\"items\":{");
    kind(of, out);
    out.push('}');
}

fn listed(words: &[Word]) -> String {
    words.iter().map(|word| quoted(word.word)).collect::<Vec<_>>().join(",")
}

/// A text of ours, which has no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
