//! What is said to a setting that its table has not.

use crate::declare::{Setting, Table};
use crate::foreign;
use crate::read;
use crate::reader::listed;
use crate::suggest::nearest;

/// More names than this make a help line unreadable.
const SETTINGS_LISTED_MAX: usize = 12;
/// More tables than this that have a setting say nothing about where it belongs.
const TABLES_LISTED_MAX: usize = 4;
/// Shorter words, such as `max`, make names look alike that are not.
const WORD_CHARS_MIN: usize = 4;

/// What to do about a name in a table that is called `title` and declared like this.
pub(crate) fn help(name: &str, title: &str, declared: &'static Table) -> String {
    if let Some(ours) = foreign::setting(name) {
        return ours;
    }
    // One letter off is a slip, even if another table has the very name.
    let near = nearest(name, declared.names());
    if let Some(known) = near.filter(|known| is_a_slip(name, known)) {
        return format!("did you mean `{known}`?");
    }
    if let Some(help) = elsewhere(name, declared) {
        return help;
    }
    if let Some(known) = near {
        return format!("did you mean `{known}`?");
    }
    let count = declared.names().count();
    if count <= SETTINGS_LISTED_MAX {
        return format!("the settings of {title} are {}", listed(declared.names()));
    }
    let alike = |other: &&str| words(name).any(|word| words(other).any(|of| of == word));
    let alike: Vec<_> = declared.names().filter(alike).take(SETTINGS_LISTED_MAX).collect();
    match alike.is_empty() {
        true => format!("docs/configuration.md has the {count} settings of {title}"),
        false => format!(
            "names like it in {title} are {}; docs/configuration.md has all {count}",
            listed(alike)
        ),
    }
}

fn is_a_slip(name: &str, known: &str) -> bool {
    name.len().abs_diff(known.len()) <= 1 && name.chars().next() == known.chars().next()
}

/// The words of a name that tell something.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['_', '-', '.']).filter(|word| word.chars().count() >= WORD_CHARS_MIN)
}

/// Where a setting belongs: to a table inside this one, or else to any.
fn elsewhere(name: &str, declared: &'static Table) -> Option<String> {
    let mut homes = homes(name, declared);
    if homes.is_empty() {
        homes = self::homes(name, &read::ROOT);
    }
    let (_, setting) = *homes.first()?;
    if homes.len() > TABLES_LISTED_MAX {
        return None;
    }
    let mut titles: Vec<_> = homes.iter().map(|(title, _)| shown(title)).collect();
    titles.dedup();
    let example = match homes[0].0 {
        ENDPOINT => format!("endpoints = [{{ address = \"HOST:PORT\", {} }}]", setting.example),
        _ => setting.example.to_owned(),
    };
    Some(format!("`{name}` belongs to {}, as in `{example}`", titles.join(" or ")))
}

const ENDPOINT: &str = "an endpoint";

/// As a heading, or as the setting whose value is the table.
fn shown(title: &str) -> String {
    let is_a_name = |c: char| c.is_ascii_lowercase() || c == '_';
    match title.chars().all(is_a_name) {
        true => format!("`{title}`"),
        false => title.to_owned(),
    }
}

/// The tables that have a setting, from one on downwards.
fn homes(name: &str, from: &'static Table) -> Vec<(&'static str, &'static Setting)> {
    let mut found = Vec::new();
    let mut tables = vec![from];
    while let Some(table) = tables.pop() {
        found.extend(table.setting(name).map(|setting| (table.title, setting)));
        // The first one is looked at first.
        let below: Vec<_> = table.all().flat_map(|setting| setting.kind.tables()).collect();
        tables.extend(below.into_iter().rev());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_told_where_it_belongs() {
        let table = |name: &str| {
            let setting = read::ROOT.setting(name).unwrap();
            setting.kind.tables()[0]
        };
        let endpoint = "endpoints = [{ address = \"HOST:PORT\", ";
        for (name, title, expected) in [
            ("backup", "upstreams", format!("an endpoint, as in `{endpoint}backup = true }}]`")),
            ("fall", "upstreams", "[upstreams.NAME.health], as in `fall = 3`".to_owned()),
            (
                "interval",
                "upstreams",
                "[upstreams.NAME.health] or [upstreams.NAME.agent], as in `interval = \"2s\"`"
                    .to_owned(),
            ),
            ("slow_start", "routes", "[upstreams.NAME], as in `slow_start = \"30s\"`".to_owned()),
            ("retries", "listeners", "[upstreams.NAME], as in `retries = 2`".to_owned()),
            ("rate", "routes", "[rate_limits.NAME], as in `rate = \"100/s\"`".to_owned()),
        ] {
            let help = help(name, "here", table(title));
            assert_eq!(help, format!("`{name}` belongs to {expected}"));
        }
        assert_eq!(help("bnid", "here", table("listeners")), "did you mean `bind`?");
        let long = help("connections_at_once", "here", table("listeners"));
        assert!(long.starts_with("names like it in here are `max_connections` and "), "{long}");
        let far = help("xyzzy", "here", table("listeners"));
        assert!(far.starts_with("docs/configuration.md has the "), "{far}");
    }
}
