//! The endpoints: processes that are killed, stopped and revived.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::schedule::Act;
use super::timeline::{Timeline, now_us};
use crate::Failure;
use crate::bench::process::{free_port, signal};

/// TCP and Unix sockets mixed, for HTTP and for raw bytes.
pub(crate) const COUNT: usize = 3;

pub(crate) struct Endpoints {
    all: Vec<Endpoint>,
    pub(crate) timeline: Timeline,
}

impl Endpoints {
    pub(crate) fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let start = |index| Endpoint::start(program, directory, index);
        let all = (0..COUNT).map(start).collect::<Result<_, _>>()?;
        Ok(Self { all, timeline: Timeline::new(COUNT) })
    }

    pub(crate) fn http_addresses(&self) -> Vec<&str> {
        self.all.iter().map(|endpoint| &*endpoint.http).collect()
    }

    pub(crate) fn echo_addresses(&self) -> Vec<&str> {
        self.all.iter().map(|endpoint| &*endpoint.echo).collect()
    }

    pub(crate) fn act(&mut self, index: usize, act: Act) -> Result<(), Failure> {
        let endpoint = &mut self.all[index];
        match act {
            Act::Kill => {
                self.timeline.down(index, now_us(), true);
                endpoint.child.kill()?;
                endpoint.child.wait()?;
            }
            Act::Stop => {
                self.timeline.down(index, now_us(), false);
                signal("STOP", endpoint.child.id());
            }
            Act::Continue => {
                signal("CONT", endpoint.child.id());
                self.timeline.up(index, now_us());
            }
            Act::Revive => {
                endpoint.child = endpoint.spawn()?;
                self.timeline.up(index, now_us());
            }
        }
        Ok(())
    }

    /// What they complained of: bytes from the proxy that are no requests.
    pub(crate) fn complaints(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for endpoint in &self.all {
            let text = std::fs::read_to_string(&endpoint.errors)?;
            lines.extend(text.lines().map(str::to_owned));
        }
        Ok(lines)
    }
}

struct Endpoint {
    program: PathBuf,
    http: String,
    echo: String,
    errors: PathBuf,
    child: Child,
}

impl Endpoint {
    fn start(program: &Path, directory: &Path, index: usize) -> Result<Self, Failure> {
        let unix = |name: &str| format!("unix:{}/{name}-{index}.sock", directory.display());
        // The first: TCP for both. The second: Unix for HTTP. The third: Unix for bytes.
        let http = if index == 1 { unix("http") } else { local()? };
        let echo = if index == 2 { unix("echo") } else { local()? };
        let errors = directory.join(format!("endpoint-{index}.stderr"));
        let child = spawn(program, &http, &echo, &errors)?;
        Ok(Self { program: program.to_owned(), http, echo, errors, child })
    }

    fn spawn(&self) -> Result<Child, Failure> {
        spawn(&self.program, &self.http, &self.echo, &self.errors)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Also one that is stopped; it may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn local() -> Result<String, Failure> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

/// Starts an endpoint, which ends with us at the latest, and waits until it listens.
fn spawn(program: &Path, http: &str, echo: &str, errors: &Path) -> Result<Child, Failure> {
    let errors = File::options().create(true).append(true).open(errors)?;
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["endpoint", "--http", http, "--echo", echo])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    match line.trim_end() {
        "ready" => Ok(child),
        _ => Err(format!("the endpoint at {http} does not start").into()),
    }
}
