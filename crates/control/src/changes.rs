//! What was set at run time about the endpoints of upstreams, beside what the configuration says.

use std::collections::BTreeMap;

use fairwater_message::address::Endpoint;

/// Run-time changes that are held at a time; a program that adds without end is stopped here.
pub(crate) const CHANGES_MAX: usize = 10_000;

/// By upstream and name of the endpoint. No change in it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(BTreeMap<String, BTreeMap<String, Change>>);

/// What was set about one endpoint, or about all addresses of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub presence: Presence,
    pub weight: Option<u16>,
    pub rest: Option<Rest>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    #[default]
    AsConfigured,
    /// The configuration does not have it.
    Added(Endpoint),
    /// The configuration has it.
    Removed,
}

/// How an endpoint is kept from new traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// What runs is finished.
    Drain,
    /// The same, and no connection is kept.
    Maintenance,
}

/// The words of requests and of the state file.
pub(crate) const RESTS: [(&str, Rest); 2] =
    [("drain", Rest::Drain), ("maintenance", Rest::Maintenance)];

impl Changes {
    pub(crate) fn get(&self, upstream: &str, name: &str) -> Option<&Change> {
        self.0.get(upstream)?.get(name)
    }

    /// The changes of an upstream, by name of the endpoint.
    pub(crate) fn of(&self, upstream: &str) -> impl Iterator<Item = (&String, &Change)> {
        self.0.get(upstream).into_iter().flatten()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String, &Change)> {
        self.0.iter().flat_map(|(upstream, of)| of.iter().map(move |(name, c)| (upstream, name, c)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Changes one, and forgets it if nothing is left of it.
    pub(crate) fn edit(&mut self, upstream: &str, name: &str, edit: impl FnOnce(&mut Change)) {
        let of_upstream = self.0.entry(upstream.to_owned()).or_default();
        let change = of_upstream.entry(name.to_owned()).or_default();
        edit(change);
        if *change == Change::default() {
            of_upstream.remove(name);
        }
        if of_upstream.is_empty() {
            self.0.remove(upstream);
        }
    }

    /// Takes an endpoint out, with all that was set about it or an address of it.
    pub(crate) fn remove(&mut self, upstream: &str, name: &str, is_configured: bool) {
        if let Some(of_upstream) = self.0.get_mut(upstream) {
            let prefix = format!("{name}/");
            of_upstream.retain(|other, _| other != name && !other.starts_with(&prefix));
        }
        self.edit(upstream, name, |change| {
            if is_configured {
                change.presence = Presence::Removed;
            }
        });
    }

    /// Keeps those of which this holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str, &Change) -> bool) {
        for (upstream, of_upstream) in &mut self.0 {
            of_upstream.retain(|name, change| keep(upstream, name, change));
        }
        self.0.retain(|_, of_upstream| !of_upstream.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_changes_are_forgotten() {
        let mut changes = Changes::default();
        changes.edit("app", "a:1", |change| change.weight = Some(3));
        changes.edit("app", "a:1", |change| change.rest = Some(Rest::Drain));
        changes.edit("app", "a:1", |change| change.weight = None);
        assert_eq!(changes.get("app", "a:1").unwrap().rest, Some(Rest::Drain));
        changes.edit("app", "a:1", |change| change.rest = None);
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn what_is_removed_takes_along_what_was_set() {
        let mut changes = Changes::default();
        let added = Presence::Added(Endpoint::parse("b:1").unwrap());
        changes.edit("app", "b:1", |change| change.presence = added);
        changes.edit("app", "b:1/10.0.0.1", |change| change.weight = Some(3));
        changes.edit("app", "b:10", |change| change.weight = Some(3));
        changes.remove("app", "b:1", false);
        assert_eq!(changes.iter().map(|(_, name, _)| name).collect::<Vec<_>>(), ["b:10"]);
        changes.remove("app", "b:10", true);
        assert_eq!(changes.get("app", "b:10").unwrap().presence, Presence::Removed);
        assert_eq!(changes.len(), 1);
    }
}
