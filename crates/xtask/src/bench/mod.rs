//! `cargo xtask bench`: ours against nginx and HAProxy, in one run, by the kernel's own clocks.
//!
//! The proxy has one core to itself, generator and backend share another. What is compared is
//! the CPU time of a fixed number of requests, which neighbours on the machine hardly move,
//! and not requests per second, which they do.

mod cases;
pub(crate) mod clocks;
mod contender;
mod files;
mod haproxy;
mod load;
mod measure;
mod nginx;
mod options;
pub(crate) mod ours;
mod pair;
pub(crate) mod process;
mod report;
mod series;
pub(crate) mod statistics;
mod turns;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::cases::Row;
pub(crate) use self::contender::Contender;
use self::files::Files;
pub(crate) use self::load::Backend;
use self::measure::Bench;
use self::options::Options;
use self::process::{WorkDir, wait_for_turn};
use self::report::Surroundings;
use self::series::Series;
use crate::Failure;
use crate::packages::{self, Need};

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let arguments: Vec<String> = arguments.collect();
    let options = Options::parse(arguments.iter().cloned())?;
    if let Some(words) = &options.words {
        println!("{words}");
        return Ok(());
    }
    packages::ensure(&needs(&options), options.may_install)?;
    let bench = prepare(&options)?;
    let _turn = wait_for_turn()?;
    let contenders = contenders(&options, &bench);
    let surroundings = Surroundings {
        command: format!("cargo xtask bench {}", arguments.join(" ")).trim_end().to_owned(),
        rounds: options.rounds,
        ours_present: contenders.contains(&Contender::Ours),
    };

    let mut all = Vec::new();
    for case in options.cases() {
        eprintln!("{}: {}", case.row.name(), case.title);
        let requests = options.requests(case.requests);
        let series = Series::run(&bench, case, &contenders, options.rounds, requests)?;
        all.push(series);
    }
    let text = report::markdown(&surroundings, &all);
    println!("{text}");
    if let Some(file) = &options.markdown {
        fs::write(file, text)?;
    }
    Ok(())
}

/// The packages of these peers.
pub(crate) fn needs_of(peers: &[Contender]) -> Vec<Need> {
    let mut needs = Vec::new();
    for peer in peers {
        match peer {
            Contender::Nginx => needs.extend([
                Need { file: nginx::PROGRAM, package: "nginx-light" },
                Need { file: nginx::STREAM_MODULE, package: "libnginx-mod-stream" },
            ]),
            Contender::Haproxy => {
                needs.push(Need { file: haproxy::PROGRAM, package: "haproxy" });
            }
            Contender::Ours => {}
        }
    }
    needs
}

fn needs(options: &Options) -> Vec<Need> {
    let mut needs = needs_of(&options.peers);
    if options.rows.contains(&Row::Http2) {
        needs.push(Need { file: files::PROGRAM, package: "nghttp2-server" });
    }
    if options.rows.contains(&Row::Ab) {
        needs.push(Need { file: "/usr/bin/ab", package: "apache2-utils" });
    }
    needs.push(Need { file: "/usr/bin/openssl", package: "openssl" });
    if options.rows.contains(&Row::Syscalls) {
        needs.push(Need { file: "/usr/bin/strace", package: "strace" });
    }
    needs
}

fn prepare(options: &Options) -> Result<Bench, Failure> {
    let release = build(options.ours.is_none())?;
    let work = WorkDir::create()?;
    let load_program = release.join("fairwater-load");
    let ours = options.ours.clone().unwrap_or_else(|| release.join("fairwater"));
    let certificate = pair::make(work.path())?;
    let backend = Backend::start(&load_program, work.path())?;
    let files = options.rows.contains(&Row::Http2).then(|| Files::start(&backend, work.path()));
    let files = files.transpose()?;
    let idle_counts = if options.quick { [1000, 2000, 4000] } else { [2000, 4000, 8000] };
    Ok(Bench { work, certificate, load_program, ours, backend, files, idle_counts })
}

/// Builds what is measured and what measures it, so that neither can be stale; gives the
/// directory of the binaries.
pub(crate) fn build(with_ours: bool) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "fairwater-load"]);
    if with_ours {
        command.args(["--package", "fairwater"]);
    }
    if !command.status()?.success() {
        return Err("the build failed".into());
    }
    // We are target/debug/xtask ourselves.
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).ok_or("xtask runs outside of target/")?;
    Ok(target.join("release"))
}

/// Ours first, if it starts at all: while it is being written it may be absent.
fn contenders(options: &Options, bench: &Bench) -> Vec<Contender> {
    let mut contenders = options.peers.clone();
    let probe = Row::Keepalive.cases()[0];
    match bench.round(&[Contender::Ours], &probe, 100) {
        Ok(_) => contenders.insert(0, Contender::Ours),
        Err(failure) => eprintln!("measuring the peers alone, since {failure}"),
    }
    contenders
}
