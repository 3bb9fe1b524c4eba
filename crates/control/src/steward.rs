//! The steward: owns the configuration, what its names stand for and what was set at run time, and
//! sees to it that the plan in force says the same. One thread has it; nothing here waits.

use std::io;
use std::sync::Arc;

use fairwater_config::Config;
use fairwater_net::clock;
use fairwater_plan::{ListenerId, Plan};
use hyper::StatusCode;

use crate::apps::Apps;
use crate::changes::{CHANGES_MAX, Changes};
use crate::compile::{Before, Bind, compile, compile_again};
use crate::dns::{Answer, Failure, Question, ResolverSettings};
use crate::health::{Health, record};
use crate::names::Names;
use crate::overload::Seen;
use crate::problem::Problem;
use crate::registry::Registry;
use crate::roster::{self, Member, Roster};
use crate::snapshot::{self, Section};
use crate::state_file::{self, StateFile};
use crate::sticky::{self, Secret};
use crate::{Compiled, Outside, Sources};

#[derive(Debug)]
pub struct Steward {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) names: Names,
    pub(crate) apps: Apps,
    pub(crate) changes: Changes,
    /// Those that hold after a reload or a restart as well.
    pub(crate) kept: Changes,
    state_file: Option<StateFile>,
    /// The secret of sessions that is kept for other processes.
    kept_secret: Option<Secret>,
    pub(crate) roster: Roster,
    pub(crate) health: Health,
    pub(crate) overload: Seen,
    pub(crate) outside: Outside,
    /// Where plans go and counts come from; not before the first plan.
    pub(crate) sources: Option<Sources>,
    /// What will be in force once its names are known.
    next: Option<Config>,
    connections_max: Option<u32>,
    snapshots: Snapshots,
}

/// Sections of what is left to another process.
const CHANGES: &str = "changes";
const HEALTH: &str = "health";
const STICKY: &str = "sticky";

/// Who is given what was set at run time, for a process in place of this one.
#[derive(Default)]
struct Snapshots(Option<Keeper>);

type Keeper = Box<dyn Fn(&str) + Send>;

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshots").field(&self.0.is_some()).finish()
    }
}

impl Steward {
    /// # Errors
    /// When there can be no `state_dir`.
    pub fn new(config: Config, outside: Outside) -> io::Result<Self> {
        let state_file = config.state_dir.as_ref().map(|path| StateFile::open(&path.value));
        let state_file = state_file.transpose()?;
        let (mut kept, line) = state_file.as_ref().map(StateFile::read).unwrap_or_default();
        line.iter().for_each(|line| (outside.say)(line));
        retain(&mut kept, &config, outside);
        let secret = read_secret(&config, outside);
        let mut steward = Self {
            config,
            registry: Registry::with(secret.clone()),
            kept_secret: secret,
            names: Names::default(),
            apps: Apps::default(),
            changes: kept.clone(),
            kept,
            state_file,
            roster: Roster::default(),
            health: Health::default(),
            overload: Seen::default(),
            outside,
            sources: None,
            next: None,
            connections_max: None,
            snapshots: Snapshots::default(),
        };
        steward.refresh();
        Ok(steward)
    }

    /// Begins with what was set at run time in the process before, and with what it knew of
    /// endpoints, as that has given it to its keeper. A reload ends what was set.
    pub fn resume(&mut self, snapshot: &str, is_reload: bool) {
        for section in snapshot::parse(snapshot) {
            match (section.name, section.version) {
                (CHANGES, _) if is_reload => {}
                (CHANGES, state_file::VERSION) => self.resume_changes(section.text),
                (HEALTH, record::VERSION) => {
                    self.health.restore(section.text, clock::coarse_ms());
                }
                (STICKY, sticky::VERSION) => {
                    // It goes before what `state_dir` keeps: sessions have begun by it.
                    let secret = Secret::parse(section.text);
                    self.registry.secret = secret.or(self.registry.secret.take());
                }
                (name, version) => (self.outside.say)(&format!(
                    "warning: what the process before knew of {name} is lost: it has version {version}"
                )),
            }
        }
        self.refresh();
    }

    fn resume_changes(&mut self, text: &str) {
        match state_file::parse(text) {
            Ok(mut changes) => {
                retain(&mut changes, &self.config, self.outside);
                self.changes = changes;
            }
            Err(problem) => {
                (self.outside.say)(&format!("what was set at run time is lost: {problem}"));
            }
        }
    }

    /// Gives `keeper` what was set at run time and what is known of endpoints, now and whenever it
    /// is something else.
    pub fn keep_with(&mut self, keeper: impl Fn(&str) + Send + 'static) {
        self.snapshots = Snapshots(Some(Box::new(keeper)));
        self.snapshot();
    }

