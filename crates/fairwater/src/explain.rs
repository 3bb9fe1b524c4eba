//! `fairwater explain` and `fairwater schema`: what the program knows about its own configuration.

use std::io::Write;
use std::process::ExitCode;

use crate::arguments::ExplainArguments;
use crate::fail;

pub(crate) fn run(arguments: &ExplainArguments) -> ExitCode {
    match fairwater_config::explain(&arguments.subject) {
        Some(code) => print(&format!("{}: {}\n", code.id, code.explanation)),
        None => fail(format_args!(
            "there is no diagnostic `{}`; codes look like E0104 or W0101",
            arguments.subject
        )),
    }
}

pub(crate) fn schema() -> ExitCode {
    print(&fairwater_config::schema())
}

/// Prints to a reader that may have gone away, such as `head`.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}
