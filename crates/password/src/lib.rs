//! Hashes of passwords as `htpasswd -B`, `mkpasswd` and `openssl passwd` write them: which of them
//! are good, how one is made, and whether a password has one. Does no IO, and takes its time: to
//! check a password is meant to be slow.

mod encoding;

use std::fmt;
use std::hint::black_box;

use encoding::{bcrypt_decoded, bcrypt_encoded, sha256_encoded, sha512_encoded};

/// What bcrypt looks at of a password; what is longer is cut off, as everywhere.
pub const BCRYPT_BYTES_MAX: usize = 72;
/// A check beyond takes seconds.
pub const BCRYPT_COST_MAX: u32 = 15;
const BCRYPT_COST_MIN: u32 = 4;
/// What `new` makes: some 60 ms on a processor of today.
const BCRYPT_COST: u32 = 10;
/// As for bcrypt: 200 times what `openssl passwd -6` takes.
pub const SHA_ROUNDS_MAX: u32 = 1_000_000;
const SHA_ROUNDS_MIN: u32 = 1000;
const SHA_ROUNDS: u32 = 5000;
const SHA_SALT_BYTES_MAX: usize = 16;

/// A hash that passwords can be checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash<'t> {
    scheme: Scheme<'t>,
    /// The hash itself, in the letters of its scheme.
    digest: &'t str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme<'t> {
    Bcrypt { cost: u32, salt: [u8; 16] },
    Sha256 { rounds: u32, salt: &'t str },
    Sha512 { rounds: u32, salt: &'t str },
}

/// Why a text is no hash to check passwords against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashError {
    /// Not a hash: most likely the password itself.
    NotHashed,
    /// A scheme whose hashes are guessed by the billion.
    Broken(&'static str),
    Unknown,
    /// A good scheme, and no hash of it.
    Malformed(&'static str),
    /// Checking a password would take too long.
    TooSlow(&'static str),
}

impl<'t> PasswordHash<'t> {
    /// # Errors
    /// See [`HashError`].
    pub fn parse(text: &'t str) -> Result<Self, HashError> {
        let Some((scheme, rest)) = text.strip_prefix('$').and_then(|rest| rest.split_once('$'))
        else {
            return Err(unmarked(text));
        };
        match scheme {
            "2a" | "2b" | "2y" => bcrypt(rest),
            "2" | "2x" => Err(HashError::Broken("the first bcrypt, which had a flaw")),
            "5" => sha(rest, 43, |rounds, salt| Scheme::Sha256 { rounds, salt }),
            "6" => sha(rest, 86, |rounds, salt| Scheme::Sha512 { rounds, salt }),
            "apr1" => Err(HashError::Broken("MD5 of Apache")),
            "1" => Err(HashError::Broken("MD5 of crypt")),
            _ => Err(HashError::Unknown),
        }
    }

    /// Whether this is the hash of a password. Takes the same time for every password of a length.
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self.scheme {
            Scheme::Bcrypt { cost, salt } => {
                is_same(&bcrypt_digest(cost, salt, password), self.digest)
            }
            Scheme::Sha256 { rounds, salt } => params(rounds).is_some_and(|params| {
                let digest = sha_crypt::sha256_crypt(password, salt.as_bytes(), params);
                is_same(&sha256_encoded(&digest), self.digest)
            }),
            Scheme::Sha512 { rounds, salt } => params(rounds).is_some_and(|params| {
                let digest = sha_crypt::sha512_crypt(password, salt.as_bytes(), params);
                is_same(&sha512_encoded(&digest), self.digest)
            }),
        }
    }
}

/// Makes the hash of a password.
///
/// # Errors
/// Why it cannot have one: it is empty, longer than [`BCRYPT_BYTES_MAX`], or has a NUL.
pub fn hash(password: &[u8], salt: [u8; 16]) -> Result<String, &'static str> {
    if password.is_empty() {
        return Err("the password is empty");
    }
    if password.len() > BCRYPT_BYTES_MAX {
        return Err("the password has more than 72 bytes");
    }
    if password.contains(&0) {
        return Err("the password has a NUL byte");
    }
    let digest = bcrypt_digest(BCRYPT_COST, salt, password);
    Ok(format!("$2y${BCRYPT_COST:02}${}{digest}", bcrypt_encoded(&salt)))
}

fn unmarked(text: &str) -> HashError {
    let is_crypt = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    if text.starts_with("{SHA}") || text.starts_with("{SSHA}") {
        HashError::Broken("SHA-1")
    } else if text.len() == 13 && text.bytes().all(is_crypt) {
        HashError::Broken("DES of crypt, if it is a hash at all")
    } else {
        HashError::NotHashed
    }
}

fn bcrypt(rest: &str) -> Result<PasswordHash<'_>, HashError> {
    let (cost, rest) = rest.split_once('$').ok_or(HashError::Malformed("it has no cost"))?;
    let is_number = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
    let cost = cost.parse().ok().filter(|cost| is_number && *cost >= BCRYPT_COST_MIN);
    let cost = cost.ok_or(HashError::Malformed("its cost is no number from 04 on"))?;
    let is_whole = rest.len() == 53 && rest.is_ascii();
    let (salt, digest) = if is_whole {
        rest.split_at(22)
    } else {
        return Err(HashError::Malformed("it is cut off"));
    };
    let strange = HashError::Malformed("it has a sign that no hash has");
    let salt = bcrypt_decoded(salt).ok_or(strange)?;
    if !encoding::is_bcrypt(digest) {
        return Err(strange);
    }
    if cost > BCRYPT_COST_MAX {
        return Err(HashError::TooSlow("a cost of at most 15"));
    }
    Ok(PasswordHash { scheme: Scheme::Bcrypt { cost, salt }, digest })
}

fn sha<'t>(
    rest: &'t str,
    digest_len: usize,
    scheme: impl Fn(u32, &'t str) -> Scheme<'t>,
) -> Result<PasswordHash<'t>, HashError> {
    let (rounds, rest) = match rest.strip_prefix("rounds=").map(|rest| rest.split_once('$')) {
        Some(Some((rounds, rest))) => {
            let wrong = HashError::Malformed("its rounds are no number from 1000 on");
            let rounds = rounds.parse().ok().filter(|rounds| *rounds >= SHA_ROUNDS_MIN);
            (rounds.ok_or(wrong)?, rest)
        }
        Some(None) => return Err(HashError::Malformed("it is cut off")),
        None => (SHA_ROUNDS, rest),
    };
    let (salt, digest) = rest.split_once('$').ok_or(HashError::Malformed("it is cut off"))?;
    if salt.len() > SHA_SALT_BYTES_MAX || digest.len() != digest_len {
        return Err(HashError::Malformed("it is not as long as a hash is"));
    }
    if !encoding::is_bcrypt(digest) {
        return Err(HashError::Malformed("it has a sign that no hash has"));
    }
    if rounds > SHA_ROUNDS_MAX {
        return Err(HashError::TooSlow("at most 1000000 rounds"));
    }
    Ok(PasswordHash { scheme: scheme(rounds, salt), digest })
}

