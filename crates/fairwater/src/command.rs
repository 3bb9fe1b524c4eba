//! `fairwater reload`, `upgrade` and `restart`: tell the master what to do, and say what came of
//! it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::{MasterArguments, RestartArguments};
use crate::{fail, master, run, show};

/// Longer than the master gives its processes.
const PATIENCE: Duration = Duration::from_secs(90);
/// Instances are replaced one by one, and each may take its `start_timeout`.
const PATIENCE_OF_APPS: Duration = Duration::from_secs(3600);

pub(crate) fn run(command: &str, arguments: &MasterArguments) -> ExitCode {
    // What is wrong with the file is said here, as the master would.
    let path = socket(arguments, |file| Ok(master::socket(&run::read(file)?)));
    path.map_or_else(|code| code, |path| tell(&path, command, PATIENCE))
}

pub(crate) fn restart(arguments: &RestartArguments) -> ExitCode {
    let word = if arguments.renew { "renew" } else { "restart" };
    let command = format!("{word} {}", arguments.app);
    let path = socket(&arguments.master, |file| {
        Ok(run::places(file)?.run_dir.as_deref().map(master::socket_in))
    });
    path.map_or_else(|code| code, |path| tell(&path, &command, PATIENCE_OF_APPS))
}

fn tell(path: &Path, command: &str, patience: Duration) -> ExitCode {
    match fairwater_supervisor::ask(path, command, patience) {
        Ok((code, said)) => {
            show(&said);
            ExitCode::from(code)
        }
        Err(error) => {
            let path = path.display();
            fail(format_args!("cannot tell the master at {path}: {error}{}", hint(&error)))
        }
    }
}

/// The master's socket: the one that is named, or the one that is found by the configuration.
fn socket(
    arguments: &MasterArguments,
    find: impl FnOnce(&Path) -> Result<Option<PathBuf>, ExitCode>,
) -> Result<PathBuf, ExitCode> {
    if let Some(path) = &arguments.socket {
        return Ok(path.clone());
    }
    find(&arguments.config)?.ok_or_else(|| {
        let file = arguments.config.display();
        fail(format_args!(
            "{file} has no `run_dir`, where the socket of the master would be: set it and restart, \
             or send HUP (reload) or USR2 (upgrade) to the master"
        ))
    })
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; it is not running, or its run_dir is another: --socket PATH",
        io::ErrorKind::ConnectionRefused => "; it has ended and left the socket behind: start it",
        io::ErrorKind::PermissionDenied => "; only the user that it runs as, and root, may do it",
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "; it does not answer",
        _ => "",
    }
}
