//! Programs of others that do as a script says: clients and servers in Python and Node, heard line
//! by line, and ended by their own id.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::proxy::{listen_to, text};
use crate::wait::while_moving;
use crate::{until, until_some};

/// Debian's own Python, for which its codec of HTTP/2 is installed.
const PYTHON: &str = "/usr/bin/python3";

/// A running program. What it needs to know it hears on its standard input, whose end is also its
/// own; what it finds out it says on its standard output.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    said: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
}

impl Peer {
    /// # Panics
    /// When there is no such program.
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (said, errors) = (listen_to(child.stdout.take()), listen_to(child.stderr.take()));
        Self { child, said, errors }
    }

    /// A program that is not needed any longer than it takes: all that it says.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(command: &mut Command) -> String {
        Self::start(command).finish()
    }

    /// Everything that it has said so far.
    pub fn said(&self) -> String {
        text(&self.said)
    }

    /// Waits for a line that begins so, and gives the rest of it.
    #[track_caller]
    pub fn word(&self, prefix: &str) -> String {
        until_some(&format!("{prefix:?} of {self:?}"), || {
            let said = self.said();
            said.lines().find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
        })
    }

    /// Waits for so many lines that begin so.
    #[track_caller]
    pub fn until_said(&self, prefix: &str, count: usize) {
        until(&format!("{count} times {prefix:?} of {self:?}"), || {
            self.said().lines().filter(|line| line.starts_with(prefix)).count() >= count
        });
    }

    /// A line for its standard input.
    ///
    /// # Panics
    /// When it has none any more.
    pub fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Waits for it to end, for as long as it has something to say, and gives all of that.
    ///
    /// # Panics
    /// When it has failed.
    #[track_caller]
    pub fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let status = while_moving("a peer to end", || {
            let status = self.child.try_wait().unwrap();
            status.ok_or_else(|| text(&self.said).len())
        });
        let all_of = |said: &Arc<Mutex<String>>| {
            until("the end of what a peer says", || Arc::strong_count(said) == 1);
            text(said)
        };
        let (said, errors) = (all_of(&self.said), all_of(&self.errors));
        assert!(status.success(), "{said}{errors}");
        said
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("a peer said:\n{}{}", self.said(), text(&self.errors));
        }
    }
}

/// A program that `cargo xtask test` installs below the directory of builds: `target/judges` for
/// `target/debug/deps/e2e-0123`.
pub fn judge(path: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(3).unwrap_or(Path::new(".")).join("judges").join(path);
    if !path.exists() {
        skip(&format!("{} is not installed; `cargo xtask test` does", path.display()));
        return None;
    }
    Some(path)
}

/// A script for the Python that has the packages of PyPI.
pub fn python(script: &str) -> Option<Command> {
    let mut command = Command::new(judge("bin/python")?);
    command.args(["-u", "-c", script]);
    Some(command)
}

/// A script for the Python that has h2.
pub fn python_with_h2(script: &str) -> Option<Command> {
    if !Path::new("/usr/lib/python3/dist-packages/h2").exists() {
        skip("python3-h2 is not installed");
        return None;
    }
    let mut command = Command::new(PYTHON);
    command.args(["-u", "-c", script]);
    Some(command)
}

/// A script for Node, with the packages of npm.
pub fn node(script: &str) -> Option<Command> {
    let modules = judge("node/node_modules")?;
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).args(["-e", script, "--"]);
    Some(command)
}

fn skip(why: &str) {
    let must = std::env::var_os("FAIRWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!must, "{why}");
    eprintln!("skipped: {why}");
}
