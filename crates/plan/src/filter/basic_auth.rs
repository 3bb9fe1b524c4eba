//! Who may come with a name and a password (RFC 7617). Whether a password is right is not decided
//! here: to check a hash takes its time, and is done beside the data path.

use std::collections::HashMap;
use std::sync::Arc;

use fairwater_message::{HeaderId, RequestHead};
use xxhash_rust::xxh3::xxh3_64;

/// The users of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The field line that asks for a name and a password.
    challenge: String,
    users: HashMap<String, Arc<str>>,
    /// The hashes in one order, for names that nobody has.
    hashes: Vec<Arc<str>>,
}

/// What a client says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Nobody has the name that it gives.
    pub user: Option<&'a str>,
    /// What the password is checked against. For a name that nobody has it is the hash of somebody
    /// else, so that the check takes as long as any, and its result counts for nothing.
    pub hash: &'a Arc<str>,
    pub name: Vec<u8>,
    pub password: Vec<u8>,
}

/// Name and password together. SHA-crypt takes longer with the length of the password.
const CREDENTIALS_BYTES_MAX: usize = 512;

/// Four letters for each three bytes begun, and some blanks.
const ENCODED_BYTES_MAX: usize = CREDENTIALS_BYTES_MAX.div_ceil(3) * 4;

impl BasicAuth {
    /// For these users with their hashes, of whom there is at least one. The realm has no control
    /// characters.
    pub fn new(realm: &str, users: impl IntoIterator<Item = (String, String)>) -> Self {
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let users: HashMap<_, Arc<str>> =
            users.into_iter().map(|(name, hash)| (name, hash.into())).collect();
        let mut hashes: Vec<_> = users.values().cloned().collect();
        hashes.sort();
        debug_assert!(!hashes.is_empty(), "a configuration without users is refused");
        let challenge =
            format!("www-authenticate: Basic realm=\"{quoted}\", charset=\"UTF-8\"\r\n");
        Self { challenge, users, hashes }
    }

    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// What the request says of its client.
    ///
    /// # Errors
    /// Why it says nothing that could be checked, in the words of the log.
    pub fn claim(&self, head: &RequestHead, bytes: &[u8]) -> Result<Claim<'_>, &'static str> {
        let mut fields = head.fields.iter().filter(|field| field.id == HeaderId::Authorization);
        let field = fields.next().ok_or("no_credentials")?;
        // Two programs could each take another one of them.
        if fields.next().is_some() {
            return Err("several_credentials");
        }
        let (scheme, encoded) = field.value.of(bytes).split_at_checked(6).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return Err("no_basic_credentials");
        }
        let encoded = encoded.trim_ascii_start();
        if encoded.len() > ENCODED_BYTES_MAX {
            return Err("credentials_too_long");
        }
        let mut name = base64_decoded(encoded).ok_or("malformed_credentials")?;
        // The first colon ends the name: a password may have some.
        let colon = name.iter().position(|&b| b == b':').ok_or("malformed_credentials")?;
        let is_text = std::str::from_utf8(&name).is_ok_and(|text| !text.contains(char::is_control));
        if !is_text {
            return Err("malformed_credentials");
        }
        let password = name.split_off(colon + 1);
        name.pop();
        let known = std::str::from_utf8(&name).ok().and_then(|name| self.users.get_key_value(name));
        let hash = match known {
            Some((_, hash)) => hash,
            // Always the same one for a name, as for a name that somebody has.
            None => {
                let index = xxh3_64(&name) % self.hashes.len() as u64;
                self.hashes.get(index as usize).ok_or("no_users")?
            }
        };
        Ok(Claim { user: known.map(|(user, _)| user.as_str()), hash, name, password })
    }
}

