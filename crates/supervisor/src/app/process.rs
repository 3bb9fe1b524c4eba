//! One process of an app: how it is started, what it says, and its end, with all that belongs to
//! it.

use std::fs::{self, DirBuilder};
use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairwater_message::address::Endpoint;
use fairwater_sys::{child, file, process};

use crate::app::lines::Lines;
use crate::app::probe::Probe;
use crate::app::record::Entry;
use crate::app::shared::Shared;
use crate::app::spec::{Address, Ready, Spec};

/// The user who may give files away.
const ROOT: u32 = 0;

/// A running process. Dropping it leaves it alone.
#[derive(Debug)]
pub(crate) struct Process {
    /// No other process has it.
    pub(crate) number: u32,
    pub(crate) index: u32,
    /// What it was started with.
    pub(crate) spec: Rc<Spec>,
    pub(crate) id: u32,
    pub(crate) entry: Option<Entry>,
    pub(crate) address: Endpoint,
    output: [(Option<PipeReader>, Lines); 2],
    /// Until it is ready.
    probe: Option<Probe>,
    has_said_it: bool,
    /// By worker, what each has sent to it so far.
    requests: Vec<(u32, u64)>,
    /// It is replaced when it has had so many.
    requests_max: Option<u64>,
    end: End,
}

#[derive(Debug)]
enum End {
    /// Not yet.
    Running {
        is_stopping: bool,
    },
    /// It has ended, and some that it has started are left, which were told to stop as well.
    Left(ExitStatus),
    Killed(Option<ExitStatus>),
}

impl Process {
    /// # Errors
    /// Why it cannot be started, in words.
    pub(crate) fn start(
        spec: &Rc<Spec>,
        (number, index): (u32, u32),
        shared: Option<&Shared>,
        random: u64,
        now: Instant,
    ) -> Result<Self, String> {
        let address = match shared {
            Some(shared) => Endpoint::Unix(shared.path().to_owned()),
            None => address(spec, number, index)?,
        };
        let started = launch(spec, index, &address, shared);
        let (id, pipes) = started.map_err(|error| {
            if let (None, Endpoint::Unix(path)) = (shared, &address) {
                // It was made for this process alone.
                drop(path.parent().map(fs::remove_dir));
            }
            problem(spec, &error)
        })?;
        let probe = match spec.ready {
            Ready::Connect | Ready::Http(_) => Some(Probe::new(now)),
            Ready::Line(_) => None,
        };
        Ok(Self {
            number,
            index,
            spec: Rc::clone(spec),
            id,
            entry: Entry::of(id, spec.stop_signal),
            address,
            output: pipes.map(|pipe| (Some(pipe), Lines::default())),
            probe,
            has_said_it: false,
            requests: Vec::new(),
            requests_max: requests_max(spec, random),
            end: End::Running { is_stopping: false },
        })
    }

    /// Goes on under other settings, by which it would have been started in the same way.
    pub(crate) fn adopt(&mut self, spec: &Rc<Spec>, random: u64) {
        if self.spec.max_requests != spec.max_requests {
            self.requests_max = requests_max(spec, random);
        }
        self.spec = Rc::clone(spec);
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pipes = self.output.iter().filter_map(|(pipe, _)| pipe.as_ref().map(AsFd::as_fd));
        pipes.chain(self.probe.as_ref().and_then(Probe::socket))
    }

    /// Reads what it says, line by line.
    pub(crate) fn listen(&mut self, mut take: impl FnMut(&str)) {
        let wanted = match &self.spec.ready {
            Ready::Line(text) => Some(text.as_str()),
            _ => None,
        };
        for (at, (pipe, lines)) in self.output.iter_mut().enumerate() {
            let Some(reader) = pipe else { continue };
            let mut take_line = |line: &str| {
                self.has_said_it |= at == 0 && wanted.is_some_and(|text| line.contains(text));
                take(line);
            };
            if !lines.read(reader, &mut take_line) {
                lines.finish(&mut take_line);
                *pipe = None;
            }
        }
    }

    /// What it has said without ending the line.
    pub(crate) fn finish_lines(&mut self, mut take: impl FnMut(&str)) {
        self.listen(&mut take);
        self.output.iter_mut().for_each(|(_, lines)| lines.finish(&mut take));
    }

    /// Whether it can take traffic, from workers with the rights of user `reader`. To be asked
    /// until it can.
    ///
    /// # Errors
    /// Why it never will.
    pub(crate) fn is_ready(&mut self, reader: u32, now: Instant) -> Result<bool, String> {
        let is_ready = match &mut self.probe {
            Some(probe) => probe.turn(&self.address, &self.spec.ready, now),
            None => self.has_said_it,
        };
        if !is_ready {
            return Ok(false);
        }
        self.probe = None;
        if let (Endpoint::Unix(path), Address::Socket(_)) = (&self.address, &self.spec.address) {
            self.keep_socket(path, reader)?;
        }
        Ok(true)
    }