fn params(rounds: u32) -> Option<sha_crypt::Params> {
    sha_crypt::Params::new(rounds).ok()
}

/// The last letters of a bcrypt hash. The NUL behind a password counts as a part of it.
fn bcrypt_digest(cost: u32, salt: [u8; 16], password: &[u8]) -> String {
    let mut key = [0; BCRYPT_BYTES_MAX];
    let len = password.len().min(BCRYPT_BYTES_MAX);
    key[..len].copy_from_slice(&password[..len]);
    let key = &key[..(len + 1).min(BCRYPT_BYTES_MAX)];
    // The last of the 24 bytes has never been a part of the hash.
    bcrypt_encoded(&bcrypt::bcrypt(cost, salt, key)[..23])
}

/// Compares without stopping at the first difference, which would tell how far a guess was right.
fn is_same(ours: &str, theirs: &str) -> bool {
    let differs = ours.bytes().zip(theirs.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    ours.len() == theirs.len() && black_box(differs) == 0
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHashed => f.write_str("is not hashed"),
            Self::Broken(what) => write!(f, "is hashed with {what}, which is quickly guessed"),
            Self::Unknown => f.write_str("is hashed in a way that is not known here"),
            Self::Malformed(how) => write!(f, "has a broken hash: {how}"),
            Self::TooSlow(bound) => write!(f, "would take seconds to check; {bound} is taken"),
        }
    }
}

#[cfg(test)]
mod tests;
