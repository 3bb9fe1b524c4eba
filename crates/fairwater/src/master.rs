//! `fairwater run` as several processes: a master that holds the sockets, one that reads the
//! configuration for it, and a worker that serves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use fairwater_config::{Config, LogTarget, Protocol};
use fairwater_supervisor::{
    Bind, Inherited, Life, Link, Means, Part, ProcessPart, Report, Side, detach, hand_over,
    master_before, understands,
};
use fairwater_sys::child;
use fairwater_sys::exec::Left;
use fairwater_sys::privileges;

use crate::arguments::{LoadArguments, RunArguments, WorkerArguments};
use crate::file_set::Recording;
use crate::files::Files;
use crate::given::{self, Given};
use crate::{apps, fail, rights, run, say, serve, show};

/// The master's own socket, in `run_dir`.
const SOCKET: &str = "master.sock";

/// Our own program, also when the file of that name is another by now.
const PROGRAM: &str = "/proc/self/exe";

/// Runs the master until signals end it.
pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    // Before anything else opens descriptors, and before the number of the process changes.
    let inherited = Inherited::take();
    if !arguments.daemon {
        return run_here(arguments, inherited, None);
    }
    match detach() {
        Ok(Side::Command(launch)) => {
            if launch.is_serving() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(Side::Daemon(report)) => run_here(arguments, inherited, Some(report)),
        Err(error) => fail(format_args!("cannot go into the background: {error}")),
    }
}

#[allow(clippy::disallowed_methods, reason = "a start is where the time begins")]
fn run_here(arguments: &RunArguments, inherited: Inherited, report: Option<Report>) -> ExitCode {
    let (program, file) = (Path::new(PROGRAM), &arguments.file.config);
    let loaded = match fairwater_supervisor::load(program, file, Instant::now()) {
        Ok((loaded, said)) => {
            show(&said);
            loaded
        }
        Err(said) => {
            show(&said);
            return ExitCode::FAILURE;
        }
    };
    let mut process = loaded.part.process.clone();
    process.pid_file = arguments.pid_file.clone().or(process.pid_file);
    process.log_file = arguments.log_file.clone().or(process.log_file);
    let life = match Life::begin(&process, inherited, report) {
        Ok(life) => life,
        Err(problem) => return fail(problem),
    };
    match fairwater_supervisor::run(means(), file.clone(), loaded, life) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(problem),
    }
}

/// Goes on as the master that has become this program, and left in descriptor `state` how.
pub(crate) fn go_on(left: Left, state: i32) -> ExitCode {
    match fairwater_supervisor::go_on(means(), left, state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(problem),
    }
}

fn means() -> Means {
    Means { program: PROGRAM.into(), installed: installed(), say: |line| say(line), show }
}

/// Where this program was found: the place of a newer one.
fn installed() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let is_path = name.components().count() > 1;
    let found = match is_path {
        true => std::env::current_dir().ok().map(|directory| directory.join(&name)),
        false => std::env::var_os("PATH").and_then(|path| {
            let mut places = std::env::split_paths(&path).map(|directory| directory.join(&name));
            places.find(|place| place.is_file())
        }),
    };
    let found = found.filter(|place| place.is_file());
    found.or_else(|| std::env::current_exe().ok()).unwrap_or(name)
}

/// `fairwater load`: reads a configuration, says what is wrong with it, and gives it to the master.
pub(crate) fn load(arguments: &LoadArguments) -> ExitCode {
    if arguments.upgrade && !master_before().is_ok_and(|record| understands(&record)) {
        return fail(
            "this program cannot go on as the master that runs, whose version is another: restart it",
        );
    }
    // It holds every key, whatever it may find in the file about images of its memory.
    privileges::set_core_dumps(false).ok();
    let arguments = &arguments.file;
    let recording = Recording::new(&Files);
    recording.stamp(&arguments.config);
    let (config, text) = match run::load(arguments, &recording) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    rights::warn(&config);
    // Before the master binds what is in them.
    if let Err(problem) = serve::prepare_files(&config) {
        return fail(problem);
    }
    let mut part = match part(&config) {
        Ok(part) => part,
        Err(problem) => return fail(problem),
    };
    if config.watch {
        part.watched = recording.stamps();
    }
    match hand_over(&part, &recording.into_set(text).encode()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("there is no master to read a configuration for: {error}")),
    }
}

/// The master's own socket.
pub(crate) fn socket(config: &Config) -> Option<PathBuf> {
    config.run_dir.as_ref().map(|directory| socket_in(&directory.value))
}

pub(crate) fn socket_in(run_dir: &Path) -> PathBuf {
    run_dir.join(SOCKET)
}

fn part(config: &Config) -> Result<Part, String> {
    let binds = config.listeners.iter().flat_map(|listener| {
        listener.bind.iter().map(|bind| Bind {
            listener: listener.name.value.clone(),
            address: bind.value.clone(),
            backlog: listener.limits.backlog,
            waits_for_data: matches!(listener.protocol, Protocol::Http(_)),
            freebind: listener.limits.freebind,
            is_udp: listener.protocol.is_udp(),
        })
    });
    Ok(Part {
        threads: serve::threads(config),
        binds: binds.collect(),
        admin: config.admin.socket.as_ref().map(|socket| socket.value.clone()),
        control: socket(config),
        watched: Vec::new(),
        run_dir: config.run_dir.as_ref().map(|directory| directory.value.clone()),
        apps: apps::specs(config)?,
        process: process_part(config)?,
    })
}

fn process_part(config: &Config) -> Result<ProcessPart, String> {
    let access_log = match &config.access_log.target {
        LogTarget::File(path) => Some(path.clone()),
        LogTarget::StandardOutput | LogTarget::Socket(_) => None,
    };
    Ok(ProcessPart {
        owner: rights::account(config)?.map(|account| (account.user, account.group)),
        access_log,
        pid_file: config.process.pid_file.clone(),
        log_file: config.process.log_file.clone(),
        core_dumps: config.process.core_dumps,
    })
}

/// `fairwater worker`: serves what the master gives.
pub(crate) fn worker(arguments: &WorkerArguments) -> ExitCode {
    let link = match child::given(0) {
        Ok(socket) => Link::new(socket),
        Err(error) => return fail(format_args!("there is no master to work for: {error}")),
    };
    match given::next(&link).and_then(|first| Given::take(&link, first)) {
        Ok((config, given)) => serve::serve_given(&config, given, link, arguments.log_file.clone()),
        Err(problem) => fail(problem),
    }
}
