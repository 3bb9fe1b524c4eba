//! Whom we trust: certificates of authorities, lists of what they have revoked, and certificates
//! that are trusted for themselves.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::certificate::Facts;
use crate::{Fingerprint, fingerprint, provider};

/// Authorities, and certificates that need none. By default nobody is trusted.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Of files: those that are their own authority.
    own: HashSet<Fingerprint>,
    listed: HashSet<Fingerprint>,
}

/// Why a certificate is trusted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in a file of authorities, and its own.
    Own,
    /// Its fingerprint is listed.
    Listed,
}

impl Default for Trust {
    fn default() -> Self {
        Self::of(RootCertStore::empty())
    }
}

/// Why a file says nothing about trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustProblem {
    NoCertificate,
    BadCertificate(String),
    NoList,
    BadList(String),
}

impl fmt::Display for TrustProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate in it (PEM)"),
            Self::BadCertificate(problem) => write!(f, "a certificate in it is broken: {problem}"),
            Self::NoList => f.write_str("there is no certificate revocation list in it (PEM)"),
            Self::BadList(problem) => write!(f, "a revocation list in it is broken: {problem}"),
        }
    }
}

impl Trust {
    /// Reads the certificates of authorities, and those that are their own.
    ///
    /// # Errors
    /// See [`TrustProblem`].
    pub fn read(authorities: &[u8]) -> Result<Self, TrustProblem> {
        let mut roots = RootCertStore::empty();
        let mut own = HashSet::new();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate =
                certificate.map_err(|error| TrustProblem::BadCertificate(error.to_string()))?;
            if Facts::of(&certificate).is_some_and(|facts| facts.subject == facts.issuer) {
                own.insert(fingerprint(&certificate));
            }
            let added = roots.add(certificate);
            added.map_err(|error| TrustProblem::BadCertificate(error.to_string()))?;
        }
        match roots.is_empty() {
            true => Err(TrustProblem::NoCertificate),
            false => Ok(Self { own, ..Self::of(roots) }),
        }
    }

    /// As [`Self::read`], and leaves out what is odd: lists of systems are nobody's fault.
    pub fn read_what_is_good(authorities: &[u8]) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(authorities);
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        (!roots.is_empty()).then(|| Self::of(roots))
    }

    fn of(roots: RootCertStore) -> Self {
        let (own, listed) = (HashSet::new(), HashSet::new());
        Self { roots: Arc::new(roots), revoked: Vec::new(), own, listed }
    }

    /// Adds certificates that are trusted for themselves.
    pub fn list(&mut self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        self.listed.extend(fingerprints);
    }

    /// Whether any certificate may be trusted for itself.
    pub(crate) fn lists(&self) -> bool {
        !self.own.is_empty() || !self.listed.is_empty()
    }

    /// Why a certificate is trusted for itself; nothing, if it is not.
    pub(crate) fn standing(&self, certificate: &CertificateDer<'_>) -> Option<Standing> {
        let fingerprint = fingerprint(certificate);
        let listed = self.listed.contains(&fingerprint).then_some(Standing::Listed);
        listed.or_else(|| self.own.contains(&fingerprint).then_some(Standing::Own))
    }

    /// Adds what authorities have revoked.
    ///
    /// # Errors
    /// See [`TrustProblem`].
    pub fn revoke(&mut self, lists: &[u8]) -> Result<(), TrustProblem> {
        let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(lists).collect();
        let read = read.map_err(|error| TrustProblem::BadList(error.to_string()))?;
        if read.is_empty() {
            return Err(TrustProblem::NoList);
        }
        // Only a verifier looks into them. This one is not kept: what is wrong is told where the
        // file is known.
        let roots = Arc::clone(&self.roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let built = verifier.with_crls(read.iter().cloned()).build();
        built.map_err(|error| TrustProblem::BadList(error.to_string()))?;
        self.revoked.extend(read);
        Ok(())
    }
}
