//! Numbers that say how long a message is: read from bytes that may come one by one, and written.

use fairwater_message::frame::{LengthField, Number, VARINT_BYTES_MAX};

use super::BadFrame;

/// The number and its size, if it can be read without a look at single bytes: a whole message that
/// is not tiny has eight bytes from its number on.
#[inline]
pub(super) fn at_once(field: &LengthField, bytes: &[u8]) -> Result<Option<(u64, u32)>, BadFrame> {
    let Number::Binary { bytes: size, is_signed, is_little } = field.number else {
        return Ok(None);
    };
    let rest = bytes.get(field.offset as usize..).unwrap_or_default();
    let Some(word) = rest.first_chunk::<8>() else { return Ok(None) };
    let unused = 64 - 8 * u32::from(size);
    let high = match is_little {
        true => u64::from_le_bytes(*word) << unused,
        false => u64::from_be_bytes(*word),
    };
    Ok(Some((value(high, unused, is_signed)?, u32::from(size))))
}

/// Takes in the byte at `place` of a number; the number, if that is its last one. `part` is what is
/// known of it, at first 0.
pub(super) fn step(
    number: Number,
    part: &mut u64,
    place: u32,
    byte: u8,
) -> Result<Option<u64>, BadFrame> {
    match number {
        Number::Binary { bytes, is_signed, is_little } => {
            *part = match is_little {
                true => *part | u64::from(byte) << (8 * place),
                false => *part << 8 | u64::from(byte),
            };
            let unused = 64 - 8 * u32::from(bytes);
            let is_last = place + 1 == u32::from(bytes);
            is_last.then(|| value(*part << unused, unused, is_signed)).transpose()
        }
        Number::Varint => varint(part, place, byte),
        Number::Ascii { digits } => {
            if !byte.is_ascii_digit() {
                return Err(BadFrame::Digit);
            }
            *part = *part * 10 + u64::from(byte - b'0');
            Ok((place + 1 == u32::from(digits)).then_some(*part))
        }
    }
}

/// A number whose bits are the high ones of 64, without the `unused` below them.
#[inline]
fn value(high: u64, unused: u32, is_signed: bool) -> Result<u64, BadFrame> {
    if is_signed && high >> 63 == 1 {
        return Err(BadFrame::Negative);
    }
    Ok(high >> unused)
}

/// Ten bytes hold 64 bits. A number must be written in as few as will do: MQTT demands it (5.0,
/// section 1.5.5), and what writes Protocol Buffers does it, though what reads them takes others
/// too. On a connection that clients share, an endpoint that reads one differently would answer one
/// client with what belongs to another.
fn varint(part: &mut u64, place: u32, byte: u8) -> Result<Option<u64>, BadFrame> {
    let is_last = byte & 0x80 == 0;
    if place + 1 == VARINT_BYTES_MAX {
        if !is_last {
            return Err(BadFrame::Varint);
        }
        if byte > 1 {
            return Err(BadFrame::Overflow);
        }
    }
    if is_last && byte == 0 && place > 0 {
        return Err(BadFrame::Varint);
    }
    *part |= u64::from(byte & 0x7f) << (7 * place);
    Ok(is_last.then_some(*part))
}

/// Writes a number over all of `place`, which has the size of it; not a varint.
pub(super) fn put(number: Number, value: u64, place: &mut [u8]) {
    let size = place.len();
    match number {
        Number::Binary { is_little: true, .. } => {
            place.copy_from_slice(&value.to_le_bytes()[..size]);
        }
        Number::Binary { is_little: false, .. } => {
            place.copy_from_slice(&value.to_be_bytes()[8 - size..]);
        }
        Number::Ascii { .. } => {
            let mut rest = value;
            for digit in place.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        Number::Varint => {}
    }
}

/// Appends a varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
