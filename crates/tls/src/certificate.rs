//! What a certificate says of itself.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// The parts of a certificate that people and programs ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// As RFC 4514 writes it: `CN=a,O=b`.
    pub subject: String,
    pub issuer: String,
    /// The most specific one of the subject.
    pub common_name: Option<String>,
    /// Hexadecimal digits.
    pub serial: String,
    /// Host names in small letters, wildcards among them.
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    /// Seconds since the epoch.
    pub not_before: u64,
    pub not_after: u64,
}

impl Facts {
    /// Reads a certificate; nothing, if it is none.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let body = certificate.tbs_certificate();
        let mut facts = Self {
            subject: body.subject().to_string(),
            issuer: body.issuer().to_string(),
            common_name: common_name(body.subject()),
            serial: hex(body.serial_number().as_bytes()),
            not_before: body.validity().not_before.to_unix_duration().as_secs(),
            not_after: body.validity().not_after.to_unix_duration().as_secs(),
            ..Self::default()
        };
        if let Ok(Some((_, names))) = body.get_extension::<SubjectAltName>() {
            names.0.iter().for_each(|name| facts.take(name));
        }
        Some(facts)
    }

    fn take(&mut self, name: &GeneralName) {
        match name {
            GeneralName::DnsName(name) => self.dns_names.push(name.as_str().to_ascii_lowercase()),
            GeneralName::UniformResourceIdentifier(uri) => self.uris.push(uri.as_str().to_owned()),
            GeneralName::Rfc822Name(mail) => self.emails.push(mail.as_str().to_owned()),
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                let v4 = <[u8; 4]>::try_from(octets).map(Ipv4Addr::from).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(octets).map(Ipv6Addr::from).map(IpAddr::from);
                self.ips.extend(v4.or(v6));
            }
            _ => {}
        }
    }

    /// Whether a host is one of its names. A wildcard stands for one label, the first (RFC 9525,
    /// section 6.3).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.ips.contains(&ip);
        }
        let rest = host.split_once('.').map_or("", |(_, rest)| rest);
        self.dns_names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => suffix == rest,
            None => *name == host,
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        _ = write!(out, "{byte:02x}");
        out
    })
}

/// 32 bytes of 64 hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
}

fn common_name(subject: &Name) -> Option<String> {
    Some(subject.common_name().ok()??.value().into_owned())
}
