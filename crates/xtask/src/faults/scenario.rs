//! One fault and one proxy: what happens when, and what clients saw of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::clients::{Call, Clients, Tally, hold, now_us};
use super::contestant::{Contestant, Setup};
use super::fault::Fault;
use super::names::{NAME, Names};
use super::services::{self, Services};
use crate::Failure;
use crate::bench::process::free_port;

/// Before the fault: checks have begun, and connections are open.
const WARM: Duration = Duration::from_secs(2);
/// Behind its end.
const AFTER: Duration = Duration::from_secs(3);
/// Of clients, in ordinary cases: longer than any timeout of who is set up well.
const PATIENCE: Duration = Duration::from_secs(5);
/// What counts as wrong although an answer came.
const LATE: Duration = Duration::from_millis(500);
const RATE: u32 = 400;
const ENDPOINTS: usize = 3;
/// What a request takes at an endpoint, and at one that is slow.
const TAKES_MS: u64 = 5;
const SLOW_TAKES: &str = "takes 50";

/// The endpoints of the overload: 20 ms and 10 slots each, so that both can do 1000 a second.
const LIMITED: usize = 2;
const LIMITED_TAKES_MS: u64 = 20;
const LIMITED_SLOTS: usize = 10;
/// 70 %, all of it, and twice as much.
const OVERLOAD_RATES: [u32; 3] = [700, 1000, 2000];
const OVERLOAD_PATIENCE: Duration = Duration::from_secs(1);
/// Until what is measured is steady.
const SETTLING: Duration = Duration::from_secs(1);

const SLOW_HEADS: usize = 5_000;
const SLOW_READERS: usize = 500;
const ROUNDS: usize = 3;
/// Clients that hold connections come one after the other.
const HOLDING: Duration = Duration::from_secs(3);

/// The address of the second endpoint, to which no packet comes.
const BLACK_HOLE: &str = "table inet faults {
chain input {
type filter hook input priority 0;
ip daddr 127.0.0.12 drop;
}
}
";
const NO_BLACK_HOLE: &str = "delete table inet faults\n";

/// What all runs have in common.
pub(crate) struct Stage<'a> {
    pub(crate) ours: &'a Path,
    pub(crate) load: &'a Path,
    pub(crate) work: &'a Path,
    pub(crate) names: &'a Names,
    pub(crate) seconds: u64,
}

/// What came of it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    /// From the fault on.
    pub(crate) tally: Tally,
    /// Requests at the endpoints, for each request of a client, while the fault lasts.
    pub(crate) attempts: f64,
    /// From the fault, or from its end where nobody could have done anything before, to the last
    /// request that failed or was late.
    pub(crate) recovered: Duration,
    /// Without the fault, or below the limit.
    pub(crate) quiet: Option<Tally>,
    /// Good answers a second, and the most that were ever seen.
    pub(crate) goodput: Option<(f64, f64)>,
}

pub(crate) fn run(
    stage: &Stage<'_>,
    fault: Fault,
    contestant: Contestant,
) -> Result<Outcome, Failure> {
    let port = free_port()?;
    let directory = stage.work.join(format!("{}-{port}", contestant.kind.name()));
    let (count, takes_ms, slots) = match fault {
        Fault::Overload => (LIMITED, LIMITED_TAKES_MS, LIMITED_SLOTS),
        Fault::SlowHeads | Fault::SlowReaders => (ENDPOINTS, 0, 1000),
        _ => (ENDPOINTS, TAKES_MS, 1000),
    };
    let mut services = Services::start(stage.load, count, takes_ms, slots)?;
    let endpoints = (0..count).map(services::address).collect();
    let name = fault.has_names().then(|| format!("{NAME}:{}", services::PORT));
    let setup = Setup { fault, port, endpoints, name, directory: &directory };
    let _proxy = contestant.start(&setup, stage.ours)?;
    match fault {
        Fault::Overload => overload(stage, &directory, port),
        Fault::SlowHeads => others(stage, &directory, port, ("heads", SLOW_HEADS)),
        Fault::SlowReaders => others(stage, &directory, port, ("readers", SLOW_READERS)),
        _ => broken(stage, &directory, port, (fault, &mut services)),
    }
}

