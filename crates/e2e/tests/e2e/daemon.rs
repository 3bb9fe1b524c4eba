//! In the background: who waits for it, what it holds, and where it says what it says.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fairwater_e2e::proxy::{binary, signal_to};
use fairwater_e2e::{Client, Endpoint, Setup, until, until_some};
use rustix::process::Signal;

use crate::names::Load;
use crate::privileges::is_root;

/// A daemon, by its pid file; it ends with the test.
struct Daemon {
    setup: Setup,
    flags: Vec<String>,
}

impl Daemon {
    fn of(setup: Setup) -> Self {
        setup.write();
        Self { setup, flags: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.setup.directory().join(name)
    }

    /// Gives the command, which ends when the daemon serves.
    fn start(&self) -> Output {
        let mut command = Command::new(binary());
        command.arg("run").arg("-c").arg(self.path("fairwater.toml")).arg("--daemon");
        command.arg("--pid-file").arg(self.path("pid")).args(&self.flags);
        command.arg("--log-file").arg(self.path("log")).stdin(Stdio::null()).output().unwrap()
    }

    fn id(&self) -> Option<u32> {
        fs::read_to_string(self.path("pid")).ok()?.trim().parse().ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where its log says that it listens.
    fn address(&self) -> String {
        until_some("it to say where it listens", || {
            let log = self.log();
            let found = log.lines().rev().find_map(|line| line.split("web listens on ").nth(1));
            found.map(str::to_owned)
        })
    }

    fn signal(&self, signal: Signal) {
        signal_to(self.id().unwrap(), signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(id) = self.id() else { return };
        // It may be a leftover: only one that runs with our file is ours.
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let file = self.path("fairwater.toml").display().to_string();
        if String::from_utf8_lossy(&command).contains(&file) {
            signal_to(id, Signal::INT);
            until("the daemon to be gone", || !Path::new(&format!("/proc/{id}")).exists());
        }
    }
}

/// The descriptors of a process that are this file.
fn has_open(process: u32, path: &Path) -> bool {
    let fds = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let mut targets = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    targets.any(|target| target == path)
}

fn worker_of(master: u32) -> u32 {
    let path = format!("/proc/{master}/task/{master}/children");
    until_some("the worker", || {
        fs::read_to_string(&path).unwrap().split_whitespace().next()?.parse().ok()
    })
}

/// Several processes write to one log: a line of which another one gets between the parts is none.
#[test]
fn a_line_is_said_in_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = Command::new(binary());
    command.args(["status", "--admin", "/nowhere/admin.sock"]).stderr(OwnedFd::from(theirs));
    let mut process = command.spawn().unwrap();
    let mut line = [0; 4096];
    let len = ours.recv(&mut line).unwrap();
    process.wait().unwrap();
    let line = String::from_utf8_lossy(&line[..len]).into_owned();
    assert!(line.starts_with("fairwater: ") && line.ends_with('\n'), "{line:?}");
}

#[test]
fn a_daemon_serves_once_its_command_has_ended() {
    let endpoint = Endpoint::echo("e");
    let daemon = Daemon::of(Setup::http(&[&endpoint]));
    let output = daemon.start();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(Client::connect(&daemon.address()).get("/").status(), 200);
    let id = daemon.id().unwrap();
    // Nobody else writes down when it was.
    assert!(daemon.log().lines().any(|line| line.contains("Z fairwater: web listens on ")));
    assert_eq!(fs::read_to_string(format!("/proc/{id}/comm")).unwrap(), "fairwater\n");
    // A session of its own that it does not lead, so that it never gets a terminal.
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let (session, terminal) = (fields[3], fields[4]);
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    assert_ne!(Some(session), own.rsplit(") ").next().unwrap().split(' ').nth(3));
    assert_ne!(session, id.to_string());
    assert_eq!(terminal, "0");
    assert_eq!(fs::read_link(format!("/proc/{id}/fd/0")).unwrap(), Path::new("/dev/null"));
    for process in [id, worker_of(id)] {
        for fd in [1, 2] {
            let target = fs::read_link(format!("/proc/{process}/fd/{fd}")).unwrap();
            assert_eq!(target, daemon.path("log"));
        }
    }
    // It runs once.
    let second = daemon.start();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {id} holds")), "{said}");
    assert_eq!(daemon.id(), Some(id));
    daemon.signal(Signal::TERM);
    until("the pid file to be gone", || !daemon.path("pid").exists());
}

#[test]
fn a_daemon_that_cannot_serve_is_told_of_by_its_command() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for (setup, words) in [
        (Setup::of("http", &["127.0.0.1:1"]).top("threats = 1"), "error[E0101]"),
        (Setup::of("http", &["127.0.0.1:1"]).bind(&address), "is in use by process"),
        (Setup::of("http", &["127.0.0.1:1"]).top("max_connections = 4000000000"), "descriptors"),
    ] {
        let daemon = Daemon::of(setup);
        let output = daemon.start();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &daemon.log();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!daemon.path("pid").exists());
    }
    // What it says must have a place.
    let setup = Setup::of("http", &["127.0.0.1:1"]);
    setup.write();
    let file = setup.directory().join("fairwater.toml");
    let mut command = Command::new(binary());
    let output = command.args(["run", "--daemon", "-c"]).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("`--log-file FILE`"), "{said}");
}

