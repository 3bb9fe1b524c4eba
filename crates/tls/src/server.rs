//! What a listener needs to speak TLS.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::identity::Identity;
use crate::session::Session;
use crate::ticket::TicketKeys;
use crate::trust::{Trust, TrustProblem};
use crate::{Fingerprint, Version, fingerprint, provider, verify};

/// How a listener is configured.
#[derive(Debug, Default)]
pub struct ServerSettings {
    /// The first one is for clients that name none of the others.
    pub identities: Vec<Identity>,
    /// What is spoken above, as ALPN names it (RFC 7301), the best first.
    pub alpn: Vec<Vec<u8>>,
    pub min_version: Version,
    pub client_auth: Option<ClientAuth>,
    /// Without them there are such as nobody else has, which change every few hours.
    pub ticket_keys: Option<TicketKeys>,
    /// Of all that this was made of: two with the same one are the same.
    pub fingerprint: Fingerprint,
}

/// Which certificates clients show.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    pub trust: Trust,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A client that has none is let in.
    Request,
    Require,
}

/// A listener that speaks TLS. Sessions of it are resumed by it alone: tickets never cross
/// listeners with other rules for clients.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    ends: Arc<[(String, u64)]>,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// # Errors
    /// When the rules for clients make no sense.
    pub fn new(settings: ServerSettings) -> Result<Self, TrustProblem> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(settings.min_version.and_newer())
            .map_err(|error| TrustProblem::BadCertificate(error.to_string()))?;
        let builder = match &settings.client_auth {
            None => builder.with_no_client_auth(),
            Some(auth) => builder.with_client_cert_verifier(verify::of_clients(auth, &provider)?),
        };
        let names = Arc::new(Names::new(&settings.identities));
        let facts = settings.identities.into_iter().map(|identity| identity.facts);
        let ends = facts.map(|facts| (facts.subject, facts.not_after)).collect();
        let mut config = builder.with_cert_resolver(names);
        config.alpn_protocols = settings.alpn;
        // One is enough for clients that open one connection at a time, and halves what a full
        // handshake writes.
        config.send_tls13_tickets = 1;
        config.ticketer = match settings.ticket_keys {
            Some(keys) => Arc::new(keys),
            None => rustls::crypto::aws_lc_rs::Ticketer::new()
                .map_err(|error| TrustProblem::BadCertificate(error.to_string()))?,
        };
        Ok(Self { config: Arc::new(config), fingerprint: settings.fingerprint, ends })
    }

    /// The same with a certificate that was made up for these names. Two of the same names are the
    /// same, though their keys are not: who has the first one in use keeps it.
    #[must_use]
    pub fn with_made_up(&self, identity: Identity, names: &[String]) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::new(Names::new(std::slice::from_ref(&identity)));
        let seen = [&self.fingerprint, names.join("\n").as_bytes()].concat();
        let ends = [(identity.facts.subject, identity.facts.not_after)].into();
        Self { config: Arc::new(config), fingerprint: fingerprint(&seen), ends }
    }

    /// The subject of each certificate, and until when it is good, in seconds since the epoch.
    pub fn ends(&self) -> &[(String, u64)] {
        &self.ends
    }

    /// A session with a client that has just connected; nothing, if there can be none.
    pub fn session(&self) -> Option<Session> {
        let connection = rustls::ServerConnection::new(Arc::clone(&self.config)).ok()?;
        Some(Session::new(connection.into(), true))
    }
}

/// Certificates by the host that a client asks for (RFC 6066, section 3).
#[derive(Debug)]
struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what stands behind the first label.
    wildcards: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Names {
    fn new(identities: &[Identity]) -> Self {
        let default = identities.first().map(|identity| Arc::clone(&identity.certified));
        let mut names = Self { exact: HashMap::new(), wildcards: HashMap::new(), default };
        for identity in identities {
            for name in &identity.facts.dns_names {
                let (map, key) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut names.wildcards, rest),
                    None => (&mut names.exact, name.as_str()),
                };
                // Of several the first.
                map.entry(key.to_owned()).or_insert_with(|| Arc::clone(&identity.certified));
            }
        }
        names
    }

    fn find(&self, host: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named = host.and_then(|host| {
            let exact = self.exact.get(host);
            exact.or_else(|| self.wildcards.get(host.split_once('.')?.1))
        });
        named.or(self.default.as_ref())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The library gives names in small letters, and leaves a final dot.
        let host = hello.server_name().map(|host| host.strip_suffix('.').unwrap_or(host));
        self.find(host).cloned()
    }
}