/// The fault comes and goes while clients ask.
fn broken(
    stage: &Stage<'_>,
    directory: &Path,
    port: u16,
    (fault, services): (Fault, &mut Services),
) -> Result<Outcome, Failure> {
    let lasting = Duration::from_secs(stage.seconds);
    let load = (RATE, WARM + lasting + AFTER, PATIENCE);
    let clients = Clients::start(stage.load, directory, port, load)?;
    sleep(WARM);
    let (begun, before) = (now_us()?, services.received()?);
    begin(fault, services, stage.names)?;
    let until = begun + lasting.as_micros() as u64;
    match fault {
        Fault::Flap => flap(services, until)?,
        Fault::Rolling => restart_all(services)?,
        _ => {}
    }
    sleep(Duration::from_micros(until.saturating_sub(now_us()?)));
    let (ended, received) = (now_us()?, services.received()? - before);
    mend(fault, services, stage.names)?;
    let calls = clients.end()?;
    let since = |at: u64| calls.iter().filter(move |call| call.at >= at);
    let tally = Tally::of(since(begun));
    let recovered = match fault {
        Fault::AllDead => wrong_for(since(ended), ended),
        _ => wrong_for(since(begun).filter(|call| call.at < ended), begun),
    };
    let asked = since(begun).filter(|call| call.at < ended).count();
    let attempts = received as f64 / asked.max(1) as f64;
    Ok(Outcome { tally, attempts, recovered, ..Outcome::default() })
}

fn begin(fault: Fault, services: &mut Services, names: &Names) -> Result<(), Failure> {
    match fault {
        Fault::Kill => services.kill(1),
        Fault::BlackHole => filter(BLACK_HOLE),
        Fault::Reset => services.tell(1, "manner reset"),
        Fault::Silent => services.tell(1, "manner silent"),
        Fault::Error => services.tell(1, "manner error"),
        Fault::Slow => services.tell(1, SLOW_TAKES),
        Fault::Backlog => {
            services.kill(1)?;
            services.up(1, "deaf")
        }
        Fault::AllDead => (0..services.count()).try_for_each(|index| services.kill(index)),
        Fault::Storm => {
            (0..services.count()).try_for_each(|index| services.tell(index, "manner half"))
        }
        Fault::Dns => {
            names.be_silent(true);
            Ok(())
        }
        Fault::Flap | Fault::Rolling => Ok(()),
        Fault::Overload | Fault::SlowHeads | Fault::SlowReaders => Ok(()),
    }
}

fn mend(fault: Fault, services: &mut Services, names: &Names) -> Result<(), Failure> {
    match fault {
        Fault::Kill => services.up(1, "good"),
        Fault::BlackHole => filter(NO_BLACK_HOLE),
        Fault::Reset | Fault::Silent | Fault::Error => services.tell(1, "manner good"),
        Fault::Slow => services.tell(1, &format!("takes {TAKES_MS}")),
        Fault::Backlog => {
            services.kill(1)?;
            services.up(1, "good")
        }
        Fault::AllDead => (0..services.count()).try_for_each(|index| services.up(index, "good")),
        Fault::Storm => {
            (0..services.count()).try_for_each(|index| services.tell(index, "manner good"))
        }
        Fault::Dns => {
            names.be_silent(false);
            Ok(())
        }
        Fault::Flap | Fault::Rolling => Ok(()),
        Fault::Overload | Fault::SlowHeads | Fault::SlowReaders => Ok(()),
    }
}

