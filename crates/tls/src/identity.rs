//! A certificate with its key: who we are.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};
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

/// So many are worth a thread.
const SHARE_MIN: usize = 32;

impl Identity {
    /// As [`Self::read`], of many: all cores of the machine work on them. The results are in the
    /// order of the files.
    pub fn read_all(files: &[(&[u8], &[u8])]) -> Vec<Result<Self, IdentityProblem>> {
        let read = |share: &[(&[u8], &[u8])]| -> Vec<_> {
            share.iter().map(|(certificate, key)| Self::read(certificate, key)).collect()
        };
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = cores.min(files.len() / SHARE_MIN);
        if threads < 2 {
            return read(files);
        }
        thread::scope(|scope| {
            let shares = files.chunks(files.len().div_ceil(threads));
            let begin = |share| {
                let builder = thread::Builder::new().name("certificates".to_owned());
                builder.spawn_scoped(scope, move || read(share)).map_err(|_| share)
            };
            let begun: Vec<_> = shares.map(begin).collect();
            let end = |one: Result<ScopedJoinHandle<'_, Vec<_>>, _>| match one {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // There may be no further threads; then it takes longer.
                Err(share) => read(share),
            };
            begun.into_iter().flat_map(end).collect()
        })
    }

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
            Error::InvalidCertificate(error) => IdentityProblem::BadCertificate(odd(&error)),
            error => IdentityProblem::BadKey(error.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified), facts })
    }
}

/// What is odd about a certificate.
fn odd(error: &CertificateError) -> String {
    let text = format!("{error:?}");
    match text.contains("UnsupportedCertVersion") {
        // `openssl x509 -req -signkey` makes them.
        true => "it is of version 1; `openssl req -x509` makes one of version 3".to_owned(),
        false => text,
    }
}
