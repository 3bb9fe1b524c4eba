//! The binary with the arguments and standard streams that a test wants; killed with the test.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::{binary, end_with_children, listen_to, signal_to, text};
use fairwater_e2e::{until, until_some};
use rustix::process::Signal;

pub(super) struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// What is said on the standard error is kept, if that is a pipe.
    pub(super) fn start(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let said = listen_to(child.stderr.take());
        Self { child, said }
    }

    /// The same with nothing for the standard output.
    pub(super) fn quiet(arguments: &[&str]) -> Self {
        Self::start(arguments, Stdio::null(), Stdio::piped())
    }

    /// The text between `before` and the next blank or line end.
    #[track_caller]
    pub(super) fn until_said(&self, before: &str) -> String {
        until_some(before, || {
            let said = text(&self.said);
            let rest = &said[said.find(before)? + before.len()..];
            rest.find(char::is_whitespace).map(|end| rest[..end].to_owned())
        })
    }

    /// The pipe that nobody reads.
    pub(super) fn stdout(&self) -> &ChildStdout {
        self.child.stdout.as_ref().unwrap()
    }

    pub(super) fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }

    /// Waits for its end, which must come in time and not by a panic or signal; gives the exit code
    /// and all that it said.
    #[track_caller]
    pub(super) fn ends_within(&mut self, limit: Duration) -> (i32, String) {
        let begun = Instant::now();
        let status = until_some("the process to end", || self.child.try_wait().unwrap());
        assert!(begun.elapsed() < limit, "it took {:?} to end", begun.elapsed());
        (self.code(status), self.last_words())
    }

    #[track_caller]
    fn code(&self, status: ExitStatus) -> i32 {
        assert_eq!(status.signal(), None, "ended by a signal: {}", text(&self.said));
        let code = status.code().unwrap_or_default();
        assert_ne!(code, 101, "a panic: {}", text(&self.said));
        code
    }

    fn last_words(&self) -> String {
        until("the end of what it says", || Arc::strong_count(&self.said) == 1);
        text(&self.said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_with_children(&mut self.child);
    }
}
