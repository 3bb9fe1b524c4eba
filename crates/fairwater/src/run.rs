//! `fairwater run` and `fairwater check`: a configuration from a file.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fairwater_config::{Config, Diagnostic, FILE_BYTES_MAX};
use fairwater_control::{prove, sketch};

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
        Ok(config) => {
            let tests = match config.tests.len() {
                0 => String::new(),
                1 => ", and so is its test".to_owned(),
                count => format!(", and so are its {count} tests"),
            };
            say(format_args!("{} is good{tests}", arguments.config.display()));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Reads the file, makes its tests, and prints what is to be said about it.
fn load(arguments: &ConfigFile) -> Result<Config, ExitCode> {
    let config = read(&arguments.config)?;
    if config.tests.is_empty() {
        return Ok(config);
    }
    let failed = prove(&sketch(&config), &config);
    print(&failed);
    if failed.is_empty() { Ok(config) } else { Err(ExitCode::FAILURE) }
}

/// Reads a file and prints what is to be said about it.
pub(crate) fn read(path: &Path) -> Result<Config, ExitCode> {
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
    let (config, diagnostics) = fairwater_config::load(&name, &text, &Files);
    print(&diagnostics);
    config.ok_or(ExitCode::FAILURE)
}

fn print(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        drop(writeln!(std::io::stderr(), "{diagnostic}"));
    }
}
