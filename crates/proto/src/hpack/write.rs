//! Fields, compressed without a memory: what the static table has goes by its index, the rest as it
//! is.

use super::integer;
use super::static_table::{ENTRIES, find};

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
const AUTHORIZATION: u8 = 23;
const COOKIE: u8 = 32;
const PROXY_AUTHORIZATION: u8 = 49;
const SET_COOKIE: u8 = 55;

/// Writes a field, whose name is in small letters.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let Some(index) = find(name) else {
        out.push(NOT_INDEXED);
        write_string(out, name);
        write_string(out, value);
        return;
    };
    let is_secret = match index {
        AUTHORIZATION | PROXY_AUTHORIZATION | SET_COOKIE => true,
        COOKIE => value.len() < GUESSABLE_COOKIE_BYTES,
        _ => false,
    };
    if is_secret {
        integer::write(out, NEVER_INDEXED, PREFIX, usize::from(index));
    } else if let Some(whole) = find_whole(index, value) {
        out.push(INDEXED | whole);
        return;
    } else {
        integer::write(out, NOT_INDEXED, PREFIX, usize::from(index));
    }
    write_string(out, value);
}

/// Writes `:status`; of three digits, as all are.
pub fn write_status(out: &mut Vec<u8>, status: u16) {
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
    match find_whole(STATUS, &digits) {
        Some(index) => out.push(INDEXED | index),
        None => {
            let [hundreds, tens, ones] = digits;
            out.extend_from_slice(&[NOT_INDEXED | STATUS, 3, hundreds, tens, ones]);
        }
    }
}

/// To be written once at the front of the first block, so that the peer may forget its table.
pub fn write_table_size(out: &mut Vec<u8>, bytes: u32) {
    integer::write(out, TABLE_SIZE, 5, bytes as usize);
}

/// The entry with this value, of those with the name of the entry `first`.
fn find_whole(first: u8, value: &[u8]) -> Option<u8> {
    let last = match first {
        METHOD => 3,
        PATH => 5,
        SCHEME => 7,
        STATUS => 14,
        only => only,
    };
    (first..=last).find(|&index| ENTRIES[usize::from(index) - 1].1 == value)
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer::write(out, 0, 7, bytes.len());
    out.extend_from_slice(bytes);
}
