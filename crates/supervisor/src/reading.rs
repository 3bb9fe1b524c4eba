//! The configuration, read by a process of its own: the master holds what that makes of it, and
//! parses nothing but its own part.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fairwater_sys::{child, memory_file, pass};

use crate::link::Link;
use crate::part::Part;
use crate::upgrade::NAME;

/// A configuration that is good.
#[derive(Debug)]
pub struct Loaded {
    pub part: Part,
    /// The part as it was written.
    pub text: String,
    /// Its files, sealed.
    pub files: OwnedFd,
}

/// What a reader has to say, and what it has read, if that is good.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub said: String,
    pub loaded: Option<Loaded>,
}

/// A process that reads a configuration.
#[derive(Debug)]
pub(crate) struct Reading {
    child: Child,
    link: OwnedFd,
    said: File,
    until: Instant,
}

/// Room for thousands of addresses, hundreds of apps, and a hundred thousand files to watch.
const PART_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What fits into a message; a longer part is a file beside it.
const PART_MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// The message in place of such a part.
const BESIDE: &[u8] = b"beside";
/// Of what a reader says; there are files with thousands of mistakes.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// Disks that are far away answer within this, or not at all.
const READING: Duration = Duration::from_secs(30);

impl Reading {
    /// Has `program` read a configuration; and, for an upgrade, what a master has written down.
    ///
    /// # Errors
    /// When there can be no such process.
    pub(crate) fn start(
        program: &Path,
        file: &Path,
        master: Option<&OwnedFd>,
        now: Instant,
    ) -> io::Result<Self> {
        let (link, theirs) = pass::pair()?;
        let said = File::from(memory_file::open(c"what was said")?);
        let mut command = Command::new(program);
        command.arg0(NAME).arg("load").arg("-c").arg(file);
        if master.is_some() {
            command.arg("--upgrade");
        }
        command.stdin(Stdio::null()).stderr(Stdio::from(said.try_clone()?));
        let mut fds = vec![theirs.as_fd()];
        fds.extend(master.map(AsFd::as_fd));
        let child = child::spawn(&mut command, &fds)?;
        Ok(Self { child, link, said, until: now + READING })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What has come of it, once it has ended.
    pub(crate) fn outcome(&mut self, now: Instant) -> Option<Outcome> {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) if now < self.until => return None,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        };
        Some(self.judge(status))
    }

    /// Waits for it.
    pub(crate) fn wait(mut self) -> Outcome {
        let status = self.child.wait();
        self.judge(status)
    }

    fn judge(&mut self, status: io::Result<ExitStatus>) -> Outcome {
        let mut said = String::new();
        let from_start = self.said.seek(SeekFrom::Start(0));
        drop(from_start.and_then(|_| (&self.said).take(SAID_BYTES_MAX).read_to_string(&mut said)));
        let loaded = match status {
            Ok(status) if status.success() => self.receive(),
            // It has said what is wrong.
            Ok(_) if !said.is_empty() => None,
            Ok(status) => {
                said = format!("fairwater: the configuration cannot be read: {status}\n");
                None
            }
            Err(error) => {
                said.push_str(&format!("fairwater: the configuration cannot be read: {error}\n"));
                None
            }
        };
        Outcome { said, loaded }
    }

    fn receive(&self) -> Option<Loaded> {
        let mut buffer = vec![0; PART_MESSAGE_BYTES_MAX];
        let (len, mut fds) = pass::receive(self.link.as_fd(), &mut buffer).ok()?;
        buffer.truncate(len);
        let files = fds.pop()?;
        if buffer == BESIDE {
            buffer = memory_file::read_at_most(fds.pop()?, PART_BYTES_MAX as u64).ok()?;
        }
        let text = String::from_utf8(buffer).ok()?;
        Some(Loaded { part: Part::parse(&text)?, text, files })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Nothing that is there is waited for any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Has `program` read a configuration.
///
/// # Errors
/// What is wrong with it, in lines for people.
pub fn load(program: &Path, file: &Path, now: Instant) -> Result<(Loaded, String), String> {
    let reading = Reading::start(program, file, None, now).map_err(|error| {
        let program = program.display();
        format!("fairwater: cannot start {program} to read the configuration: {error}\n")
    })?;
    let Outcome { said, loaded } = reading.wait();
    match loaded {
        Some(loaded) => Ok((loaded, said)),
        None => Err(said),
    }
}

/// What the master that asks for an upgrade has written down.
///
/// # Errors
/// When there is none.
pub fn master_before() -> io::Result<Vec<u8>> {
    memory_file::read(child::given(1)?)
}

/// Gives a configuration that was read to the master that asked for it.
///
/// # Errors
/// When there is none, or too much to tell.
pub fn hand_over(part: &Part, files: &[u8]) -> io::Result<()> {
    let master = Link::new(child::given(0)?);
    let files = memory_file::sealed(c"fairwater.toml", files)?;
    let text = part.to_string();
    if text.len() > PART_BYTES_MAX {
        return Err(io::Error::other(
            "there are too many addresses to listen on or files to watch, or the commands of apps \
             are too long",
        ));
    }
    if text.len() > PART_MESSAGE_BYTES_MAX {
        let text = memory_file::sealed(c"fairwater part", text.as_bytes())?;
        return pass::send(master.as_fd(), BESIDE, &[text.as_fd(), files.as_fd()]);
    }
    pass::send(master.as_fd(), text.as_bytes(), &[files.as_fd()])
}
