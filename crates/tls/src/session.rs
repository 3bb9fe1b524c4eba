//! A session: bytes of a socket in, bytes of a program out, and the other way round. It does no IO
//! of its own.

use std::io::{self, IoSlice, Read, Write};

use rustls::{CertificateError, Connection, Error, HandshakeKind, ProtocolVersion};

use crate::agreed::{Agreed, PeerFacts, printable};
use crate::certificate::{Facts, hex};
use crate::fingerprint;

/// Taken at a time to be encrypted: nobody writes more at once, and nothing more before the socket
/// has all of it.
const PLAIN_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// Decrypted and not read yet.
    unread: usize,
    /// The other side has said that it sends nothing more.
    is_ended: bool,
    /// Certificates of the other side count.
    verifies: bool,
}

impl Session {
    pub(crate) fn new(mut connection: Connection, verifies: bool) -> Self {
        connection.set_buffer_limit(Some(PLAIN_BYTES_MAX));
        Self { connection, unread: 0, is_ended: false, verifies }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether there is something for the socket.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether a read gives something, or the end, without the socket.
    pub fn has_unread(&self) -> bool {
        self.unread > 0 || self.is_ended
    }

    /// Takes bytes of the socket, once, and works on them. Returns how many there were; 0 at the
    /// end of the stream.
    ///
    /// # Errors
    /// Those of the socket; `InvalidData` for a broken session, after which there is an alert to be
    /// written.
    pub fn take(&mut self, socket: &mut dyn Read) -> io::Result<usize> {
        let len = self.connection.read_tls(socket)?;
        let state = self.connection.process_new_packets();
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.unread = state.plaintext_bytes_to_read();
        self.is_ended |= state.peer_has_closed();
        Ok(len)
    }

    /// Gives bytes to the socket, once. Returns how many it took.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn give(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(socket)
    }

    /// Reads what was decrypted; 0 is the end, if the other side has said so.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing yet; `UnexpectedEof` if the stream has ended without a
    /// word.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.connection.reader().read(buffer)?;
        self.unread = self.unread.saturating_sub(len);
        Ok(len)
    }

    /// Takes bytes to be encrypted, as many as there is room for.
    ///
    /// # Errors
    /// Never, with the library as it is.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.connection.writer().write_vectored(parts)
    }

    /// Tells the other side that nothing more comes.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Looks at the other side's certificate once more where a session goes on, for which the
    /// library does not: it may have ended since that began.
    ///
    /// # Errors
    /// When it has.
    pub fn look_again(&self, agreed: &Agreed, now_s: u64) -> io::Result<()> {
        let Agreed { is_resumed, peer, .. } = agreed;
        let has_ended = !peer.fingerprint.is_empty() && peer.not_after < now_s;
        match self.verifies && *is_resumed && has_ended {
            true => {
                let error = Error::InvalidCertificate(CertificateError::Expired);
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
            false => Ok(()),
        }
    }

    /// What was agreed on; nothing before the handshake is over.
    pub fn agreed(&self) -> Option<Agreed> {
        let connection = &self.connection;
        let suite = connection.negotiated_cipher_suite()?;
        let server_name = match connection {
            Connection::Server(server) => server.server_name().unwrap_or_default(),
            Connection::Client(_) => "",
        };
        let alpn = String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default());
        let peer = connection.peer_certificates().and_then(|chain| {
            let first = chain.first()?;
            Some(PeerFacts::of(&Facts::of(first)?, hex(&fingerprint(first))))
        });
        Some(Agreed {
            version: match connection.protocol_version()? {
                ProtocolVersion::TLSv1_3 => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: suite.suite().as_str()?,
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: printable(server_name),
            alpn: printable(&alpn),
            peer: peer.unwrap_or_default(),
        })
    }
}
