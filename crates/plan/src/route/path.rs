//! The routes of one host, by path.

use fairwater_message::TARGET_BYTES_MAX;

use super::condition::{Conditions, Facts};
use super::map::Map;
use super::pattern::PathPattern;
use super::trie::Trie;

/// Routes of one path: those with more conditions first, among equals the earlier one of the
/// configuration.
#[derive(Debug, Default)]
pub(super) struct Candidates(Vec<(Conditions, usize)>);

impl Candidates {
    pub(super) fn add(&mut self, conditions: Conditions, route: usize) {
        self.0.push((conditions, route));
    }

    pub(super) fn find(&self, facts: Facts<'_>) -> Option<usize> {
        self.0.iter().find(|(conditions, _)| conditions.hold(facts)).map(|(_, route)| *route)
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|(conditions, route)| (usize::MAX - conditions.0.len(), *route));
    }
}

#[derive(Debug, Default)]
pub(super) struct PathTable {
    exact: Map<Candidates>,
    /// Without the final `/*`.
    prefixes: Map<Candidates>,
    prefix_bytes_max: usize,
    everything: Candidates,
    /// In use instead of the others as soon as a route has captures.
    patterns: Option<Trie>,
}

impl PathTable {
    /// Takes all routes of the host: pattern, conditions and number.
    pub(super) fn new(rules: Vec<(PathPattern, Conditions, usize)>) -> Self {
        let mut table = Self::default();
        if rules.iter().any(|(path, ..)| matches!(path, PathPattern::Segments { .. })) {
            let mut trie = Trie::default();
            for (path, conditions, route) in rules {
                trie.ends_of(&path).add(conditions, route);
            }
            trie.sort();
            return Self { patterns: Some(trie), ..table };
        }
        for (path, conditions, route) in rules {
            table.candidates(&path).add(conditions, route);
        }
        table.everything.sort();
        table.exact.values_mut().chain(table.prefixes.values_mut()).for_each(Candidates::sort);
        table
    }

    fn candidates(&mut self, path: &PathPattern) -> &mut Candidates {
        match path {
            PathPattern::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathPattern::Prefix(prefix) => {
                self.prefix_bytes_max = self.prefix_bytes_max.max(prefix.len());
                self.prefixes.entry(prefix.as_bytes().into()).or_default()
            }
            PathPattern::Any | PathPattern::Segments { .. } => &mut self.everything,
        }
    }

    /// The route for a path in its normal form.
    pub(super) fn find(&self, path: &[u8], facts: Facts<'_>) -> Option<usize> {
        debug_assert!(path.len() <= TARGET_BYTES_MAX);
        if let Some(patterns) = &self.patterns {
            return patterns.find(path.strip_prefix(b"/"), facts);
        }
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path).and_then(|found| found.find(facts))
        {
            return Some(route);
        }
        if !self.prefixes.is_empty()
            && let Some(route) = self.longest_prefix(path, facts)
        {
            return Some(route);
        }
        self.everything.find(facts)
    }

    /// Only ends of segments can end a prefix, and none lies behind the longest prefix that there
    /// is: what a client sends cannot make the search long.
    fn longest_prefix(&self, path: &[u8], facts: Facts<'_>) -> Option<usize> {
        let mut end = path.len();
        loop {
            if end <= self.prefix_bytes_max
                && let Some(candidates) = self.prefixes.get(&path[..end])
                && let Some(route) = candidates.find(facts)
            {
                return Some(route);
            }
            end = path[..end].iter().rposition(|&b| b == b'/').filter(|&at| at > 0)?;
        }
    }
}
