//! The plan that a thread serves by, with what the thread itself knows about it. An exchange holds
//! the one that it began under.

use std::collections::HashMap;
use std::sync::Arc;

use fairwater_plan::{Endpoint, Plan, RetryBudget, Upstream, UpstreamSettings};

#[derive(Debug)]
pub(crate) struct InForce {
    pub plan: Arc<Plan>,
    /// By place of the upstream in the plan.
    pub retries: Vec<RetryBudget>,
}

impl InForce {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let retries = plan.upstreams.iter().map(|_| RetryBudget::default()).collect();
        Self { plan, retries }
    }

    /// Whether an endpoint of an earlier plan is one of this plan too, and is spoken to in the same
    /// way.
    pub(crate) fn has(&self, upstream: &Upstream, endpoint: &Endpoint) -> bool {
        let UpstreamSettings { name, tls, versions, .. } = &upstream.settings;
        let same = self.plan.upstreams.iter().find(|other| other.settings.name == *name);
        let is_spoken_to_so = |same: &&Arc<Upstream>| {
            same.settings.tls == *tls && same.settings.versions == *versions
        };
        same.filter(is_spoken_to_so).is_some_and(|same| {
            same.endpoints.iter().any(|other| Arc::ptr_eq(&other.state, &endpoint.state))
        })
    }

    /// Whether a listener is gone that was there before.
    pub(crate) fn loses_listeners(&self, before: &Self) -> bool {
        let mut both = before.plan.listeners.iter().zip(self.plan.listeners.iter());
        both.any(|(before, now)| now.is_gone() && !before.is_gone())
    }

    /// The next plan; upstreams that stay keep their budgets.
    pub(crate) fn succeeded_by(&self, plan: Arc<Plan>) -> Self {
        let names = self.plan.upstreams.iter().map(|upstream| upstream.settings.name.as_str());
        let before: HashMap<&str, &RetryBudget> = names.zip(&self.retries).collect();
        let budget = |name: &str| before.get(name).map(|&budget| budget.clone());
        let retries = plan
            .upstreams
            .iter()
            .map(|upstream| budget(&upstream.settings.name).unwrap_or_default())
            .collect();
        Self { plan, retries }
    }
}
