//! The clients and the backend: `fairwater-load`, and `ab` from Apache.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::process::{Running, Stop, free_port, pinned, wait_for_end};
use crate::Failure;

/// Generator and backend share this core; the proxy has the other to itself.
pub(crate) const LOAD_CORE: usize = 0;

/// Requests that are in flight at a time, unless the generator is told.
const IN_FLIGHT_DEFAULT: usize = 64;

/// What one connection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Keepalive,
    Close,
    Echo,
    /// The same, once an upgrade has made a tunnel of it.
    Tunnel,
    /// Messages behind their length, which come back.
    Frames,
    /// Many HTTP/2 requests at a time.
    Http2,
    /// As many calls with one message each way.
    Grpc,
    /// Datagrams out, and the same ones back.
    Datagrams,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    Bare,
    Full,
}

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) mode: Mode,
    pub(crate) profile: Profile,
    pub(crate) body_bytes: usize,
    pub(crate) connections: usize,
    /// Requests that are in flight on each at a time: more than one only over HTTP/2, and
    /// datagrams.
    pub(crate) streams: usize,
    /// Over TLS: take up the session of an earlier connection.
    pub(crate) resumes: bool,
}

pub(crate) struct Backend {
    running: Running,
    pub(crate) http: u16,
    pub(crate) echo: u16,
    pub(crate) grpc: u16,
    pub(crate) datagrams: u16,
}

impl Backend {
    pub(crate) fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let (http, echo, grpc) = (free_port()?, free_port()?, free_port()?);
        let datagrams = free_port()?;
        let mut command = pinned(LOAD_CORE, program);
        command.args(["backend", "--http", &local(http), "--echo", &local(echo)]);
        command.args(["--grpc", &local(grpc), "--datagrams", &local(datagrams)]);
        let mut running = Running::start(command, "backend", directory, Stop::Terminate)?;
        running.wait_for_port(http)?;
        running.wait_for_port(echo)?;
        running.wait_for_port(grpc)?;
        Ok(Self { running, http, echo, grpc, datagrams })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Replies that were checked in one go.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// Replies that were wrong, or missing.
    pub(crate) wrong: u64,
    /// The first wrong thing, in words.
    pub(crate) fault: Option<String>,
}

/// A running generator, which does what it is told.
pub(crate) struct Drive {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    open: usize,
}

impl Drive {
    pub(crate) fn start(
        program: &Path,
        load: Load,
        port: u16,
        trust: Option<&Path>,
    ) -> Result<Self, Failure> {
        let profile = match load.profile {
            Profile::Bare => "bare",
            Profile::Full => "full",
        };
        let mut command = pinned(LOAD_CORE, program);
        let command = match load.mode {
            Mode::Keepalive => command.args(["drive", "--mode", "keepalive"]),
            Mode::Close => command.args(["drive", "--mode", "close"]),
            Mode::Echo => command.args(["drive", "--mode", "echo"]),
            Mode::Tunnel => command.args(["drive", "--mode", "tunnel"]),
            Mode::Frames => command.args(["drive", "--mode", "frames"]),
            Mode::Http2 => command.args(["multiplex", "--asks", "http"]),
            Mode::Grpc => command.args(["multiplex", "--asks", "grpc"]),
            Mode::Datagrams => command.args(["volley", "--window", &load.streams.to_string()]),
        };
        command.args(["--target", &local(port)]);
        if load.mode != Mode::Datagrams {
            command.args(["--profile", profile]);
        }
        command.args(["--body", &load.body_bytes.to_string()]);
        if matches!(load.mode, Mode::Http2 | Mode::Grpc) {
            command.args(["--streams", &load.streams.to_string()]);
        }
        if load.connections > IN_FLIGHT_DEFAULT && load.streams == 1 {
            command.args(["--window", &load.connections.to_string()]);
        }
        if let Some(path) = trust {
            command.arg("--trust").arg(path);
        }
        if load.resumes {
            command.args(["--resume", "true"]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().ok_or("the generator has no output")?;
        Ok(Self { child, orders, answers: BufReader::new(answers), open: 0 })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn open(&mut self, connections: usize) -> Result<Tally, Failure> {
        self.open = connections;
        self.order(&format!("open {connections}"), 0)
    }

    pub(crate) fn go(&mut self, requests: usize) -> Result<Tally, Failure> {
        self.order(&format!("go {requests}"), requests)
    }

    pub(crate) fn each(&mut self) -> Result<Tally, Failure> {
        self.order("each", self.open)
    }

    fn order(&mut self, line: &str, asked: usize) -> Result<Tally, Failure> {
        let orders = self.orders.as_mut().ok_or("the generator has ended")?;
        writeln!(orders, "{line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        parse_tally(&answer, asked as u64)
            .ok_or_else(|| format!("the generator failed at {line}").into())
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        drop(self.orders.take());
        if wait_for_end(&mut self.child).is_none() {
            eprintln!("the generator does not stop");
        }
    }
}

/// `done requests=100 wrong=0 reopened=0 fault=none`
fn parse_tally(line: &str, asked: u64) -> Option<Tally> {
    let rest = line.trim_end().strip_prefix("done ")?;
    let (numbers, fault) = rest.split_once(" fault=")?;
    let number = |name: &str| {
        let mut fields = numbers.split(' ').filter_map(|field| field.split_once('='));
        fields.find(|(field, _)| *field == name)?.1.parse::<u64>().ok()
    };
    let reopened = number("reopened")?;
    let missing = asked.saturating_sub(number("requests")?);
    let wrong = number("wrong")? + reopened + missing;
    let fault = match (fault, reopened) {
        ("none", 0) => None,
        ("none", _) => Some("the proxy closed a connection unasked".to_owned()),
        (fault, _) => Some(fault.to_owned()),
    };
    Some(Tally { wrong, fault })
}

/// Runs `ab -k` to its end.
pub(crate) fn run_ab(load: Load, requests: usize, port: u16) -> Result<Tally, Failure> {
    let url = format!("http://{}/b/{}", local(port), load.body_bytes);
    let output = pinned(LOAD_CORE, PathBuf::from("ab"))
        .args(["-q", "-k", "-c", &load.connections.to_string(), "-n", &requests.to_string(), &url])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("ab: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    parse_ab(&text, requests as u64).ok_or_else(|| format!("ab says something new:\n{text}").into())
}

fn parse_ab(text: &str, asked: u64) -> Option<Tally> {
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let complete = number("Complete requests")?;
    let failed = number("Failed requests")?;
    let refused = number("Non-2xx responses").unwrap_or(0);
    // A proxy that closes connections makes ab open new ones, which is another measurement.
    let closed = complete.saturating_sub(number("Keep-Alive requests").unwrap_or(0));
    let wrong = failed + refused + closed + asked.saturating_sub(complete);
    let words = || format!("ab: {failed} failed, {refused} not 2xx, {closed} not kept alive");
    let fault = (wrong > 0).then(words);
    Some(Tally { wrong, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_counts_as_wrong() {
        let tally = parse_tally("done requests=7 wrong=1 reopened=2 fault=none\n", 8).unwrap();
        assert_eq!(tally.wrong, 4);
        assert!(tally.fault.is_some());
        assert!(parse_tally("", 0).is_none());
    }

    #[test]
    fn what_ab_does_not_complete_is_wrong() {
        let text = "Complete requests:      90\nFailed requests:        1\n\
                    Non-2xx responses:      2\nKeep-Alive requests:    90\n";
        let tally = parse_ab(text, 100).unwrap();
        assert_eq!(tally.wrong, 13);
    }
}
