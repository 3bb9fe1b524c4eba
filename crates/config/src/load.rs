//! A file and those that it includes, to one [`Config`].

use std::collections::HashSet;
use std::rc::Rc;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::model::Config;
use crate::read::{self, Seen};
use crate::reader::File;
use crate::report::Report;
use crate::source::Source;
use crate::span::{Span, Spanned};
use crate::written::Written;
use crate::{check, syntax};

/// What is around a configuration: other files, and the environment. Reading it is not the work of
/// this crate.
pub trait Surroundings {
    /// The files that an element of `include` stands for, sorted, as they are to be shown. `from`
    /// is the file that has it, as it is shown. One file has one name, however it is reached.
    ///
    /// # Errors
    /// Why there can be none, in words that go behind a colon.
    fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String>;

    /// The bytes of a file that `expand` named, at most `bytes_max` and one more.
    ///
    /// # Errors
    /// Why it cannot be read, in words that go behind a colon.
    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// A file without any: it can include nothing, and no variable is set.
struct Alone;

impl Surroundings for Alone {
    fn expand(&self, _: &str, _: &str) -> Result<Vec<String>, String> {
        Err("there are no other files".to_owned())
    }

    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, String> {
        Err("there are no other files".to_owned())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// Room for a file for each of many sites.
const INCLUDED_FILES_MAX: usize = 1000;

/// Deeper nesting is nothing that anybody could follow.
const INCLUDE_DEPTH_MAX: usize = 8;

/// Reads a file that stands alone. The configuration is there exactly if no diagnostic is an error;
/// the diagnostics are in the order of the file, which `file_name` stands for in them.
pub fn parse(file_name: &str, text: &[u8]) -> (Option<Config>, Vec<Diagnostic>) {
    load(file_name, text, &Alone)
}

/// Reads a file and those that it includes, as [`parse`] reads one.
pub fn load(
    file_name: &str,
    text: &[u8],
    around: &dyn Surroundings,
) -> (Option<Config>, Vec<Diagnostic>) {
    let mut loader = Loader {
        around,
        config: Config::default(),
        seen: Seen::default(),
        files: HashSet::from([file_name.to_owned()]),
        is_whole: true,
        written: Written::default(),
        report: Report::default(),
    };
    loader.add(file_name, text, 0);
    let Loader { mut config, seen, written, mut report, is_whole, .. } = loader;
    // What a file that cannot be read would have held, nobody knows: no reference is judged.
    if is_whole {
        read::check_listeners(&config, &seen, &mut report);
        check::check(&config, &mut report);
    }
    if !report.has_errors() {
        config.written = written.json().into();
    }
    (Some(config).filter(|_| !report.has_errors()), report.finish())
}

struct Loader<'a> {
    around: &'a dyn Surroundings,
    config: Config,
    seen: Seen,
    files: HashSet<String>,
    /// Every file could be read and is TOML.
    is_whole: bool,
    written: Written,
    report: Report,
}

impl Loader<'_> {
    fn add(&mut self, name: &str, text: &[u8], depth: usize) {
        let is_too_large = text.len() > syntax::FILE_BYTES_MAX;
        let shown = if is_too_large { &[] } else { text };
        let source = Rc::new(Source::new(name, shown));
        let number = self.report.add_source(&source);
        if is_too_large {
            self.is_whole = false;
            return self.report.add(
                &code::FILE_TOO_LARGE,
                Span::start_of(number),
                format!("the file has more than {} bytes", syntax::FILE_BYTES_MAX),
                "",
                "check the path: this is probably not a configuration",
            );
        }
        let root = match syntax::check_bytes(text, number, &mut self.report) {
            true => syntax::parse(&source, number, &mut self.report),
            false => None,
        };
        let Some(root) = root else {
            self.is_whole = false;
            return;
        };
        let variables = |name: &str| self.around.variable(name);
        let file = File { number, variables: &variables };
        read::add(&mut self.config, &mut self.seen, &root, file, &mut self.report);
        self.written.add(&root);
        let includes = read::includes(&root, file, &mut self.report);
        for pattern in includes {
            self.include(&pattern, name, depth + 1);
        }
    }

    fn include(&mut self, pattern: &Spanned<String>, from: &str, depth: usize) {
        if depth > INCLUDE_DEPTH_MAX {
            return self.cannot_include(pattern, &format!("files are included {depth} deep"));
        }
        let names = match self.around.expand(&pattern.value, from) {
            Ok(names) => names,
            Err(problem) => return self.cannot_include(pattern, &problem),
        };
        if names.is_empty() {
            let message = format!("no file matches `{}`", pattern.value);
            let help = "check the path; it is relative to this file";
            self.report.add(&code::INCLUDES_NOTHING, pattern.span, message, "", help);
        }
        for name in names {
            if self.files.len() >= INCLUDED_FILES_MAX {
                return self.cannot_include(
                    pattern,
                    &format!("there are over {INCLUDED_FILES_MAX} files"),
                );
            }
            if !self.files.insert(name.clone()) {
                let message = format!("`{name}` is included twice");
                let help = "name each file once; a file does not include itself";
                self.report.add(&code::INCLUDED_TWICE, pattern.span, message, "", help);
                continue;
            }
            match self.around.read(&name, syntax::FILE_BYTES_MAX) {
                Ok(text) => self.add(&name, &text, depth),
                Err(problem) => {
                    self.cannot_include(pattern, &format!("`{name}` cannot be read: {problem}"));
                }
            }
        }
    }

    fn cannot_include(&mut self, pattern: &Spanned<String>, problem: &str) {
        self.is_whole = false;
        let message = format!("cannot include `{}`: {problem}", pattern.value);
        let help = "correct the path, or remove it from `include`";
        self.report.add(&code::CANNOT_INCLUDE, pattern.span, message, "", help);
    }
}
