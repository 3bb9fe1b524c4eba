//! The steward: owns the configuration, what its names stand for and what was set at run time, and
//! sees to it that the plan in force says the same. One thread has it; nothing here waits.

use fairwater_config::Config;
use fairwater_net::clock;

use crate::changes::Changes;
use crate::compile::{compile, compile_again};
use crate::dns::{Answer, Failure, Question, ResolverSettings};
use crate::names::Names;
use crate::roster::{self, Roster};
use crate::{Compiled, Outside, Registry, Sources};

#[derive(Debug)]
pub struct Steward {
    pub(crate) config: Config,
    registry: Registry,
    pub(crate) names: Names,
    pub(crate) changes: Changes,
    pub(crate) roster: Roster,
    pub(crate) outside: Outside,
    /// Where plans go and counts come from; not before the first plan.
    sources: Option<Sources>,
}

impl Steward {
    pub fn new(config: Config, outside: Outside) -> Self {
        let mut steward = Self {
            config,
            registry: Registry::default(),
            names: Names::default(),
            changes: Changes::default(),
            roster: Roster::default(),
            outside,
            sources: None,
        };
        steward.refresh();
        steward
    }

    /// The first plan.
    pub fn compile(&mut self) -> Compiled {
        self.refresh();
        let compiled = compile(&self.config, &self.roster, &mut self.registry);
        // Counters begin at zero by themselves.
        self.registry.settle();
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

    /// Brings the endpoints up to date, and publishes a plan if they are others now.
    pub(crate) fn refresh(&mut self) {
        self.names.want(roster::questions(&self.config, &self.changes));
        let roster = Roster::new(&self.config, &self.names, &self.changes);
        if roster != self.roster {
            let before = std::mem::replace(&mut self.roster, roster);
            self.publish(&before);
        }
    }

    fn publish(&mut self, before: &Roster) {
        let Some(sources) = &self.sources else { return };
        let last = sources.plan.get();
        let plan = compile_again(&self.config, &self.roster, &mut self.registry, (before, &last));
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
