//! `fairwater run` and `fairwater check`: a configuration from a file.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use fairwater_config::{Config, Diagnostic, FILE_BYTES_MAX, Places, Surroundings};
use fairwater_control::{prove, sketch};
use fairwater_sys::exec::Left;

use crate::arguments::{ConfigFile, RunArguments};
use crate::files::{self, Files};
use crate::{certificates, fail, master, rights, say, serve};

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    if let Some(state) = arguments.state {
        return match Left::find() {
            Ok(left) => master::go_on(left, state),
            Err(error) => fail(format_args!("cannot list open descriptors: {error}")),
        };
    }
    if !arguments.single {
        return master::run(arguments);
    }
    match load(&arguments.file, &Files) {
        Ok((config, _)) if !config.apps.is_empty() => fail(
            "this configuration has apps, which a master starts and watches: run it without \
             `--single`",
        ),
        Ok((config, _)) => {
            rights::warn(&config);
            serve::serve(&config)
        }
        Err(code) => code,
    }
}

pub(crate) fn check(arguments: &ConfigFile) -> ExitCode {
    match load(arguments, &Files) {
        Ok((config, _)) => {
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

/// Reads the file, makes its tests, and prints what is to be said about it. Gives the bytes of the
/// file as well.
pub(crate) fn load(
    arguments: &ConfigFile,
    around: &dyn Surroundings,
) -> Result<(Config, Vec<u8>), ExitCode> {
    let (config, text) = read_with(&arguments.config, around)?;
    print(&certificates::look(&config, SystemTime::now()));
    if config.tests.is_empty() {
        return Ok((config, text));
    }
    let failed = prove(&sketch(&config), &config);
    print(&failed);
    if failed.is_empty() { Ok((config, text)) } else { Err(ExitCode::FAILURE) }
}

/// Reads a file and prints what is to be said about it.
pub(crate) fn read(path: &Path) -> Result<Config, ExitCode> {
    read_with(path, &Files).map(|(config, _)| config)
}

/// Where the process of a file is found, whatever mistakes the file has by now.
pub(crate) fn places(path: &Path) -> Result<Places, ExitCode> {
    let (name, text) = (path.display().to_string(), text(path)?);
    let found = fairwater_config::places(&name, &text, &Files);
    if !found.is_good {
        say(format_args!(
            "{name} has mistakes, which `fairwater check -c {name}` shows; a process that runs has \
             an earlier configuration"
        ));
    }
    Ok(found)
}

fn text(path: &Path) -> Result<Vec<u8>, ExitCode> {
    files::read(path, FILE_BYTES_MAX).map_err(|error| {
        let name = path.display();
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "; name the file with -c FILE, or go without: fairwater proxy --help"
            }
            _ => "",
        };
        fail(format_args!("cannot read {name}: {error}{hint}"))
    })
}

fn read_with(path: &Path, around: &dyn Surroundings) -> Result<(Config, Vec<u8>), ExitCode> {
    let (name, text) = (path.display().to_string(), text(path)?);
    let (config, diagnostics) = fairwater_config::load(&name, &text, around);
    print(&diagnostics);
    config.map(|config| (config, text)).ok_or(ExitCode::FAILURE)
}

fn print(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        drop(writeln!(std::io::stderr(), "{diagnostic}"));
    }
}
