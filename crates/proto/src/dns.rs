//! DNS messages (RFC 1035, SRV: RFC 2782), as much of them as it takes to look up names: a
//! question out, and the records that answer it in. Whatever a reply holds, reading it ends and
//! never panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairwater_message::address::HOST_LABEL_BYTES_MAX;

/// The kinds of records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
}

/// What a reply says about the question.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Records {
        records: Vec<Record>,
        /// For how long all of them hold: the shortest time on the way to them.
        ttl_s: u32,
    },
    /// There is no such name.
    NoName,
    /// The answer is longer than a datagram: to be asked for over TCP.
    Truncated,
    /// The server cannot or does not want to answer; its code (RFC 1035, section 4.1.1).
    Refused(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Service { priority: u16, weight: u16, port: u16, target: String },
}

/// Why a message is no reply to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It answers another one: late, or forged. The right one may still come.
    Foreign,
    Malformed,
}

/// The server did not understand the question; without EDNS it may.
pub const FORMAT_ERROR: u8 = 1;
/// As [`FORMAT_ERROR`].
pub const NOT_IMPLEMENTED: u8 = 4;

/// The largest datagram that passes every network unbroken (dnsflagday.net/2020).
pub const DATAGRAM_BYTES_MAX: usize = 1232;

/// Aliases that lead from a name to its records; more are a loop.
const ALIASES_MAX: usize = 16;

