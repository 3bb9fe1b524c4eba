//! What an upstream needs to speak TLS.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::identity::Identity;
use crate::session::Session;
use crate::trust::{Trust, TrustProblem};
use crate::{Fingerprint, Version, provider};

/// How an upstream is configured.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// Authorities; without them every certificate is taken.
    pub trust: Option<Trust>,
    /// Shown to endpoints that ask for it.
    pub identity: Option<Identity>,
    pub alpn: Vec<Vec<u8>>,
    pub min_version: Version,
    /// Of all that this was made of: two with the same one are the same.
    pub fingerprint: Fingerprint,
}

/// An upstream that speaks TLS. Its sessions are resumed.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>, Fingerprint);

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// # Errors
    /// When certificates or lists cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, TrustProblem> {
        let bad = |error: Error| TrustProblem::BadCertificate(error.to_string());
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match settings.trust {
            None => Arc::new(Anybody(Arc::clone(&provider))),
            Some(Trust { roots, revoked }) => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
                let verifier = builder.with_crls(revoked).build();
                verifier.map_err(|error| TrustProblem::BadList(error.to_string()))?
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(settings.min_version.and_newer())
            .map_err(bad)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(
                rustls::sign::SingleCertAndKey::from(identity.certified),
            )),
        };
        config.alpn_protocols = settings.alpn;
        Ok(Self(Arc::new(config), settings.fingerprint))
    }

    /// A session with an endpoint of this name, or address; nothing, if it is no name.
    pub fn session(&self, host: &str) -> Option<Session> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
        let connection = rustls::ClientConnection::new(Arc::clone(&self.0), name).ok()?;
        Some(Session::new(connection.into()))
    }
}

/// Trusts everybody: for `insecure_skip_verify`. That the other side has the key of its certificate
/// is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
