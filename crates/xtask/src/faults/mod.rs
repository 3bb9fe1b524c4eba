//! `cargo xtask faults`: endpoints that fail in every manner, behind ours and behind nginx and
//! HAProxy, each as shipped and set up well: what clients see of it.
//!
//! All of it happens in a network of its own, so that packets can be dropped and names can stop
//! being known without a trace for the machine.

mod clients;
mod contestant;
mod fault;
mod haproxy;
mod names;
mod nginx;
mod options;
mod ours;
mod report;
mod scenario;
mod services;

use std::fs;
use std::path::Path;
use std::process::Command;

use self::contestant::Contestant;
use self::names::Names;
use self::options::Options;
use self::report::Row;
use self::scenario::Stage;
use crate::Failure;
use crate::bench::process::{WorkDir, wait_for_turn};
use crate::bench::{Contender, build, needs_of};
use crate::packages::{self, Need};

const NEEDS: [Need; 2] =
    [Need { file: "/usr/sbin/nft", package: "nftables" }, Need { file: "ip", package: "iproute2" }];

/// Brings up the loopback of a new network, puts another resolv.conf in the place of the system's,
/// for this process alone, and goes on.
const ENTER: &str =
    "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n";

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let arguments: Vec<String> = arguments.collect();
    let options = Options::parse(arguments.iter().cloned())?;
    if let Some(words) = &options.words {
        println!("{words}");
        return Ok(());
    }
    if let Some(release) = &options.within {
        return compare(&options, release);
    }
    let needs: Vec<_> = needs_of(&options.peers).into_iter().chain(NEEDS).collect();
    packages::ensure(&needs, options.may_install)?;
    let release = build(options.ours.is_none())?;
    let _turn = wait_for_turn()?;
    let work = WorkDir::create()?;
    let names = work.path().join("resolv.conf");
    fs::write(&names, RESOLV_CONF)?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", ENTER, "sh"]).arg(&names);
    command.arg(std::env::current_exe()?).arg("faults").args(&arguments);
    let status = command.arg("--within").arg(&release).status()?;
    if status.success() { Ok(()) } else { Err("see above".into()) }
}

fn compare(options: &Options, release: &Path) -> Result<(), Failure> {
    let ours = options.ours.clone().unwrap_or_else(|| release.join("fairwater"));
    let work = WorkDir::create()?;
    let names = Names::start(3)?;
    let load = release.join("fairwater-load");
    let seconds = options.seconds;
    let stage = Stage { ours: &ours, load: &load, work: work.path(), names: &names, seconds };
    let (command, versions) = (command(options), versions(&ours, options));
    let (mut rows, mut text, mut has_failed) = (Vec::new(), String::new(), false);
    for &fault in &options.faults {
        for contestant in contestants(options) {
            eprintln!("{}: {}", fault.name(), contestant.name());
            match scenario::run(&stage, fault, contestant) {
                Ok(outcome) => rows.push(Row { fault, contestant, outcome }),
                Err(failure) => {
                    eprintln!("{failure}");
                    has_failed = true;
                }
            }
        }
        // After each, so that a run that is cut off leaves what it has.
        text = report::markdown(&command, &versions, &rows);
        if let Some(file) = &options.markdown {
            fs::write(file, &text)?;
        }
    }
    println!("{text}");
    for miss in report::misses(&rows) {
        println!("missed: {miss}");
    }
    if has_failed { Err("some could not be run".into()) } else { Ok(()) }
}

fn contestants(options: &Options) -> Vec<Contestant> {
    let all = [Contender::Ours].into_iter().chain(options.peers.iter().copied());
    let both = |kind| [false, true].map(|is_tuned| Contestant { kind, is_tuned });
    all.flat_map(both).collect()
}

fn command(options: &Options) -> String {
    format!("cargo xtask faults --seconds {}", options.seconds)
}

/// What each says of itself, in a line.
fn versions(ours: &Path, options: &Options) -> Vec<String> {
    let line = |program: &Path, flag: &str| {
        let output = Command::new(program).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
    };
    let programs = options.peers.iter().map(|peer| match peer {
        Contender::Nginx => (Path::new("/usr/sbin/nginx"), "-v"),
        _ => (Path::new("/usr/sbin/haproxy"), "-v"),
    });
    let all = std::iter::once((ours, "--version")).chain(programs);
    all.filter_map(|(program, flag)| line(program, flag)).collect()
}