    /// A process of another user must not put a link in the place of its socket, which would have
    /// workers connect with rights that it has not: the directory is taken back. Then the socket is
    /// given to who connects to it.
    fn keep_socket(&self, path: &Path, reader: u32) -> Result<(), String> {
        let failed = |error| format!("its socket cannot be taken over: {error}");
        let own = process::user_id();
        if self.spec.user.is_some()
            && let Some(directory) = path.parent()
        {
            chown(directory, Some(own), None).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                Err(format!("{} is no socket", path.display()))
            }
            Ok(_) if reader != own && own == ROOT => {
                let pass = fs::Permissions::from_mode(0o711);
                path.parent()
                    .map_or(Ok(()), |directory| fs::set_permissions(directory, pass))
                    .and_then(|()| lchown(path, Some(reader), None))
                    .map_err(failed)
            }
            Ok(file) if file.uid() != own && own == ROOT => {
                lchown(path, Some(own), None).map_err(failed)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn next_turn(&self, now: Instant) -> Option<Instant> {
        /// Nobody tells when the children of a process that has ended are gone.
        const LOOK: Duration = Duration::from_millis(50);
        let probe = self.probe.as_ref().map(|probe| probe.next_turn(now));
        let look = matches!(self.end, End::Left(_)).then(|| now + LOOK);
        [probe, look].into_iter().flatten().min()
    }

    /// Takes in how much a worker has sent to it. Tells whether that is enough.
    pub(crate) fn add_requests(&mut self, worker: u32, count: u64) -> bool {
        match self.requests.iter_mut().find(|(id, _)| *id == worker) {
            Some((_, known)) => *known = (*known).max(count),
            None => self.requests.push((worker, count)),
        }
        let total: u64 = self.requests.iter().map(|(_, count)| count).sum();
        self.requests_max.is_some_and(|max| total >= max)
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        if let End::Running { is_stopping } = &mut self.end {
            *is_stopping = true;
            self.probe = None;
            process::signal(self.id, self.spec.stop_signal).ok();
        }
    }

    /// Has it renew itself, if it can.
    pub(crate) fn reload(&self) -> bool {
        match (&self.end, self.spec.reload_signal) {
            (End::Running { is_stopping: false }, Some(signal)) => {
                process::signal(self.id, signal).is_ok()
            }
            _ => false,
        }
    }

    pub(crate) fn kill(&mut self) {
        process::signal_group(self.id, process::KILL).ok();
        self.end = match &self.end {
            End::Left(status) => End::Killed(Some(*status)),
            _ => End::Killed(None),
        };
    }

    /// How it ended, once it has, and nothing that it has started is left.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = match &self.end {
            End::Running { is_stopping } => {
                let status = status_of(self.id)?;
                if *is_stopping && process::signal_group(self.id, self.spec.stop_signal).is_ok() {
                    self.end = End::Left(status);
                    return None;
                }
                // What is left without its parent serves nobody.
                process::signal_group(self.id, process::KILL).ok();
                status
            }
            End::Left(_) if process::has_group(self.id) => return None,
            End::Left(status) | End::Killed(Some(status)) => *status,
            End::Killed(None) => status_of(self.id)?,
        };
        self.clean_up();
        Some(status)
    }

    fn clean_up(&self) {
        if let (Endpoint::Unix(path), Address::Socket(_)) = (&self.address, &self.spec.address) {
            remove(path);
        }
    }
}

/// Up to half as many more by chance, so that those that were started together do not end together.
fn requests_max(spec: &Spec, random: u64) -> Option<u64> {
    spec.max_requests.map(|max| u64::from(max) + random % (u64::from(max) / 2 + 1))
}

/// One that is no child of ours any more has ended somehow.
fn status_of(process_id: u32) -> Option<ExitStatus> {
    child::ended(process_id).unwrap_or_else(|_| Some(ExitStatus::default()))
}

/// A socket of a process, and its directory.
fn remove(path: &Path) {
    drop(fs::remove_file(path));
    if let Some(directory) = path.parent() {
        drop(fs::remove_dir(directory));
    }
}

/// Where the process shall listen: nobody else does, and nothing is there.
fn address(spec: &Spec, number: u32, index: u32) -> Result<Endpoint, String> {
    match &spec.address {
        Address::Port => {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let free = free.and_then(|listener| listener.local_addr());
            free.map(Endpoint::Ip).map_err(|error| format!("there is no free port: {error}"))
        }
        Address::Socket(directory) | Address::Shared(directory) => {
            let own = directory.join(format!("{index}-{number}"));
            make(directory, &own, spec)
                .map_err(|error| format!("cannot make {}: {error}", own.display()))?;
            Ok(Endpoint::Unix(own.join("socket")))
        }
    }
}

