//! Any bytes as a configuration file: no panic, a configuration exactly if there is no error, and
//! every diagnostic shows a place that the file has, without a character that steers a terminal.
//! The same bytes go to the formatter.

#[path = "format.rs"]
mod format;

use fairwater_config::{Severity, check as judge, parse, render};

pub(crate) fn check(data: &[u8]) {
    format::check(data);
    let (config, diagnostics) = parse("fuzz.toml", data);
    let has_errors = diagnostics.iter().any(|one| one.severity() == Severity::Error);
    assert_eq!(config.is_some(), !has_errors);

    let line_count = String::from_utf8_lossy(data).split('\n').count();
    for diagnostic in &diagnostics {
        assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty());
        if let Some(at) = &diagnostic.location {
            assert!(at.line >= 1 && at.line <= line_count, "line {} of {line_count}", at.line);
            assert!(at.column >= 1 && at.caret_width >= 1);
        }
    }
    let text = render(&diagnostics);
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(steers), "{}", text.escape_debug());

    if let Some(config) = config {
        // What a file may say, a configuration without a file may say, too.
        let errors = judge(&config);
        let has_errors = errors.iter().any(|one| one.severity() == Severity::Error);
        assert!(!has_errors, "{}", render(&errors));
    }
    let (_, again) = parse("fuzz.toml", data);
    assert_eq!(render(&again), text, "the same file gets the same diagnostics");
}
