//! What paths a route takes.

/// Paths in their normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// Every target, `*` too.
    #[default]
    Any,
    Exact(String),
    /// `/x` takes `/x` and all below `/x/`; without a final slash, never empty.
    Prefix(String),
    /// Segments with captures among them; with `is_prefix` all below them as well.
    Segments {
        segments: Vec<Segment>,
        is_prefix: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Literal(String),
    /// Any segment that is not empty, under a name.
    Capture(String),
}

/// The segments of a path behind its first slash; `/` has one, which is empty.
pub(super) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(|&b| b == b'/')
}
