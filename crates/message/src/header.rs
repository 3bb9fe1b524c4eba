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
    /// The id of a name as it stands on the wire: a token (RFC 9110, section 5.6.2) in whatever
    /// case.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Self {
        // The length and the last letter single out one candidate in nearly every case, so that a
        // name costs one comparison. `every_name_is_found` proves that the table is complete.
        let Some(&last) = name.last() else { return Self::Other };
        let candidates: &[Self] = match (name.len(), last | 0x20) {
            (2, b'e') => &[Self::Te],
            (3, b'a') => &[Self::Via],
            (4, b't') => &[Self::Host],
            (4, b'e') => &[Self::Date],
            (5, b'e') => &[Self::Range],
            (5, b'w') => &[Self::Allow],
            (6, b't') => &[Self::Accept, Self::Expect],
            (6, b'e') => &[Self::Cookie],
            (6, b'r') => &[Self::Server],
            (7, b'e') => &[Self::Upgrade],
            (7, b'r') => &[Self::Trailer, Self::Referer],
            (8, b'n') => &[Self::Location],
            (9, b'd') => &[Self::Forwarded],
            (9, b'p') => &[Self::XRealIp],
            (10, b'n') => &[Self::Connection],
            (10, b'e') => &[Self::KeepAlive, Self::SetCookie],
            (10, b't') => &[Self::UserAgent],
            (11, b'r') => &[Self::RetryAfter],
            (12, b'e') => &[Self::ContentType],
            (12, b'd') => &[Self::XRequestId],
            (12, b's') => &[Self::MaxForwards],
            (13, b'n') => &[Self::Authorization],
            (13, b'e') => &[Self::ContentRange],
            (13, b'l') => &[Self::CacheControl],
            (14, b'h') => &[Self::ContentLength],
            (14, b's') => &[Self::Http2Settings],
            (15, b'r') => &[Self::XForwardedFor],
            (16, b't') => &[Self::XForwardedHost, Self::XForwardedPort],
            (16, b'n') => &[Self::ProxyConnection],
            (16, b'g') => &[Self::ContentEncoding],
            (17, b'g') => &[Self::TransferEncoding],
            (17, b'o') => &[Self::XForwardedProto],
            (18, b'e') => &[Self::ProxyAuthenticate],
            (19, b'n') => &[Self::ProxyAuthorization],
            (23, b't') => &[Self::XForwardedClientCert],
            _ => return Self::Other,
        };
        for &id in candidates {
            if is_name(name, id.name().as_bytes()) {
                return id;
            }
        }
        Self::Other
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

/// Whether a token is this name, in whatever case. Setting one bit makes a letter lower-case and
/// leaves `-` and digits alone; the bytes that it would turn into those are no token characters.
#[inline]
fn is_name(token: &[u8], name: &[u8]) -> bool {
    if token.len() != name.len() {
        return false;
    }
    let (token_words, token_rest) = token.as_chunks::<4>();
    let (name_words, name_rest) = name.as_chunks::<4>();
    let words = token_words.iter().zip(name_words).fold(0, |differs, (a, b)| {
        differs | ((u32::from_le_bytes(*a) | 0x2020_2020) ^ u32::from_le_bytes(*b))
    });
    let rest =
        token_rest.iter().zip(name_rest).fold(0, |differs, (a, b)| differs | ((a | 0x20) ^ b));
    words == 0 && rest == 0
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
