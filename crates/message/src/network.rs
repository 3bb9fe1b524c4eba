//! Networks in CIDR notation (RFC 4632, RFC 4291 section 2.3), for lists of trusted peers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::address::AddressError;

/// An address and a prefix length; the bits behind the prefix are 0.
///
/// A peer is IPv4 if its address is IPv4 or IPv4-mapped, as dual-stack sockets report it, and only
/// IPv4 networks contain it: `::/0` is all of IPv6 and nothing of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or a bare address, which is a network of one. An IPv4-mapped
    /// network of 96 bits or more becomes the IPv4 one.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (address_text, prefix_text) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address_text.parse::<IpAddr>() else {
            return Err(AddressError::new(
                format!("`{text}` is not a network"),
                "write an IP address or ADDRESS/BITS, as in `10.0.0.0/8` or `fd00::/8`",
            ));
        };
        let prefix = match prefix_text {
            Some(prefix) => parse_prefix(text, prefix, address)?,
            None => bits(address),
        };
        let network = masked(address, prefix);
        if network != address {
            return Err(AddressError::new(
                format!("`{text}` has bits set behind its prefix of {prefix}"),
                format!(
                    "write `{network}/{prefix}` for the network, or `{address}` for the one address"
                ),
            ));
        }
        match address.to_canonical() {
            canonical @ IpAddr::V4(_) if address.is_ipv6() && prefix >= 96 => {
                Ok(Self { address: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Self { address, prefix }),
        }
    }

    /// The first address of the network.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits: 0 to 32 or 0 to 128.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_ipv4() == self.address.is_ipv4() && masked(peer, self.prefix) == self.address
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for IpNet {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

fn parse_prefix(text: &str, prefix: &str, address: IpAddr) -> Result<u8, AddressError> {
    let bits_max = bits(address);
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    match prefix.parse::<u8>() {
        Ok(bits) if is_number && bits <= bits_max => Ok(bits),
        _ => Err(AddressError::new(
            format!("the prefix `{prefix}` of `{text}` is not a number of bits"),
            format!("write a number from 0 to {bits_max} behind the slash"),
        )),
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A shift by the full width has no value, which stands for the mask of a prefix of 0.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expected: &str) {
        match IpNet::parse(written) {
            Err(error) => assert_eq!(error.to_string(), expected, "{written:?}"),
            Ok(network) => {
                assert_eq!(network.to_string(), expected, "{written:?}");
                assert_eq!(IpNet::parse(expected), Ok(network), "{written:?}");
            }
        }
    }

    #[test]
    fn networks_are_read_and_corrected() {
        for (written, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("FD00::1", "fd00::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            (
                "10.1.2.3/8",
                "`10.1.2.3/8` has bits set behind its prefix of 8: \
                 write `10.0.0.0/8` for the network, or `10.1.2.3` for the one address",
            ),
            (
                "fd00::1/64",
                "`fd00::1/64` has bits set behind its prefix of 64: \
                 write `fd00::/64` for the network, or `fd00::1` for the one address",
            ),
            (
                "10.0.0.0/33",
                "the prefix `33` of `10.0.0.0/33` is not a number of bits: \
                 write a number from 0 to 32 behind the slash",
            ),
            (
                "::/+1",
                "the prefix `+1` of `::/+1` is not a number of bits: \
                 write a number from 0 to 128 behind the slash",
            ),
            (
                "10/8",
                "`10/8` is not a network: \
                 write an IP address or ADDRESS/BITS, as in `10.0.0.0/8` or `fd00::/8`",
            ),
        ] {
            check(written, expected);
        }
    }

    #[test]
    fn peers_match_in_their_own_family() {
        for (network, peer, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::ffff:11.0.0.1", false),
            ("192.0.2.1/32", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "::ffff:10.0.0.1", false),
            ("::/0", "10.0.0.1", false),
            ("fd00::/65", "fd00::7fff:0:0:1", true),
            ("fd00::/65", "fd00::8000:0:0:1", false),
        ] {
            let contains = IpNet::parse(network).unwrap().contains(peer.parse().unwrap());
            assert_eq!(contains, expected, "{network} {peer}");
        }
    }
}
