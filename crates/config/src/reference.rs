//! The reference of all settings, as Markdown: docs/configuration.md is this text.

use crate::declare::{Absent, Kind, Setting, Table, Word};
use crate::quantity;
use crate::read::ROOT;
use crate::reader::listed;

/// All settings with their types, defaults and meanings.
pub fn reference() -> String {
    let mut out = include_str!("../reference/head.md").to_owned();
    let mut written = Vec::new();
    write_table(&ROOT, &mut written, &mut out);
    for group in groups(&ROOT) {
        write_table(group, &mut written, &mut out);
    }
    out.push('\n');
    out.push_str(include_str!("../reference/tail.md"));
    out
}

/// The groups of settings that tables share, in the order of the tables that have them.
fn groups(table: &'static Table) -> Vec<&'static Table> {
    let mut found: Vec<&Table> = table.shared.to_vec();
    for below in table.settings.iter().flat_map(|setting| setting.kind.tables()) {
        for group in groups(below) {
            if !found.iter().any(|known| known.title == group.title) {
                found.push(group);
            }
        }
    }
    found
}

/// Writes a table and those below it, but none that is `written`: several settings may have the
/// same.
fn write_table(table: &'static Table, written: &mut Vec<&'static Table>, out: &mut String) {
    written.push(table);
    out.push_str(&format!("\n{}\n\n", heading(table.title)));
    out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    for setting in table.settings {
        let Setting { name, kind, absent, meaning, .. } = setting;
        let absent = match absent {
            Absent::Required => "required".to_owned(),
            Absent::Default(value) => format!("`{}`", value.trim_matches('"')),
            Absent::Otherwise(words) => (*words).to_owned(),
        };
        out.push_str(&format!("| `{name}` | {} | {absent} | {meaning} |\n", describe(kind)));
    }
    for group in table.shared {
        let anchor = group.title.to_lowercase().replace(' ', "-");
        out.push_str(&format!("\nAnd the settings under [{}](#{anchor}).\n", group.title));
    }
    if !table.notes.is_empty() {
        out.push('\n');
        out.push_str(table.notes);
    }
    for setting in table.settings {
        let words = setting.kind.words();
        if words.iter().any(|word| !word.meaning.is_empty()) {
            write_words(setting.name, words, out);
        }
        for below in setting.kind.tables() {
            if !written.iter().any(|other| std::ptr::eq(*other, below)) {
                write_table(below, written, out);
            }
        }
    }
}

/// Tables that a file writes in brackets are headings of their own; others belong to the one
/// above.
fn heading(title: &str) -> String {
    match title {
        "the top level" => "## The top level".to_owned(),
        "Filters" | "Path edits" | "The process" => format!("## {title}"),
        title if title.starts_with('[') => format!("## `{title}`"),
        title if title.contains(", ") => format!("### `{}`", title.replace(", ", "`, `")),
        title if title.contains(' ') => {
            let (first, rest) = title.split_at(1);
            format!("### {}{rest}", first.to_uppercase())
        }
        title => format!("### `{title}`"),
    }
}

fn write_words(name: &str, words: &[Word], out: &mut String) {
    out.push_str(&format!("\n### `{name}`\n\n| value | meaning |\n|---|---|\n"));
    for Word { word, meaning } in words {
        out.push_str(&format!("| `{word}` | {meaning} |\n"));
    }
}

fn describe(kind: &'static Kind) -> String {
    let either = |words: &'static [Word], last: &str| {
        listed(words.iter().map(|word| word.word)).replace(" and ", last)
    };
    match kind {
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer { min, max: u32::MAX } => format!("number, from {min}"),
        Kind::Integer { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { min_ms, max_ms } => {
            format!("duration, {} to {}", quantity::shown_ms(*min_ms), quantity::shown_ms(*max_ms))
        }
        Kind::Size { max: u64::MAX, .. } => "size".to_owned(),
        Kind::Size { min, max } => {
            format!("size, {} to {}", quantity::shown_bytes(*min), quantity::shown_bytes(*max))
        }
        Kind::Text(form) | Kind::Secret(form) => (*form).to_owned(),
        Kind::Choice(words) if words.iter().any(|word| !word.meaning.is_empty()) => {
            "a word, see below".to_owned()
        }
        Kind::Choice(words) => either(words, " or "),
        Kind::WordOrText(words, form) => format!("{}, or {form}", either(words, ", ")),
        Kind::OneOrMore(kind) => format!("{}, or a list of them", describe(kind)),
        Kind::List(Kind::Table(_)) => "list of tables".to_owned(),
        Kind::List(kind) => format!("list of {}", plural(kind)),
        Kind::Either(one, other) => format!("{} or {}", describe(one), describe(other)),
        Kind::Table(_) => "table".to_owned(),
        Kind::Map(kind) => format!("table of {}", plural(kind)),
        Kind::Named(_) => "table of tables".to_owned(),
    }
}

fn plural(kind: &'static Kind) -> String {
    match kind {
        Kind::Either(one, other) => format!("{} or {}", plural(one), plural(other)),
        Kind::Table(_) => "tables".to_owned(),
        Kind::Text(form @ ("address" | "hash")) => format!("{form}es"),
        Kind::OneOrMore(kind) => format!("{}, or lists of them", plural(kind)),
        Kind::Boolean => "true or false".to_owned(),
        kind => format!("{}s", describe(kind)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use toml::de::{DeTable, DeValue};

    use super::*;
    use crate::model::Config;

    fn read(text: &str) -> Config {
        let (config, diagnostics) = crate::parse("f", text.as_bytes());
        config.unwrap_or_else(|| panic!("{text}\n{}", crate::render(&diagnostics)))
    }

    /// A file with every table, and `line` in the one of this title.
    fn file(title: &str, setting: &Setting, line: &str) -> String {
        let at = |place: &str| if place == title { line } else { "" };
        let is_of = |protocol: &str| setting.meaning.starts_with(&format!("`{protocol}` "));
        let address = if setting.name == "address" { "" } else { "address = \"port\"" };
        let address = if title == "[apps.NAME]" { address } else { "address = \"port\"" };
        let run_dir = if title == "[apps.NAME]" { "run_dir = \"/run/a\"" } else { "" };
        let protocol = match setting.name {
            "tls_min_version" => "tls = \"dev\"",
            _ if is_of("tcp") => "protocol = \"tcp\"",
            _ if is_of("framed") => "protocol = \"framed\"\nframe = \"line\"",
            _ if is_of("udp") => "protocol = \"udp\"",
            _ => "",
        };
        let health = match title {
            "[upstreams.NAME.health]" => {
                let kind = match setting.name {
                    "type" => "",
                    "send" => "type = \"bytes\"\nexpect = \"x\"",
                    "expect" => "type = \"bytes\"",
                    "service" => "type = \"grpc\"",
                    _ => "type = \"http\"",
                };
                format!("[upstreams.app.health]\n{kind}\n{line}")
            }
            "[upstreams.NAME.agent]" => {
                let port = if setting.name == "port" { "" } else { "port = 1" };
                format!("[upstreams.app.agent]\n{port}\n{line}")
            }
            "[upstreams.NAME.outlier]" => format!("[upstreams.app.outlier]\n{line}"),
            _ => String::new(),
        };
        format!(
            "{run_dir}\n{}\n[access_log]\n{}\n[admin]\n{}\n[resolver]\n{}\n[overload]\n{}\n[listeners.x]\nbind = \":1\"\nupstream = \"app\"\n\
             {protocol}\n{}\n[[routes]]\nlistener = \"web\"\nupstream = \"app\"\n{}\n\
             [listeners.web]\nbind = \":2\"\n\
             [upstreams.app]\nendpoints = [{{ address = \"a:1\", {} }}]\n{}\n{health}\n\
             [apps.php]\ncommand = [\"php\"]\n{address}\n{}\n\
             [rate_limits.per-client]\nrate = \"1/s\"\n{}\n",
            at("the top level"),
            at("[access_log]"),
            at("[admin]"),
            at("[resolver]"),
            at("[overload]"),
            at("[listeners.NAME]"),
            at("[[routes]]"),
            at("an endpoint"),
            at("[upstreams.NAME]"),
            at("[apps.NAME]"),
            at("[rate_limits.NAME]"),
        )
    }

    fn every_setting() -> Vec<(&'static str, &'static Setting)> {
        let mut tables = vec![&ROOT];
        let mut settings = Vec::new();
        while let Some(table) = tables.pop() {
            settings.extend(table.settings.iter().map(|setting| (table.title, setting)));
            tables.extend(table.settings.iter().flat_map(|setting| setting.kind.tables()));
        }
        settings
    }

    /// Marks what of `table` is written in `entries`.
    fn mark(
        table: &'static Table,
        entries: &DeTable<'_>,
        seen: &mut HashSet<(&'static str, &'static str)>,
    ) {
        for (key, value) in entries {
            let Some(setting) = table.setting(key.get_ref()) else { continue };
            seen.insert((table.title, setting.name));
            let is_named = matches!(setting.kind, Kind::Named(_));
            for inner in setting.kind.tables() {
                for entries in tables_in(value.get_ref(), is_named) {
                    mark(inner, entries, seen);
                }
            }
        }
    }

    fn tables_in<'t>(value: &'t DeValue<'t>, is_named: bool) -> Vec<&'t DeTable<'t>> {
        match value {
            DeValue::Table(named) if is_named => {
                named.values().filter_map(|value| value.get_ref().as_table()).collect()
            }
            DeValue::Table(table) => vec![table],
            DeValue::Array(list) => {
                list.iter().filter_map(|value| value.get_ref().as_table()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// It is a seed of the fuzz target as well, which could not reach the reader of a setting that
    /// no seed has.
    #[test]
    fn the_golden_file_of_every_setting_has_every_setting() {
        let text = include_str!("../tests/golden/every_setting.toml");
        let mut seen = HashSet::new();
        mark(&ROOT, DeTable::parse(text).unwrap().get_ref(), &mut seen);
        for (title, setting) in every_setting() {
            assert!(seen.contains(&(title, setting.name)), "{title} {} is not there", setting.name);
        }
    }

    #[test]
    fn a_default_is_what_holds_without_it() {
        for (title, setting) in every_setting() {
            let Absent::Default(value) = setting.absent else { continue };
            let with = read(&file(title, setting, &format!("{} = {value}", setting.name)));
            let without = read(&file(title, setting, ""));
            let shown = |config: &Config| {
                let text = format!("{config:?}");
                // Where something stands is all that may differ.
                text.split("Span { file: ")
                    .map(|part| part.split_once(" }").map_or(part, |(_, rest)| rest).to_owned())
                    .collect::<String>()
            };
            assert_eq!(shown(&with), shown(&without), "{title} {}", setting.name);
        }
    }

    #[test]
    fn examples_are_right() {
        for (title, setting) in every_setting() {
            assert!(setting.meaning.len() > 4, "{title} {}", setting.name);
            let is_table = !setting.kind.tables().is_empty() && setting.name != "on_error";
            if is_table || matches!(setting.absent, Absent::Required) {
                continue;
            }
            let example = setting.example;
            assert!(example.starts_with(&format!("{} = ", setting.name)), "{example}");
            let reads_files = ["include", "tls_ticket_keys"].contains(&setting.name);
            if !reads_files && setting.name != "upstream" && title != "on_error" {
                read(&file(title, setting, example));
            }
        }
    }
}
