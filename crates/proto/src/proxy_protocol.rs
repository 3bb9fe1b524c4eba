//! The PROXY protocol, versions 1 and 2: what a proxy says about a client before the client's own
//! bytes (the specification is `doc/proxy-protocol.txt` of HAProxy). Read strictly, and never
//! beyond the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod checksum;
mod text;
mod write;

pub use write::{Certificate, Told, ToldTls, write_v1, write_v2, write_v2_udp};

/// The longest header that is read; a longer one is refused as soon as its length is known.
pub const HEADER_BYTES_MAX: usize = PREFIX_BYTES + UNIX_BYTES + TLV_BYTES_MAX;

/// All TLVs of a header. Certificates are not among them, only their names.
const TLV_BYTES_MAX: usize = 4096;
/// TLVs of a header; senders have about ten.
const TLVS_MAX: usize = 64;
/// As the specification says.
const UNIQUE_ID_BYTES_MAX: usize = 128;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and transport, and the length of the rest.
const PREFIX_BYTES: usize = 16;
const V4_BYTES: usize = 12;
const V6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// The types of TLVs that are read or written.
mod tlv {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_CN: u8 = 0x22;
}

/// Of the first byte of an SSL TLV: the client speaks TLS; it showed a certificate over this
/// connection; over this session.
mod ssl {
    pub(super) const SPOKEN: u8 = 1;
    pub(super) const CERTIFICATE_NOW: u8 = 2;
    pub(super) const CERTIFICATE: u8 = 4;
    /// The flags, and a word that is 0 if a certificate was verified.
    pub(super) const HEAD_BYTES: usize = 5;
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The sender's own, such as a health check, or one of which it can say nothing: the addresses
    /// of the socket hold.
    Sender,
    Ip {
        source: SocketAddr,
        /// Where the client has connected to.
        target: SocketAddr,
    },
    /// On a Unix socket.
    Unix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub client: Client,
    /// Its bytes; what is behind them is the client's.
    pub len: usize,
    tlvs: &'a [u8],
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Something else comes.
    Absent,
    /// Too little has come to tell whether it is one.
    Undecided,
    /// It has begun, and more of it is needed.
    Incomplete,
    /// Which rule it breaks.
    Malformed(&'static str),
}

/// Reads a header at the start of `bytes`.
///
/// # Errors
/// See [`NoHeader`]; more bytes help against `Undecided` and `Incomplete`, and against nothing
/// else.
pub fn read(bytes: &[u8]) -> Result<Header<'_>, NoHeader> {
    let begins = |signature: &[u8]| {
        let len = bytes.len().min(signature.len());
        bytes[..len] == signature[..len]
    };
    match (begins(text::SIGNATURE), begins(SIGNATURE)) {
        (false, false) => Err(NoHeader::Absent),
        (true, _) if bytes.len() >= text::SIGNATURE.len() => text::read(bytes),
        (_, true) if bytes.len() >= SIGNATURE.len() => read_v2(bytes),
        _ => Err(NoHeader::Undecided),
    }
}

fn read_v2(bytes: &[u8]) -> Result<Header<'_>, NoHeader> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(NoHeader::Incomplete);
    };
    let [command, family] = [prefix[12], prefix[13]];
    let rest_len = usize::from(u16::from_be_bytes([prefix[14], prefix[15]]));
    if command >> 4 != 2 {
        return Err(NoHeader::Malformed("version"));
    }
    if PREFIX_BYTES + rest_len > HEADER_BYTES_MAX {
        return Err(NoHeader::Malformed("length"));
    }
    let len = PREFIX_BYTES + rest_len;
    // Of one that says nothing the rest is skipped, whatever it is.
    let empty = Header { client: Client::Sender, len, tlvs: &[] };
    let address_len = match (command & 0xf, family) {
        (0, _) | (1, 0) => None,
        (1, 0x11) => Some(V4_BYTES),
        (1, 0x21) => Some(V6_BYTES),
        (1, 0x31) => Some(UNIX_BYTES),
        (1, _) => return Err(NoHeader::Malformed("family")),
        _ => return Err(NoHeader::Malformed("command")),
    };
    if address_len.is_some_and(|needed| rest_len < needed) {
        return Err(NoHeader::Malformed("length"));
    }
    let rest = rest.get(..rest_len).ok_or(NoHeader::Incomplete)?;
    let Some(address_len) = address_len else { return Ok(empty) };
    let (addresses, tlvs) = rest.split_at(address_len);
    check(tlvs, &bytes[..len])?;
    let client = match address_len {
        V4_BYTES => ip::<4>(addresses),
        V6_BYTES => ip::<16>(addresses),
        _ => Some(Client::Unix),
    };
    Ok(Header { client: client.ok_or(NoHeader::Malformed("length"))?, tlvs, len })
}

/// Source, target and their ports.
fn ip<const N: usize>(bytes: &[u8]) -> Option<Client>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (target, ports) = rest.split_first_chunk::<N>()?;
    let (source_port, target_port) = (ports.first_chunk::<2>()?, ports.last_chunk::<2>()?);
    Some(Client::Ip {
        source: SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port)),
        target: SocketAddr::new((*target).into(), u16::from_be_bytes(*target_port)),
    })
}

/// Whether all TLVs are whole, and the checksum is right where there is one.
fn check(tlvs: &[u8], header: &[u8]) -> Result<(), NoHeader> {
    let (mut count, mut checksum) = (0, None);
    for tlv in Tlvs(tlvs) {
        let (kind, value) = tlv.ok_or(NoHeader::Malformed("tlv"))?;
        count += 1;
        let is_good = match kind {
            tlv::CRC32C => {
                let is_first = checksum.is_none();
                checksum = value.first_chunk::<4>().copied();
                is_first && value.len() == 4
            }
            tlv::UNIQUE_ID => value.len() <= UNIQUE_ID_BYTES_MAX,
            tlv::SSL => {
                let inner = value.get(ssl::HEAD_BYTES..);
                inner.is_some_and(|inner| Tlvs(inner).all(|one| one.is_some()))
            }
            _ => true,
        };
        if !is_good || count > TLVS_MAX {
            return Err(NoHeader::Malformed("tlv"));
        }
    }
    match checksum {
        Some(checksum) if u32::from_be_bytes(checksum) != checksum::of(header, tlvs) => {
            Err(NoHeader::Malformed("checksum"))
        }
        _ => Ok(()),
    }
}

/// Types and values; `None` for one that is cut off, which is the last.
struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let [kind, high, low, rest @ ..] = rest else {
            return (!rest.is_empty()).then_some(None);
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, rest)) = rest.split_at_checked(len) else { return Some(None) };
        self.0 = rest;
        Some(Some((*kind, value)))
    }
}

impl<'a> Header<'a> {
    /// The value of the first TLV of a type, as the specification numbers them.
    pub fn find(&self, kind: u8) -> Option<&'a [u8]> {
        Tlvs(self.tlvs).flatten().find(|(own, _)| *own == kind).map(|(_, value)| value)
    }

    /// Whether the client speaks TLS with the sender.
    pub fn is_secured(&self) -> bool {
        let flags = self.find(tlv::SSL).and_then(|value| value.first());
        flags.is_some_and(|flags| flags & ssl::SPOKEN != 0)
    }
}

/// An address as one of IPv6.
fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Two addresses of one family: both of IPv4, or else both of IPv6.
enum Pair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Pair {
    fn of(source: IpAddr, target: IpAddr) -> Self {
        match (source.to_canonical(), target.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => Self::V4(source, target),
            (source, target) => Self::V6(mapped(source), mapped(target)),
        }
    }
}

#[cfg(test)]
mod tests;