const HEADER_BYTES: usize = 12;
/// A name as messages carry it, lengths of its labels included (RFC 1035, section 2.3.4).
const WIRE_NAME_BYTES_MAX: usize = 255;
const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_OPT: u16 = 41;
const NO_SUCH_NAME: u8 = 3;

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// A question to a recursive server. With `is_edns` it may answer with [`DATAGRAM_BYTES_MAX`], else
/// with 512 bytes. `None` for a name that does not fit.
pub fn write_query(id: u16, name: &str, kind: Kind, is_edns: bool) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut out = Vec::with_capacity(HEADER_BYTES + name.len() + 17);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, u16::from(is_edns)] {
        out.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > HOST_LABEL_BYTES_MAX {
            return None;
        }
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len() - HEADER_BYTES > WIRE_NAME_BYTES_MAX {
        return None;
    }
    out.extend(kind.number().to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    if is_edns {
        // An empty name, the size, no flags, no options (RFC 6891).
        out.push(0);
        out.extend(TYPE_OPT.to_be_bytes());
        out.extend((DATAGRAM_BYTES_MAX as u16).to_be_bytes());
        out.extend([0; 6]);
    }
    Some(out)
}

/// Reads the reply to a question. `name` is in lower case.
///
/// # Errors
/// See [`Unfit`].
pub fn read_reply(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Result<Reply, Unfit> {
    let mut reader = Reader { bytes, at: 0 };
    let [its_id, flags, questions, answers, _, _] = {
        let mut words = [0; 6];
        for word in &mut words {
            *word = reader.u16()?;
        }
        words
    };
    let (is_reply, opcode) = (flags & 0x8000 != 0, flags >> 11 & 0xf);
    if its_id != id || !is_reply || opcode != 0 {
        return Err(Unfit::Foreign);
    }
    let code = (flags & 0xf) as u8;
    match questions {
        1 => {
            let asked = (reader.name()?, reader.u16()?, reader.u16()?);
            if asked != (name.to_owned(), kind.number(), CLASS_IN) {
                return Err(Unfit::Foreign);
            }
        }
        // Some servers leave it out when they could not read it.
        0 if code != 0 => {}
        _ => return Err(Unfit::Malformed),
    }
    let is_truncated = flags & 0x0200 != 0;
    match code {
        _ if is_truncated => Ok(Reply::Truncated),
        0 => answer(&mut reader, answers, name, kind),
        NO_SUCH_NAME => Ok(Reply::NoName),
        code => Ok(Reply::Refused(code)),
    }
}

/// A record of the answer, not yet looked into.
struct Raw {
    owner: String,
    kind: u16,
    ttl_s: u32,
    /// Where its data is.
    start: usize,
    end: usize,
}

fn answer(reader: &mut Reader<'_>, count: u16, name: &str, kind: Kind) -> Result<Reply, Unfit> {
    let mut raws = Vec::new();
    for _ in 0..count {
        let owner = reader.name()?;
        let (kind, class) = (reader.u16()?, reader.u16()?);
        let ttl_s = u32::from(reader.u16()?) << 16 | u32::from(reader.u16()?);
        // A set highest bit means 0 (RFC 2181, section 8).
        let ttl_s = if ttl_s > i32::MAX as u32 { 0 } else { ttl_s };
        let len = usize::from(reader.u16()?);
        let start = reader.at;
        reader.take(len)?;
        if class == CLASS_IN {
            raws.push(Raw { owner, kind, ttl_s, start, end: reader.at });
        }
    }
    let mut ttl_s = u32::MAX;
    let mut owner = name.to_owned();
    for _ in 0..ALIASES_MAX {
        let alias = raws.iter().find(|raw| raw.kind == TYPE_CNAME && raw.owner == owner);
        let Some(alias) = alias else { break };
        ttl_s = ttl_s.min(alias.ttl_s);
        owner = Reader { bytes: reader.bytes, at: alias.start }.name()?;
    }
    let mut records = Vec::new();
    for raw in raws.iter().filter(|raw| raw.kind == kind.number() && raw.owner == owner) {
        ttl_s = ttl_s.min(raw.ttl_s);
        records.push(record(reader.bytes, raw, kind)?);
    }
    Ok(Reply::Records { records, ttl_s })
}

fn record(bytes: &[u8], raw: &Raw, kind: Kind) -> Result<Record, Unfit> {
    let data = &bytes[raw.start..raw.end];
    match kind {
        Kind::A => {
            let octets: [u8; 4] = data.try_into().map_err(|_| Unfit::Malformed)?;
            Ok(Record::Address(Ipv4Addr::from(octets).into()))
        }
        Kind::Aaaa => {
            let octets: [u8; 16] = data.try_into().map_err(|_| Unfit::Malformed)?;
            Ok(Record::Address(Ipv6Addr::from(octets).into()))
        }
        Kind::Srv => {
            // The target may point back into the message, so the reader sees all of it.
            let mut reader = Reader { bytes: &bytes[..raw.end], at: raw.start };
            let (priority, weight, port) = (reader.u16()?, reader.u16()?, reader.u16()?);
            Ok(Record::Service { priority, weight, port, target: reader.name()? })
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unfit> {
        let end = self.at.checked_add(len).ok_or(Unfit::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Unfit::Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Unfit> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Unfit> {
        let two = self.take(2)?;
        Ok(u16::from_be_bytes([two[0], two[1]]))
    }

    /// A name in lower case with dots between its labels, and none for the root. What is no
    /// character of a host name is written as its number, so that no other name reads the same.
    fn name(&mut self) -> Result<String, Unfit> {
        let mut name = String::new();
        let mut reader = Reader { bytes: self.bytes, at: self.at };
        let mut end = None;
        let mut wire_bytes = 1;
        loop {
            let start = reader.at;
            let len = usize::from(reader.u8()?);
            if len == 0 {
                break;
            }
            if len & 0xc0 == 0xc0 {
                let target = (len & 0x3f) << 8 | usize::from(reader.u8()?);
                end.get_or_insert(reader.at);
                // Only ever backwards, and so to an end.
                if target >= start {
                    return Err(Unfit::Malformed);
                }
                // What lies behind the pointer is read for the second time at most.
                reader = Reader { bytes: &self.bytes[..start], at: target };
                continue;
            }
            if len > HOST_LABEL_BYTES_MAX {
                return Err(Unfit::Malformed);
            }
            wire_bytes += 1 + len;
            if wire_bytes > WIRE_NAME_BYTES_MAX {
                return Err(Unfit::Malformed);
            }
            if !name.is_empty() {
                name.push('.');
            }
            for &byte in reader.take(len)? {
                match byte {
                    b'-' | b'_' => name.push(char::from(byte)),
                    byte if byte.is_ascii_alphanumeric() => {
                        name.push(char::from(byte.to_ascii_lowercase()));
                    }
                    byte => name.push_str(&format!("\\{byte:03}")),
                }
            }
        }
        self.at = end.unwrap_or(reader.at);
        Ok(name)
    }
}

#[cfg(test)]
mod tests;
