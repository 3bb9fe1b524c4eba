//! TLS: who we are (certificates and keys), whom we trust, and sessions that turn bytes of a socket
//! into bytes of a program and back. The library that does the work stays in here: nobody else
//! names a type of it.
//!
//! Nothing here opens a file or a socket, or reads a clock but the one of the library, which
//! compares it with the dates of certificates.

mod agreed;
mod cause;
mod certificate;
mod client;
mod identity;
mod made_up;
mod seal;
mod server;
mod session;
mod ticket;
mod trust;
mod verify;

pub use agreed::{Agreed, PeerFacts};
pub use cause::cause;
pub use certificate::Facts;
pub use client::{Client, ClientSettings};
pub use identity::{Identity, IdentityProblem};
pub use seal::{Plain, SealKey, SealNonce, Sealed, unguessable};
pub use server::{ClientAuth, Mode, Server, ServerSettings};
pub use session::Session;
pub use ticket::{TicketKeys, TicketProblem};
pub use trust::{Trust, TrustProblem};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The protocols below ours. TLS 1.0 and 1.1 are none (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    #[default]
    Tls12,
    Tls13,
}

impl Version {
    /// All from this one on.
    fn and_newer(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        static BOTH: [&rustls::SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::Tls12 => &BOTH,
            Self::Tls13 => &BOTH[..1],
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// SHA-1, which the handshake of WebSocket is made with (RFC 6455, section 1.3), and nothing else.
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut out = [0; 20];
    out.copy_from_slice(digest.as_ref());
    out
}

/// SHA-256.
pub type Fingerprint = [u8; 32];

/// The fingerprint of bytes.
pub fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().map(|suite| suite.common.hash_provider.hash(bytes));
    hash.and_then(|hash| hash.as_ref().try_into().ok()).unwrap_or_default()
}

/// Reads a fingerprint: 64 hexadecimal digits, or pairs of them with colons between, as OpenSSL
/// prints them.
pub fn parse_fingerprint(text: &str) -> Option<Fingerprint> {
    // OpenSSL writes `sha256 Fingerprint=` before it.
    let text = match text.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("sha256 fingerprint") => value,
        _ => text,
    };
    let is_in_pairs = text.contains(':') && text.split(':').all(|pair| pair.len() == 2);
    let digits = if is_in_pairs { &text.replace(':', "") } else { text };
    certificate::unhex(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_printed() {
        let bytes = fingerprint(b"");
        let digits = certificate::hex(&bytes);
        let pairs: Vec<_> = (0..32).map(|at| digits[2 * at..][..2].to_uppercase()).collect();
        let printed = format!("sha256 Fingerprint={}", pairs.join(":"));
        for good in [&digits, &digits.to_uppercase(), &pairs.join(":"), &printed] {
            assert_eq!(parse_fingerprint(good), Some(bytes), "{good}");
        }
        let odd = digits.replacen("e3", "e:3:", 1);
        for bad in ["", ":", &digits[1..], &format!("{digits}00"), &pairs.join(" "), &odd] {
            assert_eq!(parse_fingerprint(bad), None, "{bad}");
        }
    }
}
