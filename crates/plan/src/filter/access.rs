//! Which clients may come.

use std::net::IpAddr;
use std::sync::Arc;

use fairwater_message::network::IpNet;

/// Networks of clients. `deny` comes first; then all are let in, or those of `allow` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Everybody, if it is empty. Long lists are shared by the routes of a listener.
    pub allow: Arc<[IpNet]>,
    pub deny: Arc<[IpNet]>,
}

impl Access {
    /// Whether everybody may come.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a client may come. One without an address (on a Unix socket) is in no network.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        let is_in = |networks: &[IpNet]| {
            client.is_some_and(|client| networks.iter().any(|network| network.contains(client)))
        };
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_comes_before_allow() {
        let nets = |texts: &[&str]| texts.iter().map(|text| IpNet::parse(text).unwrap()).collect();
        for (allow, deny, client, expected) in [
            (&[][..], &[][..], Some("10.0.0.1"), true),
            (&[], &[], None, true),
            (&["10.0.0.0/8"], &[], Some("10.0.0.1"), true),
            (&["10.0.0.0/8"], &[], Some("11.0.0.1"), false),
            (&["10.0.0.0/8"], &[], None, false),
            (&["10.0.0.0/8"], &["10.0.0.0/16"], Some("10.0.0.1"), false),
            (&["10.0.0.0/8"], &["10.0.0.0/16"], Some("10.1.0.1"), true),
            (&[], &["10.0.0.0/16"], Some("10.0.0.1"), false),
            (&[], &["10.0.0.0/16"], Some("::1"), true),
            (&[], &["10.0.0.0/16"], None, true),
        ] {
            let access = Access { allow: nets(allow), deny: nets(deny) };
            let client = client.map(|client: &str| client.parse().unwrap());
            assert_eq!(access.lets_in(client), expected, "{allow:?} {deny:?} {client:?}");
        }
    }
}
