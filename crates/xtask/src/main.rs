//! `cargo xtask`: the project's automation, one module per subcommand.

#![expect(clippy::print_stdout, reason = "a tool's results belong on its standard output")]

mod bench;
mod ci;
mod disrupt;
mod dist;
mod faults;
mod fuzz;
mod judges;
mod packages;
mod peer;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

/// Automation has one way to fail: a sentence for the person who started it.
pub(crate) type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
cargo xtask COMMAND

    ci       format, clippy, tidy and test: what must hold before a commit goes in
    test     install what the tests talk to, then run them all (--no-install; --slow: those that
             wait for whole timeouts or move gigabytes, too)
    tidy     the rules that no compiler knows: crate arrows, supply, licences, files
    fuzz     mutate the corpora of the parsers ([TARGET] --seconds N --seed N --libfuzzer)
    bench    measure against nginx and HAProxy (--help for its flags)
    disrupt  reload, upgrade and kill under load, beside nginx and HAProxy (--help for its flags)
    faults   endpoints that fail in every manner, beside nginx and HAProxy (--help for its flags)
    dist     a static binary and a Debian package of it (--try installs it on a bare Debian)
    soak     mixed traffic while endpoints die and come back (--help for its flags)";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("bench") => bench::run(arguments),
        Some("ci") => ci::run(arguments),
        Some("test") => test::run(arguments),
        Some("tidy") => tidy::run(),
        Some("fuzz") => fuzz::run(arguments),
        Some("disrupt") => disrupt::run(arguments),
        Some("faults") => faults::run(arguments),
        Some("dist") => dist::run(arguments),
        Some("soak") => soak::run(arguments),
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("unknown command {other}\n\n{USAGE}").into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
