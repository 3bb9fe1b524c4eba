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

impl PathPattern {
    /// The parts of `path` that the captures stand for, by name; and under `*`, if the pattern is a
    /// prefix, what is below it, with its first slash. Empty if the pattern does not take the path.
    pub fn captures<'p>(&self, path: &'p [u8]) -> Vec<(&str, &'p [u8])> {
        let mut found = Vec::new();
        let below = match self {
            Self::Any => path,
            Self::Exact(_) => return found,
            Self::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
            Self::Segments { segments: pattern, is_prefix } => {
                let mut rest = path;
                for segment in pattern {
                    let Some(part) = rest.strip_prefix(b"/") else { return Vec::new() };
                    let end = part.iter().position(|&b| b == b'/').unwrap_or(part.len());
                    if let Segment::Capture(name) = segment {
                        found.push((&**name, &part[..end]));
                    }
                    rest = &part[end..];
                }
                if !is_prefix {
                    return found;
                }
                rest
            }
        };
        found.push(("*", below));
        found
    }
}
