//! A round of what is measured by clocks: all contenders stay, and take turns in short bursts. What
//! else happens on the machine comes and goes within seconds, and meets all of them alike.

use super::cases::{Case, Meter};
use super::clocks::Clocks;
use super::contender::{Contender, Proxy};
use super::load::Drive;
use super::measure::{Bench, Sample};
use crate::Failure;

/// Turns of each contender.
const TURNS: usize = 10;
/// The same where a log has to be waited for at the end of each.
const TURNS_WITH_LOG: usize = 3;

/// One of them, warm, with what it has cost so far.
struct Entrant {
    proxy: Proxy,
    drive: Drive,
    pids: Vec<u32>,
    /// The processes that make its load.
    load: Vec<u32>,
    asked: usize,
    sample: Sample,
}

/// A sample of each, in their order.
pub(crate) fn round(
    bench: &Bench,
    contenders: &[Contender],
    case: &Case,
    requests: usize,
) -> Result<Vec<Sample>, Failure> {
    let enter = |contender: &Contender| Entrant::new(bench, *contender, case, requests);
    let mut entrants = contenders.iter().map(enter).collect::<Result<Vec<_>, _>>()?;
    let turns = if case.scenario.access_log.is_some() { TURNS_WITH_LOG } else { TURNS };
    for turn in 0..turns {
        let first = turn % entrants.len();
        let (last, next) = entrants.split_at_mut(first);
        let requests = requests * (turn + 1) / turns - requests * turn / turns;
        for entrant in next.iter_mut().chain(last) {
            entrant.burst(case, requests)?;
        }
    }
    entrants.into_iter().map(|entrant| entrant.result(case)).collect()
}

impl Entrant {
    fn new(
        bench: &Bench,
        contender: Contender,
        case: &Case,
        requests: usize,
    ) -> Result<Self, Failure> {
        let mut sample = Sample::default();
        let (proxy, drive, asked) = bench.warm(contender, case, requests, &mut sample)?;
        let (pids, load) = (proxy.running.pids()?, bench.load(Some(&drive)));
        Ok(Self { proxy, drive, pids, load, asked, sample })
    }

    fn burst(&mut self, case: &Case, requests: usize) -> Result<(), Failure> {
        let before = Clocks::read(&self.pids, &self.load)?;
        self.sample.add(self.drive.go(requests)?);
        if case.scenario.access_log.is_some() {
            // Before the clocks are read: writing the last lines belongs to the cost.
            self.proxy.wait_for_log()?;
        }
        self.sample.passed.add(Clocks::read(&self.pids, &self.load)?.since(before));
        self.asked += requests;
        Ok(())
    }

    fn result(self, case: &Case) -> Result<Sample, Failure> {
        let Self { proxy, asked, mut sample, .. } = self;
        if case.scenario.access_log.is_some() {
            // Behind all clocks: counting lines is work that is not the proxy's.
            sample.check_log(&proxy, asked)?;
        }
        sample.value = Some(match case.meter {
            // One in and one out each way.
            Meter::Packets => 2.0 * sample.requests / (sample.passed.proxy_ns / 1e9),
            _ => sample.passed.proxy_ns / 1e3 / sample.requests,
        });
        Ok(sample)
    }
}
