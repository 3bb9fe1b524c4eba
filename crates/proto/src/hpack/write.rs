//! Fields, compressed without a memory: what the static table has goes by its index, the rest as it
//! is.

use fairwater_message::HeaderId;

use super::integer;
use super::static_table::{ENTRIES, find, index_of};

/// Flags of a field with a value of its own that comes into no table (RFC 7541, section 6.2).
const NOT_INDEXED: u8 = 0;
/// Nor into that of any later hop.
const NEVER_INDEXED: u8 = 0x10;
/// The bits beside them.
const PREFIX: u32 = 4;

/// A shorter cookie could be guessed by how well it is compressed (section 7.1.3).
const GUESSABLE_COOKIE_BYTES: usize = 20;

const INDEXED: u8 = 0x80;
const TABLE_SIZE: u8 = 0x20;

const METHOD: u8 = 2;
const PATH: u8 = 4;
const SCHEME: u8 = 6;
const STATUS: u8 = 8;
const ACCEPT_ENCODING: u8 = 16;
const AUTHORIZATION: u8 = 23;
const COOKIE: u8 = 32;
const PROXY_AUTHORIZATION: u8 = 49;
const SET_COOKIE: u8 = 55;

/// Writes a field, whose name is in small letters.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match find(name) {
        Some(index) => write_indexed(out, index, value),
        None => write_plain(out, name, value),
    }
}

/// The same for one that may come into no table of any later hop: because it came so (section
/// 6.2.3).
pub fn write_secret(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match find(name) {
        Some(index) => write_literal(out, NEVER_INDEXED, index, value),
        None => {
            out.push(NEVER_INDEXED);
            write_string(out, name);
            write_string(out, value);
        }
    }
}

/// The name of a field, as it goes into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    name: &'static str,
    /// Of the static table; 0 for one that is not there.
    index: u8,
}

/// By the number of an id.
static INDEXES: [u8; HeaderId::NAMED.len()] = {
    let mut indexes = [0; HeaderId::NAMED.len()];
    let mut at = 0;
    while at < indexes.len() {
        indexes[HeaderId::NAMED[at] as usize] = index_of(HeaderId::NAMED[at].name().as_bytes());
        at += 1;
    }
    indexes
};

impl Name {
    /// Of an id that has one.
    #[inline]
    pub fn of(id: HeaderId) -> Self {
        Self { name: id.name(), index: INDEXES.get(id as usize).copied().unwrap_or(0) }
    }

    pub fn write(self, out: &mut Vec<u8>, value: &[u8]) {
        match self.index {
            0 => write_plain(out, self.name.as_bytes(), value),
            index => write_indexed(out, index, value),
        }
    }

    /// With a value of ours, which `write` appends: it is no secret.
    #[inline]
    pub fn write_with(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self.index {
            0 => {
                out.push(NOT_INDEXED);
                write_string(out, self.name.as_bytes());
            }
            index => integer::write(out, NOT_INDEXED, PREFIX, usize::from(index)),
        }
        let at = out.len();
        out.push(0);
        write(out);
        let len = out.len() - at - 1;
        match u8::try_from(len) {
            Ok(short) if short < 0x7f => out[at] = short,
            _ => lengthen(out, at, len),
        }
    }
}

/// Puts a length that needs more than its byte before what was written behind that.
#[cold]
fn lengthen(out: &mut Vec<u8>, at: usize, len: usize) {
    let mut number = Vec::new();
    integer::write(&mut number, 0, 7, len);
    out.splice(at..=at, number);
}

fn write_plain(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(NOT_INDEXED);
    write_string(out, name);
    write_string(out, value);
}

/// With a name of the static table.
fn write_indexed(out: &mut Vec<u8>, index: u8, value: &[u8]) {
    let flags = if is_secret(index, value) {
        NEVER_INDEXED
    } else if let Some(whole) = find_whole(index, value) {
        out.push(INDEXED | whole);
        return;
    } else {
        NOT_INDEXED
    };
    write_literal(out, flags, index, value);
}

/// Writes `:status`; of three digits, as all are.
pub fn write_status(out: &mut Vec<u8>, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let [hundreds, tens, ones] =
                [status / 100, status / 10, status].map(|number| b'0' + (number % 10) as u8);
            return out.extend_from_slice(&[NOT_INDEXED | STATUS, 3, hundreds, tens, ones]);
        }
    };
    out.push(INDEXED | index);
}

/// To be written once at the front of the first block, so that the peer may forget its table.
pub fn write_table_size(out: &mut Vec<u8>, bytes: u32) {
    integer::write(out, TABLE_SIZE, 5, bytes as usize);
}

#[inline]
fn is_secret(index: u8, value: &[u8]) -> bool {
    match index {
        AUTHORIZATION | PROXY_AUTHORIZATION | SET_COOKIE => true,
        COOKIE => value.len() < GUESSABLE_COOKIE_BYTES,
        _ => false,
    }
}

/// The entry with this value, of those with the name of the entry `first`.
#[inline]
fn find_whole(first: u8, value: &[u8]) -> Option<u8> {
    let last = match first {
        METHOD => 3,
        PATH => 5,
        SCHEME => 7,
        STATUS => 14,
        ACCEPT_ENCODING => ACCEPT_ENCODING,
        // The others have no value.
        _ => return value.is_empty().then_some(first),
    };
    (first..=last).find(|&index| ENTRIES[usize::from(index) - 1].1 == value)
}

/// Writes a value under the name with this index.
#[inline(always)]
fn write_literal(out: &mut Vec<u8>, flags: u8, index: u8, value: &[u8]) {
    if value.len() >= 0x7f {
        integer::write(out, flags, PREFIX, usize::from(index));
        integer::write(out, 0, 7, value.len());
    } else if index < 0x0f {
        out.extend_from_slice(&[flags | index, value.len() as u8]);
    } else {
        // No name has an index that needs a third byte.
        out.extend_from_slice(&[flags | 0x0f, index - 0x0f, value.len() as u8]);
    }
    out.extend_from_slice(value);
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer::write(out, 0, 7, bytes.len());
    out.extend_from_slice(bytes);
}
