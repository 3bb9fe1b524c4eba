//! `fairwater run` as several processes: a master that holds the sockets, one that reads the
//! configuration for it, and a worker that serves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use fairwater_config::{Config, Protocol};
use fairwater_supervisor::{Bind, Charge, Link, Part, hand_over};
use fairwater_sys::child;

use crate::arguments::ConfigFile;
use crate::file_set::Recording;
use crate::files::Files;
use crate::given::{self, Given};
use crate::{apps, fail, run, say, serve, show};

/// The master's own socket, in `run_dir`.
const SOCKET: &str = "master.sock";

/// Our own program, also when the file of that name is another by now.
const PROGRAM: &str = "/proc/self/exe";

/// Runs the master until signals end it.
#[allow(clippy::disallowed_methods, reason = "a start is where the time begins")]
pub(crate) fn run(arguments: &ConfigFile) -> ExitCode {
    let (program, file) = (Path::new(PROGRAM), &arguments.config);
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
    let say = |line: &dyn std::fmt::Display| say(line);
    let (program, file) = (program.to_owned(), file.clone());
    match fairwater_supervisor::run(Charge { program, file, loaded, say, show }) {
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
    // Before the master binds what is in them.
    if let Err(problem) = serve::prepare_directories(&config) {
        return fail(problem);
    }
    let mut part = part(&config);
    part.apps = match apps::specs(&config) {
        Ok(specs) => specs,
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

fn part(config: &Config) -> Part {
    let binds = config.listeners.iter().flat_map(|listener| {
        listener.bind.iter().map(|bind| Bind {
            listener: listener.name.value.clone(),
            address: bind.value.clone(),
            backlog: listener.limits.backlog,
            waits_for_data: matches!(listener.protocol, Protocol::Http(_)),
        })
    });
    Part {
        threads: serve::threads(config),
        binds: binds.collect(),
        admin: config.admin.socket.as_ref().map(|socket| socket.value.clone()),
        control: socket(config),
        watched: Vec::new(),
        run_dir: config.run_dir.as_ref().map(|directory| directory.value.clone()),
        apps: Vec::new(),
    }
}

/// `fairwater worker`: serves what the master gives.
pub(crate) fn worker() -> ExitCode {
    let link = match child::given() {
        Ok(socket) => Link::new(socket),
        Err(error) => return fail(format_args!("there is no master to work for: {error}")),
    };
    match given::next(&link).and_then(|first| Given::take(&link, first)) {
        Ok((config, given)) => serve::serve_given(&config, given, link),
        Err(problem) => fail(problem),
    }
}
