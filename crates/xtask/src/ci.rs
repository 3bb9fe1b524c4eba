//! `cargo xtask ci`: everything that must hold before a commit goes in, in the order in which it
//! fails fastest, the slow tests last. The same on a desk and on a server.

use std::process::Command;

use crate::{Failure, tidy};

/// How long each fuzz target runs here.
const FUZZ_SECONDS: &str = "10";

/// A step that is a run of cargo, and its words.
const CARGO_STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    (
        "clippy",
        &["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
];

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let arguments: Vec<String> = arguments.chain(["--slow".to_owned()]).collect();
    for (name, words) in CARGO_STEPS {
        step(name, || cargo(words))?;
    }
    step("tidy", tidy::run)?;
    step("test", || crate::test::run_with(&arguments, &[("FUZZ_SECONDS", FUZZ_SECONDS)]))
}

fn step(name: &str, run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("== {name}");
    run().map_err(|failure| format!("{name}: {failure}").into())
}

/// Runs cargo, its output going where ours goes.
pub(crate) fn cargo(words: &[&str]) -> Result<(), Failure> {
    let status = cargo_command(words).status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", words.join(" ")).into()) }
}

pub(crate) fn cargo_command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(words);
    command
}
