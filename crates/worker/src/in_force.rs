//! The plan that a thread serves by, with what the thread itself knows about it. An exchange holds
//! the one that it began under.

use std::sync::Arc;

use fairwater_plan::{Deposits, Endpoint, Filters, Plan, Upstream, UpstreamSettings};

#[derive(Debug)]
pub(crate) struct InForce {
    pub plan: Arc<Plan>,
    /// Requests that the budgets of retries were not told of yet, by place of the upstream in the
    /// plan.
    pub deposits: Vec<Deposits>,
    /// For exchanges of routes that have none, where something else changes their heads.
    pub no_filters: Filters,
}

impl InForce {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let deposits = plan.upstreams.iter().map(|_| Deposits::default()).collect();
        Self { plan, deposits, no_filters: Filters::default() }
    }

    /// To be called once a second.
    pub(crate) fn refill_budgets(&self, now_s: u64) {
        for (upstream, deposits) in self.plan.upstreams.iter().zip(&self.deposits) {
            deposits.hand_over(upstream.budget());
            upstream.budget().refill(now_s);
        }
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
}
