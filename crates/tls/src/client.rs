//! What an upstream needs to speak TLS.

use std::fmt;
use std::sync::Arc;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::{ClientConfig, Error};
use rustls_pki_types::ServerName;

use crate::identity::Identity;
use crate::session::Session;
use crate::trust::{Trust, TrustProblem};
use crate::{Fingerprint, Version, provider, verify};

/// How an upstream is configured.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// Without it every certificate is taken.
    pub trust: Option<Trust>,
    /// Shown to endpoints that ask for it.
    pub identity: Option<Identity>,
    pub min_version: Version,
    /// Of all that this was made of: two with the same one are the same.
    pub fingerprint: Fingerprint,
}

/// An upstream that speaks TLS. Its sessions are resumed.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    fingerprint: Fingerprint,
    verifies: bool,
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
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
        let verifies = settings.trust.is_some();
        let verifier = verify::of_endpoints(settings.trust, &provider)?;
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
        // Tickets of TLS 1.3 are used once. Those of 1.2 would bring back a certificate that has
        // ended, again and again.
        config.resumption = Resumption::default().tls12_resumption(Tls12Resumption::Disabled);
        Ok(Self { config: Arc::new(config), fingerprint: settings.fingerprint, verifies })
    }

    /// Of all that it was made of.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// A session with an endpoint of this name, or address, to speak one of these protocols, or
    /// what goes without saying if there are none; nothing, if it is no name.
    pub fn session(&self, host: &str, protocols: &[&str]) -> Option<Session> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
        let alpn = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::clone(&self.config);
        let connection = rustls::ClientConnection::new_with_alpn(config, name, alpn).ok()?;
        Some(Session::new(connection.into(), self.verifies))
    }
}
