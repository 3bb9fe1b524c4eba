//! A certificate with its key: who we are.

use std::fmt;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::Facts;
use crate::provider;

/// A chain of certificates with the key of the first one.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    pub facts: Facts,
}

/// Why two files are no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityProblem {
    /// There is no certificate in the one file.
    NoCertificate,
    BadCertificate(String),
    /// There is no key in the other one.
    NoKey,
    BadKey(String),
    /// The key belongs to another certificate.
    OtherKey,
}

impl fmt::Display for IdentityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate in it (PEM)"),
            Self::BadCertificate(problem) => write!(f, "its certificate is broken: {problem}"),
            Self::NoKey => f.write_str("there is no private key in it (PEM)"),
            Self::BadKey(problem) => write!(f, "its key cannot be used: {problem}"),
            Self::OtherKey => f.write_str("the key belongs to another certificate"),
        }
    }
}

impl Identity {
    /// Reads a certificate with the chain behind it, and its key. `certificate` and `key` may be
    /// the same file.
    ///
    /// # Errors
    /// See [`IdentityProblem`].
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityProblem> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| IdentityProblem::BadCertificate(error.to_string()))?;
        let first = chain.first().ok_or(IdentityProblem::NoCertificate)?;
        let facts = Facts::of(first)
            .ok_or_else(|| IdentityProblem::BadCertificate("it is no X.509".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => IdentityProblem::NoKey,
            error => IdentityProblem::BadKey(error.to_string()),
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityProblem::OtherKey,
            Error::InvalidCertificate(error) => {
                IdentityProblem::BadCertificate(format!("{error:?}"))
            }
            error => IdentityProblem::BadKey(error.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified), facts })
    }
}