/// Half of each second it is not there.
fn flap(services: &mut Services, until: u64) -> Result<(), Failure> {
    while now_us()? < until {
        services.kill(1)?;
        sleep(Duration::from_millis(500));
        services.up(1, "good")?;
        sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Each finishes what it has, is away for half a second, and the next one waits for another second.
fn restart_all(services: &mut Services) -> Result<(), Failure> {
    for index in 0..services.count() {
        services.stop(index)?;
        sleep(Duration::from_millis(500));
        services.up(index, "good")?;
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Rules of the kernel's filter, in this network alone.
fn filter(rules: &str) -> Result<(), Failure> {
    let mut child =
        Command::new("/usr/sbin/nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(rules.as_bytes())?;
    }
    if child.wait()?.success() { Ok(()) } else { Err("nft has failed".into()) }
}

fn overload(stage: &Stage<'_>, directory: &Path, port: u16) -> Result<Outcome, Failure> {
    // So that checks have made endpoints known.
    sleep(SETTLING);
    let time = SETTLING + Duration::from_secs(stage.seconds);
    let mut tallies = Vec::new();
    let mut goodputs = Vec::new();
    for rate in OVERLOAD_RATES {
        let clients = Clients::start(stage.load, directory, port, (rate, time, OVERLOAD_PATIENCE))?;
        let steady = now_us()? + SETTLING.as_micros() as u64;
        let calls = clients.end()?;
        let tally = Tally::of(calls.iter().filter(|call| call.at >= steady));
        goodputs.push(tally.good as f64 / (time - SETTLING).as_secs_f64());
        tallies.push(tally);
    }
    let [quiet, _, tally] = <[Tally; 3]>::try_from(tallies).map_err(|_| "three rates")?;
    let peak = goodputs.iter().copied().fold(0.0, f64::max);
    let goodput = goodputs.last().map(|goodput| (*goodput, peak));
    Ok(Outcome { tally, quiet: Some(quiet), goodput, ..Outcome::default() })
}

/// What others wait while some hold connections: the median of three rounds, each with as much
/// time without them.
fn others(
    stage: &Stage<'_>,
    directory: &Path,
    port: u16,
    held: (&str, usize),
) -> Result<Outcome, Failure> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (quiet, tally) = round(stage, directory, port, held)?;
        let ratio = tally.p99.as_secs_f64() / quiet.p99.as_secs_f64().max(1e-6);
        rounds.push((ratio, quiet, tally));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let failed = rounds.iter().find(|(_, _, tally)| !tally.failed.is_empty()).cloned();
    let (_, quiet, tally) = failed.unwrap_or_else(|| rounds.swap_remove(ROUNDS / 2));
    Ok(Outcome { tally, quiet: Some(quiet), ..Outcome::default() })
}

fn round(
    stage: &Stage<'_>,
    directory: &Path,
    port: u16,
    (held, count): (&str, usize),
) -> Result<(Tally, Tally), Failure> {
    let half = Duration::from_secs(stage.seconds) / 2;
    let load = (RATE, SETTLING + half + HOLDING + half, PATIENCE);
    let (begun, clients) = (now_us()?, Clients::start(stage.load, directory, port, load)?);
    sleep(SETTLING + half);
    let quiet_end = now_us()?;
    let mut holders = hold(stage.load, held, count, port, half + HOLDING)?;
    let steady = now_us()? + SETTLING.as_micros() as u64;
    let calls = clients.end()?;
    if !holders.wait()?.success() {
        return Err("who holds connections has failed".into());
    }
    let warm = begun + SETTLING.as_micros() as u64;
    let within = |from: u64, to: u64| {
        Tally::of(calls.iter().filter(move |call| call.at >= from && call.at < to))
    };
    Ok((within(warm, quiet_end), within(steady, u64::MAX)))
}

/// How long after `from` something still went wrong.
fn wrong_for<'a>(calls: impl Iterator<Item = &'a Call>, from: u64) -> Duration {
    let wrong = calls.filter(|call| !call.is_good() || call.took > LATE).map(|call| call.at);
    Duration::from_micros(wrong.max().map_or(0, |last| last - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_wrong_one_tells_how_long_it_took() {
        let call = |at, took_ms, word: &str| Call {
            at,
            took: Duration::from_millis(took_ms),
            word: word.to_owned(),
        };
        let calls = [call(100, 1, "503"), call(300, 600, "200"), call(400, 1, "200")];
        assert_eq!(wrong_for(calls.iter(), 50), Duration::from_micros(250));
        assert_eq!(wrong_for(calls[2..].iter(), 50), Duration::ZERO);
    }
}
