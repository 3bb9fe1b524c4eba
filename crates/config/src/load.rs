//! A file and those that it includes, to one [`Config`].

use std::path::PathBuf;

use crate::check;
use crate::diagnostic::Diagnostic;
use crate::include::{self, Opened, Surroundings};
use crate::model::Config;
use crate::read::{self, Seen};
use crate::reader::File;
use crate::report::Report;
use crate::syntax;
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
    let (config, report) = gather(file_name, text, around);
    (Some(config).filter(|_| !report.has_errors()), report.finish())
}

/// Where a process that serves a configuration is found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub admin_socket: Option<PathBuf>,
    pub run_dir: Option<PathBuf>,
    /// Nothing is wrong with the files.
    pub is_good: bool,
}

/// What can be read of [`Places`] in a file that may have mistakes, for questions to a process
/// that was started when it had none.
pub fn places(file_name: &str, text: &[u8], around: &dyn Surroundings) -> Places {
    let (mut config, report) = gather(file_name, text, around);
    if report.has_errors()
        && let Some(rest) = syntax::salvage(text)
    {
        let file = File { number: 0, name: file_name, around };
        read::add_places(&mut config, &rest, file);
    }
    Places {
        admin_socket: config.admin.socket.map(|socket| socket.value),
        run_dir: config.run_dir.map(|directory| directory.value),
        is_good: !report.has_errors(),
    }
}

fn gather(file_name: &str, text: &[u8], around: &dyn Surroundings) -> (Config, Report) {
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
    (config, report)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_process_is_found_by_a_file_with_mistakes() {
        let dir = "run_dir = \"/run/a\"\n";
        let socket = "[admin]\nsocket = \"/run/b.sock\"\n";
        for (text, admin, run_dir) in [
            (format!("{dir}{socket}"), Some("/run/b.sock"), Some("/run/a")),
            (format!("{dir}nonsense = 1\n"), Some("/run/a/admin.sock"), Some("/run/a")),
            (format!("{dir}a = = 1\n{socket}"), Some("/run/b.sock"), Some("/run/a")),
            (format!("{dir}{socket}[listeners.web\nbind = 1"), Some("/run/b.sock"), Some("/run/a")),
            ("nonsense".to_owned(), None, None),
            (String::new(), None, None),
        ] {
            let found = places("f", text.as_bytes(), &Alone);
            assert_eq!(found.admin_socket.as_deref(), admin.map(Path::new), "{text}");
            assert_eq!(found.run_dir.as_deref(), run_dir.map(Path::new), "{text}");
            assert!(!found.is_good);
        }
    }
}
