//! Paths that become others on their way to an endpoint.

use fairwater_message::target::{self, Ambiguous};
use fairwater_message::template::Template;

use super::values::{Place, Values};
use crate::route::{PathPattern, Segment};

/// What becomes of the path of a request. The query stays, unless a text brings its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathEdit {
    #[default]
    Keep,
    /// A prefix goes, if it is there, and another comes. What goes is in its normal form, what
    /// comes as URLs have it.
    Prefix {
        strip: String,
        add: String,
    },
    Rewrite(Template),
}

/// Where the path of a route has captures, counted in segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathShape {
    captures: Vec<(String, usize)>,
    /// Segments before the `*` at the end.
    fixed: usize,
}

impl PathShape {
    pub fn new(pattern: &PathPattern) -> Self {
        match pattern {
            PathPattern::Any => Self::default(),
            PathPattern::Exact(path) | PathPattern::Prefix(path) => {
                Self { captures: Vec::new(), fixed: path.matches('/').count() }
            }
            PathPattern::Segments { segments, .. } => {
                let named = segments.iter().enumerate().filter_map(|(at, segment)| match segment {
                    Segment::Capture(name) => Some((name.clone(), at)),
                    Segment::Literal(_) => None,
                });
                Self { captures: named.collect(), fixed: segments.len() }
            }
        }
    }

    /// What a capture stands for in a path in its normal form.
    pub(super) fn capture<'p>(&self, name: &str, path: &'p [u8]) -> &'p [u8] {
        let at = self.captures.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
        let segment = |at| path.strip_prefix(b"/")?.split(|&b| b == b'/').nth(at);
        at.and_then(segment).unwrap_or_default()
    }

    /// What is behind the fixed segments and their slash.
    pub(super) fn rest<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let mut slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        slashes.nth(self.fixed).map_or(&[], |(at, _)| &path[at + 1..])
    }
}

impl PathEdit {
    /// Writes the path and query for the endpoint.
    ///
    /// # Errors
    /// When what the client sent would lead out of the path that it is put into.
    pub fn write(
        &self,
        values: &Values<'_>,
        shape: &PathShape,
        out: &mut Vec<u8>,
    ) -> Result<(), Ambiguous> {
        let target = values.head.path.of(values.bytes);
        let query = target::query_of(target);
        match self {
            Self::Keep => out.extend_from_slice(target::path_of(target)),
            Self::Prefix { strip, add } => {
                out.extend_from_slice(add.as_bytes());
                let rest = stripped(values.path, strip.as_bytes()).unwrap_or(values.path);
                values.write_path(rest, out);
                if out.is_empty() {
                    out.push(b'/');
                }
            }
            Self::Rewrite(template) => {
                values.fill_in(template, shape, Place::Path, out);
                if has_dot_segments(target::path_of(out)) {
                    return Err(Ambiguous);
                }
                if out.contains(&b'?') {
                    return Ok(());
                }
            }
        }
        if !query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        Ok(())
    }
}

/// Whether an endpoint could read one of the segments as a step up, or as no step.
fn has_dot_segments(path: &[u8]) -> bool {
    path.split(|&b| matches!(b, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|&b| b == b';').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let mut rest = &*name;
        let mut dots = 0;
        while !rest.is_empty() {
            match rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b"%2e")) {
                Some(tail) => (rest, dots) = (tail, dots + 1),
                None => return false,
            }
        }
        matches!(dots, 1 | 2)
    })
}

/// The path behind a prefix that ends at the end of a segment.
fn stripped<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