    pub(crate) fn snapshot(&self) {
        let Some(keep) = &self.snapshots.0 else { return };
        let (changes, health) = (state_file::render(&self.changes), self.health.record());
        let secret = self.registry.secret.as_ref().map(Secret::render);
        let section = |name, version, text| Section { name, version, text };
        let mut sections = vec![
            section(CHANGES, state_file::VERSION, &changes),
            section(HEALTH, record::VERSION, &health),
        ];
        sections.extend(secret.iter().map(|text| section(STICKY, sticky::VERSION, text)));
        keep(&snapshot::render(&sections));
    }

    /// Sees to it that the secret of sessions is there for other processes, if there is one, and
    /// that cookies can be made at once.
    fn keep_secret(&mut self) {
        sticky::warm_up(&self.config);
        let Some(secret) = &self.registry.secret else { return };
        let directory = self.config.state_dir.as_ref().map(|path| &path.value);
        let is_kept = self.kept_secret.as_ref() == Some(secret);
        if let Some(directory) = directory.filter(|_| !is_kept)
            && let Err(error) = secret.write(directory)
        {
            (self.outside.say)(&format!(
                "warning: the secret of sticky sessions cannot be kept in {}: {error}; they are \
                 lost with the next restart",
                directory.display()
            ));
        }
        self.kept_secret = Some(secret.clone());
        self.snapshot();
    }

    /// The first plan; at most `connections_max` clients may be connected.
    pub fn compile(&mut self, connections_max: Option<u32>) -> Compiled {
        self.refresh();
        self.connections_max = connections_max;
        let seats = self.registry.seat(&self.config.listeners, &|_| true);
        let (own, registry) = ((&self.config, &*seats.ids), &mut self.registry);
        let compiled = compile(own, &self.roster, registry, connections_max, None);
        // Counters begin at zero by themselves.
        self.registry.settle();
        self.keep_secret();
        compiled
    }

    /// Whether there are names to look up again and again.
    pub fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// From now on changes are published.
    pub(crate) fn publish_to(&mut self, sources: Sources) {
        self.sources = Some(sources);
    }

    pub(crate) fn sources(&self) -> Option<&Sources> {
        self.sources.as_ref()
    }

    pub(crate) fn resolver_settings(&self) -> ResolverSettings {
        let resolver = &self.config.resolver;
        ResolverSettings { servers: resolver.servers.clone(), timeout: resolver.timeout }
    }

    /// Takes in what a name stands for now.
    pub(crate) fn told(&mut self, question: &Question, result: Result<(Answer, u32), Failure>) {
        let news = self.names.told(question, result, clock::coarse_ms());
        if let Some(line) = news.line {
            (self.outside.say)(&line);
        }
        if news.is_other {
            self.refresh();
        }
    }

