//! Who the other side may be: somebody whom an authority vouches for, or whose very certificate is
//! listed. That it has the key of its certificate is checked in any case.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::Facts;
use crate::server::{ClientAuth, Mode};
use crate::trust::{Standing, Trust, TrustProblem};

/// Judges clients.
pub(crate) fn of_clients(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TrustProblem> {
    let ClientAuth { trust, mode } = auth;
    let by_authority = (!trust.roots.is_empty()).then(|| {
        let (roots, provider) = (Arc::clone(&trust.roots), Arc::clone(provider));
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        if !trust.revoked.is_empty() {
            verifier = verifier
                .with_crls(trust.revoked.iter().cloned())
                .enforce_revocation_expiration()
                .only_check_end_entity_revocation();
        }
        if *mode == Mode::Request {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|error| TrustProblem::BadList(error.to_string()))
    });
    let by_authority = by_authority.transpose()?;
    match by_authority {
        Some(verifier) if !trust.lists() => Ok(verifier),
        by_authority => Ok(Arc::new(Clients {
            trust: trust.clone(),
            is_required: *mode == Mode::Require,
            by_authority,
            signatures: Signatures(Arc::clone(provider)),
        })),
    }
}

/// Judges endpoints; without trust there is nothing to judge by, and every one is taken.
pub(crate) fn of_endpoints(
    trust: Option<Trust>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TrustProblem> {
    let signatures = Signatures(Arc::clone(provider));
    let Some(trust) = trust else { return Ok(Arc::new(Anybody(signatures))) };
    let by_authority = (!trust.roots.is_empty()).then(|| {
        let (roots, provider) = (Arc::clone(&trust.roots), Arc::clone(provider));
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider);
        let verifier = builder.with_crls(trust.revoked.iter().cloned()).build();
        verifier.map_err(|error| TrustProblem::BadList(error.to_string()))
    });
    match by_authority.transpose()? {
        Some(verifier) if !trust.lists() => Ok(verifier),
        by_authority => Ok(Arc::new(Endpoints { trust, by_authority, signatures })),
    }
}

/// How the library checks that somebody has a key.
#[derive(Debug)]
struct Signatures(Arc<CryptoProvider>);

impl Signatures {
    fn verify_tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The part of a verifier that all of them share.
macro_rules! by_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signatures().verify_tls12(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signatures().verify_tls13(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.signatures().schemes()
        }
    };
}

/// Trusts everybody: for `insecure_skip_verify`.
#[derive(Debug)]
struct Anybody(Signatures);

impl Anybody {
    fn signatures(&self) -> &Signatures {
        &self.0
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    by_signatures!();
}

/// Clients, where certificates are listed.
#[derive(Debug)]
struct Clients {
    trust: Trust,
    is_required: bool,
    by_authority: Option<Arc<dyn ClientCertVerifier>>,
    signatures: Signatures,
}

impl Clients {
    fn signatures(&self) -> &Signatures {
        &self.signatures
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    /// None: a client that looks for a certificate by these names would keep back one that is
    /// listed.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.trust.standing(end_entity).is_some() {
            check_dates(end_entity, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        let verifier = self.by_authority.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    by_signatures!();
}

/// Endpoints, where certificates are listed.
#[derive(Debug)]
struct Endpoints {
    trust: Trust,
    by_authority: Option<Arc<WebPkiServerVerifier>>,
    signatures: Signatures,
}

impl Endpoints {
    fn signatures(&self) -> &Signatures {
        &self.signatures
    }
}

impl ServerCertVerifier for Endpoints {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(standing) = self.trust.standing(end_entity) {
            check_dates(end_entity, now)?;
            // A fingerprint stands for one certificate, whatever its names are.
            if standing == Standing::Own {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verifier = self.by_authority.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    by_signatures!();
}

/// Whoever lists a certificate says whose it is, and not that it is good for ever.
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let facts = Facts::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let (not_before, not_after) = (at(facts.not_before), at(facts.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustls::sign::CertifiedKey;

    use super::*;
    use crate::{Client, ClientSettings, Identity, Server, ServerSettings, fingerprint};

    fn identity() -> Identity {
        let params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Identity::read(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// Whether a handshake comes to its end with whoever has the listed certificate.
    fn is_taken(listed: &CertificateDer<'_>, shown: Identity) -> bool {
        let identities = vec![shown];
        let server = Server::new(ServerSettings { identities, ..ServerSettings::default() });
        let mut trust = Trust::default();
        trust.list([fingerprint(listed)]);
        let settings = ClientSettings { trust: Some(trust), ..ClientSettings::default() };
        let mut client = Client::new(settings).unwrap().session("b", &[]).unwrap();
        let mut server = server.unwrap().session().unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.give(&mut wire).unwrap();
            }
            server.take(&mut wire.as_slice()).unwrap();
            let mut wire = Vec::new();
            while server.wants_write() {
                server.give(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                if client.take(&mut rest).is_err() {
                    return false;
                }
            }
        }
        true
    }

    #[test]
    fn who_shows_a_listed_certificate_has_its_key() {
        let (owner, other) = (identity(), identity());
        let listed = owner.certified.cert.clone();
        let stolen = CertifiedKey::new(listed.clone(), Arc::clone(&other.certified.key));
        let impostor = Identity { certified: Arc::new(stolen), ..other };
        assert!(is_taken(&listed[0], owner));
        assert!(!is_taken(&listed[0], impostor));
    }
}
