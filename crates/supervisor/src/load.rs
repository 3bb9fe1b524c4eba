//! The configuration, read by a process of its own: the master holds what that makes of it, and
//! parses nothing but its own part.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use fairwater_sys::{child, memory_file, pass};

use crate::part::Part;

/// A configuration that is good.
#[derive(Debug)]
pub struct Loaded {
    pub part: Part,
    /// Its files, sealed.
    pub files: OwnedFd,
}

/// Why there is none.
#[derive(Debug)]
pub enum NotLoaded {
    /// The process that reads it has said what is wrong with it.
    Said,
    Failed(String),
}

/// Room for thousands of addresses.
const PART_BYTES_MAX: usize = 128 * 1024;

/// Has `program` read a configuration.
///
/// # Errors
/// See [`NotLoaded`].
pub fn load(program: &Path, file: &Path) -> Result<Loaded, NotLoaded> {
    let failed =
        |error: io::Error| NotLoaded::Failed(format!("cannot read the configuration: {error}"));
    let (ours, theirs) = pass::pair().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("load").arg("-c").arg(file).stdin(Stdio::null());
    let mut reader = child::spawn(&mut command, &[theirs.as_fd()]).map_err(failed)?;
    drop(theirs);
    let mut buffer = vec![0; PART_BYTES_MAX];
    let answer = pass::receive(ours.as_fd(), &mut buffer);
    let status = reader.wait().map_err(failed)?;
    let (len, mut fds) = answer.map_err(failed)?;
    if !status.success() {
        return Err(NotLoaded::Said);
    }
    let text = std::str::from_utf8(&buffer[..len]).unwrap_or_default();
    match (Part::parse(text), fds.pop()) {
        (Some(part), Some(files)) => Ok(Loaded { part, files }),
        _ => Err(NotLoaded::Failed("the configuration was read, and not understood".to_owned())),
    }
}

/// Gives a configuration that was read to the master that asked for it.
///
/// # Errors
/// When there is none, or too much to tell.
pub fn hand_over(part: &Part, files: &[u8]) -> io::Result<()> {
    let master = child::given()?;
    let files = memory_file::sealed(c"fairwater.toml", files)?;
    let text = part.to_string();
    if text.len() > PART_BYTES_MAX {
        return Err(io::Error::other("there are too many addresses to listen on"));
    }
    pass::send(master.as_fd(), text.as_bytes(), &[files.as_fd()])
}
