//! Where lines go: the standard output, a file, or a receiver on a Unix socket.

use std::io::{self, Write};
use std::path::PathBuf;

use fairwater_sys::file::open_for_appending;

use crate::socket::SocketOutput;

/// Where the lines of the access log go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    #[default]
    StandardOutput,
    /// Appended to, and made if it is not there.
    File(PathBuf),
    /// A Unix socket that somebody else has bound.
    Socket(PathBuf),
}

/// Lines that nobody has taken.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    pub(crate) lines: u32,
    pub(crate) reason: String,
}

pub(crate) enum Output {
    Stream(Box<dyn Write + Send>),
    Socket(SocketOutput),
}

impl Output {
    pub(crate) fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::StandardOutput => Self::Stream(Box::new(io::stdout())),
            LogTarget::File(path) => Self::Stream(Box::new(open_for_appending(path)?)),
            LogTarget::Socket(path) => Self::Socket(SocketOutput::new(path.clone())),
        })
    }

    /// Goes on in what has the name now, where the file was moved away. If it cannot be opened, in
    /// the one that it has.
    pub(crate) fn reopen(&mut self, target: &LogTarget) -> Result<(), String> {
        let LogTarget::File(path) = target else { return Ok(()) };
        let failed = |error| format!("cannot open {} again: {error}", path.display());
        *self = Self::open(target).map_err(failed)?;
        Ok(())
    }

    /// Writes `text`, which has so many lines and ends with the last of them.
    pub(crate) fn write(
        &mut self,
        text: &[u8],
        lines: u32,
        now_ms: fn() -> u64,
    ) -> Result<(), Loss> {
        match self {
            Self::Stream(stream) => stream
                .write_all(text)
                .and_then(|()| stream.flush())
                .map_err(|error| Loss { lines, reason: error.to_string() }),
            Self::Socket(socket) => socket.write(text, now_ms()),
        }
    }
}
