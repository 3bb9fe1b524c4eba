//! Small values that clients keep for us: nobody else can read them, and nobody else can make one.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};

/// What is sealed.
pub type Plain = [u8; 8];
/// The nonce, what was sealed, and the tag.
pub type Sealed = [u8; SEALED_BYTES];
/// Need not be secret; see [`SealKey::seal`].
pub type SealNonce = [u8; NONCE_LEN];

const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = NONCE_LEN + size_of::<Plain>() + TAG_BYTES;

/// A key for values of one kind.
pub struct SealKey {
    key: LessSafeKey,
    /// What it is made of, so that keys can be compared.
    derived: [u8; 32],
}

impl SealKey {
    /// The key that a secret of any length makes, the same wherever the secret is the same.
    pub fn of(secret: &[u8], purpose: &str) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&secret, purpose.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        // It has the length that the algorithm asks for, which is all that can be wrong with it.
        let key = UnboundKey::new(&AES_256_GCM_SIV, &derived).expect("a key has 32 bytes");
        Self { key: LessSafeKey::new(key), derived }
    }

    /// Seals a value; it is opened in the same context alone. A nonce that comes twice does no harm
    /// with this algorithm (RFC 8452) but that equal values look equal, so that it may be any
    /// number that rarely repeats.
    pub fn seal(&self, value: Plain, context: &str, nonce: SealNonce) -> Option<Sealed> {
        let mut sealed = [0; SEALED_BYTES];
        let (head, rest) = sealed.split_at_mut(NONCE_LEN);
        let (body, tag) = rest.split_at_mut(size_of::<Plain>());
        head.copy_from_slice(&nonce);
        body.copy_from_slice(&value);
        let (nonce, context) = (Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()));
        let made = self.key.seal_in_place_separate_tag(nonce, context, body).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(sealed)
    }

    /// The value, if this key has sealed it in this context.
    pub fn open(&self, mut sealed: Sealed, context: &str) -> Option<Plain> {
        let (nonce, body) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let (nonce, context) =
            (Nonce::assume_unique_for_key(*nonce), Aad::from(context.as_bytes()));
        let plain = self.key.open_in_place(nonce, context, body).ok()?;
        Plain::try_from(&*plain).ok()
    }
}

impl Clone for SealKey {
    fn clone(&self) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &self.derived).expect("a key has 32 bytes");
        Self { key: LessSafeKey::new(key), derived: self.derived }
    }
}

impl PartialEq for SealKey {
    fn eq(&self, other: &Self) -> bool {
        self.derived == other.derived
    }
}

impl Eq for SealKey {}

/// Tells nothing that must not be known.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key for sealed values")
    }
}

/// Bytes that nobody can guess, for secrets and nonces.
pub fn unguessable<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    // The library ends the process itself where the system has no random numbers.
    rand::fill(&mut bytes).expect("there are random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: Plain = *b"endpoint";

    #[test]
    fn a_value_is_opened_by_its_key_in_its_context_alone() {
        let key = SealKey::of(b"secret", "test");
        let sealed = key.seal(VALUE, "app", [7; 12]).unwrap();
        assert!(!sealed.windows(8).any(|part| part == VALUE));
        assert_eq!(SealKey::of(b"secret", "test").open(sealed, "app"), Some(VALUE));
        assert_eq!(key.open(sealed, "web"), None);
        assert_eq!(SealKey::of(b"secret", "other").open(sealed, "app"), None);
        assert_eq!(SealKey::of(b"Secret", "test").open(sealed, "app"), None);
        assert_ne!(sealed, key.seal(VALUE, "app", [8; 12]).unwrap());
    }

    #[test]
    fn a_value_that_was_touched_is_none() {
        let key = SealKey::of(b"secret", "test");
        let sealed = key.seal(VALUE, "app", [7; 12]).unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut touched = sealed;
                touched[at] ^= 1 << bit;
                assert_eq!(key.open(touched, "app"), None, "{at}");
            }
        }
    }

    #[test]
    fn keys_are_compared_and_not_shown() {
        let key = SealKey::of(b"secret", "test");
        assert_eq!(key, key.clone());
        assert_ne!(key, SealKey::of(b"secret", "other"));
        assert_eq!(format!("{key:?}"), "a key for sealed values");
        assert_ne!(unguessable::<12>(), unguessable());
    }
}
