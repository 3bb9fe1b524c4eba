//! `fairwater fmt`: configuration files in the one format, in place.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fairwater_config::{Diagnostic, FILE_BYTES_MAX, Severity, Unformatted};

use crate::arguments::FormatArguments;
use crate::files::{self, Files};
use crate::replace::replace;
use crate::{fail, print, say};

pub(crate) fn run(arguments: &FormatArguments) -> ExitCode {
    let mut formatter =
        Formatter { is_check: arguments.check, seen: HashSet::new(), all_is_well: true };
    for path in &arguments.config {
        if path.as_os_str() == "-" {
            formatter.stdin();
        } else {
            formatter.file(path);
        }
    }
    if formatter.all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Formatter {
    /// Nothing is written.
    is_check: bool,
    /// Where the files really are that were not formatted, so that none is named twice.
    seen: HashSet<PathBuf>,
    all_is_well: bool,
}

impl Formatter {
    /// From standard input to standard output, as editors ask for it. What the text includes is
    /// left alone: nobody knows where the text is from.
    fn stdin(&mut self) {
        let mut bytes = Vec::new();
        let mut stdin = std::io::stdin().lock().take(FILE_BYTES_MAX as u64 + 1);
        if let Err(error) = stdin.read_to_end(&mut bytes) {
            return self.fail(format_args!("cannot read standard input: {error}"));
        }
        match fairwater_config::format("<stdin>", &bytes) {
            Ok(text) if !self.is_check => self.print(&text),
            Ok(text) if text.as_bytes() != bytes => self.is_not_formatted("<stdin>"),
            Ok(_) => {}
            Err(diagnostics) => self.show(&diagnostics),
        }
    }

    /// A file and those that it includes. One that cannot be formatted keeps none of the others
    /// from it.
    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let bytes = match files::read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let is_missing = error.kind() == ErrorKind::NotFound;
                let hint = if is_missing { "; name the file with -c FILE" } else { "" };
                return self.fail(format_args!("cannot read {name}: {error}{hint}"));
            }
        };
        let (unformatted, diagnostics) = fairwater_config::format_files(&name, &bytes, &Files);
        self.show(&diagnostics);
        for file in unformatted {
            // A name that is no text is shown with replacements.
            let path = if file.file == name { path } else { Path::new(&file.file) };
            if let Err(error) = self.format(path, &file) {
                self.fail(format_args!("cannot write {}: {error}", file.file));
            }
        }
    }

    fn format(&mut self, path: &Path, file: &Unformatted) -> std::io::Result<()> {
        if !self.seen.insert(path.canonicalize()?) {
            return Ok(());
        }
        if self.is_check {
            self.is_not_formatted(&file.file);
        } else {
            replace(path, file.text.as_bytes())?;
            say(format_args!("{} is formatted now", file.file));
        }
        Ok(())
    }

    /// Names go to standard output, one a line, for scripts.
    fn is_not_formatted(&mut self, name: &str) {
        self.all_is_well = false;
        self.print(&format!("{name}\n"));
    }

    fn show(&mut self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            drop(writeln!(std::io::stderr(), "{diagnostic}"));
            self.all_is_well &= diagnostic.severity() != Severity::Error;
        }
    }

    fn print(&mut self, text: &str) {
        self.all_is_well &= print(text) == ExitCode::SUCCESS;
    }

    fn fail(&mut self, problem: impl std::fmt::Display) {
        fail(problem);
        self.all_is_well = false;
    }
}