/// Makes the directory for the socket of one process, empty, and its process's own. Others may pass
/// through the one above, and not read it.
fn make(directory: &Path, own: &PathBuf, spec: &Spec) -> io::Result<()> {
    match DirBuilder::new().mode(0o711).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Of a master before, whose processes are gone.
    remove(&own.join("socket"));
    match fs::remove_dir_all(own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(own)?;
    match &spec.user {
        Some(identity) => chown(own, Some(identity.user), None),
        None => Ok(()),
    }
}

fn launch(
    spec: &Spec,
    index: u32,
    address: &Endpoint,
    shared: Option<&Shared>,
) -> io::Result<(u32, [PipeReader; 2])> {
    let (output, output_end) = io::pipe()?;
    let (errors, errors_end) = io::pipe()?;
    for pipe in [&output, &errors] {
        file::never_wait(pipe.as_fd())?;
    }
    let words = Words::new(index, address);
    let mut command = words.command(spec, shared.is_some());
    command.stdin(Stdio::null()).stdout(output_end).stderr(errors_end);
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    let id = child::spawn_apart(&mut command, spec.user.as_ref(), shared.map(AsFd::as_fd))?;
    Ok((id, [output, errors]))
}

/// What systemd tells the processes that it starts.
const MASTERS: [&str; 5] =
    ["LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// What `{socket}`, `{port}` and `{index}` stand for.
struct Words([(&'static str, &'static str, String); 3]);

impl Words {
    fn new(index: u32, address: &Endpoint) -> Self {
        let (socket, port) = match address {
            Endpoint::Unix(path) => (path.display().to_string(), String::new()),
            Endpoint::Ip(ip) => (String::new(), ip.port().to_string()),
            _ => (String::new(), String::new()),
        };
        Self([
            ("{socket}", "FAIRWATER_SOCKET", socket),
            ("{port}", "FAIRWATER_PORT", port),
            ("{index}", "FAIRWATER_INDEX", index.to_string()),
        ])
    }

    fn fill(&self, text: &str) -> String {
        let known = self.0.iter().filter(|(_, _, value)| !value.is_empty());
        known.fold(text.to_owned(), |text, (word, _, value)| text.replace(word, value))
    }

    fn command(&self, spec: &Spec, is_given: bool) -> Command {
        let mut words = spec.command.iter().map(|word| self.fill(word));
        let mut command = match is_given {
            // Only the process itself knows its number.
            true => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"]);
                shell.env("LISTEN_FDS", "1");
                shell
            }
            false => {
                let mut command = Command::new(words.next().unwrap_or_default());
                command.env_remove("LISTEN_FDS");
                command
            }
        };
        command.args(words);
        // What the master was told by who has started it is not meant for others.
        for variable in MASTERS {
            command.env_remove(variable);
        }
        // Those of a master that is an app itself are not meant.
        for (_, variable, value) in &self.0 {
            match value.is_empty() {
                true => command.env_remove(variable),
                false => command.env(variable, value),
            };
        }
        command.env("FAIRWATER_APP", &spec.name);
        command.envs(spec.env.iter().map(|(name, value)| (name, self.fill(value))));
        command
    }
}

/// Why a process cannot be started.
fn problem(spec: &Spec, error: &io::Error) -> String {
    let program = spec.command.first().map_or("", String::as_str);
    match &spec.directory {
        Some(directory) if !directory.is_dir() => {
            format!("there is no directory {}", directory.display())
        }
        _ => format!("cannot start {program}: {error}"),
    }
}

mod written;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::spec::tests::sample;

    fn command_of(spec: &Spec, address: &str) -> (Vec<String>, Vec<String>) {
        let address = Endpoint::parse(address).unwrap();
        let command = Words::new(3, &address).command(spec, false);
        let program = std::iter::once(command.get_program());
        let words = program.chain(command.get_args()).map(|word| word.display().to_string());
        let variables = command.get_envs().map(|(name, value)| {
            let value = value.map_or("-".to_owned(), |value| value.display().to_string());
            format!("{}={value}", name.display())
        });
        (words.collect(), variables.collect())
    }

    #[test]
    fn words_stand_for_what_each_process_has_of_its_own() {
        let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let spec = Spec {
            command: text(&["sh", "-c", "{ x {socket}{index}; }", "{port}"]),
            env: vec![("PORT".to_owned(), "{port}".to_owned())],
            ..sample("a")
        };
        let (words, mut variables) = command_of(&spec, "unix:/s");
        variables.retain(|variable| !MASTERS.iter().any(|one| variable.starts_with(one)));
        assert_eq!(words, ["sh", "-c", "{ x /s3; }", "{port}"]);
        let expected = [
            "FAIRWATER_APP=a",
            "FAIRWATER_INDEX=3",
            "FAIRWATER_PORT=-",
            "FAIRWATER_SOCKET=/s",
            "LISTEN_FDS=-",
            "PORT={port}",
        ];
        assert_eq!(variables, expected);
        let (words, variables) = command_of(&spec, "127.0.0.1:81");
        assert_eq!(words, ["sh", "-c", "{ x {socket}3; }", "81"]);
        assert!(variables.contains(&"PORT=81".to_owned()), "{variables:?}");
    }
}
