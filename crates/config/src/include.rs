//! A file and those that it includes, one after the other and each of them once.

use std::collections::HashSet;

use toml::de::DeTable;

use crate::code;
use crate::read;
use crate::reader::File;
use crate::report::Report;
use crate::source::Source;
use crate::span::Spanned;
use crate::syntax;

/// What is around a configuration: other files, and the environment. Reading it is not the work of
/// this crate.
pub trait Surroundings {
    /// The files that a path or a pattern stands for, sorted, as they are to be shown. `from`
    /// is the file that has it, as it is shown. One file has one name, however it is reached.
    ///
    /// # Errors
    /// Why there can be none, in words that go behind a colon.
    fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String>;

    /// The bytes of a file that `expand` named, for `include` or another setting: at most
    /// `bytes_max` and one more.
    ///
    /// # Errors
    /// Why it cannot be read, in words that go behind a colon.
    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Room for a file for each of many sites.
const INCLUDED_FILES_MAX: usize = 1000;

/// Deeper nesting is nothing that anybody could follow.
const INCLUDE_DEPTH_MAX: usize = 8;

/// A file that is TOML.
pub(crate) struct Opened<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) source: &'a Source,
    pub(crate) root: &'a DeTable<'a>,
    pub(crate) file: File<'a>,
}

/// Shows each file to `visit`, in the order in which they name each other, and reports those that
/// cannot be. Gives whether every file could be read and is TOML.
pub(crate) fn walk(
    name: &str,
    bytes: &[u8],
    around: &dyn Surroundings,
    report: &mut Report,
    visit: &mut dyn FnMut(&Opened<'_>, &mut Report),
) -> bool {
    let files = HashSet::from([name.to_owned()]);
    let mut walk = Walk { around, visit, files, is_whole: true, report };
    walk.add(name, bytes, 0);
    walk.is_whole
}

struct Walk<'a> {
    around: &'a dyn Surroundings,
    visit: &'a mut dyn FnMut(&Opened<'_>, &mut Report),
    files: HashSet<String>,
    is_whole: bool,
    report: &'a mut Report,
}

impl Walk<'_> {
    fn add(&mut self, name: &str, bytes: &[u8], depth: usize) {
        let Some((source, number)) = syntax::open(name, bytes, self.report) else {
            self.is_whole = false;
            return;
        };
        let Some(root) = syntax::parse(&source, number, self.report) else {
            self.is_whole = false;
            return;
        };
        let around = self.around;
        let file = File { number, name, around };
        (self.visit)(&Opened { name, bytes, source: &source, root: &root, file }, self.report);
        let includes = read::includes(&root, file, self.report);
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
                Ok(bytes) => self.add(&name, &bytes, depth),
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
