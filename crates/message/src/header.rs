//! Header names as small ids: matched once while parsing, compared as integers ever after.

use crate::Field;

macro_rules! header_ids {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A header name that some stage of the proxy cares about, or `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum HeaderId { $($variant,)+ Other }

        impl HeaderId {
            /// Every id that has a name, in declaration order.
            pub const NAMED: &'static [Self] = &[$(Self::$variant),+];

            /// The name in lower case; empty for `Other`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ Self::Other => "" }
            }
        }
    };
}

header_ids! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Expect = "expect",
    Upgrade = "upgrade",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    Te = "te",
    Trailer = "trailer",
    Http2Settings = "http2-settings",
    Via = "via",
    Forwarded = "forwarded",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    XForwardedClientCert = "x-forwarded-client-cert",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
    Accept = "accept",
    Allow = "allow",
    Authorization = "authorization",
    CacheControl = "cache-control",
    ContentEncoding = "content-encoding",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Location = "location",
    MaxForwards = "max-forwards",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
}

impl HeaderId {
    /// The id of a name as it stands on the wire, in whatever case. What has one is a token (RFC
    /// 9110, section 5.6.2).
    #[inline(always)]
    pub fn of(name: &[u8]) -> Self {
        let id = Self::candidate(name);
        if is_name::<true>(name, id.name().as_bytes()) { id } else { Self::Other }
    }

    /// The same of a name in small letters alone, as those of HTTP/2 are.
    #[inline(always)]
    pub fn of_small(name: &[u8]) -> Self {
        let id = Self::candidate(name);
        if is_name::<false>(name, id.name().as_bytes()) { id } else { Self::Other }
    }

    /// Four things about a name single out one that it can be, so that it costs one comparison.
    #[inline(always)]
    fn candidate(name: &[u8]) -> Self {
        let &[.., before, last] = name else { return Self::Other };
        TABLE[slot(key(name[0], before, last, name.len()), FACTOR)]
    }

    /// Whether the header speaks about one connection only and is never forwarded as it came
    /// (RFC 9110, section 7.6.1). `Upgrade` is written anew where it passes.
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
        )
    }

    /// Whether the header says who the client is: written by us, never taken from a client that is
    /// not trusted.
    #[inline]
    pub const fn is_identity(self) -> bool {
        matches!(
            self,
            Self::Forwarded
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedPort
                | Self::XForwardedProto
                | Self::XForwardedClientCert
                | Self::XRealIp
        )
    }

    /// Whether a message needs this header to mean what it means, so that naming it in `Connection`
    /// must not remove it.
    #[inline]
    pub const fn is_protected(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::ContentLength
                | Self::Via
                | Self::Authorization
                | Self::Cookie
                | Self::SetCookie
                | Self::ContentType
                | Self::ContentEncoding
                | Self::ContentRange
                | Self::CacheControl
                | Self::Expect
        ) || self.is_identity()
    }

    /// Whether the field is refused in a trailer section: framing, routing, authentication and
    /// identity must be known before the body (RFC 9110, section 6.5.1).
    pub const fn is_forbidden_in_trailers(self) -> bool {
        !matches!(self, Self::Other | Self::Server | Self::Date)
    }

    /// A name that some servers (CGI, WSGI) read as this one: `_` for `-`. Returns the id that the
    /// alias would reach.
    #[inline]
    pub fn aliased(name: &[u8]) -> Self {
        const NAME_BYTES_MAX: usize = 24; // longer than any known name
        if name.len() > NAME_BYTES_MAX || !name.contains(&b'_') {
            return Self::Other;
        }
        let mut dashed = [0; NAME_BYTES_MAX];
        let dashed = &mut dashed[..name.len()];
        for (to, from) in dashed.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        Self::of(dashed)
    }
}

/// Slots of the table in which a name is found: about three times as many as names.
const SLOTS_LOG2: u32 = 7;
const SLOTS: usize = 1 << SLOTS_LOG2;

/// What names differ in: the first letter, the last two, and the length.
const fn key(first: u8, before: u8, last: u8, len: usize) -> u32 {
    u32::from_le_bytes([first | 0x20, before | 0x20, last | 0x20, len as u8])
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const fn slot(key: u32, factor: u32) -> usize {
    (key.wrapping_mul(factor) >> (u32::BITS - SLOTS_LOG2)) as usize
}

/// The table for a factor; `None` if two names share a slot.
const fn table(factor: u32) -> Option<[HeaderId; SLOTS]> {
    let mut table = [HeaderId::Other; SLOTS];
    let mut at = 0;
    while at < HeaderId::NAMED.len() {
        let id = HeaderId::NAMED[at];
        let name = id.name().as_bytes();
        let [.., before, last] = name else { return None };
        let slot = slot(key(name[0], *before, *last, name.len()), factor);
        if !matches!(table[slot], HeaderId::Other) {
            return None;
        }
        table[slot] = id;
        at += 1;
    }
    Some(table)
}

/// Found by trial, when this is compiled. Two names that are alike in all four would never end it.
const FOUND: (u32, [HeaderId; SLOTS]) = {
    let mut factor: u32 = 0x9e37_79b1;
    loop {
        if let Some(table) = table(factor) {
            break (factor, table);
        }
        // Numerical Recipes' generator, kept odd.
        factor = factor.wrapping_mul(1_664_525).wrapping_add(1_013_904_222) | 1;
    }
};
const FACTOR: u32 = FOUND.0;
static TABLE: [HeaderId; SLOTS] = FOUND.1;

/// A name from the configuration, to be found among the fields of a head.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName {
    id: HeaderId,
    /// What it is read as by servers that take `_` for `-`.
    alias: HeaderId,
    /// In lower case.
    name: String,
}

impl HeaderName {
    pub fn new(name: &str) -> Self {
        let (id, alias) = (HeaderId::of(name.as_bytes()), HeaderId::aliased(name.as_bytes()));
        Self { id, alias, name: name.to_ascii_lowercase() }
    }

    pub fn id(&self) -> HeaderId {
        self.id
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether a field has this name, or one that some servers read as this one: `_` for `-`.
    #[inline]
    pub fn covers(&self, field: &Field, bytes: &[u8]) -> bool {
        match field.id {
            HeaderId::Other => self.is_alias(field, bytes),
            id => id == self.id || (self.id == HeaderId::Other && id == self.alias),
        }
    }

    fn is_alias(&self, field: &Field, bytes: &[u8]) -> bool {
        let (name, own) = (field.name.of(bytes), self.name.as_bytes());
        let dashed = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
        name.len() == own.len() && name.iter().zip(own).all(|(a, b)| dashed(*a) == dashed(*b))
    }

    /// Whether this is the name of a field.
    #[inline]
    pub fn is_of(&self, field: &Field, bytes: &[u8]) -> bool {
        match field.id {
            HeaderId::Other => {
                self.id == HeaderId::Other
                    && field.name.of(bytes).eq_ignore_ascii_case(self.name.as_bytes())
            }
            id => id == self.id,
        }
    }
}

/// Whether bytes are this name, in whatever case.
#[inline(always)]
fn is_name<const ANY_CASE: bool>(bytes: &[u8], name: &[u8]) -> bool {
    const LETTERS: u64 = u64::from_le_bytes([0x40; 8]);
    if bytes.len() != name.len() {
        return false;
    }
    // The bit of small letters is set where that of all letters is, so that no other byte turns
    // into `-` or a digit; and what is no letter turns into none.
    let differs = |a: u64, b: u64| {
        let small = if ANY_CASE { a | (a & LETTERS) >> 1 } else { a };
        small ^ b
    };
    let of_words =
        |a: &[u8; 8], b: &[u8; 8]| differs(u64::from_le_bytes(*a), u64::from_le_bytes(*b));
    let (Some(bytes_end), Some(name_end)) = (bytes.last_chunk(), name.last_chunk()) else {
        let pairs = bytes.iter().zip(name);
        return pairs.fold(0, |all, (a, b)| all | differs(u64::from(*a), u64::from(*b))) == 0;
    };
    // The last eight may be compared in part for the second time.
    let words = bytes.as_chunks().0.iter().zip(name.as_chunks().0);
    words.fold(of_words(bytes_end, name_end), |all, (a, b)| all | of_words(a, b)) == 0
}

#[cfg(test)]
mod tests {
    use super::HeaderId;

    #[test]
    fn every_name_is_found() {
        for &id in HeaderId::NAMED {
            assert_eq!(HeaderId::of(id.name().as_bytes()), id);
            assert_eq!(HeaderId::of(id.name().to_ascii_uppercase().as_bytes()), id);
        }
    }

    #[test]
    fn no_other_byte_is_taken_for_one_of_a_name() {
        for &id in HeaderId::NAMED {
            for at in 0..id.name().len() {
                for byte in 0..=255_u8 {
                    let mut name = id.name().as_bytes().to_vec();
                    let is_same = byte.eq_ignore_ascii_case(&name[at]);
                    let is_small = byte == name[at];
                    name[at] = byte;
                    assert_eq!(HeaderId::of(&name) == id, is_same, "{byte:#x} in {id:?}");
                    assert_eq!(HeaderId::of_small(&name) == id, is_small, "{byte:#x} in {id:?}");
                }
            }
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in ["", "x", "hosT ", "hos", "content-lengt", "content_length", "tf"] {
            assert_eq!(HeaderId::of(name.as_bytes()), HeaderId::Other, "{name}");
        }
    }

    #[test]
    fn underscores_reach_the_name_that_they_imitate() {
        assert_eq!(HeaderId::aliased(b"Content_Length"), HeaderId::ContentLength);
        assert_eq!(HeaderId::aliased(b"x_forwarded-for"), HeaderId::XForwardedFor);
        assert_eq!(HeaderId::aliased(b"content-length"), HeaderId::Other);
        assert_eq!(HeaderId::aliased(b"my_header"), HeaderId::Other);
    }
}
