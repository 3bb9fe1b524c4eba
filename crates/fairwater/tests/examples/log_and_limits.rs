//! Limits and fields of the access log, as the source names them.

use std::fs;
use std::path::{Path, PathBuf};

use fairwater_message::log::LogField;
use fairwater_message::secret::SECRET_PARAMETERS;

use crate::markdown::{blocks, names, rows, section};
use crate::{read, root};

/// The crates that serve traffic; what limits the tools is their own affair.
const CRATES: &[&str] = &[
    "config",
    "control",
    "fairwater",
    "message",
    "net",
    "password",
    "plan",
    "proto",
    "supervisor",
    "sys",
    "telemetry",
    "worker",
];

/// A constant of a source file, with the text of its value.
struct Constant {
    name: String,
    value: String,
}

/// The constants of a file that are not within functions.
fn constants(source: &str) -> Vec<Constant> {
    let parse = |line: &str| {
        let visible = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "));
        let (name, rest) = visible.unwrap_or(line).strip_prefix("const ")?.split_once(": ")?;
        let (_, value) = rest.split_once(" = ")?;
        let value = value.trim_end_matches(';').to_owned();
        Some(Constant { name: name.to_owned(), value })
    };
    source.lines().filter_map(parse).collect()
}

/// How the document writes a value; `None` for one that is not a plain number or time.
fn shown(value: &str) -> Option<String> {
    let argument = |call: &str| {
        value.strip_prefix(call)?.strip_prefix('(')?.strip_suffix(')')?.parse::<u64>().ok()
    };
    if let Some(ms) = argument("Duration::from_millis") {
        return Some(format!("{ms} ms"));
    }
    if let Some(seconds) = argument("Duration::from_secs") {
        return Some(match seconds {
            _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
            _ if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
            _ => format!("{seconds} s"),
        });
    }
    for (factor, unit) in [(" * 1024 * 1024", "MiB"), (" * 1024", "KiB")] {
        if let Some(count) = value.strip_suffix(factor) {
            return count.parse::<u64>().ok().map(|count| format!("{count} {unit}"));
        }
    }
    value.replace('_', "").parse::<u64>().ok().map(|number| number.to_string())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn limits_are_documented_with_their_values() {
    let document = read("docs/limits.md");
    let rows = rows(&document);
    let mut files = Vec::new();
    for name in CRATES {
        sources(&root().join("crates").join(name).join("src"), &mut files);
    }
    let mut count = 0;
    for file in files {
        let is_all = file.ends_with("worker/src/limits.rs");
        let source = fs::read_to_string(&file).unwrap();
        let limits = constants(&source).into_iter();
        for Constant { name, value } in limits.filter(|one| is_all || one.name.ends_with("_MAX")) {
            count += 1;
            let row = rows.iter().find(|row| row[0].trim_matches('`') == name);
            let row = row.unwrap_or_else(|| panic!("{} {name} has no row", file.display()));
            if let Some(shown) = shown(&value) {
                assert_eq!(row[1], shown, "{name}");
            }
        }
    }
    assert!(count > 50, "only {count} limits were found");
}

#[test]
fn limits_that_are_documented_exist() {
    let mut files = Vec::new();
    for name in CRATES {
        sources(&root().join("crates").join(name).join("src"), &mut files);
    }
    let sources: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for name in names(&read("docs/limits.md")) {
        let declared = format!("const {name}: ");
        assert!(sources.iter().any(|source| source.contains(&declared)), "there is no {name}");
    }
}

#[test]
fn log_fields_are_documented_in_their_order() {
    let source = read("crates/telemetry/src/line.rs");
    let (_, rest) = source.split_once(" fn write_json(").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    // Between quotes, escaped or not, stand names of fields and punctuation.
    let body = body.replace("\\\"", "\"");
    let is_name = |part: &&str| {
        part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut fields: Vec<_> = body.split('"').filter(is_name).collect();
    fields.dedup();
    let document = read("docs/access-log.md");
    assert_eq!(names(section(&document, "## JSON")), fields);
}

#[test]
fn fields_of_templates_are_documented() {
    let document = read("docs/access-log.md");
    let mut documented = names(section(&document, "## JSON"));
    documented.extend(names(section(&document, "## Template")));
    for field in LogField::ALL {
        let count = documented.iter().filter(|name| **name == field.name()).count();
        assert_eq!(count, 1, "{}", field.name());
    }
    assert_eq!(documented.len(), LogField::ALL.len() + 2, "and headers of both kinds");
}

#[test]
fn what_is_hidden_is_documented() {
    let document = read("docs/access-log.md");
    let blocks = blocks(section(&document, "## Secrets"));
    let names: Vec<_> = blocks[0].text.split_whitespace().collect();
    assert_eq!(names, SECRET_PARAMETERS);
}