/// RFC 4648, section 4, with its padding, and each text in one spelling only.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = text.iter().rev().take_while(|&&b| b == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut len) = (0_usize, 0);
    for byte in &text[..text.len() - padding] {
        bits = (bits << 6 | LETTERS.iter().position(|letter| letter == byte)?) & 0xffff;
        len += 6;
        if len >= 8 {
            len -= 8;
            bytes.push((bits >> len & 255) as u8);
        }
    }
    (bits & ((1 << len) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use fairwater_message::{Field, Span};

    use super::*;

    fn auth() -> BasicAuth {
        let users = [("Aladdin", "$a"), ("test", "$b"), ("zoë", "$c")];
        BasicAuth::new("the \"cave\"", users.map(|(name, hash)| (name.to_owned(), hash.to_owned())))
    }

    fn claim<'a>(auth: &'a BasicAuth, values: &[&str]) -> Result<Claim<'a>, &'static str> {
        let bytes = values.concat();
        let mut at = 0;
        let mut head = RequestHead::default();
        for value in values {
            let value = Span::new(at, at + value.len());
            at = usize::from(value.end);
            head.fields.push(Field { name: Span::new(0, 0), value, id: HeaderId::Authorization });
        }
        auth.claim(&head, bytes.as_bytes())
    }

    #[test]
    fn the_challenge_quotes_its_realm() {
        let challenge = "www-authenticate: Basic realm=\"the \\\"cave\\\"\", charset=\"UTF-8\"\r\n";
        assert_eq!(auth().challenge(), challenge);
    }

    #[test]
    fn names_and_passwords_are_taken_apart_at_the_first_colon() {
        let auth = auth();
        for (value, name, password, user) in [
            // The examples of RFC 7617.
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame", Some("Aladdin")),
            ("Basic dGVzdDoxMjPCow==", "test", "123£", Some("test")),
            ("bAsIc   dGVzdDo=", "test", "", Some("test")),
            ("Basic dGVzdDphOmI6", "test", "a:b:", Some("test")),
            ("Basic em/Dqzp4", "zoë", "x", Some("zoë")),
            ("Basic VGVzdDp4", "Test", "x", None),
            ("Basic Og==", "", "", None),
        ] {
            let claim = claim(&auth, &[value]).expect(value);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!((&*text(&claim.name), &*text(&claim.password)), (name, password), "{value}");
            assert_eq!(claim.user, user, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let auth = auth();
        let long = format!("Basic {}", "A".repeat(ENCODED_BYTES_MAX + 4));
        for (values, expected) in [
            (&[][..], "no_credentials"),
            (&["Basic dGVzdDo=", "Basic dGVzdDo="], "several_credentials"),
            (&["Basic"], "no_basic_credentials"),
            (&[""], "no_basic_credentials"),
            (&["Basi"], "no_basic_credentials"),
            (&["Bearer dGVzdDo="], "no_basic_credentials"),
            (&["Basicd dGVzdDo="], "no_basic_credentials"),
            (&["Basic "], "malformed_credentials"),
            (&["Basic dGVzdDo"], "malformed_credentials"),
            (&["Basic dGVzdA=="], "malformed_credentials"),
            (&["Basic dGVzd*o="], "malformed_credentials"),
            (&["Basic dGVzdDp="], "malformed_credentials"),
            (&["Basic dGVz dDo="], "malformed_credentials"),
            (&["Basic dGVzdDo=, Basic dGVzdDo="], "malformed_credentials"),
            (&["Basic ===="], "malformed_credentials"),
            // Latin-1, a line end, a NUL.
            (&["Basic dGVzdDr8"], "malformed_credentials"),
            (&["Basic dGVzdDoK"], "malformed_credentials"),
            (&["Basic dGVzdDoA"], "malformed_credentials"),
            (&[&long], "credentials_too_long"),
        ] {
            assert_eq!(claim(&auth, values), Err(expected), "{values:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_always_checked_against_the_same_hash() {
        let auth = auth();
        let hash = |value: &str| Arc::clone(claim(&auth, &[value]).unwrap().hash);
        let unknown = ["Basic Ynk6eA==", "Basic Ymo6eA==", "Basic Yms6eA==", "Basic Ymw6eA=="];
        for value in unknown {
            assert_eq!(hash(value), hash(value));
        }
    }
}
