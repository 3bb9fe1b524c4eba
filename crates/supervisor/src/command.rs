//! The master's own socket: its owner writes a line, and is answered when it is done.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::bind::{BindError, Listening, bind_private};

/// People, and the programs that they run.
const ASKERS_MAX: usize = 16;
/// The longest command has a name in it.
const COMMAND_BYTES_MAX: u64 = 256;
/// Who asks writes at once.
const ASKING: Duration = Duration::from_secs(5);
/// Who has asked reads the answer, which fits into the socket.
const ANSWERING: Duration = Duration::from_secs(1);

/// What the master is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Reload,
    Upgrade,
    Status,
    /// Replace the processes of an app.
    Restart(String),
    /// Have the processes of an app renew themselves.
    Renew(String),
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            None if line == "reload" => Some(Self::Reload),
            None if line == "upgrade" => Some(Self::Upgrade),
            None if line == "status" => Some(Self::Status),
            Some(("restart", name)) => Some(Self::Restart(name.to_owned())),
            Some(("renew", name)) => Some(Self::Renew(name.to_owned())),
            _ => None,
        }
    }
}

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker(UnixStream);

impl Asker {
    /// One who asked the master before.
    pub(crate) fn of(socket: OwnedFd) -> Self {
        Self(socket.into())
    }

    /// Answers: `code` is what the one who asks ends with.
    pub(crate) fn answer(mut self, code: u8, text: &str) {
        drop(self.0.set_write_timeout(Some(ANSWERING)));
        // Who has gone away needs no answer.
        drop(self.0.write_all(format!("{code}\n{text}").as_bytes()));
    }
}

impl AsFd for Asker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The socket, and those who have not said yet what they want.
#[derive(Debug)]
pub(crate) struct Commands {
    path: PathBuf,
    listening: Rc<Listening>,
    listener: UnixListener,
    askers: Vec<(UnixStream, Instant)>,
}

impl Commands {
    pub(crate) fn open(path: &Path) -> Result<Self, BindError> {
        let listening = bind_private(path)?;
        let failed = |error| BindError::Io(format!("unix:{}", path.display()), error);
        Self::of(path, Rc::new(listening)).map_err(failed)
    }

    /// On sockets that are bound there.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn of(path: &Path, listening: Rc<Listening>) -> io::Result<Self> {
        let socket = listening.sockets()?.pop().ok_or(io::ErrorKind::NotFound)?;
        let (path, listener) = (path.to_owned(), socket.into());
        Ok(Self { path, listening, listener, askers: Vec::new() })
    }

    /// Its own sockets.
    pub(crate) fn listening(&self) -> &Rc<Listening> {
        &self.listening
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let askers = self.askers.iter().map(|(stream, _)| stream.as_fd());
        // Who finds no room is not taken in now, and must not wake the master all the time.
        let has_room = self.askers.len() < ASKERS_MAX;
        has_room.then(|| self.listener.as_fd()).into_iter().chain(askers)
    }

    /// Takes in who has come, and gives those who have said what they want.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(Command, Asker)> {
        while self.askers.len() < ASKERS_MAX
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.askers.push((stream, now));
            }
        }
        let mut taken = Vec::new();
        for (stream, since) in std::mem::take(&mut self.askers) {
            match read_line(&stream) {
                Ok(line) => {
                    let asker = Asker(stream);
                    match asker.0.set_nonblocking(false).ok().and(Command::parse(&line)) {
                        Some(command) => taken.push((command, asker)),
                        None => asker.answer(2, &format!("there is no command {line:?}\n")),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if now.saturating_duration_since(since) < ASKING {
                        self.askers.push((stream, since));
                    }
                }
                Err(_) => {}
            }
        }
        taken
    }

    pub(crate) fn clean_up(&self) {
        self.listening.clean_up();
    }
}

/// A line that has come whole: it is a few bytes, written at once.
fn read_line(mut stream: &UnixStream) -> io::Result<String> {
    let mut bytes = [0; COMMAND_BYTES_MAX as usize];
    let len = stream.read(&mut bytes)?;
    let text = std::str::from_utf8(&bytes[..len]).ok();
    let line = text.and_then(|text| text.strip_suffix('\n'));
    line.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Tells the master at `path` what to do, and waits for its answer: the exit code, and what there
/// is to be said.
///
/// # Errors
/// When there is none.
pub fn ask(path: &Path, command: &str, patience: Duration) -> io::Result<(u8, String)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(ANSWERING))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (code, text) = answer.split_once('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = code.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((code, text.to_owned()))
}
