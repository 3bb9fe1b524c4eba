//! Things by host: an exact one before a wildcard, the longest of those first.

use fairwater_message::target::AUTHORITY_BYTES_MAX;

use super::map::Map;

/// Hosts in lower case, without port and final dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    #[default]
    Any,
    Exact(String),
    /// All hosts that end with this, which begins with a dot.
    Wildcard(String),
}

/// What stands for which hosts.
#[derive(Debug)]
pub struct Hosts<T> {
    exact: Map<T>,
    /// By their ends, which begin with a dot.
    wildcards: Map<T>,
    wildcard_bytes_max: usize,
    any: Option<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        let (exact, wildcards) = (Map::default(), Map::default());
        Self { exact, wildcards, wildcard_bytes_max: 0, any: None }
    }
}

impl<T> Hosts<T> {
    pub fn insert(&mut self, host: HostPattern, value: T) {
        match host {
            HostPattern::Any => self.any = Some(value),
            HostPattern::Exact(host) => {
                self.exact.insert(host.into_bytes().into(), value);
            }
            HostPattern::Wildcard(end) => {
                self.wildcard_bytes_max = self.wildcard_bytes_max.max(end.len());
                self.wildcards.insert(end.into_bytes().into(), value);
            }
        }
    }

    /// All that stand for any host.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcards.values()).chain(&self.any)
    }

    /// Whether all hosts are alike.
    #[inline]
    pub fn are_alike(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// What stands for every host.
    #[inline]
    pub fn any(&self) -> Option<&T> {
        self.any.as_ref()
    }

    /// What stands for a host in any case, apart from every host: the first that is taken.
    pub fn find<'a, R>(&'a self, host: &[u8], take: impl Fn(&'a T) -> Option<R>) -> Option<R> {
        let mut lower = [0; AUTHORITY_BYTES_MAX];
        let host = {
            let lower = lower.get_mut(..host.len())?;
            lower.copy_from_slice(host);
            lower.make_ascii_lowercase();
            &*lower
        };
        let exact = self.exact.get(host).and_then(&take);
        if exact.is_some() || self.wildcards.is_empty() {
            return exact;
        }
        // The longest end first; a label must be before it.
        let longest = host.len().saturating_sub(self.wildcard_bytes_max).max(1);
        let dots = (longest..host.len()).filter(|&at| host[at] == b'.');
        dots.filter_map(|at| self.wildcards.get(&host[at..])).find_map(take)
    }
}
