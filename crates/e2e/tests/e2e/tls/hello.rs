//! First messages of TLS, made by hand: right in every part but those that a test spoils.

use std::io::Read;

use fairwater_e2e::{Client, Proxy};

pub(super) const TLS12: u16 = 0x0303;

/// What every server of these days takes.
const SUITES: &[u16] = &[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xcca9, 0xc02f, 0xc030, 0xcca8];

/// Numbers of extensions (RFC 8446, section 4.2).
pub(super) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const GROUPS: u16 = 10;
    pub(crate) const SIGNATURES: u16 = 13;
    pub(crate) const ALPN: u16 = 16;
    pub(crate) const TICKET: u16 = 35;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const VERSIONS: u16 = 43;
    pub(crate) const KEY_EXCHANGE_MODES: u16 = 45;
    pub(crate) const KEY_SHARE: u16 = 51;
}

/// Numbers of alerts (RFC 8446, section 6).
pub(super) mod alert {
    pub(crate) const UNEXPECTED_MESSAGE: u8 = 10;
    pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
    pub(crate) const ILLEGAL_PARAMETER: u8 = 47;
    pub(crate) const DECODE_ERROR: u8 = 50;
    pub(crate) const PROTOCOL_VERSION: u8 = 70;
    pub(crate) const NO_APPLICATION_PROTOCOL: u8 = 120;
}

/// A `ClientHello`.
#[derive(Clone)]
pub(super) struct Hello {
    pub(super) version: u16,
    pub(super) suites: Vec<u16>,
    pub(super) compressions: Vec<u8>,
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
}

/// Behind its length in two bytes.
pub(super) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Behind its length in one byte.
pub(super) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn numbers(all: &[u16]) -> Vec<u8> {
    all.iter().flat_map(|one| one.to_be_bytes()).collect()
}

/// A record of handshakes.
pub(super) fn record(bytes: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &long(bytes)].concat()
}

impl Hello {
    /// As TLS 1.2 has it. All but the last parts of what the server answers is readable.
    pub(super) fn tls12() -> Self {
        let groups = long(&numbers(&[29, 23]));
        let signatures = long(&numbers(&[0x0403, 0x0804, 0x0401, 0x0807]));
        Self {
            version: TLS12,
            suites: SUITES.to_vec(),
            compressions: vec![0],
            extensions: vec![(extension::GROUPS, groups), (extension::SIGNATURES, signatures)],
        }
    }

    /// TLS 1.3, and 1.2 as well.
    pub(super) fn tls13() -> Self {
        let share = [&numbers(&[29])[..], &long(&[9; 32])].concat();
        Self::tls12()
            .with(extension::VERSIONS, short(&numbers(&[0x0304, TLS12])))
            .with(extension::KEY_SHARE, long(&share))
    }

    /// With one more extension.
    pub(super) fn with(mut self, kind: u16, value: Vec<u8>) -> Self {
        self.extensions.push((kind, value));
        self
    }

    pub(super) fn suites(mut self, suites: &[u16]) -> Self {
        self.suites = suites.to_vec();
        self
    }

    /// That asks for a host.
    pub(super) fn name(self, name: &[u8]) -> Self {
        let entry = [&[0][..], &long(name)].concat();
        self.with(extension::SERVER_NAME, long(&entry))
    }

    /// That asks for a protocol above.
    pub(super) fn alpn<T: AsRef<[u8]>>(self, names: &[T]) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|name| short(name.as_ref())).collect();
        self.with(extension::ALPN, long(&names))
    }

    /// The message, in no record yet.
    pub(super) fn message(&self) -> Vec<u8> {
        let extensions = self.extensions.iter();
        let extensions: Vec<u8> = extensions
            .flat_map(|(kind, value)| [numbers(&[*kind]), long(value)].concat())
            .collect();
        let body = [
            &numbers(&[self.version])[..],
            &[7; 32],
            &short(&[8; 32]),
            &long(&numbers(&self.suites)),
            &short(&self.compressions),
            &long(&extensions),
        ]
        .concat();
        message(1, &body)
    }

    /// All of it, in as few records as it takes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.message().chunks(16_384).flat_map(record).collect()
    }
}

/// A message of a handshake.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &len[1..], body].concat()
}

/// What a server makes of a first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It goes on. All that is readable: of TLS 1.2 the whole of it.
    Hello(Vec<u8>),
    Alert(u8),
    /// Not a word, and the end.
    Closed,
}

/// Sends segments, and reads until the server waits for us or is through with us.
pub(super) fn ask<T: AsRef<[u8]>>(proxy: &Proxy, segments: &[T]) -> Answer {
    let mut client = Client::new(proxy);
    client.send_segments(segments);
    answer(&mut client)
}

pub(super) fn answer(client: &mut Client) -> Answer {
    let mut handshake = Vec::new();
    loop {
        let mut head = [0; 5];
        if client.socket.read_exact(&mut head).is_err() {
            return Answer::Closed;
        }
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        if client.socket.read_exact(&mut body).is_err() {
            return Answer::Closed;
        }
        match head[0] {
            21 => return Answer::Alert(body[1]),
            22 => handshake.extend(body),
            // TLS 1.3 goes on encrypted.
            _ => return Answer::Hello(handshake),
        }
        if handshake.ends_with(&message(14, b"")) {
            return Answer::Hello(handshake);
        }
    }
}
