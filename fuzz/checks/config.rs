//! Any bytes as a configuration: no panic, a configuration exactly if there is no error, and every
//! diagnostic shows a place that its file has, without a character that steers a terminal. The same
//! bytes go to the formatter.

#[path = "format.rs"]
mod format;

use fairwater_config::{
    Config, Diagnostic, Severity, Surroundings, check as judge, format as formatted, format_files,
    load, render,
};

/// What stands between the files of one input: a comment, so that an input is one file as well.
const SEPARATOR: &str = "\n# ---\n";

/// A longer variable than a setting may be is no use; this one is too long for most of them.
const LONG_BYTES: usize = 300;

/// The files of one input. The first is the configuration; the others are called `1.toml`, `2.toml`
/// and so on, and any other name stands for the second one, which is empty if there is none.
struct Files<'a>(Vec<&'a [u8]>);

impl<'a> Files<'a> {
    fn split(data: &'a [u8]) -> Self {
        let mut files = Vec::new();
        let mut rest = data;
        while let Some(at) =
            rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR.as_bytes())
        {
            files.push(&rest[..at]);
            rest = &rest[at + SEPARATOR.len()..];
        }
        files.push(rest);
        Self(files)
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        if name == "fuzz.toml" {
            return self.0.first().copied();
        }
        match name.strip_suffix(".toml").and_then(|number| number.parse().ok()) {
            Some(number) => self.0.get::<usize>(number).copied(),
            None => Some(self.0.get(1).copied().unwrap_or_default()),
        }
    }
}

impl Surroundings for Files<'_> {
    fn expand(&self, pattern: &str, _: &str) -> Result<Vec<String>, String> {
        match pattern {
            "" => Err("it names no file".to_owned()),
            pattern if pattern.ends_with(".none") => Ok(Vec::new()),
            pattern if pattern.contains('*') => {
                Ok((1..self.0.len()).map(|number| format!("{number}.toml")).collect())
            }
            pattern => Ok(vec![pattern.to_owned()]),
        }
    }

    fn read(&self, name: &str, _: usize) -> Result<Vec<u8>, String> {
        self.get(name).map(<[u8]>::to_vec).ok_or_else(|| "there is none".to_owned())
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${PORT}".to_owned()),
            "CONTROL" => Some("\u{1b}[31m\n\0".to_owned()),
            "LONG" => Some("x".repeat(LONG_BYTES)),
            _ => None,
        }
    }
}

/// What is said about the files of an input.
pub(crate) fn read(data: &[u8]) -> (Option<Config>, Vec<Diagnostic>) {
    let files = Files::split(data);
    load("fuzz.toml", files.0[0], &files)
}

pub(crate) fn check(data: &[u8]) {
    format::check(data);
    let files = Files::split(data);
    let (config, diagnostics) = read(data);
    let has_errors = diagnostics.iter().any(|one| one.severity() == Severity::Error);
    assert_eq!(config.is_some(), !has_errors);

    diagnostics.iter().for_each(|diagnostic| check_place(diagnostic, &files));
    let text = render(&diagnostics);
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(steers), "{}", text.escape_debug());

    if let Some(config) = config {
        // What a file may say, a configuration without a file may say, too.
        let errors = judge(&config);
        let has_errors = errors.iter().any(|one| one.severity() == Severity::Error);
        assert!(!has_errors, "{}", render(&errors));
    }
    let (_, again) = read(data);
    assert_eq!(render(&again), text, "the same files get the same diagnostics");
    check_formatting(&files);
}

/// Each file is formatted as if it stood alone.
fn check_formatting(files: &Files<'_>) {
    let (unformatted, _) = format_files("fuzz.toml", files.0[0], files);
    for file in unformatted {
        let bytes = files.get(&file.file).expect("what is formatted was read");
        assert_ne!(file.text.as_bytes(), bytes);
        let alone = formatted(&file.file, bytes).expect("what was formatted is TOML");
        assert_eq!(alone, file.text);
    }
}

fn check_place(diagnostic: &Diagnostic, files: &Files<'_>) {
    assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty());
    if let Some(at) = &diagnostic.location {
        let file = files.get(&at.file).expect("a diagnostic names a file that was read");
        let line_count = String::from_utf8_lossy(file).split('\n').count();
        assert!(at.line >= 1 && at.line <= line_count, "line {} of {line_count}", at.line);
        assert!(at.column >= 1 && at.caret_width >= 1);
    }
}
