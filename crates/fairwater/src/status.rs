//! `fairwater status`: asks the master which processes there are, and the worker how it is doing.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::StatusArguments;
use crate::{fail, master, print, proxy, run, say};

/// The process answers in milliseconds; one that does not answer has stopped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for many thousands of endpoints.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(crate) fn run(arguments: &StatusArguments) -> ExitCode {
    let (admin, master) = match sockets(arguments) {
        Ok(sockets) => sockets,
        Err(code) => return code,
    };
    // What the master knows is for people; programs ask the worker, or read /metrics.
    if let Some(path) = master.filter(|_| !arguments.json) {
        match fairwater_supervisor::ask(&path, "status", PATIENCE) {
            Ok((_, said)) => {
                print(format!("{said}\n"));
            }
            // It may run with --single, or have died: its worker serves on.
            Err(error) => say(format_args!("no master answers at {}: {error}", path.display())),
        }
    }
    let kind = if arguments.json { "application/json" } else { "text/plain" };
    match ask(&admin, "/status", kind) {
        Ok(answer) => print(answer),
        Err(error) => {
            let path = admin.display();
            fail(format_args!("cannot ask the process at {path}: {error}{}", hint(&error)))
        }
    }
}

/// The admin socket, the one that is named, or that of the configuration; and then the master's, if
/// there is one.
fn sockets(arguments: &StatusArguments) -> Result<(PathBuf, Option<PathBuf>), ExitCode> {
    if let Some(text) = &arguments.admin {
        return proxy::admin_socket(text).map(|path| (path, None)).map_err(fail);
    }
    let found = run::places(&arguments.config)?;
    let master = found.run_dir.as_deref().map(master::socket_in);
    let admin = found.admin_socket.ok_or_else(|| {
        let file = arguments.config.display();
        if !found.is_good {
            return fail("no admin socket can be read in it; name it with --admin PATH");
        }
        fail(format_args!(
            "{file} opens no admin socket; add `admin.socket = \"/run/fairwater/admin.sock\"` and \
             reload, or name another with --admin PATH"
        ))
    })?;
    Ok((admin, master))
}

/// What the process answers to a GET at its admin socket.
pub(crate) fn ask(path: &Path, target: &str, kind: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer comes without chunks, and the connection ends behind it.
    write!(stream, "GET {target} HTTP/1.0\r\nHost: fairwater\r\nAccept: {kind}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "it gives an odd answer");
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(odd)?;
    let status = answer.get(9..12).ok_or_else(odd)?;
    if !answer.starts_with(b"HTTP/1.") || status != b"200" {
        return Err(odd());
    }
    Ok(answer.split_off(head_end + 4))
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; it is not running, or it opens another socket: --admin PATH",
        io::ErrorKind::ConnectionRefused => "; it has ended and left the socket behind: start it",
        io::ErrorKind::PermissionDenied => "; only the user that it runs as, and root, may ask",
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "; it does not answer",
        io::ErrorKind::InvalidData => "; is it the admin socket of Fairwater?",
        _ => "",
    }
}
