//! A reload that changes one endpoint of thousands: how long the threads that serve are kept from
//! serving. Processor time, not the clock on the wall: what a thread has used while the reload ran
//! is the most that it can have stalled.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::Failure;
use crate::bench::process::{Running, Stop, free_port};

const ENDPOINTS: u16 = 10_000;
const CHANGES: u16 = 10;
/// Long enough for each thread to see another plan.
const SETTLING: Duration = Duration::from_millis(300);

pub(crate) fn run(ours: &Path, work: &Path) -> Result<String, Failure> {
    let directory = work.join("endpoints");
    fs::create_dir(&directory)?;
    let (file, port) = (directory.join("fairwater.toml"), free_port()?);
    let write = |changed: u16| fs::write(&file, configuration(&directory, port, changed));
    write(0)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(ours).args(["run", "-c"]).arg(&file);
    let mut running = Running::start(command, "endpoints", &directory, Stop::Interrupt)?;
    running.wait_for_port(port)?;
    sleep(SETTLING);
    let master = running.pid();
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
    let worker = children.trim().to_owned();
    // What a thread uses in as much time without a reload.
    let idle = used_while(&worker, || {
        sleep(SETTLING);
        Ok(())
    })?;
    let mut most = Duration::ZERO;
    for changed in 1..=CHANGES {
        write(changed)?;
        let used = used_while(&worker, || {
            let mut reload = Command::new(ours);
            let done = reload.args(["reload", "-c"]).arg(&file).output()?;
            sleep(SETTLING);
            match done.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&done.stderr).into()),
            }
        })?;
        most = most.max(used);
    }
    Ok(format!(
        "\n{CHANGES} reloads, each with another one of {ENDPOINTS} endpoints: a thread that serves \
         used {} µs of its processor at the most from the command to 300 ms behind it ({} µs in \
         300 ms without a reload)\n",
        most.as_micros(),
        idle.as_micros()
    ))
}

fn configuration(directory: &Path, port: u16, changed: u16) -> String {
    let mut text = format!(
        "threads = 2\nrun_dir = \"{}\"\naccess_log.format = \"off\"\n\
         listeners.web = {{ bind = \"127.0.0.1:{port}\", upstream = \"app\" }}\n\
         [upstreams.app]\nendpoints = [\n",
        directory.join("run").display()
    );
    for index in 0..ENDPOINTS {
        let host = if index < changed { "127.0.0.3" } else { "127.0.0.2" };
        _ = writeln!(text, "    \"{host}:{}\",", 10_000 + index);
    }
    text.push_str("]\n");
    text
}

/// The most processor time that one of the threads that serve has used meanwhile.
fn used_while(
    worker: &str,
    action: impl FnOnce() -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    let before = used(worker)?;
    action()?;
    let after = used(worker)?;
    let differences = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before));
    differences.max().ok_or_else(|| "the worker has no threads".into())
}

fn used(worker: &str) -> Result<Vec<Duration>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{worker}/task"))? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm"))?.starts_with("worker-") {
            let stat = fs::read_to_string(path.join("schedstat"))?;
            let nanoseconds = stat.split(' ').next().unwrap_or_default().parse()?;
            all.push(Duration::from_nanos(nanoseconds));
        }
    }
    Ok(all)
}