/// As logrotate does it: the files are moved away, and USR1 is sent.
#[test]
fn logs_are_opened_again_without_a_lost_line() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).threads(2);
    let setup = if is_root() { setup.top("user = \"nobody\"") } else { setup };
    let log = setup.directory().join("access.log");
    let proxy = setup.start();
    let load = Load::on(&proxy, 2);
    for turn in 0..5 {
        until("lines", || fs::metadata(&log).is_ok_and(|log| log.len() > 2000));
        fs::rename(&log, log.with_extension(turn.to_string())).unwrap();
        proxy.signal(Signal::USR1);
        until("another file", || log.exists());
    }
    let requests = load.end();
    let lines = || {
        let older = (0..5).map(|turn| log.with_extension(turn.to_string()));
        let texts = older.chain([log.clone()]).map(|path| fs::read_to_string(path).unwrap());
        texts.map(|text| text.lines().filter(|line| line.ends_with('}')).count()).sum::<usize>()
    };
    until("all lines", || lines() >= requests);
    assert_eq!(lines(), requests);
}

#[test]
fn master_and_worker_go_on_in_a_new_log_file() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).log("");
    let setup = if is_root() { setup.top("user = \"nobody\"") } else { setup };
    let daemon = Daemon::of(setup);
    assert!(daemon.start().status.success());
    let (address, log) = (daemon.address(), daemon.path("log"));
    let (master, worker) = (daemon.id().unwrap(), worker_of(daemon.id().unwrap()));
    let owner = fs::metadata(&log).unwrap().uid();
    fs::rename(&log, daemon.path("log.1")).unwrap();
    daemon.signal(Signal::USR1);
    until("both to have opened it", || {
        log.exists() && [master, worker].iter().all(|id| has_open(*id, &log))
    });
    assert_eq!(fs::metadata(&log).unwrap().uid(), owner);
    assert!(![master, worker].iter().any(|id| has_open(*id, &daemon.path("log.1"))));
    // Another worker writes there as well.
    signal_to(worker, Signal::KILL);
    until("it to be said", || daemon.log().contains(&format!("worker {worker} was killed")));
    assert_eq!(Client::connect(&address).get("/").status(), 200);
    until("another worker", || worker_of(master) != worker);
    until("its log", || has_open(worker_of(master), &log));
}

/// What ties it to its system goes from program to program.
#[test]
fn an_upgraded_daemon_holds_what_it_held() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).upgradable();
    let setup = if is_root() { setup.top("user = \"nobody\"") } else { setup };
    let daemon = Daemon::of(setup);
    assert!(daemon.start().status.success());
    let (address, master) = (daemon.address(), daemon.id().unwrap());
    daemon.signal(Signal::USR2);
    until("it to be said", || daemon.log().contains(" has taken over from "));
    assert_eq!(Client::connect(&address).get("/").status(), 200);
    let second = daemon.start();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("process {master} holds")), "{said}");
    fs::rename(daemon.path("log"), daemon.path("log.1")).unwrap();
    daemon.signal(Signal::USR1);
    until("both to have opened another", || {
        let log = daemon.path("log");
        log.exists() && [master, worker_of(master)].iter().all(|id| has_open(*id, &log))
    });
    daemon.signal(Signal::TERM);
    until("the pid file to be gone", || !daemon.path("pid").exists());
}
