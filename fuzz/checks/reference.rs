//! A second opinion on heads, as naive as can be: split at line ends, split at the colon, compare
//! names in lower case. It judges only what the strict readers have accepted.

use fairwater_message::BodyLength;

/// A head that was accepted, cut into its lines.
pub(crate) struct Naive<'a> {
    pub start: &'a [u8],
    /// Names in lower case, values trimmed.
    pub fields: Vec<(String, &'a [u8])>,
}

/// What a proxy never forwards as it came (RFC 9110, section 7.6.1, and the proxies' customs).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What we write ourselves.
const OWN: [&str; 8] = [
    "host",
    "content-length",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
];

/// What a trusted peer may say, and nobody else.
const OF_TRUSTED: [&str; 2] = ["x-forwarded-port", "x-real-ip"];

/// What `Connection` cannot take away.
const PROTECTED: [&str; 9] = [
    "via",
    "authorization",
    "cookie",
    "set-cookie",
    "content-type",
    "content-encoding",
    "content-range",
    "cache-control",
    "expect",
];

impl<'a> Naive<'a> {
    pub(crate) fn split(head: &'a [u8]) -> Self {
        let text =
            head.strip_suffix(b"\r\n\r\n").expect("an accepted head ends with an empty line");
        let mut lines = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
            lines.push(&rest[..at]);
            rest = &rest[at + 2..];
        }
        lines.push(rest);
        let mut lines = lines.into_iter().skip_while(|line| line.is_empty());
        let start = lines.next().expect("an accepted head has a first line");
        let fields = lines.map(|line| {
            let colon = line.iter().position(|&b| b == b':').expect("a field has a colon");
            let name = String::from_utf8(line[..colon].to_ascii_lowercase());
            (name.expect("a name is ASCII"), line[colon + 1..].trim_ascii())
        });
        Self { start, fields: fields.collect() }
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let of_name = self.fields.iter().filter(|field| field.0 == name);
        of_name.map(|field| field.1).collect()
    }

    /// The framing that the fields announce, if they announce any.
    pub(crate) fn body(&self) -> Option<BodyLength> {
        let codings = self.values("transfer-encoding");
        let lengths = self.values("content-length");
        match (&codings[..], &lengths[..]) {
            ([], []) => None,
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Some(BodyLength::Chunked),
            ([], [length]) => {
                let digits = std::str::from_utf8(length).expect("a length is text");
                Some(BodyLength::Known(digits.parse().expect("a length is a number")))
            }
            _ => panic!("ambiguous framing was accepted: {codings:?} {lengths:?}"),
        }
    }

    fn is_named_by_connection(&self, name: &str) -> bool {
        self.values("connection").iter().any(|value| {
            value
                .split(|&b| b == b',')
                .any(|named| named.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        })
    }

    /// The fields of a request that must reach the endpoint untouched, in order.
    pub(crate) fn forwarded(&self, is_trusted: bool) -> Vec<(String, &'a [u8])> {
        let passes = |name: &str| {
            let dashed = name.replace('_', "-");
            let is_alias = dashed != name
                && [&HOP_BY_HOP[..], &OWN[..], &OF_TRUSTED[..]].concat().contains(&&*dashed);
            if OF_TRUSTED.contains(&name) {
                return is_trusted;
            }
            if name == "expect" {
                return self.start.ends_with(b"HTTP/1.1");
            }
            !(is_alias
                || HOP_BY_HOP.contains(&name)
                || OWN.contains(&name)
                || (self.is_named_by_connection(name) && !PROTECTED.contains(&name)))
        };
        self.fields.iter().filter(|field| passes(&field.0)).cloned().collect()
    }

    /// The fields of a response that must reach the client untouched, in order.
    pub(crate) fn returned(&self) -> Vec<(String, &'a [u8])> {
        let passes = |name: &str| {
            let is_kept = PROTECTED.contains(&name)
                || OF_TRUSTED.contains(&name)
                || (OWN.contains(&name) && name != "content-length");
            is_kept
                || !(HOP_BY_HOP.contains(&name)
                    || name == "content-length"
                    || self.is_named_by_connection(name))
        };
        self.fields.iter().filter(|field| passes(&field.0)).cloned().collect()
    }
}

/// Ends of the pieces in which an input is read once more: single bytes, unless it is long.
pub(crate) fn pieces(len: usize) -> impl Iterator<Item = usize> {
    const STEPS_MAX: usize = 2048;
    (0..len).step_by(len / STEPS_MAX + 1).chain([len])
}
