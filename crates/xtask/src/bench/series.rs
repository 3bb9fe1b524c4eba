//! The rounds of a case, with a sample of each contender in each.

use super::cases::{Case, GoalKind, Meter};
use super::contender::Contender;
use super::measure::{Bench, Sample};
use super::statistics::Spread;
use crate::Failure;

/// A round in which more of the machine's time was stolen is measured again.
const STOLEN_MAX: f64 = 0.01;

/// Likewise with more of it spent on what is not of the measurement.
const FOREIGN_MAX: f64 = 0.05;

/// How often, before the least disturbed one is kept and flagged.
const ATTEMPTS: usize = 3;

/// Rounds of meters that count instead of measuring time.
const ROUNDS_OF_COUNTS: usize = 3;

/// All samples of one contender, in the order of rounds.
pub(crate) struct Lane {
    pub(crate) contender: Contender,
    /// The same contender again, for what the method itself is worth.
    pub(crate) is_control: bool,
    pub(crate) samples: Vec<Sample>,
}

/// A case with all its samples.
pub(crate) struct Series {
    pub(crate) case: Case,
    pub(crate) lanes: Vec<Lane>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Beyond,
    Met,
    Missed,
    /// Wrong replies: no number counts.
    Failed,
    Unknown,
}

impl Series {
    pub(crate) fn run(
        bench: &Bench,
        case: Case,
        contenders: &[Contender],
        rounds: usize,
        requests: usize,
    ) -> Result<Self, Failure> {
        let lane = |(contender, is_control)| Lane { contender, is_control, samples: Vec::new() };
        let tells = |c: &&Contender| {
            (case.meter != Meter::Allocations || **c == Contender::Ours)
                && c.speaks(case.scenario.protocol)
        };
        let entered = contenders.iter().filter(tells);
        let mut lanes: Vec<Lane> = entered.map(|c| lane((*c, false))).collect();
        if case.meter.is_noisy() {
            lanes.extend(contenders.first().map(|first| lane((*first, true))));
        }
        let rounds = if case.meter.is_noisy() { rounds } else { rounds.min(ROUNDS_OF_COUNTS) };
        for round in 0..rounds {
            // Forth and back: what drifts meets all of them alike.
            let mut order: Vec<_> = lanes.iter_mut().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let contenders: Vec<_> = order.iter().map(|lane| lane.contender).collect();
            let samples = steady(bench, &contenders, &case, requests)?;
            for (lane, sample) in order.into_iter().zip(samples) {
                progress(&case, round, lane, &sample);
                lane.samples.push(sample);
            }
        }
        Ok(Self { case, lanes })
    }

    pub(crate) fn lane(&self, contender: Contender) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.contender == contender && !lane.is_control)
    }

    /// The peer that ours is held against: the better one by its median.
    pub(crate) fn rival(&self) -> Option<&Lane> {
        let kind = self.case.goal.map(|goal| goal.kind);
        let haproxy_only = kind == Some(GoalKind::RatioToHaproxyAtMost);
        let peers = self.lanes.iter().filter(|lane| {
            let is_peer = match haproxy_only {
                true => lane.contender == Contender::Haproxy,
                false => lane.contender != Contender::Ours,
            };
            is_peer && !lane.is_control && lane.spread().is_some()
        });
        let sign = if self.case.meter.is_more_better() { -1.0 } else { 1.0 };
        let cost = |lane: &&Lane| sign * lane.spread().map_or(f64::INFINITY, |s| s.median);
        peers.min_by(|a, b| cost(a).total_cmp(&cost(b)))
    }

    /// Ours against the rival.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let ours = self.lane(Contender::Ours)?.values();
        Spread::of_ratios(&ours, &self.rival()?.values())
    }

    /// The control against the contender that it repeats; 1 when the method is sound.
    pub(crate) fn control_ratio(&self) -> Option<Spread> {
        let control = self.lanes.iter().find(|lane| lane.is_control)?;
        Spread::of_ratios(&control.values(), &self.lane(control.contender)?.values())
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let Some(ours) = self.lane(Contender::Ours) else { return Verdict::Unknown };
        if ours.samples.iter().any(|sample| sample.wrong > 0) {
            return Verdict::Failed;
        }
        let Some(goal) = self.case.goal else { return Verdict::Unknown };
        let measured = match goal.kind {
            GoalKind::ValueAtMost => ours.spread(),
            _ => self.ratio(),
        };
        let Some(measured) = measured else { return Verdict::Unknown };
        let reaches = |bar: f64| match goal.kind {
            GoalKind::RatioAtLeast => measured.median >= bar,
            _ => measured.median <= bar,
        };
        match (reaches(goal.bar), goal.beyond.is_some_and(reaches)) {
            (_, true) => Verdict::Beyond,
            (true, false) => Verdict::Met,
            (false, false) => Verdict::Missed,
        }
    }
}

impl Lane {
    pub(crate) fn name(&self) -> String {
        let again = if self.is_control { " again" } else { "" };
        format!("{}{again}", self.contender.name())
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        self.samples.iter().filter_map(|sample| sample.value).collect()
    }

    pub(crate) fn spread(&self) -> Option<Spread> {
        Spread::of(&self.values())
    }

    /// Samples that had to be kept although they were disturbed each time.
    pub(crate) fn disturbed(&self) -> usize {
        self.samples.iter().filter(|sample| is_disturbed(sample)).count()
    }
}

fn is_disturbed(sample: &Sample) -> bool {
    sample.passed.stolen() > STOLEN_MAX || sample.passed.foreign() > FOREIGN_MAX
}

/// A round that was disturbed as little as can be had.
fn steady(
    bench: &Bench,
    contenders: &[Contender],
    case: &Case,
    requests: usize,
) -> Result<Vec<Sample>, Failure> {
    let mut best = bench.round(contenders, case, requests)?;
    for _ in 1..ATTEMPTS {
        if !best.iter().any(is_disturbed) || is_wrong(&best) {
            break;
        }
        let samples = bench.round(contenders, case, requests)?;
        if is_wrong(&samples) || disturbance(&samples) < disturbance(&best) {
            best = samples;
        }
    }
    Ok(best)
}

fn is_wrong(samples: &[Sample]) -> bool {
    samples.iter().any(|sample| sample.wrong > 0)
}

/// Of the one that had most of it.
fn disturbance(samples: &[Sample]) -> f64 {
    let each = samples.iter().map(|sample| sample.passed.stolen() + sample.passed.foreign());
    each.fold(0.0, f64::max)
}

fn progress(case: &Case, round: usize, lane: &Lane, sample: &Sample) {
    let value = sample.value.map_or("n/a".to_owned(), |value| {
        format!("{value:.*} {}", case.meter.decimals(), case.meter.unit())
    });
    let fault = sample.fault.as_ref().map_or(String::new(), |fault| format!("  WRONG: {fault}"));
    eprintln!("  round {} {:14} {value}{fault}", round + 1, lane.name());
}
