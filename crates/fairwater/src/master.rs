//! `fairwater run` as several processes: a master that holds the sockets, one that reads the
//! configuration for it, and a worker that serves.

use std::path::Path;
use std::process::ExitCode;

use fairwater_config::{Config, Protocol};
use fairwater_supervisor::{Bind, Charge, Link, Loaded, NotLoaded, Order, Part, hand_over};
use fairwater_sys::{child, memory_file};

use crate::arguments::ConfigFile;
use crate::file_set::{FileSet, Recording};
use crate::files::Files;
use crate::serve::{self, Given};
use crate::{fail, run, say};

/// Our own program, also when the file of that name is another by now.
const PROGRAM: &str = "/proc/self/exe";

/// Runs the master until signals end it.
pub(crate) fn run(arguments: &ConfigFile) -> ExitCode {
    let program = Path::new(PROGRAM);
    let Loaded { part, files } = match fairwater_supervisor::load(program, &arguments.config) {
        Ok(loaded) => loaded,
        Err(NotLoaded::Said) => return ExitCode::FAILURE,
        Err(NotLoaded::Failed(problem)) => return fail(problem),
    };
    let name = arguments.config.display().to_string();
    let say = |line: &dyn std::fmt::Display| say(line);
    match fairwater_supervisor::run(Charge { program: program.to_owned(), name, files, part, say })
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(problem),
    }
}

/// `fairwater load`: reads a configuration, says what is wrong with it, and gives it to the master.
pub(crate) fn load(arguments: &ConfigFile) -> ExitCode {
    let recording = Recording::new(&Files);
    let (config, text) = match run::load(arguments, &recording) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // Before the master binds what is in them.
    if let Err(problem) = serve::prepare_directories(&config) {
        return fail(problem);
    }
    let files = recording.into_set(text).encode();
    match hand_over(&part(&config), &files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("there is no master to read a configuration for: {error}")),
    }
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
    }
}

/// `fairwater worker`: serves what the master gives.
pub(crate) fn worker() -> ExitCode {
    let link = match child::given() {
        Ok(socket) => Link::new(socket),
        Err(error) => return fail(format_args!("there is no master to work for: {error}")),
    };
    match equipment(&link) {
        Ok((config, given)) => serve::serve_given(&config, given, &link),
        Err(problem) => fail(problem),
    }
}

/// Takes what the master gives.
fn equipment(link: &Link) -> Result<(Config, Given), String> {
    let mut given = Given::default();
    let mut config = None;
    loop {
        let order =
            link.next_order().map_err(|error| format!("the master says nothing: {error}"))?;
        match order.ok_or("the master is gone")? {
            Order::Configuration { name, files } => {
                let bytes = memory_file::read(files)
                    .map_err(|error| format!("cannot read what the master gives: {error}"))?;
                let set = FileSet::decode(&bytes).ok_or("the master gives broken files")?;
                // What is to be said about it has been said when it was read for the master.
                config = fairwater_config::load(&name, &set.main, &set).0;
            }
            Order::Listening { address, sockets } => given.listening.push((address, sockets)),
            Order::Admin(socket) => given.admin = Some(socket),
            Order::Serve => break,
        }
    }
    let config = config.ok_or("the master gives no configuration")?;
    Ok((config, given))
}
