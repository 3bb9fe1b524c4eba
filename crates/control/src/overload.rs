//! Looks again and again how much memory and how many descriptors are in use, and publishes the
//! level that the plan's rules give. Not the worker's part: it only goes by the level.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fairwater_config::{self as config, MemoryMark};
use fairwater_net::clock;
use fairwater_plan::{CurrentLevel, Level, Overload, Usage};

use crate::lookups::Shared;
use crate::metrics::sum;
use crate::{Sources, Steward};

/// Between two looks while nothing runs short, and when three quarters of a watermark are reached:
/// a flood can fill what lies between two levels within a tenth of a second. A look costs some
/// microseconds.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_NEAR: Duration = Duration::from_millis(50);

/// What the process may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes; nothing, if nobody knows.
    pub memory: Option<u64>,
    pub descriptors: u64,
    /// Client connections that there is room for, where no setting says it.
    pub connections: Option<u32>,
}

/// What it uses; nothing of what cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    pub memory: Option<u64>,
    pub descriptors: Option<u64>,
}

/// Measures what the process uses.
pub struct Meter {
    pub capacity: Capacity,
    pub read: Box<dyn Fn() -> InUse + Send>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").field(&self.capacity).finish()
    }
}

/// Where the level is measured, and where it goes.
#[derive(Debug)]
pub struct Pressure {
    pub meter: Meter,
    pub level: Arc<CurrentLevel>,
}

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    overload: Overload,
    usages: Vec<(Resource, Usage)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Descriptors,
    Connections,
}

impl Resource {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Connections => "connections",
        }
    }
}

impl Seen {
    pub(crate) fn level(&self) -> Level {
        self.overload.level()
    }

    /// When to look again.
    fn pause(&self) -> Duration {
        let is_near = |usage: &Usage| usage.used >= usage.watermark / 4 * 3;
        match self.usages.iter().any(|(_, usage)| is_near(usage)) {
            true => LOOK_NEAR,
            false => LOOK,
        }
    }

    pub(crate) fn usages(&self) -> &[(Resource, Usage)] {
        &self.usages
    }

    /// Takes in what is used now. Gives the line that tells of a change, if there is one.
    fn look(&mut self, usages: Vec<(Resource, Usage)>, now_ms: u64) -> Option<String> {
        let before = self.level();
        let level = self.overload.look(usages.iter().map(|(_, usage)| *usage), now_ms);
        self.usages = usages;
        let kind = match level {
            Level::Normal => "overload is over",
            _ => "overload",
        };
        let figures: Vec<_> = self.usages.iter().map(figure).collect();
        let (meaning, figures) = (level.meaning(), figures.join(", "));
        (level != before).then(|| format!("{kind}: {meaning} ({figures})"))
    }
}

fn figure((resource, usage): &(Resource, Usage)) -> String {
    let unit = |count: u64| match resource {
        Resource::Memory => format!("{} MiB", count >> 20),
        _ => count.to_string(),
    };
    let word = resource.word();
    format!("{word} {}, watermark {}", unit(usage.used), unit(usage.watermark))
}

/// What the settings say about what is used.
fn usages(
    settings: config::Overload,
    capacity: Capacity,
    used: InUse,
    clients: u64,
) -> Vec<(Resource, Usage)> {
    let most = Level::RefusingRequests;
    let memory = settings.memory.zip(used.memory).and_then(|(mark, used)| match mark {
        MemoryMark::Bytes(mark) => Some(Usage::of_amount(used, mark, most)),
        MemoryMark::Percent(percent) => {
            capacity.memory.map(|end| Usage::of_share(used, end, percent, most))
        }
    });
    let marked = |used: Option<u64>, end: Option<u64>, most| {
        let (percent, used, end) = (settings.descriptors?, used?, end?);
        Some(Usage::of_share(used, end, percent, most))
    };
    // Who comes when there is no room is not served anyway: there is nothing to refuse.
    let clients = marked(Some(clients), capacity.connections.map(u64::from), Level::Closing);
    let all = [
        (Resource::Memory, memory),
        (Resource::Descriptors, marked(used.descriptors, Some(capacity.descriptors), most)),
        (Resource::Connections, clients),
    ];
    all.into_iter().filter_map(|(resource, usage)| usage.map(|usage| (resource, usage))).collect()
}

