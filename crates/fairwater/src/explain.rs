//! `fairwater explain` and `fairwater schema`: what the program knows about its own configuration.

use std::io::Write;
use std::process::ExitCode;

use crate::arguments::ExplainArguments;
use crate::{fail, way};

pub(crate) fn run(arguments: &ExplainArguments) -> ExitCode {
    let subject = arguments.subject.join(" ");
    if subject.contains("://") {
        return match way::of(&subject, arguments) {
            Ok(text) => print(&text),
            Err(code) => code,
        };
    }
    match fairwater_config::explain(&subject) {
        Some(code) => print(&format!("{}: {}\n", code.id, code.explanation)),
        None => fail(format_args!(
            "`{subject}` is neither the code of a diagnostic, such as E0104 or W0101, nor a URL, such \
             as http://example.com/path"
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
