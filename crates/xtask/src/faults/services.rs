//! The endpoints: `fairwater-load service`, killed and started as it takes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Failure;
use crate::bench::process::wait_for_end;

pub(crate) const PORT: u16 = 8000;

/// Addresses that are theirs alone, so that packets to one of them can be dropped.
pub(crate) fn address(index: usize) -> String {
    format!("127.0.0.{}:{PORT}", 11 + index)
}

pub(crate) struct Services {
    program: PathBuf,
    takes_ms: u64,
    slots: usize,
    all: Vec<Option<Service>>,
    /// Requests that those which have ended had got.
    received: u64,
}

struct Service {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Services {
    pub(crate) fn start(
        program: &Path,
        count: usize,
        takes_ms: u64,
        slots: usize,
    ) -> Result<Self, Failure> {
        let all = (0..count).map(|_| None).collect();
        let mut services = Self { program: program.to_owned(), takes_ms, slots, all, received: 0 };
        for index in 0..count {
            services.up(index, "good")?;
        }
        Ok(services)
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Starts one, and waits until it listens.
    pub(crate) fn up(&mut self, index: usize, manner: &str) -> Result<(), Failure> {
        let mut command = Command::new("setpriv");
        let limits = "ulimit -n $(ulimit -Hn) && exec \"$@\"";
        command.args(["--pdeathsig", "KILL", "sh", "-c", limits, "sh"]).arg(&self.program);
        command.args(["service", "--http", &address(index), "--manner", manner]);
        command.args(["--takes", &self.takes_ms.to_string(), "--slots", &self.slots.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) =
            child.stdin.take().zip(child.stdout.take()).ok_or("a service without pipes")?;
        let mut service = Service { child, orders, answers: BufReader::new(answers) };
        match &*service.line()? {
            "ready" => {}
            other => return Err(format!("a service says {other:?}").into()),
        }
        self.all[index] = Some(service);
        Ok(())
    }

    pub(crate) fn kill(&mut self, index: usize) -> Result<(), Failure> {
        let Some(mut service) = self.all[index].take() else { return Ok(()) };
        self.received += service.order("count")?;
        service.child.kill()?;
        service.child.wait()?;
        Ok(())
    }

    /// Lets one finish what it has, and waits for its end.
    pub(crate) fn stop(&mut self, index: usize) -> Result<(), Failure> {
        let Some(mut service) = self.all[index].take() else { return Ok(()) };
        self.received += service.order("stop")?;
        if wait_for_end(&mut service.child).is_none() {
            return Err("a service does not stop".into());
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self, index: usize, order: &str) -> Result<(), Failure> {
        let service = self.all[index].as_mut().ok_or("it is not up")?;
        service.order(order)?;
        Ok(())
    }

    /// Requests so far, of all that ever were.
    pub(crate) fn received(&mut self) -> Result<u64, Failure> {
        let mut all = self.received;
        for service in self.all.iter_mut().flatten() {
            all += service.order("count")?;
        }
        Ok(all)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for service in self.all.iter_mut().flatten() {
            if service.child.kill().and_then(|()| service.child.wait()).is_err() {
                eprintln!("a service does not end");
            }
        }
    }
}

impl Service {
    fn order(&mut self, order: &str) -> Result<u64, Failure> {
        writeln!(self.orders, "{order}")?;
        let line = self.line()?;
        let number = line.strip_prefix("received=").and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("a service says {line:?}").into())
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
