//! The real binary as a process of the test: started, asked, and killed by its own id.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Client, Directory, Line, Message, until, until_some};

#[derive(Debug)]
pub struct Proxy {
    /// Of the first listener, for [`Client::connect`].
    pub address: String,
    child: Child,
    is_single: bool,
    said: Arc<Mutex<String>>,
    directory: Directory,
}

/// The binary of a proxy whose program can be replaced, in its directory.
pub(crate) const OWN_BINARY: &str = "fairwater";

/// Where the binary under test is.
///
/// # Panics
/// When it is not there; says how to build it.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("FAIRWATER_BIN").map_or_else(beside_tests, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p fairwater`, or `cargo xtask test`, which does",
        path.display()
    );
    path
}

/// `target/debug/fairwater` for `target/debug/deps/e2e-0123`.
fn beside_tests() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap_or(Path::new(".")).join("fairwater")
}

impl Proxy {
    /// Runs the `fairwater.toml` in `directory`, with further flags.
    ///
    /// # Errors
    /// What it said when it ended.
    ///
    /// # Panics
    /// When the binary is not there.
    pub fn start(directory: Directory, flags: &[String]) -> Result<Self, String> {
        let own = directory.join(OWN_BINARY);
        let mut child = Command::new(if own.exists() { own } else { binary() })
            .args(["run", "-c"])
            .arg(directory.join("fairwater.toml"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = listen_to(child.stderr.take());
        let address = until_some("the proxy to listen or to end", || {
            let lines = text(&said);
            let found = address_in(&lines, "web");
            match child.try_wait() {
                Ok(Some(_)) if found.is_none() => Some(Err(text(&said))),
                _ => found.map(Ok),
            }
        });
        match address {
            Ok(address) => {
                let is_single = flags.iter().any(|flag| flag == "--single");
                Ok(Self { address, child, is_single, said, directory })
            }
            Err(_) => {
                // Its last words may still be in the pipe.
                until("the end of what it says", || Arc::strong_count(&said) == 1);
                Err(text(&said))
            }
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Of the process that was started: the master.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Of the process that serves: one of the master's children, or with `--single` itself.
    ///
    /// # Panics
    /// When there is none for a while.
    pub fn worker_id(&self) -> u32 {
        until_some("the worker", || self.worker_ids().first().copied())
    }

    /// Of all processes that the master has started, and that run.
    pub fn worker_ids(&self) -> Vec<u32> {
        let master = self.child.id();
        if self.is_single {
            return vec![master];
        }
        let path = format!("/proc/{master}/task/{master}/children");
        let is_running = |id: &&str| {
            let file = |name| std::fs::read_to_string(format!("/proc/{id}/{name}"));
            let status = file("status").unwrap_or_default();
            let is_worker = file("cmdline").unwrap_or_default().contains("\0worker\0");
            is_worker && status.contains("State:") && !status.contains("State:\tZ")
        };
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        children.split_whitespace().filter(is_running).filter_map(|id| id.parse().ok()).collect()
    }

    /// Waits until a listener listens: where it does.
    pub fn address_of(&self, listener: &str) -> String {
        until_some("the address of a listener", || address_in(&self.said(), listener))
    }

    /// Everything that it has said on its standard error.
    pub fn said(&self) -> String {
        text(&self.said)
    }

    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }

    /// Waits for the process to end by itself, and for its last words.
    pub fn until_ended(&mut self) -> ExitStatus {
        let status = until_some("the proxy to end", || self.child.try_wait().ok().flatten());
        // Whoever it leaves behind may hold the pipe.
        let begun = Instant::now();
        while Arc::strong_count(&self.said) > 1 && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(1));
        }
        status
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Changes the text of the configuration file, which another file takes the place of.
    ///
    /// # Panics
    /// When it does not have what shall be replaced.
    pub fn edit(&self, replace: &str, by: &str) {
        let path = self.directory.join("fairwater.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(replace), "{text}");
        let new = self.directory.join("fairwater.toml.new");
        std::fs::write(&new, text.replacen(replace, by, 1)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// What the master answers to a command of its socket: a code, and text.
    ///
    /// # Panics
    /// When it does not.
    pub fn tell_master(&self, command: &str) -> (u8, String) {
        let mut socket = UnixStream::connect(self.directory.join("run/master.sock")).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (code, text) = answer.split_once('\n').unwrap();
        (code.parse().unwrap(), text.to_owned())
    }

    /// `fairwater reload`: its exit code, and what it says.
    ///
    /// # Panics
    /// When there is no such command.
    pub fn reload(&self) -> (i32, String) {
        self.command("reload")
    }

    /// A command to the master: its exit code, and what it says.
    ///
    /// # Panics
    /// When there is no such command.
    pub fn command(&self, name: &str) -> (i32, String) {
        let socket = self.directory.join("run").join("master.sock");
        let mut command = Command::new(binary());
        let output = command.arg(name).arg("--socket").arg(socket).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said)
    }

    /// A reload that goes well.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn reload_well(&self) -> String {
        let (code, said) = self.reload();
        assert_eq!(code, 0, "{said}");
        said
    }

    /// An upgrade that goes well. Waits until another worker has taken over.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn upgrade_well(&self) -> String {
        let before = self.worker_ids();
        let (code, said) = self.command("upgrade");
        assert_eq!(code, 0, "{said}");
        until("another worker", || self.worker_ids().iter().any(|id| !before.contains(id)));
        said
    }

    /// An upgrade after which nothing is left of the worker before.
    ///
    /// # Panics
    /// When there is one.
    #[track_caller]
    pub fn upgrade_whole(&self) -> String {
        let said = self.upgrade_well();
        self.until_one_worker();
        said
    }

    /// Waits until the workers before have ended.
    #[track_caller]
    pub fn until_one_worker(&self) {
        until("the worker before to end", || self.worker_ids().len() == 1);
    }

    /// The program of one that is [upgradable](crate::Setup::upgradable).
    pub fn program(&self) -> PathBuf {
        self.directory.join(OWN_BINARY)
    }

    /// Puts another file in the place of its program.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn install(&self, bytes: &[u8]) {
        let new = self.directory.join("fairwater.new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, self.program()).unwrap();
    }

    /// Puts another file with the same program in its place.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn install_again(&self) {
        self.install(&std::fs::read(self.program()).unwrap());
    }

    /// A GET on the admin socket.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn ask(&self, target: &str) -> Message {
        let path = self.directory.join("admin.sock");
        let mut client = Client::connect(&format!("unix:{}", path.display()));
        client.get(target)
    }

