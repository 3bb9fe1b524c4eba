//! `cargo xtask soak`: mixed traffic through the proxy for minutes, while its endpoints are
//! killed, stopped and revived. At the end every request must be accounted for, no byte may be
//! wrong, and nothing may have grown.

mod endpoints;
mod judge;
mod memory;
mod options;
mod proxy;
mod records;
mod report;
mod schedule;
mod timeline;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use self::endpoints::Endpoints;
use self::judge::{Violations, judge};
use self::memory::{Memory, Sample};
use self::options::Options;
use self::proxy::{Descriptors, Proxy};
use self::records::Log;
use self::report::Report;
use self::timeline::now_us;
use crate::Failure;
use crate::bench::build;
use crate::bench::clocks::own_bytes;
use crate::bench::ours::sum_of;
use crate::bench::process::{WorkDir, comes_true};

const STEP: Duration = Duration::from_millis(10);
const SAMPLE_EVERY_US: u64 = 1_000_000;
const WORD_EVERY_US: u64 = 60_000_000;

/// Looks at a proxy that starts, five milliseconds apart, until it counts as started.
const SAME_LOOKS: usize = 100;

/// What the last exchanges of the clients may take beyond the time of the run.
const PATIENCE_US: u64 = 90_000_000;

/// Gauges that end with the clients, and with the pools, which keep connections for four seconds.
const GAUGES: [&str; 4] = [
    "fairwater_connections_active",
    "fairwater_endpoint_connections",
    "fairwater_endpoint_connections_idle",
    "fairwater_endpoint_in_flight",
];

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    if options.asks_help {
        println!("{}", options::USAGE);
        return Ok(());
    }
    let release = build(options.ours.is_none())?;
    let load = release.join("fairwater-load");
    let program = options.ours.clone().unwrap_or_else(|| release.join("fairwater"));
    let work = WorkDir::create()?;
    let directory = work.path();
    println!("seed {}, {} s, {} clients", options.seed, options.seconds, options.clients);

    let mut endpoints = Endpoints::start(&load, directory)?;
    let mut proxy = Proxy::start(&program, directory, &endpoints)?;
    let journal = directory.join("journal");
    let mut violations = Violations::default();
    let before = started(&proxy)?;
    let client = Guard(start_client(&load, &options, &proxy, &journal)?);
    let samples = let_run(&options, client, &mut endpoints, &mut proxy)?;
    let after = settle(&proxy, before)?;
    let found = Found::read(&mut proxy, &options, &samples, (before, after), &mut violations)?;

    let log = Log::read(&proxy.access_log)?;
    let requests = records::read_journal(&journal)?;
    let counts = judge(&requests, &log, &endpoints.timeline, &mut violations);
    for complaint in endpoints.complaints()? {
        violations.add("bytes that an endpoint could not read", complaint);
    }
    if let Some(keep) = &options.keep {
        fs::create_dir_all(keep)?;
        fs::copy(&journal, keep.join("journal"))?;
        fs::copy(&proxy.access_log, keep.join("access.log"))?;
    }
    let report =
        Report { options: &options, counts, log: &log, found, timeline: &endpoints.timeline };
    report.check(&mut violations);
    let text = report.markdown(&violations);
    println!("{text}");
    if let Some(file) = &options.markdown {
        fs::write(file, &text)?;
    }
    if violations.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = violations.lines().collect();
    Err(format!("with seed {}:\n{}", options.seed, lines.join("\n")).into())
}

/// The descriptors of a proxy whose threads are all there: they no longer change.
fn started(proxy: &Proxy) -> Result<Descriptors, Failure> {
    let mut last = proxy.descriptors()?;
    let mut same = 0;
    comes_true(|| {
        let now = proxy.descriptors()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        Ok(same >= SAME_LOOKS)
    })?;
    Ok(last)
}

