//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Client, Header, NoHeader};

pub(super) const SIGNATURE: &[u8; 6] = b"PROXY ";

/// The longest line that the specification has, with its end.
const HEADER_LINE_BYTES_MAX: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Result<Header<'_>, NoHeader> {
    let start = &bytes[..bytes.len().min(HEADER_LINE_BYTES_MAX)];
    let Some(at) = start.iter().position(|&byte| byte == b'\r' || byte == b'\n') else {
        return Err(match start.len() {
            HEADER_LINE_BYTES_MAX => NoHeader::Malformed("line_too_long"),
            _ => NoHeader::Incomplete,
        });
    };
    match start[at..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if at + 1 < HEADER_LINE_BYTES_MAX => return Err(NoHeader::Incomplete),
        _ => return Err(NoHeader::Malformed("line_end")),
    }
    let client = client(&start[SIGNATURE.len()..at]).ok_or(NoHeader::Malformed("line"))?;
    Ok(Header { client, len: at + 2, tlvs: &[] })
}

/// What stands between the signature and the end of the line.
fn client(line: &[u8]) -> Option<Client> {
    let line = std::str::from_utf8(line).ok()?;
    // Whatever follows is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Client::Sender);
    }
    let mut words = line.split(' ');
    let parse: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| Some(word.parse::<Ipv4Addr>().ok()?.into()),
        "TCP6" => |word| Some(word.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let (source, target) = (parse(words.next()?)?, parse(words.next()?)?);
    let (source_port, target_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Client::Ip {
        source: SocketAddr::new(source, source_port),
        target: SocketAddr::new(target, target_port),
    })
}

/// Digits without zeros before them.
fn port(word: &str) -> Option<u16> {
    let is_plain = word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'));
    word.parse().ok().filter(|_| is_plain)
}
