//! A certificate for trying things out, with a key that is made with it: nobody has a reason to
//! trust it.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use x509_cert::der::{Encode, Result};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::certificate::Facts;
use crate::identity::Identity;
use crate::provider;

/// What its owner is called.
const SUBJECT: &str = "CN=made up by Fairwater";

/// Clocks that are a bit behind shall find it good.
const BEFORE: Duration = Duration::from_secs(86_400);
/// As long as browsers take.
const AFTER: Duration = Duration::from_secs(365 * 86_400);

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
/// Version 3, with its tag.
const VERSION: [u8; 5] = [0xa0, 3, 2, 1, 2];
const EXTENSIONS: u8 = 0xa3;

impl Identity {
    /// Makes up a certificate for hosts (wildcards among them) and addresses. What cannot be in a
    /// certificate is left out; nothing, if the library makes no key.
    pub fn made_up(names: &[String]) -> Option<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
        let certificate = CertificateDer::from(certificate(names, &key)?);
        let facts = Facts::of(&certificate)?;
        let key = PrivatePkcs8KeyDer::from(key.to_pkcs8v1().ok()?.as_ref().to_vec());
        let certified = CertifiedKey::from_der(vec![certificate], key.into(), &provider()).ok()?;
        Some(Self { certified: Arc::new(certified), facts })
    }
}

/// RFC 5280, section 4.1.
fn certificate(names: &[String], key: &EcdsaKeyPair) -> Option<Vec<u8>> {
    let algorithm = of_parts(SEQUENCE, &[&ECDSA_WITH_SHA256.to_der().ok()?]);
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
    let mut serial = [0; 16];
    fill(&mut serial).ok()?;
    // Positive, and of this length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let body = body(names, &serial, &algorithm, public.as_ref()).ok()?;
    let signature = key.sign(&SystemRandom::new(), &body).ok()?;
    // No bit of the last byte is left over.
    let signature = of_parts(BIT_STRING, &[&[0], signature.as_ref()]);
    Some(of_parts(SEQUENCE, &[&body, &algorithm, &signature]))
}

fn body(names: &[String], serial: &[u8], algorithm: &[u8], public: &[u8]) -> Result<Vec<u8>> {
    let name = Name::from_str(SUBJECT)?.to_der()?;
    let now = UNIX_EPOCH + Duration::from_secs(UnixTime::now().as_secs());
    let [before, after] = [now - BEFORE, now + AFTER].map(|at| Time::try_from(at)?.to_der());
    let names = SubjectAltName(names.iter().filter_map(|name| general(name)).collect());
    let usage = ExtendedKeyUsage(vec![SERVER_AUTH]);
    let extensions = [
        extension(&SUBJECT_ALT_NAME, &names.to_der()?)?,
        extension(&EXTENDED_KEY_USAGE, &usage.to_der()?)?,
    ];
    let extensions = of_parts(SEQUENCE, &[&extensions.concat()]);
    Ok(of_parts(
        SEQUENCE,
        &[
            &VERSION,
            &<SerialNumber>::new(serial)?.to_der()?,
            algorithm,
            &name,
            &of_parts(SEQUENCE, &[&before?, &after?]),
            &name,
            public,
            &of_parts(EXTENSIONS, &[&extensions]),
        ],
    ))
}

fn extension(id: &ObjectIdentifier, value: &[u8]) -> Result<Vec<u8>> {
    Ok(of_parts(SEQUENCE, &[&id.to_der()?, &of_parts(OCTET_STRING, &[value])]))
}

fn general(name: &str) -> Option<GeneralName> {
    let octets = match name.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => ip.octets().to_vec(),
        Ok(IpAddr::V6(ip)) => ip.octets().to_vec(),
        Err(_) => return Ia5String::new(name).map(GeneralName::DnsName).ok(),
    };
    OctetString::new(octets).map(GeneralName::IpAddress).ok()
}

/// A value of DER (X.690) that is made of these.
fn of_parts(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let bytes = &bytes[(len.leading_zeros() / 8) as usize..];
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_has_its_names_and_its_time() {
        let names = ["localhost", "*.a.example", "127.0.0.1", "::1", "not ascii \u{e4}"];
        let names = names.map(ToOwned::to_owned);
        let identity = Identity::made_up(&names).unwrap();
        let facts = &identity.facts;
        assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), (SUBJECT, SUBJECT));
        assert_eq!(facts.dns_names, ["localhost", "*.a.example"]);
        let ips: Vec<_> = facts.ips.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["127.0.0.1", "::1"]);
        assert_eq!(facts.not_after - facts.not_before, 366 * 86_400);
        // Nobody has this key twice.
        let again = Identity::made_up(&names).unwrap();
        assert_ne!(again.certified.cert, identity.certified.cert);
        assert_ne!(again.facts.serial, facts.serial);
    }

    #[test]
    fn lengths_are_written_as_short_as_can_be() {
        for (len, expected) in [
            (0, &[0x30, 0][..]),
            (0x7f, &[0x30, 0x7f]),
            (0x80, &[0x30, 0x81, 0x80]),
            (0x100, &[0x30, 0x82, 1, 0]),
            (0x1_0000, &[0x30, 0x83, 1, 0, 0]),
        ] {
            let made = of_parts(SEQUENCE, &[&vec![0; len]]);
            assert_eq!((&made[..made.len() - len], made.len() - len), (expected, expected.len()));
        }
    }
}