    /// A request to the admin socket, with parameters as curl sends them.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn order(&self, method: &str, target: &str, form: &str) -> Message {
        let path = self.directory.join("admin.sock");
        let mut client = Client::connect(&format!("unix:{}", path.display()));
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        ));
        let answer = client.response_to(method);
        answer.unwrap_or_else(|broken| panic!("{method} {target}: {broken:?}"))
    }

    pub fn metrics(&self) -> String {
        self.ask("/metrics").text()
    }

    /// The sum over all lines of a metric whose labels hold all of `labels`.
    ///
    /// # Panics
    /// When a value is no number.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let of_line = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with([' ', '{']) && labels.iter().all(|l| rest.contains(l));
            let value = rest.rsplit(' ').next().filter(|_| is_it)?;
            Some(value.parse::<u64>().unwrap())
        };
        self.metrics().lines().filter_map(of_line).sum()
    }

    #[track_caller]
    pub fn until_metric(&self, name: &str, labels: &[&str], value: u64) {
        until(&format!("{name}{labels:?} to be {value}"), || self.metric(name, labels) == value);
    }

    /// The access log so far.
    ///
    /// # Panics
    /// When a line is no flat JSON object.
    pub fn log(&self) -> Vec<Line> {
        self.log_text().lines().map(|line| Line::parse(line).unwrap()).collect()
    }

    /// The same of whatever format: its complete lines.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn log_text(&self) -> String {
        let text = std::fs::read(self.directory.join("access.log")).unwrap_or_default();
        let mut text = String::from_utf8(text).unwrap();
        // The last line may be half written.
        text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
        text
    }

    /// Waits for so many lines, and that there are no more.
    ///
    /// # Panics
    /// When there are more.
    #[track_caller]
    pub fn until_log(&self, lines: usize) -> Vec<Line> {
        let mut log = Vec::new();
        until(&format!("{lines} lines in the access log"), || {
            log = self.log();
            log.len() >= lines
        });
        assert_eq!(log.len(), lines, "too many lines, the last is {:#?}", log.last());
        log
    }

    /// Resident bytes that the process has written to: not those of the program, which come as it
    /// is used.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    /// Bytes that the process has asked for, whether it has written to them or not.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn allocated(&self) -> u64 {
        self.status_bytes("VmData:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib = line.split_ascii_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
        kib.unwrap() * 1024
    }

    /// Open descriptors.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.worker_id())).unwrap().count()
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.worker_id())).unwrap()
    }

    /// What holds after anything that peers may do: no panic, no line lost, no end.
    ///
    /// # Panics
    /// When it does not hold.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        assert!(!self.has_ended(), "the proxy has ended: {}", self.said());
        assert_eq!(self.metric("fairwater_panics_total", &[]), 0, "{}", self.said());
        assert_eq!(self.metric("fairwater_log_dropped_total", &[]), 0);
        assert!(!self.said().contains("bug"), "{}", self.said());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        end_with_children(&mut self.child);
        if !std::thread::panicking() {
            let said = self.said();
            assert!(!said.contains("bug, please report"), "{said}");
        } else {
            eprintln!("the proxy said:\n{}", self.said());
        }
    }
}

/// Where a listener listens, by what was said until now.
fn address_in(said: &str, listener: &str) -> Option<String> {
    let before = format!("fairwater: {listener} listens on ");
    said.lines().find_map(|line| line.strip_prefix(&before).map(str::to_owned))
}

/// Kills a process that the test started, and the workers and apps that it has: those would go on.
pub fn end_with_children(process: &mut Child) {
    let id = process.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    process.kill().ok();
    for child in children.unwrap_or_default().split_whitespace() {
        if let Some(pid) = child.parse().ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
            // Processes of apps lead groups of their own.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
    process.wait().ok();
}

/// Sends a signal to a process that the test started.
///
/// # Panics
/// When there is no such process.
pub fn signal_to(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Stops a process that the test started, and waits until none of its threads runs any more.
///
/// # Panics
/// When there is no such process.
pub fn halt(process: u32) {
    signal_to(process, Signal::STOP);
    let is_stopped =
        |stat: &str| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
    until("it to stand still", || {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let mut stats = threads.map(|thread| thread.unwrap().path().join("stat"));
        stats.all(|stat| is_stopped(&std::fs::read_to_string(stat).unwrap_or_default()))
    });
}

/// Collects what a process says, line by line.
pub fn listen_to(pipe: Option<impl Read + Send + 'static>) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    if let Some(pipe) = pipe {
        let said = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { break };
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
    }
    said
}

/// What was said so far, but for what is only said since the tests run as root.
pub fn text(said: &Mutex<String>) -> String {
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.split_inclusive('\n').filter(|line| !line.contains(AS_ROOT)).collect()
}

/// So long they may take to come, on a busy machine.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is said of one who serves as root.
pub const AS_ROOT: &str = "warning: traffic is served as root";
