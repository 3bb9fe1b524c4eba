//! `fairwater-load`: the load generator and the backend behind the proxies under test.
//!
//! Both are one epoll loop on one thread, as cheap as they can be: on a small machine every
//! microsecond that they take is one in which the proxy waits instead of being measured. The
//! soak, which measures nothing, has its own pair, made to be thorough.

mod arguments;
mod backend;
mod datagrams;
mod drive;
mod faults;
mod h2;
mod message;
mod orders;
mod poll;
mod reply;
mod soak;
mod wire;

use std::process::ExitCode;

use arguments::Command;
use datagrams::Volley;
use drive::Drive;
use h2::Multiplex;
use orders::obey;

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(text) => {
            eprintln!("fairwater-load: {text}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Backend(settings) => backend::run(&settings),
        Command::Drive(settings) => Drive::new(&settings).and_then(|mut drive| obey(&mut drive)),
        Command::Volley(settings) => Volley::new(&settings).and_then(|mut one| obey(&mut one)),
        Command::Multiplex(settings) => Multiplex::new(&settings).and_then(|mut m| obey(&mut m)),
        Command::Endpoint(settings) => soak::run_endpoint(&settings),
        Command::Soak(settings) => soak::run(&settings),
        Command::Service(settings) => faults::run_service(&settings),
        Command::Calls(settings) => faults::run_calls(&settings),
        Command::Hold(settings) => faults::run_hold(&settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairwater-load: {error}");
            ExitCode::FAILURE
        }
    }
}
