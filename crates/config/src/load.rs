//! A file and those that it includes, to one [`Config`].

use crate::check;
use crate::diagnostic::Diagnostic;
use crate::include::{self, Opened, Surroundings};
use crate::model::Config;
use crate::read::{self, Seen};
use crate::report::Report;
use crate::written::Written;

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
    let mut config = Config::default();
    let mut seen = Seen::default();
    let mut written = Written::default();
    let mut report = Report::default();
    let mut add = |opened: &Opened<'_>, report: &mut Report| {
        read::add(&mut config, &mut seen, opened.root, opened.file, report);
        written.add(opened.root);
    };
    let is_whole = include::walk(file_name, text, around, &mut report, &mut add);
    read::complete(&mut config, &mut report);
    // What a file that cannot be read would have held, nobody knows: no reference is judged.
    if is_whole {
        read::check_listeners(&config, &seen, &mut report);
        check::check(&config, &mut report);
    }
    if !report.has_errors() {
        config.written = written.json().into();
    }
    config.sources = report.sources();
    (Some(config).filter(|_| !report.has_errors()), report.finish())
}
