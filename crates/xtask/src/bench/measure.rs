//! One measurement: fresh proxies, clients that warm them up, and a meter around the rest.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::cases::{Case, Meter};
use super::clocks::{Clocks, Passed, resident_bytes};
use super::contender::{Contender, Protocol, Proxy};
use super::files::Files;
use super::load::{Backend, Drive, Tally, run_ab};
use super::process::{WorkDir, terminate};
use super::{ours, statistics, turns};
use crate::Failure;

/// What all measurements of a run share.
pub(crate) struct Bench {
    pub(crate) work: WorkDir,
    /// Of all proxies.
    pub(crate) certificate: PathBuf,
    pub(crate) load_program: PathBuf,
    pub(crate) ours: PathBuf,
    pub(crate) backend: Backend,
    /// Where a row needs it.
    pub(crate) files: Option<Files>,
    /// Idle connections at which resident memory is read.
    pub(crate) idle_counts: [usize; 3],
}

/// One number, and what has to be known about how it came about.
#[derive(Clone, Default, Debug)]
pub(crate) struct Sample {
    /// None when the contender does not tell.
    pub(crate) value: Option<f64>,
    /// What the value is per: requests, or MiB.
    pub(crate) requests: f64,
    pub(crate) passed: Passed,
    pub(crate) wrong: u64,
    pub(crate) fault: Option<String>,
    /// For the reader: system calls by name.
    pub(crate) note: Option<String>,
}

impl Sample {
    pub(crate) fn add(&mut self, tally: Tally) {
        self.wrong += tally.wrong;
        self.fault = self.fault.take().or(tally.fault);
    }

    /// A log that lacks lines is cheap: each missing one counts as a wrong reply.
    pub(crate) fn check_log(&mut self, proxy: &Proxy, expected: usize) -> Result<(), Failure> {
        let missing = expected.saturating_sub(proxy.log_lines()?);
        if missing > 0 {
            let fault = Some(format!("{missing} lines are missing in the log"));
            self.add(Tally { wrong: missing as u64, fault });
        }
        Ok(())
    }
}

const MIB: f64 = (1 << 20) as f64;

/// Requests before the measured ones.
fn warm_up(case: &Case, requests: usize) -> usize {
    (requests / 5).max(case.load.connections * case.load.streams * 4)
}

impl Bench {
    /// A sample of each contender.
    pub(crate) fn round(
        &self,
        contenders: &[Contender],
        case: &Case,
        requests: usize,
    ) -> Result<Vec<Sample>, Failure> {
        let each = |one: &dyn Fn(Contender) -> Result<Sample, Failure>| {
            contenders.iter().map(|contender| one(*contender)).collect()
        };
        match case.meter {
            Meter::Cpu | Meter::CpuOfBytes | Meter::Packets => {
                turns::round(self, contenders, case, requests)
            }
            Meter::Ab => each(&|contender| self.ab(contender, case, requests)),
            Meter::Syscalls => each(&|contender| self.syscalls(contender, case, requests)),
            Meter::Allocations => each(&|contender| self.allocations(contender, case, requests)),
            Meter::Resident { uses } => each(&|contender| self.resident(contender, case, uses)),
        }
    }

    fn proxy(&self, contender: Contender, case: &Case) -> Result<Proxy, Failure> {
        let endpoint = match case.scenario.protocol {
            Protocol::Http
            | Protocol::Pooled
            | Protocol::WebSocket
            | Protocol::Http2ToHttp
            | Protocol::TcpToHttp => self.backend.http,
            Protocol::Http2 => self.files.as_ref().ok_or("nghttpd does not run")?.port,
            Protocol::Grpc => self.backend.grpc,
            Protocol::TcpToEcho | Protocol::Messages { .. } => self.backend.echo,
            Protocol::Udp => self.backend.datagrams,
        };
        Proxy::start(contender, case.scenario, &self.ours, endpoint, self.work.path())
    }

    /// The processes of the load, with what generates it.
    pub(crate) fn load(&self, generator: Option<&Drive>) -> Vec<u32> {
        let files = self.files.as_ref().map(Files::pid);
        [self.backend.pid()].into_iter().chain(files).chain(generator.map(Drive::pid)).collect()
    }

    /// A proxy with all its connections open and warm, and how many requests that took.
    pub(crate) fn warm(
        &self,
        contender: Contender,
        case: &Case,
        requests: usize,
        sample: &mut Sample,
    ) -> Result<(Proxy, Drive, usize), Failure> {
        let proxy = self.proxy(contender, case)?;
        let mut drive = self.drive(case, &proxy)?;
        sample.add(drive.open(case.load.connections)?);
        let asked = warm_up(case, requests);
        sample.add(drive.go(asked)?);
        sample.requests = requests as f64;
        if case.meter == Meter::CpuOfBytes {
            sample.requests *= case.load.body_bytes as f64 / MIB;
        }
        Ok((proxy, drive, asked))
    }

    fn drive(&self, case: &Case, proxy: &Proxy) -> Result<Drive, Failure> {
        let trust = case.scenario.tls.then_some(&*self.certificate);
        Drive::start(&self.load_program, case.load, proxy.port, trust)
    }

    fn ab(&self, contender: Contender, case: &Case, requests: usize) -> Result<Sample, Failure> {
        let mut sample = Sample { requests: requests as f64, ..Sample::default() };
        let proxy = self.proxy(contender, case)?;
        sample.add(run_ab(case.load, (requests / 20).max(case.load.connections * 2), proxy.port)?);
        let pids = proxy.running.pids()?;
        let load = self.load(None);
        let before = Clocks::read(&pids, &load)?;
        sample.add(run_ab(case.load, requests, proxy.port)?);
        sample.passed = Clocks::read(&pids, &load)?.since(before);
        sample.value = Some(sample.requests / (sample.passed.proxy_ns / 1e9));
        Ok(sample)
    }

