//! The processes of managed apps: the master tells of them, and is told what is in flight no more
//! and how many requests there were.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fairwater_config::Config;
use fairwater_message::app::{AppProcess, AppState};
use tokio::sync::mpsc;

use crate::lookups::Shared;
use crate::metrics::sum;
use crate::registry::Registry;
use crate::{Sources, Steward};

/// How often it is looked what is in flight. A rolling restart waits for it with each instance.
const LOOK: Duration = Duration::from_millis(50);
/// Nothing is waited for; whatever comes, comes from the master.
const IDLE: Duration = Duration::from_secs(3600);

/// The way to and from the master.
pub struct AppLink {
    pub states: mpsc::Receiver<AppState>,
    pub tell: Box<dyn Fn(AppReport) + Send>,
}

/// About a process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppReport {
    /// It drains, and nothing new is sent to it.
    Left(u32),
    /// It drains, and nothing is in flight there any more.
    Drained(u32),
    /// So many requests were sent to it so far.
    Requests(u32, u64),
}

/// All apps, by name.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    states: BTreeMap<String, AppState>,
    /// What the master was told last of each process.
    told: HashMap<u32, Told>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    is_left: bool,
    is_drained: bool,
    requests: u64,
}

impl Apps {
    pub(crate) fn set(&mut self, state: AppState) {
        self.states.insert(state.name.clone(), state);
        let processes = || self.states.values().flat_map(|state| &state.processes);
        self.told.retain(|number, _| processes().any(|process| process.number == *number));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&AppState> {
        self.states.get(name)
    }

    /// Those that a configuration has, in its order.
    pub(crate) fn of<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a AppState> {
        config.apps.iter().filter_map(|app| self.get(&app.name.value))
    }

    /// What is new for the master. Requests count for those apps alone that `limits_requests` is
    /// true of.
    fn reports(
        &mut self,
        sources: &Sources,
        registry: &Registry,
        limits_requests: impl Fn(&str) -> bool,
    ) -> Vec<AppReport> {
        // A thread with an older plan may still pick what drains by the newest.
        let is_adopted = sources.plan.is_adopted();
        let mut reports = Vec::new();
        for state in self.states.values() {
            let is_limited = limits_requests(&state.name);
            for process in &state.processes {
                let told = self.told.entry(process.number).or_default();
                let must_tell = process.is_draining && !told.is_drained && is_adopted;
                if !is_limited && !must_tell {
                    continue;
                }
                let load = Load::of(&state.name, process, sources, registry);
                if is_limited && load.requests > told.requests {
                    told.requests = load.requests;
                    reports.push(AppReport::Requests(process.number, load.requests));
                }
                if must_tell && !std::mem::replace(&mut told.is_left, true) {
                    reports.push(AppReport::Left(process.number));
                }
                if must_tell && load.in_flight == 0 {
                    told.is_drained = true;
                    reports.push(AppReport::Drained(process.number));
                }
            }
        }
        reports
    }
}

/// What a process has to do, over all upstreams that it is in, or was.
struct Load {
    in_flight: u32,
    requests: u64,
}

impl Load {
    fn of(app: &str, process: &AppProcess, sources: &Sources, registry: &Registry) -> Self {
        let mut load = Self { in_flight: 0, requests: 0 };
        for state in registry.of_name(&full_name(app, process)) {
            load.in_flight += state.in_flight();
            let slot = state.slot();
            load.requests += sum(sources, |thread| thread.endpoints[slot].attempts.get());
        }
        load
    }
}

/// What an instance is called, whichever process it has.
pub(crate) fn instance(app: &str, index: u32) -> String {
    format!("{app}.{index}")
}

/// What a process is called in logs, metrics and states: as its instance, and with its number once
/// it drains, since another one is called so then.
pub(crate) fn identity(app: &str, process: &AppProcess) -> String {
    match process.is_draining {
        true => full_name(app, process),
        false => instance(app, process.index),
    }
}

pub(crate) fn full_name(app: &str, process: &AppProcess) -> String {
    format!("{}/{}", instance(app, process.index), process.number)
}

/// Takes in what the master tells, and tells it what is new, for as long as there is one.
pub(crate) async fn keep(shared: Shared, mut link: AppLink) {
    loop {
        let wait = if shared.steward.borrow().watches_apps() { LOOK } else { IDLE };
        match tokio::time::timeout(wait, link.states.recv()).await {
            Ok(Some(state)) => {
                shared.steward.borrow_mut().told_of_app(state);
                // There may be a process to be checked.
                shared.bell.notify_waiters();
            }
            Ok(None) => return,
            Err(_) => {}
        }
        let reports = shared.steward.borrow_mut().app_reports();
        reports.into_iter().for_each(|report| (link.tell)(report));
    }
}

impl Steward {
    /// Takes in how an app is doing now.
    pub fn told_of_app(&mut self, state: AppState) {
        self.apps.set(state);
        self.refresh();
    }

    /// Whether the master waits for something.
    fn watches_apps(&self) -> bool {
        self.apps.states.values().any(|state| {
            let told = |process: &AppProcess| self.apps.told.get(&process.number);
            let is_drained = |process| told(process).is_some_and(|told| told.is_drained);
            let mut processes = state.processes.iter();
            processes.any(|process| process.is_draining && !is_drained(process))
                || self.limits_requests(&state.name)
        })
    }

    fn limits_requests(&self, name: &str) -> bool {
        let mut apps = self.config.apps.iter();
        apps.any(|app| app.name.value == name && app.max_requests.is_some())
    }

    fn app_reports(&mut self) -> Vec<AppReport> {
        let limited = self.apps.states.keys().filter(|name| self.limits_requests(name));
        let limited: Vec<_> = limited.cloned().collect();
        let Some(sources) = &self.sources else { return Vec::new() };
        self.apps.reports(sources, &self.registry, |name| limited.iter().any(|one| one == name))
    }
}
