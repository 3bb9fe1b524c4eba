//! Patterns with captures: a tree with a step for each segment. At each step a literal is tried
//! before a capture, and that before a prefix which ends here.

use super::condition::Facts;
use super::map::Map;
use super::path::Candidates;
use super::pattern::{PathPattern, Segment, segments};

#[derive(Debug, Default)]
pub(super) struct Trie {
    literals: Map<Self>,
    capture: Option<Box<Self>>,
    /// Routes whose path ends here.
    ends: Candidates,
    /// Routes that take this path and all below it.
    prefixes: Candidates,
}

impl Trie {
    pub(super) fn ends_of(&mut self, pattern: &PathPattern) -> &mut Candidates {
        let literals = |path: &str| -> Vec<Segment> {
            let text = |part: &[u8]| Segment::Literal(String::from_utf8_lossy(part).into_owned());
            segments(path.as_bytes()).map(text).collect()
        };
        let (segments, is_prefix) = match pattern {
            PathPattern::Any => (Vec::new(), true),
            PathPattern::Exact(path) => (literals(path), false),
            PathPattern::Prefix(path) => (literals(path), true),
            PathPattern::Segments { segments, is_prefix } => (segments.clone(), *is_prefix),
        };
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => {
                    node.literals.entry(text.into_bytes().into()).or_default()
                }
                Segment::Capture(_) => node.capture.get_or_insert_default(),
            };
        }
        if is_prefix { &mut node.prefixes } else { &mut node.ends }
    }

    /// The first route, in order of rank, that takes what is left of a path and whose conditions
    /// hold; nothing is left behind the last segment. Each node is looked at once at the most.
    pub(super) fn find(&self, path: Option<&[u8]>, facts: Facts<'_>) -> Option<usize> {
        let Some(path) = path else {
            return self.ends.find(facts).or_else(|| self.prefixes.find(facts));
        };
        let end = path.iter().position(|&b| b == b'/');
        let (segment, rest) = match end {
            Some(end) => (&path[..end], Some(&path[end + 1..])),
            None => (path, None),
        };
        let literal = self.literals.get(segment).and_then(|node| node.find(rest, facts));
        let captured = || {
            let node = self.capture.as_ref().filter(|_| !segment.is_empty())?;
            node.find(rest, facts)
        };
        literal.or_else(captured).or_else(|| self.prefixes.find(facts))
    }

    /// Puts the routes of every place in the order of their ranks.
    pub(super) fn sort(&mut self) {
        self.ends.sort();
        self.prefixes.sort();
        self.literals.values_mut().for_each(Self::sort);
        self.capture.iter_mut().for_each(|node| node.sort());
    }
}