/// A child that ends with its owner.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start_client(
    load: &Path,
    options: &Options,
    proxy: &Proxy,
    journal: &Path,
) -> Result<Child, Failure> {
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(load)
        .args(["soak", "--http", &proxy.http, "--tcp", &proxy.tcp])
        .arg("--journal")
        .arg(journal)
        .args(["--seconds", &options.seconds.to_string(), "--seed", &options.seed.to_string()])
        .args(["--clients", &options.clients.to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    Ok(child)
}

/// Carries the schedule out, and watches the memory, until the clients are done.
fn let_run(
    options: &Options,
    mut client: Guard,
    endpoints: &mut Endpoints,
    proxy: &mut Proxy,
) -> Result<Vec<Sample>, Failure> {
    let began_us = now_us();
    let events = schedule::schedule(options.seed, options.seconds, endpoints::COUNT);
    let mut next = events.iter().peekable();
    let (mut samples, mut sample_us, mut word_us) = (Vec::new(), began_us, began_us);
    let end_us = began_us + options.seconds * 1_000_000;
    loop {
        let now = now_us();
        while let Some(event) = next.next_if(|e| began_us + e.at_ms * 1000 <= now) {
            endpoints.act(event.endpoint, event.act)?;
        }
        if now >= sample_us && now < end_us {
            sample_us += SAMPLE_EVERY_US;
            let bytes = own_bytes(&[proxy.running.pid()])?;
            samples.push(((now - began_us) as f64 / 1e6, bytes));
        }
        if now >= word_us + WORD_EVERY_US {
            word_us = now;
            let requests = sum_of(&proxy.metrics()?, "fairwater_requests_total").unwrap_or(0);
            eprintln!("{} s: {requests} requests", (now - began_us) / 1_000_000);
        }
        if let Some(status) = proxy.running.ended()? {
            return Err(format!("the proxy ended with {status}\n{}", proxy.running.said()?).into());
        }
        match client.0.try_wait()? {
            Some(status) if status.success() => return Ok(samples),
            Some(status) => return Err(format!("the clients ended with {status}").into()),
            None if now > end_us + PATIENCE_US => return Err("the clients do not end".into()),
            None => sleep(STEP),
        }
    }
}

/// Waits until nothing of the clients is left, as long as that may take.
fn settle(proxy: &Proxy, before: Descriptors) -> Result<Descriptors, Failure> {
    let is_settled = || {
        let metrics = proxy.metrics()?;
        let is_zero = |gauge: &str| sum_of(&metrics, gauge) == Some(0);
        Ok(GAUGES.iter().all(|gauge| is_zero(gauge))
            && proxy.descriptors()?.sockets <= before.sockets)
    };
    comes_true(is_settled)?;
    proxy.descriptors()
}

/// What the proxy tells at the end, of itself and by its process.
struct Found {
    memory: Option<Memory>,
    before: Descriptors,
    after: Descriptors,
    gauges: Vec<(&'static str, u64)>,
    requests: u64,
    dropped: u64,
    panics: u64,
    /// By class of status, `none` first.
    by_status: [u64; 6],
}

impl Found {
    /// Reads it, and stops the proxy.
    fn read(
        proxy: &mut Proxy,
        options: &Options,
        samples: &[Sample],
        (before, after): (Descriptors, Descriptors),
        violations: &mut Violations,
    ) -> Result<Self, Failure> {
        let metrics = proxy.metrics()?;
        let sum = |name| sum_of(&metrics, name).unwrap_or(u64::MAX);
        let end_bytes = own_bytes(&[proxy.running.pid()])?;
        let of_class = |class: &str| {
            let mark = format!("status=\"{class}\"");
            let is_it =
                |line: &&str| line.starts_with("fairwater_requests_total") && line.contains(&mark);
            let value = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
            metrics.lines().filter(is_it).filter_map(value).sum()
        };
        let found = Self {
            memory: Memory::of(samples, options.seconds, end_bytes),
            before,
            after,
            gauges: GAUGES.iter().map(|name| (*name, sum(name))).collect(),
            requests: sum("fairwater_requests_total"),
            dropped: sum("fairwater_log_dropped_total"),
            panics: sum("fairwater_panics_total"),
            by_status: ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].map(of_class),
        };
        let status = proxy.running.stop()?;
        violations.require(status.success(), "the proxy ends in disorder", status);
        for line in proxy.running.said()?.lines() {
            let of_start = [" listens on ", " room for ", " traffic is served as root"];
            // Of endpoints that are killed.
            let of_endpoints = [" gets no traffic for a while: ", " is tried again"];
            let mut expected = of_start.iter().chain(&of_endpoints);
            let is_expected = expected.any(|words| line.contains(words));
            violations.require(is_expected, "words of the proxy", line);
        }
        Ok(found)
    }
}