    /// Changes endpoints; with `persist` in such a way that it survives. The line is said where
    /// that makes any difference.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing is changed.
    pub(crate) fn change(
        &mut self,
        (persist, line): (bool, &str),
        edit: impl Fn(&mut Changes),
    ) -> Result<(), Problem> {
        let mut changes = self.changes.clone();
        edit(&mut changes);
        let mut is_other = changes != self.changes;
        if changes.len() > CHANGES_MAX {
            return Err(Problem::conflict(
                format!("{CHANGES_MAX} endpoints have changes already"),
                "take some back, or write them into the configuration",
            ));
        }
        if persist {
            let Some(file) = &self.state_file else {
                return Err(Problem::conflict(
                    "there is no place to keep it",
                    "set `state_dir` in the configuration, or leave `persist` away",
                ));
            };
            let mut kept = self.kept.clone();
            edit(&mut kept);
            file.write(&kept).map_err(|error| {
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("it cannot be kept: {error}"),
                    "mend `state_dir`, or leave `persist` away",
                )
            })?;
            is_other |= kept != self.kept;
            self.kept = kept;
        }
        if is_other {
            (self.outside.say)(line);
        }
        self.changes = changes;
        self.snapshot();
        self.refresh();
        Ok(())
    }

    /// How long what was set about an endpoint holds; nothing, if nothing was.
    pub(crate) fn change_of(&self, upstream: &str, member: &Member) -> Option<&'static str> {
        let names = [member.written.as_str(), member.full_name.as_str()];
        let of = |changes: &Changes| names.map(|name| changes.get(upstream, name).cloned());
        let (now, later) = (of(&self.changes), of(&self.kept));
        let is_set = now.iter().any(Option::is_some);
        is_set.then_some(if now == later { "kept" } else { "until_reload" })
    }

    /// Brings the endpoints up to date, and publishes a plan if they are others now.
    pub(crate) fn refresh(&mut self) {
        let mut questions = roster::questions(&self.config, &self.changes);
        questions.extend(self.next.iter().flat_map(|next| roster::questions(next, &self.kept)));
        self.names.want(questions);
        let mut roster = Roster::new(&self.config, &self.names, &self.apps, &self.changes);
        let now = self.now();
        let lines = self.health.judge(&self.config, &mut roster, now);
        lines.iter().for_each(|line| (self.outside.say)(line));
        if roster != self.roster {
            let before = std::mem::replace(&mut self.roster, roster);
            let Some(sources) = &self.sources else { return };
            let plan = &*sources.plan.get();
            let before = Before { config: &self.config, roster: &before, plan };
            let plan = compile_again(&self.roster, &mut self.registry, before);
            self.publish(plan);
        }
    }

    /// Begins to look up the names of another configuration, which [`Self::replace`] puts into
    /// force.
    ///
    /// # Errors
    /// The name of a setting that this process cannot change.
    pub(crate) fn prepare(&mut self, next: Config) -> Result<(), &'static str> {
        if let Some(setting) = fixed(&self.config, &next) {
            return Err(setting);
        }
        // Counters have room for a few more than there were at the start.
        let room = self.sources.iter().flat_map(|sources| &sources.counters);
        let room = room.map(|thread| thread.listeners.len()).min().unwrap_or(0);
        if self.registry.ids_with(&next.listeners) > room {
            return Err("listeners");
        }
        self.next = Some(next);
        self.refresh();
        Ok(())
    }

    /// Puts the configuration into force that was prepared, for listeners at these addresses, in
    /// its order. Gives what they are bound for; nothing, if none was prepared.
    pub(crate) fn replace(&mut self, addresses: &[String]) -> Option<Vec<Bind>> {
        let next = self.next.take()?;
        let sources = self.sources.as_mut()?;
        let plan = Arc::clone(&sources.plan);
        let counters: &[_] = &sources.counters;
        let is_empty = |id: ListenerId| {
            counters.iter().all(|one| one.listeners[id.0 as usize].active.get() == 0)
        };
        let seats = self.registry.seat(&next.listeners, &is_empty);
        for id in &seats.taken {
            counters.iter().for_each(|thread| thread.listeners[id.0 as usize].reset());
        }
        retain(&mut self.kept, &next, self.outside);
        // What was set until then.
        self.changes = self.kept.clone();
        let mut roster = Roster::new(&next, &self.names, &self.apps, &self.changes);
        let now = (clock::coarse_ms(), true);
        let lines = self.health.judge(&next, &mut roster, now);
        lines.iter().for_each(|line| (self.outside.say)(line));
        let before = Before { config: &self.config, roster: &self.roster, plan: &plan.get() };
        let own = (&next, &*seats.ids);
        let compiled =
            compile(own, &roster, &mut self.registry, self.connections_max, Some(before));
        let named = |(bind, address): (&Bind, &String)| {
            (compiled.plan.listener(bind.listener).name.clone(), address.clone())
        };
        sources.bound = compiled.binds.iter().zip(addresses).map(named).collect();
        (self.config, self.roster) = (next, roster);
        self.keep_secret();
        self.publish(compiled.plan);
        self.snapshot();
        // Names that nobody asks for any more are forgotten.
        self.refresh();
        Some(compiled.binds)
    }

    /// The time, and whether traffic is served.
    fn now(&self) -> (u64, bool) {
        (clock::coarse_ms(), self.sources.is_some())
    }

    fn publish(&mut self, plan: Plan) {
        let Some(sources) = &self.sources else { return };
        // A thread that adopts the plan counts for its endpoints at once.
        for thread in &sources.counters {
            thread.endpoints.grow(plan.slots_end);
        }
        for slot in self.registry.settle() {
            for thread in &sources.counters {
                thread.endpoints[slot].reset();
            }
        }
        sources.plan.set(plan);
    }
}

/// The setting, if there is one, that no running process can take in.
fn fixed(now: &Config, next: &Config) -> Option<&'static str> {
    let settings = [
        ("threads", now.threads == next.threads),
        ("state_dir", now.state_dir == next.state_dir),
        ("run_dir", now.run_dir == next.run_dir),
        ("access_log", now.access_log == next.access_log),
        ("admin", now.admin == next.admin),
        ("resolver", now.resolver == next.resolver),
        ("max_connections", now.max_connections == next.max_connections),
        ("user", now.process.user == next.process.user),
        ("group", now.process.group == next.process.group),
        ("core_dumps", now.process.core_dumps == next.process.core_dumps),
    ];
    settings.iter().find(|(_, is_same)| !is_same).map(|(name, _)| *name)
}

/// The secret of sessions that an earlier process has kept, if this one has a use for it.
fn read_secret(config: &Config, outside: Outside) -> Option<Secret> {
    let directory = &config.state_dir.as_ref()?.value;
    match Secret::read(directory) {
        Ok(secret) => secret,
        Err(error) => {
            (outside.say)(&format!(
                "warning: the secret of sticky sessions in {} cannot be used: {error}; a new one \
                 takes its place",
                directory.display()
            ));
            None
        }
    }
}

/// Drops what was set about upstreams that a configuration does not have, and says so.
fn retain(kept: &mut Changes, config: &Config, outside: Outside) {
    kept.retain(|upstream, name, _| {
        let is_there = config.upstreams.iter().any(|one| one.name.value == upstream);
        if !is_there {
            (outside.say)(&format!(
                "warning: what was set about {name} is dropped: there is no upstream {upstream}"
            ));
        }
        is_there
    });
}
