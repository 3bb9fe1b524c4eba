//! The command line: arguments in, exit code out. What it wires together lives elsewhere.

mod apps;
mod arguments;
mod certificates;
mod cgroup;
mod command;
mod demo;
mod directory;
mod explain;
mod file_set;
mod files;
mod fmt;
mod gauge;
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
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use clap::Parser;
use fairwater_sys::allocator::Counting;
use fairwater_sys::clock::{self, Civil};
use fairwater_sys::process;
use mimalloc::MiMalloc;

use arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

fn main() -> ExitCode {
    // The file that is run may be called anything, after an upgrade or by the master.
    process::set_name(c"fairwater");
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

/// Prints an answer, to a reader who may have read enough, such as `head`.
fn print(text: impl AsRef<[u8]>) -> ExitCode {
    match std::io::stdout().write_all(text.as_ref()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(error),
        _ => ExitCode::SUCCESS,
    }
}

/// Prints what was said already, as it is.
fn show(said: &str) {
    drop(std::io::stderr().write_all(said.as_bytes()));
}

/// Prints a line for people, who may have gone away: that is no reason to end.
fn say(text: impl Display) {
    let stamp = if writes_to_file() { stamp() } else { String::new() };
    // In one write: several processes say something to one file, each part by part otherwise.
    let line = format!("{stamp}fairwater: {text}\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// Whether nobody is there who would know when a line was said: a terminal shows it at once, and
/// service managers write the time themselves. A file without a name is the master's, for words
/// that it shows.
fn writes_to_file() -> bool {
    let own = std::io::stderr().as_fd().try_clone_to_owned();
    own.and_then(|fd| File::from(fd).metadata())
        .is_ok_and(|file| file.is_file() && file.nlink() > 0)
}

fn stamp() -> String {
    let Civil { year, month, day, hour, minute, second } =
        Civil::from_epoch(clock::wall_us() / 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z ")
}
