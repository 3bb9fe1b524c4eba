//! `fairwater run` and `fairwater check`: a configuration from a file.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fairwater_config::{Config, Diagnostic, FILE_BYTES_MAX};

use crate::arguments::ConfigFile;
use crate::files::{self, Files};
use crate::{fail, say, serve};

pub(crate) fn run(arguments: &ConfigFile) -> ExitCode {
    match load(arguments) {
        Ok(config) => serve::serve(&config),
        Err(code) => code,
    }
}

pub(crate) fn check(arguments: &ConfigFile) -> ExitCode {
    match load(arguments) {
        Ok(_) => {
            say(format_args!("{} is good", arguments.config.display()));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Reads the file and prints what is to be said about it.
fn load(arguments: &ConfigFile) -> Result<Config, ExitCode> {
    let (config, diagnostics) = read(&arguments.config)?;
    print(&diagnostics);
    config.ok_or(ExitCode::FAILURE)
}

/// As [`load`], without a word if it can be used.
pub(crate) fn load_quietly(path: &Path) -> Result<Config, ExitCode> {
    let (config, diagnostics) = read(path)?;
    config.ok_or_else(|| {
        print(&diagnostics);
        ExitCode::FAILURE
    })
}

fn print(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        drop(writeln!(std::io::stderr(), "{diagnostic}"));
    }
}

fn read(path: &Path) -> Result<(Option<Config>, Vec<Diagnostic>), ExitCode> {
    let name = path.display().to_string();
    let text = files::read(path, FILE_BYTES_MAX).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "; name the file with -c FILE, or go without: fairwater proxy --help"
            }
            _ => "",
        };
        fail(format_args!("cannot read {name}: {error}{hint}"))
    })?;
    Ok(fairwater_config::load(&name, &text, &Files))
}
