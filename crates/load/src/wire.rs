//! A connection to the proxy, in clear or with TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

/// How to speak TLS: with the one key exchange that all proxies under test have.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// Of each slot its own, so that each connection finds the ticket of the one before.
    of_slots: Option<Vec<Arc<ClientConfig>>>,
}

pub(crate) enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Tls {
    /// Trusts the certificate in `path` alone, and offers `protocols`.
    pub(crate) fn new(path: &Path, resumes: bool, protocols: &[&[u8]]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(path).map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519];
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder =
            builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self { config: Arc::new(config), of_slots: resumes.then(Vec::new) })
    }

    /// The handshake begins with the first bytes that are sent.
    pub(crate) fn wrap(
        &mut self,
        socket: TcpStream,
        target: SocketAddr,
        slot: usize,
    ) -> io::Result<Wire> {
        let name = ServerName::from(target.ip());
        let client = ClientConnection::new(self.config_of(slot), name);
        let client = client.map_err(io::Error::other)?;
        Ok(Wire::Tls(Box::new(StreamOwned::new(client, socket))))
    }

    fn config_of(&mut self, slot: usize) -> Arc<ClientConfig> {
        let Some(of_slots) = &mut self.of_slots else { return Arc::clone(&self.config) };
        while of_slots.len() <= slot {
            let mut config = (*self.config).clone();
            config.resumption = Resumption::in_memory_sessions(8);
            of_slots.push(Arc::new(config));
        }
        Arc::clone(&of_slots[slot])
    }
}

impl Wire {
    /// Finishes the handshake, on a socket that blocks.
    pub(crate) fn shake_hands(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(_) => Ok(()),
            Self::Tls(stream) => stream.conn.complete_io(&mut stream.sock).map(drop),
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.set_nonblocking(true),
            Self::Tls(stream) => stream.sock.set_nonblocking(true),
        }
    }

    /// What both sides agreed to speak, over TLS.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(stream) => stream.conn.alpn_protocol(),
        }
    }

    /// Whether this is a session for itself, although an earlier one may go on.
    pub(crate) fn is_full_handshake(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Tls(stream) => stream.conn.handshake_kind() != Some(HandshakeKind::Resumed),
        }
    }

    /// Whether a read that fills no buffer has emptied the socket.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self, Self::Clear(_))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Tls(stream) => match stream.read(buffer) {
                // HTTP says itself where a reply ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Clear(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}
