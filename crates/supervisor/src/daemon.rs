//! Into the background: a process in a session of its own, and one that waits until that serves, so
//! that whoever gave the command learns how it went.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;

use fairwater_sys::process;

/// Where this process goes on.
#[derive(Debug)]
pub enum Side {
    /// As the one that was started, and ends once it knows.
    Command(Launch),
    /// In the background.
    Daemon(Report),
}

/// The end of the pipe that waits.
#[derive(Debug)]
pub struct Launch(PipeReader);

/// The end of the pipe that tells.
#[derive(Debug)]
pub struct Report(PipeWriter);

/// What is told when all is well.
const SERVING: u8 = b'.';

/// Goes on as two processes. The one in the background has neither a terminal nor a way to get one,
/// and still says what it says where the other one does.
///
/// # Errors
/// When there are too many processes, or other threads.
pub fn detach() -> io::Result<Side> {
    let (reader, writer) = io::pipe()?;
    if process::fork()?.is_some() {
        drop(writer);
        return Ok(Side::Command(Launch(reader)));
    }
    drop(reader);
    process::new_session()?;
    // Who leads a session may get a terminal by opening one; its child may not.
    if process::fork()?.is_some() {
        std::process::exit(0);
    }
    process::redirect_input(File::open("/dev/null")?.as_fd())?;
    Ok(Side::Daemon(Report(writer)))
}

impl Launch {
    /// Waits until the daemon serves, or has ended. What went wrong it has said.
    pub fn is_serving(mut self) -> bool {
        let mut told = Vec::new();
        self.0.read_to_end(&mut told).is_ok() && told == [SERVING]
    }
}

impl Report {
    /// Has the command end well. From here on everything is said to `output`.
    pub(crate) fn serving(mut self, output: &File) -> io::Result<()> {
        process::redirect_output(output.as_fd())?;
        // Who gave the command may have gone away.
        drop(self.0.write_all(&[SERVING]));
        Ok(())
    }
}
