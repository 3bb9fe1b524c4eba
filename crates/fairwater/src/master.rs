//! `fairwater run` as several processes: a master that holds the sockets, one that reads the
//! configuration for it, and a worker that serves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use fairwater_config::{Config, LogTarget, Protocol};
use fairwater_supervisor::{
    Bind, Charge, Inherited, Life, Link, Part, ProcessPart, Report, Side, detach, hand_over,
};
use fairwater_sys::child;

use crate::arguments::{ConfigFile, RunArguments, WorkerArguments};
use crate::file_set::Recording;
use crate::files::Files;
use crate::given::{self, Given};
use crate::{fail, rights, run, say, serve, show};

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
    let say = |line: &dyn std::fmt::Display| say(line);
    let (program, file) = (program.to_owned(), file.clone());
    match fairwater_supervisor::run(Charge { program, file, loaded, life, say, show }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(problem),
    }
}

/// `fairwater load`: reads a configuration, says what is wrong with it, and gives it to the master.
pub(crate) fn load(arguments: &ConfigFile) -> ExitCode {
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
    config.run_dir.as_ref().map(|directory| directory.value.join(SOCKET))
}

fn part(config: &Config) -> Result<Part, String> {
    let binds = config.listeners.iter().flat_map(|listener| {
        listener.bind.iter().map(|bind| Bind {
            listener: listener.name.value.clone(),
            address: bind.value.clone(),
            backlog: listener.limits.backlog,
            waits_for_data: matches!(listener.protocol, Protocol::Http(_)),
            freebind: listener.limits.freebind,
        })
    });
    Ok(Part {
        threads: serve::threads(config),
        binds: binds.collect(),
        admin: config.admin.socket.as_ref().map(|socket| socket.value.clone()),
        control: socket(config),
        watched: Vec::new(),
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
    let link = match child::given() {
        Ok(socket) => Link::new(socket),
        Err(error) => return fail(format_args!("there is no master to work for: {error}")),
    };
    match given::next(&link).and_then(|first| Given::take(&link, first)) {
        Ok((config, given)) => serve::serve_given(&config, given, link, arguments.log_file.clone()),
        Err(problem) => fail(problem),
    }
}
