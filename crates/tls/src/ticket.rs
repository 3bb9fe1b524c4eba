//! Tickets that other processes and nodes understand as well, since all have their keys by file.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;
use rustls_pki_types::UnixTime;

use crate::Fingerprint;
use crate::certificate::unhex;

/// A ticket is good for so many seconds: half a day.
const LIFETIME: u32 = 43_200;

/// Which key it is of.
const NAME_BYTES: usize = 16;

const KEYS_MAX: usize = 16;

/// Keys of tickets: the first one makes them, all of them read them.
pub struct TicketKeys(Vec<Key>);

struct Key {
    name: [u8; NAME_BYTES],
    key: RandomizedNonceKey,
}

/// Why a file has no keys for tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketProblem {
    None,
    TooMany,
    /// The line, from 1 on, is not 64 hexadecimal digits.
    BadLine(usize),
}

impl fmt::Display for TicketProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no key in it"),
            Self::TooMany => write!(f, "there are more than {KEYS_MAX} keys in it"),
            Self::BadLine(line) => write!(f, "its line {line} is not 64 hexadecimal digits"),
        }
    }
}

/// Tells nothing that must not be known.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ticket keys", self.0.len())
    }
}

impl TicketKeys {
    /// Reads lines of 64 hexadecimal digits; empty ones and those from `#` on say nothing. A ticket
    /// is read under the same rules for clients alone: whoever has resumed a session is not asked
    /// for a certificate again.
    ///
    /// # Errors
    /// See [`TicketProblem`].
    pub fn read(text: &str, rules: &Fingerprint) -> Result<Self, TicketProblem> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let secret = unhex(line).ok_or(TicketProblem::BadLine(index + 1))?;
            keys.push(Key::new(&secret, rules).ok_or(TicketProblem::BadLine(index + 1))?);
        }
        match keys.len() {
            0 => Err(TicketProblem::None),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(TicketProblem::TooMany),
        }
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        let mut bytes = [&now.to_be_bytes(), plain].concat();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(key.name), &mut bytes).ok()?;
        Some([&key.name[..], nonce.as_ref(), &bytes].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.0.iter().find(|key| key.name == *name)?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.key.open_in_place(nonce, Aad::from(key.name), &mut bytes).ok()?;
        let (made, plain) = plain.split_first_chunk::<8>()?;
        let age = now.saturating_sub(u64::from_be_bytes(*made));
        (age < u64::from(LIFETIME)).then(|| plain.to_vec())
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, UnixTime::now().as_secs())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, UnixTime::now().as_secs())
    }
}

impl Key {
    fn new(secret: &[u8; 32], rules: &Fingerprint) -> Option<Self> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |what: &[u8]| hmac::sign(&secret, &[what, rules].concat());
        let (name, key) = (derived(b"name of a ticket key"), derived(b"ticket key"));
        Some(Self {
            name: *name.as_ref().first_chunk()?,
            key: RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0011223344556677889900aabbccddeeff00112233445566778899aabbccddee";
    const NEW: &str = "ff11223344556677889900aabbccddeeff00112233445566778899AABBCCDDEE";

    fn keys(lines: &[&str], rules: u8) -> TicketKeys {
        TicketKeys::read(&lines.join("\n"), &[rules; 32]).unwrap()
    }

    #[test]
    fn a_ticket_is_read_by_whoever_has_its_key_and_the_same_rules() {
        let ticket = keys(&[OLD], 0).seal(b"state", 1000).unwrap();
        assert!(!ticket.windows(5).any(|part| part == b"state"));
        let opened = |keys: &TicketKeys| keys.open(&ticket, 1001);
        assert_eq!(opened(&keys(&[NEW, "# the one before", "", OLD], 0)).unwrap(), b"state");
        assert_eq!(opened(&keys(&[NEW], 0)), None);
        assert_eq!(opened(&keys(&[OLD], 1)), None);
        // The first one makes them.
        let ticket = keys(&[NEW, OLD], 0).seal(b"state", 1000).unwrap();
        assert_eq!(keys(&[OLD], 0).open(&ticket, 1000), None);
    }

    #[test]
    fn a_ticket_that_is_old_or_was_touched_is_none() {
        let keys = keys(&[OLD], 0);
        let ticket = keys.seal(b"state", 1000).unwrap();
        let end = 1000 + u64::from(LIFETIME);
        assert!(keys.open(&ticket, end - 1).is_some());
        assert!(keys.open(&ticket, end).is_none());
        for at in 0..ticket.len() {
            let mut touched = ticket.clone();
            touched[at] ^= 1;
            assert!(keys.open(&touched, 1000).is_none(), "{at}");
            assert!(keys.open(&ticket[..at], 1000).is_none(), "{at}");
        }
        assert_ne!(keys.seal(b"state", 1000), keys.seal(b"state", 1000));
    }

    #[test]
    fn what_is_no_file_of_keys_is_told() {
        let read = |text: &str| TicketKeys::read(text, &[0; 32]).unwrap_err();
        assert_eq!(read("# none\n"), TicketProblem::None);
        assert_eq!(read(&format!("{OLD}\n{}", &OLD[1..])), TicketProblem::BadLine(2));
        assert_eq!(read(&OLD.replace('0', "x")), TicketProblem::BadLine(1));
        assert_eq!(read(&format!("{OLD}\n").repeat(17)), TicketProblem::TooMany);
        let keys = keys(&[OLD], 0);
        assert_eq!(format!("{keys:?}"), "1 ticket keys");
    }
}
