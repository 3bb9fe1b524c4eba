//! Child processes that can't outlive the harness, and the directory they work in.
//!
//! The harness may end by an error, a panic or a signal. Guards cover the first two; for the
//! last the kernel ends our children, and a waiting shell removes the directory.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::clocks;
use crate::Failure;

/// How often, and how many times, we look whether something has come about: ten seconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOKS: usize = 2000;

/// Ports that one harness chooses from.
const PORTS: u16 = 4_000;

/// Keeps other runs on this machine waiting for as long as it is open: two at a time would
/// measure each other.
pub(crate) fn wait_for_turn() -> Result<File, Failure> {
    let lock = File::create(std::env::temp_dir().join("fairwater-bench.lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another run to end");
        lock.lock()?;
    }
    Ok(lock)
}

/// A directory that is gone when the harness is.
pub(crate) struct WorkDir {
    path: PathBuf,
    remover: Child,
}

impl WorkDir {
    pub(crate) fn create() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("fairwater-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        // Reads until our end of the pipe closes, for whatever reason that happens.
        let remover = Command::new("sh")
            .args(["-c", "trap '' INT TERM HUP; read -r line; rm -rf \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(Self { path, remover })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        drop::<Option<ChildStdin>>(self.remover.stdin.take());
        if self.remover.wait().is_err() {
            eprintln!("please remove {}", self.path.display());
        }
    }
}

/// The command line that runs `program` on one core, with all the descriptors that the hard
/// limit allows, and ends it when the harness ends. By SIGTERM, since a harness in the
/// background of a shell hands an ignored SIGINT down to its children.
pub(crate) fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "sh", "-c", "ulimit -n $(ulimit -Hn) && exec \"$@\"", "sh"])
        .args(["taskset", "-c", &core.to_string()])
        .arg(program);
    command
}

/// A running child, stopped when dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    errors: PathBuf,
    stop: Stop,
}

/// The signal that a child takes as a wish to stop at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Terminate,
    /// For those that finish their work first on SIGTERM.
    Interrupt,
}

impl Running {
    /// `output` and the child's error output go to files of its own in `directory`.
    pub(crate) fn start(
        mut command: Command,
        name: &str,
        directory: &Path,
        stop: Stop,
    ) -> Result<Self, Failure> {
        let errors = directory.join(format!("{name}.stderr"));
        let output = directory.join(format!("{name}.stdout"));
        command.stdin(Stdio::null()).stdout(File::create(output)?).stderr(File::create(&errors)?);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, name: name.to_owned(), errors, stop })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its process and all below it, as they are now.
    pub(crate) fn pids(&self) -> Result<Vec<u32>, Failure> {
        clocks::tree(self.child.id())
    }

    pub(crate) fn wait_for_port(&mut self, port: u16) -> Result<(), Failure> {
        for _ in 0..LOOKS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complaint(&format!("ended with {status}")));
            }
            sleep(LOOK_EVERY);
        }
        Err(self.complaint("did not open its port"))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// What it said on its error output.
    pub(crate) fn said(&self) -> Result<String, Failure> {
        Ok(fs::read_to_string(&self.errors)?)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus, Failure> {
        terminate(self.child.id());
        wait_for_end(&mut self.child).ok_or_else(|| self.complaint("does not stop"))
    }

    fn complaint(&self, what: &str) -> Failure {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        format!("{} {what}\n{}", self.name, text.trim_end()).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pids = self.pids().unwrap_or_default();
        match self.stop {
            Stop::Terminate => terminate(self.child.id()),
            Stop::Interrupt => signal("INT", self.child.id()),
        }
        if wait_for_end(&mut self.child).is_none() {
            eprintln!("{} does not stop: killing it", self.name);
            for pid in pids {
                signal("KILL", pid);
            }
            if let Err(error) = self.child.wait() {
                eprintln!("{}: {error}", self.name);
            }
        }
    }
}

/// Looks until `condition` holds; false when it did not in ten seconds.
pub(crate) fn comes_true(
    mut condition: impl FnMut() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    for _ in 0..LOOKS {
        if condition()? {
            return Ok(true);
        }
        sleep(LOOK_EVERY);
    }
    Ok(false)
}

/// None when the child did not end in time.
pub(crate) fn wait_for_end(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..LOOKS {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => sleep(LOOK_EVERY),
            Err(_) => return None,
        }
    }
    None
}

pub(crate) fn terminate(pid: u32) {
    signal("TERM", pid);
}

pub(crate) fn signal(name: &str, pid: u32) {
    // The standard library sends no signal but KILL; every shell does. The process may be gone.
    let script = format!("kill -{name} {pid} 2>/dev/null");
    if let Err(error) = Command::new("sh").args(["-c", &script]).status() {
        eprintln!("can't signal {pid}: {error}");
    }
}

/// A port that is free now, below those that the kernel gives to outgoing connections, and
/// not one that this process got before.
pub(crate) fn free_port() -> Result<u16, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + (std::process::id() % 4_000) as u16 * 4;
    for _ in 0..PORTS {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port".into())
}
