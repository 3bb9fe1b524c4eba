//! What outlives a plan: the state of endpoints and upstreams, found again by their names.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use fairwater_config as config;
use fairwater_plan::{Admission, ClientLimit, ConnectionLimits, EndpointState, Slots};

#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Arc<Slots>,
    /// By upstream and `Member::key`. What no plan and no connection holds any more is forgotten.
    endpoints: HashMap<(String, String), Weak<EndpointState>>,
    /// By upstream, with the limit that holds for it.
    admissions: HashMap<String, (Option<u32>, Arc<Admission>)>,
    /// Of clients, by listener.
    connections: HashMap<String, ConnectionLimits>,
    all_connections: Option<Arc<Admission>>,
    /// Slots that were taken since somebody asked, and may have been others' before.
    taken: Vec<usize>,
}

impl Registry {
    /// The state of an endpoint, new if nobody holds one.
    pub(crate) fn endpoint(&mut self, upstream: &str, key: &str) -> Arc<EndpointState> {
        let key = (upstream.to_owned(), key.to_owned());
        if let Some(state) = self.endpoints.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(EndpointState::new(self.slots.take()));
        self.taken.push(state.slot());
        self.endpoints.insert(key, Arc::downgrade(&state));
        state
    }

    /// The permits of an upstream; new ones under another limit.
    pub(crate) fn admission(&mut self, upstream: &str, max: Option<u32>) -> Arc<Admission> {
        if let Some((limit, admission)) = self.admissions.get(upstream)
            && *limit == max
        {
            return Arc::clone(admission);
        }
        let admission = Arc::new(Admission::new(max));
        self.admissions.insert(upstream.to_owned(), (max, Arc::clone(&admission)));
        admission
    }

    /// The limits of a listener, of which at most `all` connections may be open together with those
    /// of the others.
    pub(crate) fn connections(
        &mut self,
        listener: &config::Listener,
        all: Option<u32>,
    ) -> ConnectionLimits {
        let all = self.all_connections.get_or_insert_with(|| Arc::new(Admission::new(all)));
        let limits = &listener.limits;
        let new = || ConnectionLimits {
            all: Arc::clone(all),
            own: Arc::new(Admission::new(limits.connections.map(NonZeroU32::get))),
            per_client: limits
                .connections_per_client
                .map(|max| Arc::new(ClientLimit::new(max.get()))),
            rejects: limits.when_full == config::WhenFull::Reject,
        };
        self.connections.entry(listener.name.value.clone()).or_insert_with(new).clone()
    }

    /// All slots so far are below this.
    pub(crate) fn slots_end(&self) -> usize {
        self.slots.end()
    }

    /// Forgets endpoints that are gone. Returns the slots that have a new owner since the last
    /// call.
    pub(crate) fn settle(&mut self) -> Vec<usize> {
        self.endpoints.retain(|_, state| state.strong_count() > 0);
        std::mem::take(&mut self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_found_again_while_somebody_holds_them() {
        let mut registry = Registry::default();
        let first = registry.endpoint("app", "a:1");
        let other = registry.endpoint("web", "a:1");
        assert!(Arc::ptr_eq(&first, &registry.endpoint("app", "a:1")));
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(registry.settle(), [0, 1]);
        drop(first);
        let again = registry.endpoint("app", "b:1");
        assert_eq!((again.slot(), registry.settle()), (0, vec![0]));
        assert_eq!(registry.slots_end(), 2);
        assert_eq!(registry.endpoints.len(), 2);
    }

    #[test]
    fn permits_are_those_of_before_under_the_same_limit() {
        let mut registry = Registry::default();
        let first = registry.admission("app", Some(1));
        assert!(first.enter());
        assert!(!registry.admission("app", Some(1)).enter());
        assert!(registry.admission("app", Some(2)).enter());
    }
}
