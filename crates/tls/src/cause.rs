//! Why a handshake came to nothing, in words for logs.

use std::io;

use rustls::{CertificateError, Error};

/// The cause of an error that a session or its socket has given.
pub fn cause(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(error)) => of_certificate(error),
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(Error::AlertReceived(_)) => "alert_received",
        Some(Error::PeerIncompatible(_)) => "nothing_in_common",
        Some(Error::NoCertificatesPresented) => "no_certificate",
        Some(_) => "broken",
        None => match error.kind() {
            io::ErrorKind::TimedOut => "timeout",
            io::ErrorKind::InvalidInput => "bad_name",
            _ => "closed",
        },
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate_of_another_name"
        }
        // An authority of that name may have signed it, but not the one that is known.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate_not_trusted"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate_expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate_not_valid_yet"
        }
        CertificateError::Revoked => "certificate_revoked",
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "revocation_list_expired",
        CertificateError::UnknownRevocationStatus => "revocation_list_missing",
        // One that is its own authority, as `openssl req -x509` makes it.
        CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "certificate_not_trusted"
        }
        _ => "bad_certificate",
    }
}