impl Steward {
    fn look_at_pressure(&mut self) {
        let Some(sources) = &self.sources else { return };
        let Pressure { meter, level } = &sources.pressure;
        let mut used = (meter.read)();
        used.descriptors = used.descriptors.or_else(|| Some(counted(sources)));
        let clients = sum(sources, |thread| {
            thread.listeners.iter().fold(0, |total, one| total.wrapping_add(one.active.get()))
        });
        let usages = usages(self.config.overload, meter.capacity, used, clients);
        let line = self.overload.look(usages, clock::coarse_ms());
        level.set(self.overload.level());
        line.iter().for_each(|line| (self.outside.say)(line));
    }
}

/// Descriptors by what is counted of connections, for kernels that do not say how many are open
/// (before 6.2).
fn counted(sources: &Sources) -> u64 {
    let plan = sources.plan.get();
    sum(sources, |thread| {
        let clients = thread.listeners.iter().map(|one| one.active.get());
        let endpoints = (0..plan.slots_end).map(|slot| thread.endpoints[slot].open.get());
        clients.chain(endpoints).fold(0, u64::wrapping_add)
    })
}

/// Looks for as long as the process serves.
pub(crate) async fn keep(shared: Shared) {
    loop {
        let pause = {
            let mut steward = shared.steward.borrow_mut();
            steward.look_at_pressure();
            steward.overload.pause()
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn settings_say_what_counts() {
        let capacity =
            Capacity { memory: Some(1000 * MIB), descriptors: 1000, connections: Some(400) };
        let used = InUse { memory: Some(100 * MIB), descriptors: Some(500) };
        let of = |settings, capacity, used| {
            let found = usages(settings, capacity, used, 7);
            found
                .into_iter()
                .map(|(resource, usage)| (resource, usage.watermark))
                .collect::<Vec<_>>()
        };
        use Resource::{Connections, Descriptors, Memory};
        let default = config::Overload::default();
        let all = [(Memory, 800 * MIB), (Descriptors, 900), (Connections, 360)];
        assert_eq!(of(default, capacity, used), all);
        let unknown = Capacity { memory: None, connections: None, ..capacity };
        assert_eq!(of(default, unknown, used), all[1..2]);
        assert_eq!(of(default, capacity, InUse::default()), all[2..]);
        let bytes = config::Overload { memory: Some(MemoryMark::Bytes(MIB)), descriptors: None };
        assert_eq!(of(bytes, unknown, used), [(Memory, MIB)]);
        let off = config::Overload { memory: None, descriptors: None };
        assert_eq!(of(off, capacity, used), []);
    }

    #[test]
    fn each_change_is_told_once_with_the_figures() {
        let mut seen = Seen::default();
        let memory = |mib: u64| {
            let used = InUse { memory: Some(mib * MIB), descriptors: None };
            let settings =
                config::Overload { memory: Some(MemoryMark::Bytes(100 * MIB)), descriptors: None };
            usages(settings, Capacity::default(), used, 0)
        };
        assert_eq!(seen.look(memory(50), 10_000), None);
        assert_eq!(seen.pause(), LOOK);
        assert_eq!(
            seen.look(memory(101), 10_250).unwrap(),
            "overload: idle connections are closed (memory 101 MiB, watermark 100 MiB)"
        );
        assert_eq!(seen.look(memory(102), 20_000), None);
        assert_eq!(seen.pause(), LOOK_NEAR);
        assert_eq!(
            seen.look(memory(20), 30_000).unwrap(),
            "overload is over: all is served (memory 20 MiB, watermark 100 MiB)"
        );
        assert_eq!(seen.look(memory(20), 40_000), None);
    }
}
