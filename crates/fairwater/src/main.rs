//! The command line: arguments in, exit code out. What it wires together lives elsewhere.

mod apps;
mod arguments;
mod cgroup;
mod command;
mod demo;
mod directory;
mod explain;
mod file_set;
mod files;
mod fmt;
mod given;
mod hash_password;
mod master;
mod proxy;
mod replace;
mod rights;
mod room;
mod run;
mod running;
mod serve;
mod status;
mod ties;
mod way;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use fairwater_sys::allocator::Counting;
use mimalloc::MiMalloc;

use arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Load(arguments) => master::load(&arguments),
        Command::Worker(arguments) => master::worker(&arguments),
        Command::Reload(arguments) => command::run("reload", &arguments),
        Command::Upgrade(arguments) => command::run("upgrade", &arguments),
        Command::Restart(arguments) => command::restart(&arguments),
        Command::Check(arguments) => run::check(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::HashPassword => hash_password::run(),
        Command::Schema => explain::schema(),
        Command::Proxy(arguments) => proxy::run(&arguments),
        Command::Demo => demo::run(),
        Command::DemoEndpoint(arguments) => demo::endpoint::run(&arguments),
    }
}

/// Prints why the program ends, for people.
fn fail(problem: impl Display) -> ExitCode {
    say(problem);
    ExitCode::FAILURE
}

/// Prints what was said already, as it is.
fn show(said: &str) {
    drop(std::io::stderr().write_all(said.as_bytes()));
}

/// Prints a line for people, who may have gone away: that is no reason to end.
fn say(text: impl Display) {
    drop(writeln!(std::io::stderr(), "fairwater: {text}"));
}
