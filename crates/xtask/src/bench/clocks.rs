//! The kernel's accounting: CPU time of processes and of the machine, and resident memory.

use std::fs;
use std::path::Path;

use crate::Failure;

/// The unit of /proc/stat on every Linux that we know.
const TICK_NS: u64 = 10_000_000;

/// CPU time so far: of the proxy, of the load on it, and of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Clocks {
    proxy: Usage,
    /// Generator and backend, and children of the harness that have ended, which is `ab`.
    load_ns: u64,
    machine: Machine,
}

/// What passed between two readings, or several times between two.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Passed {
    pub(crate) proxy_ns: f64,
    pub(crate) machine_ns: f64,
    waited_ns: f64,
    stolen_ns: f64,
    load_ns: f64,
    total_ns: f64,
}

impl Passed {
    pub(crate) fn add(&mut self, more: Self) {
        self.proxy_ns += more.proxy_ns;
        self.machine_ns += more.machine_ns;
        self.waited_ns += more.waited_ns;
        self.stolen_ns += more.stolen_ns;
        self.load_ns += more.load_ns;
        self.total_ns += more.total_ns;
    }

    /// Time that the proxy spent waiting for its core, as a share of its CPU time.
    pub(crate) fn waited(&self) -> f64 {
        self.waited_ns / self.proxy_ns.max(1.0)
    }

    /// Share of the machine's time that the hypervisor gave to others.
    pub(crate) fn stolen(&self) -> f64 {
        self.stolen_ns / self.total_ns.max(1.0)
    }

    /// Share of the machine's time that went into what is not of this measurement. It takes
    /// caches, and on a shared core half of the execution units, from the proxy.
    pub(crate) fn foreign(&self) -> f64 {
        (self.machine_ns - self.proxy_ns - self.load_ns).max(0.0) / self.total_ns.max(1.0)
    }
}

impl Clocks {
    pub(crate) fn read(proxy: &[u32], load: &[u32]) -> Result<Self, Failure> {
        let own = fs::read_to_string("/proc/self/stat")?;
        let ended = ended_children_ticks(&own).ok_or("/proc/self/stat has a new form")?;
        Ok(Self {
            proxy: Usage::of(proxy)?,
            load_ns: Usage::of(load)?.busy_ns + ended * TICK_NS,
            machine: Machine::read()?,
        })
    }

    pub(crate) fn since(self, earlier: Self) -> Passed {
        let proxy_ns = self.proxy.busy_ns.saturating_sub(earlier.proxy.busy_ns) as f64;
        let waited_ns = self.proxy.waited_ns.saturating_sub(earlier.proxy.waited_ns) as f64;
        let load_ns = self.load_ns.saturating_sub(earlier.load_ns) as f64;
        let ticks = |later: u64, earlier: u64| (later - earlier) as f64 * TICK_NS as f64;
        Passed {
            proxy_ns,
            machine_ns: ticks(self.machine.busy, earlier.machine.busy),
            waited_ns,
            stolen_ns: ticks(self.machine.stolen, earlier.machine.stolen),
            load_ns,
            total_ns: ticks(self.machine.total, earlier.machine.total),
        }
    }
}

/// What some processes, with all their threads, had so far.
#[derive(Clone, Copy, Default)]
struct Usage {
    busy_ns: u64,
    /// Time in which they were ready but another one had their core.
    waited_ns: u64,
}

impl Usage {
    fn of(pids: &[u32]) -> Result<Self, Failure> {
        let mut usage = Self::default();
        for pid in pids {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end while we look; what it used is lost, and tiny.
                let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                    continue;
                };
                let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
                usage.busy_ns += fields.next().unwrap_or(0);
                usage.waited_ns += fields.next().unwrap_or(0);
            }
        }
        Ok(usage)
    }
}

/// User and system ticks of children that were waited for: the fields after both own ones.
fn ended_children_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?)
}

/// The first line of /proc/stat, in ticks.
#[derive(Clone, Copy)]
struct Machine {
    busy: u64,
    stolen: u64,
    total: u64,
}

impl Machine {
    fn read() -> Result<Self, Failure> {
        Self::parse(&fs::read_to_string("/proc/stat")?).ok_or("/proc/stat has a new form".into())
    }

    /// user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|t| t.parse().ok()).collect();
        let busy = ticks.get(..3)?.iter().sum::<u64>() + ticks.get(5)? + ticks.get(6)?;
        let stolen = *ticks.get(7)?;
        Some(Self { busy, stolen, total: busy + stolen + ticks[3] + ticks[4] })
    }
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>, Failure> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| child));
        next += 1;
    }
    Ok(found)
}

/// The name before the fields may hold blanks and brackets, so count from its end.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Resident bytes of some processes.
pub(crate) fn resident_bytes(pids: &[u32]) -> Result<u64, Failure> {
    rolled_up(pids, "Rss:")
}

/// Of those the ones that are no pages of files: rare ways of a program come from its file when
/// they are taken first.
pub(crate) fn own_bytes(pids: &[u32]) -> Result<u64, Failure> {
    rolled_up(pids, "Anonymous:")
}

fn rolled_up(pids: &[u32], name: &str) -> Result<u64, Failure> {
    let mut bytes = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(Path::new(&path)).map_err(|e| format!("{path}: {e}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        bytes += kib.ok_or("smaps_rollup has a new form")? * 1024;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_iowait_and_steal() {
        let machine = Machine::parse("cpu  1 2 4 100 200 8 16 32 0 0\ncpu0 1\n").unwrap();
        assert_eq!((machine.busy, machine.stolen, machine.total), (31, 32, 363));
    }

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent("7 (a) b (c)) S 42 7 7"), Some(42));
    }

    #[test]
    fn ended_children_are_the_fields_after_our_own_time() {
        let stat = "7 (x) S 1 7 7 0 -1 4 100 0 0 0 11 12 13 14 20 0";
        assert_eq!(ended_children_ticks(stat), Some(27));
    }

    #[test]
    fn our_own_tree_holds_us() {
        let own = std::process::id();
        assert!(tree(own).unwrap().contains(&own));
        let (own, all) = (own_bytes(&[own]).unwrap(), resident_bytes(&[own]).unwrap());
        assert!(0 < own && own < all);
    }
}
