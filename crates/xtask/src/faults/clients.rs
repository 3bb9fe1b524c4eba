//! The clients: `fairwater-load calls`, and what its journal tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::bench::statistics::of_hundred;

/// One request of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// When it was due, in microseconds since 1970.
    pub(crate) at: u64,
    pub(crate) took: Duration,
    /// A status, or in a word what became of it.
    pub(crate) word: String,
}

impl Call {
    pub(crate) fn is_good(&self) -> bool {
        self.word == "200"
    }
}

pub(crate) fn now_us() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64)
}

pub(crate) struct Clients {
    child: Child,
    journal: PathBuf,
}

impl Clients {
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        port: u16,
        (rate, time, patience): (u32, Duration, Duration),
    ) -> Result<Self, Failure> {
        let journal = directory.join(format!("journal-{rate}"));
        let mut command = command(program);
        command.args(["calls", "--target", &format!("127.0.0.1:{port}"), "--journal"]);
        command.arg(&journal).args(["--rate", &rate.to_string()]);
        command.args(["--time", &time.as_millis().to_string()]);
        command.args(["--patience", &patience.as_millis().to_string()]);
        Ok(Self { child: command.spawn()?, journal })
    }

    /// Waits until the last of them has its answer, or has given up.
    pub(crate) fn end(mut self) -> Result<Vec<Call>, Failure> {
        if !self.child.wait()?.success() {
            return Err("the clients have failed".into());
        }
        Ok(read(&fs::read_to_string(&self.journal)?))
    }
}

/// Clients that hold connections open until the time is over. Returns once all of them are there.
pub(crate) fn hold(
    program: &Path,
    held: &str,
    count: usize,
    port: u16,
    time: Duration,
) -> Result<Child, Failure> {
    use std::io::{BufRead as _, BufReader};
    let mut command = command(program);
    command.args(["hold", "--target", &format!("127.0.0.1:{port}"), "--held", held]);
    command.args(["--count", &count.to_string(), "--time", &time.as_millis().to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().ok_or("there is no output")?;
    BufReader::new(output).read_line(&mut line)?;
    Ok(child)
}

fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let limits = "ulimit -n $(ulimit -Hn) && exec \"$@\"";
    command.args(["--pdeathsig", "KILL", "sh", "-c", limits, "sh"]).arg(program);
    command
}

fn read(journal: &str) -> Vec<Call> {
    let call = |line: &str| {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        let took = Duration::from_micros(words.next()?.parse().ok()?);
        Some(Call { at, took, word: words.next()?.to_owned() })
    };
    journal.lines().filter_map(call).collect()
}

/// What became of some of them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) good: usize,
    /// How many failed in which way.
    pub(crate) failed: BTreeMap<String, usize>,
    /// Of the good ones.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of all.
    pub(crate) longest: Duration,
}

impl Tally {
    pub(crate) fn of<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> Self {
        let good = calls.clone().filter(|call| call.is_good()).map(|call| call.took);
        let mut failed = BTreeMap::new();
        for call in calls.clone().filter(|call| !call.is_good()) {
            *failed.entry(call.word.clone()).or_default() += 1;
        }
        Self {
            requests: calls.clone().count(),
            good: good.clone().count(),
            failed,
            p50: of_hundred(50, good.clone()),
            p99: of_hundred(99, good),
            longest: calls.map(|call| call.took).max().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_read_and_counted() {
        let calls = read("10 1000 200\n20 3000 200\n30 10000000 late\n40 7 503\n");
        let tally = Tally::of(calls.iter());
        assert_eq!((tally.requests, tally.good), (4, 2));
        assert_eq!(tally.failed["503"] + tally.failed["late"], 2);
        assert_eq!((tally.p50.as_millis(), tally.p99.as_millis()), (1, 3));
        assert_eq!(tally.longest.as_secs(), 10);
    }
}