    fn syscalls(
        &self,
        contender: Contender,
        case: &Case,
        requests: usize,
    ) -> Result<Sample, Failure> {
        let mut sample = Sample::default();
        let (proxy, mut drive, _) = self.warm(contender, case, requests, &mut sample)?;
        let pids = proxy.running.pids()?;
        // Names come from strace, which slows the proxy down so much that it has a full batch
        // of events at each turn; the sum comes from the kernel's counter where there is one.
        let traced = requests / 10;
        let trace = Strace::attach(&pids, &self.work.path().join("strace.txt"))?;
        sample.add(drive.go(traced)?);
        let calls = trace.detach()?;
        sample.value = Some(calls.iter().map(|call| call.1 as f64).sum::<f64>() / traced as f64);
        sample.note = Some(listing(&calls, traced));
        if let Some(counter) = Counter::attach(&pids)? {
            sample.add(drive.go(requests)?);
            sample.value = Some(counter.detach()? as f64 / sample.requests);
        }
        Ok(sample)
    }

    fn allocations(
        &self,
        contender: Contender,
        case: &Case,
        requests: usize,
    ) -> Result<Sample, Failure> {
        let mut sample = Sample::default();
        let (proxy, mut drive, _) = self.warm(contender, case, requests, &mut sample)?;
        let before = ours::allocations(&proxy.admin_socket);
        sample.add(drive.go(requests)?);
        let after = ours::allocations(&proxy.admin_socket);
        if let (Some(before), Some(after)) = (before, after) {
            sample.value = Some(after.saturating_sub(before) as f64 / sample.requests);
        }
        Ok(sample)
    }

    /// The slope over several numbers of connections, so that what a proxy allocates once, and
    /// in advance, does not count.
    fn resident(&self, contender: Contender, case: &Case, uses: usize) -> Result<Sample, Failure> {
        let mut sample = Sample::default();
        let mut points = Vec::new();
        for count in self.idle_counts {
            let proxy = self.proxy(contender, case)?;
            let mut drive = self.drive(case, &proxy)?;
            sample.add(drive.open(count)?);
            for _ in 0..uses {
                sample.add(drive.each()?);
            }
            points.push((count as f64, resident_bytes(&proxy.running.pids()?)? as f64));
        }
        sample.value = Some(statistics::slope(&points));
        Ok(sample)
    }
}

/// `strace -c` on running processes.
struct Strace {
    child: Child,
    summary: PathBuf,
}

impl Strace {
    fn attach(pids: &[u32], summary: &Path) -> Result<Self, Failure> {
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-U", "name,calls", "-o"]).arg(summary);
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("strace has no output")?).lines();
        for _ in pids {
            let line = lines.next().ok_or("strace ended early")??;
            if !line.contains("attached") {
                return Err(line.into());
            }
        }
        Ok(Self { child, summary: summary.to_owned() })
    }

    fn detach(mut self) -> Result<Vec<(String, u64)>, Failure> {
        terminate(self.child.id());
        self.child.wait()?;
        Ok(parse_strace(&std::fs::read_to_string(&self.summary)?))
    }
}

/// Lines of two columns, with a heading, rules and a total around them.
fn parse_strace(text: &str) -> Vec<(String, u64)> {
    let pairs = text.lines().filter_map(|line| {
        let (name, count) = line.trim().split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    });
    pairs.filter(|(name, _)| name != "total").collect()
}

/// Calls per request by name, without those that are too rare to be of the request.
fn listing(calls: &[(String, u64)], requests: usize) -> String {
    let rates = calls.iter().map(|(name, count)| (name, *count as f64 / requests as f64));
    let words = rates.filter(|(_, rate)| *rate >= 0.005).map(|(n, rate)| format!("{n} {rate:.2}"));
    words.collect::<Vec<_>>().join(", ")
}

/// `perf stat` on the kernel's tracepoint of all system calls: hardly slows the proxy down.
struct Counter {
    child: Child,
}

impl Counter {
    /// None where there is no perf, or it may not be used.
    fn attach(pids: &[u32]) -> Result<Option<Self>, Failure> {
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // The command that perf starts tells by its echo that the counter runs.
        let spawned = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &list, "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else { return Ok(None) };
        let told = child.stdin.as_mut().map(|input| input.write_all(b"go\n"));
        let mut echo = [0; 3];
        let heard = child.stdout.as_mut().map(|output| output.read_exact(&mut echo));
        if matches!((told, heard), (Some(Ok(())), Some(Ok(())))) {
            return Ok(Some(Self { child }));
        }
        child.wait()?;
        Ok(None)
    }

    fn detach(mut self) -> Result<u64, Failure> {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count = text.lines().find_map(|line| line.split(',').next()?.parse().ok());
        count.ok_or_else(|| format!("perf stat says something new:\n{text}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_is_read_without_heading_and_total() {
        let text = "syscall              calls\n---------------- ---------\n\
                    sendto                 100\nrecvfrom                 99\n\
                    ---------------- ---------\ntotal                  199\n";
        let calls = parse_strace(text);
        assert_eq!(calls, [("sendto".to_owned(), 100), ("recvfrom".to_owned(), 99)]);
        assert_eq!(listing(&calls, 50), "sendto 2.00, recvfrom 1.98");
    }
}
