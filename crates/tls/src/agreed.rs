//! What both sides have agreed on, and who the other one is, in words for logs and headers.

use crate::certificate::Facts;

/// Of a session whose handshake is over. All texts are printable ASCII: what is not in a name is
/// written as in a URL, so that a certificate cannot write lines of a log or headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.3`, as everybody writes it.
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    pub is_resumed: bool,
    /// The host that a client has asked for (SNI).
    pub server_name: String,
    /// The protocol above (ALPN).
    pub alpn: String,
    /// Of the certificate that the other side has shown; empty without one.
    pub peer: PeerFacts,
}

/// A certificate in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    pub subject: String,
    /// As it stands in the certificate, unlike the rest, which is printable.
    pub common_name: Option<String>,
    pub issuer: String,
    pub serial: String,
    /// SHA-256, in hexadecimal digits.
    pub fingerprint: String,
    /// Seconds since the epoch.
    pub not_after: u64,
    /// Host names, addresses, URIs and mail addresses, with commas between them and in none of
    /// them: a URI may have one, and would be two names to who reads this.
    pub names: String,
}

impl PeerFacts {
    pub(crate) fn of(facts: &Facts, fingerprint: String) -> Self {
        let ips = facts.ips.iter().map(ToString::to_string);
        let names = facts.dns_names.iter().chain(&facts.uris).chain(&facts.emails).cloned();
        let names: Vec<_> = names.chain(ips).map(|name| in_list(&name)).collect();
        Self {
            subject: printable(&facts.subject),
            common_name: facts.common_name.clone(),
            issuer: printable(&facts.issuer),
            serial: facts.serial.clone(),
            fingerprint,
            not_after: facts.not_after,
            names: names.join(","),
        }
    }
}

/// Text in which everything but printable ASCII, and the sign that escapes, is escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn in_list(name: &str) -> String {
    printable(name).replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(printable("CN=a b,O=c"), "CN=a b,O=c");
        assert_eq!(printable("a\r\nb: c\0%\u{e4}"), "a%0D%0Ab: c%00%25%C3%A4");
    }

    #[test]
    fn no_name_is_two() {
        let uris = vec!["x:,root".to_owned()];
        let facts = Facts { dns_names: vec!["a".to_owned()], uris, ..Facts::default() };
        assert_eq!(PeerFacts::of(&facts, String::new()).names, "a,x:%2Croot");
    }
}
