//! Messages that are made here, and those that something is written into.

use fairwater_message::frame::{Framing, LengthField};

use super::{Progress, number};

/// A message would have more bytes than it may have, or than its length can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Appends a message with this body. Bytes of its header that are not the length are zero, and so
/// are those that a body is short of a fixed size; a delimiter that the body ends with is not
/// written again.
///
/// # Errors
/// Nothing is written if it would be too long.
pub fn wrap(framing: &Framing, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let len = payload.len() as u64;
    match framing {
        Framing::Length(field) => return with_length(field, payload, out),
        Framing::Delimiter { bytes, max } => {
            let end = if payload.ends_with(bytes) { &[][..] } else { bytes };
            if len + end.len() as u64 > *max {
                return Err(TooLong);
            }
            out.extend_from_slice(payload);
            out.extend_from_slice(end);
        }
        Framing::Fixed { size } => {
            let missing = size.checked_sub(len).ok_or(TooLong)?;
            out.extend_from_slice(payload);
            out.resize(out.len() + missing as usize, 0);
        }
        Framing::Eof { max } => {
            if len > *max {
                return Err(TooLong);
            }
            out.extend_from_slice(payload);
        }
    }
    Ok(())
}

fn with_length(field: &LengthField, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let (offset, start) = (field.offset as usize, field.body_start() as usize);
    let value = field.value_of(payload.len() as u64).ok_or(TooLong)?;
    let begin = out.len();
    out.resize(begin + offset, 0);
    match field.number.size() {
        Some(size) => {
            out.resize(begin + start, 0);
            let place = &mut out[begin + offset..begin + offset + size as usize];
            number::put(field.number, value, place);
        }
        None => {
            number::put_varint(value, out);
            out.resize(out.len() + start - offset, 0);
        }
    }
    out.extend_from_slice(payload);
    Ok(())
}

/// Where the body of a message begins: behind its length, and behind all that this leaves out.
/// Where the length counts all of the message, whatever stands behind it is the body. The bytes of
/// a varint are not counted in.
pub fn body_start(framing: &Framing) -> usize {
    match framing {
        Framing::Length(field) => field.body_start() as usize,
        Framing::Delimiter { .. } | Framing::Fixed { .. } | Framing::Eof { .. } => 0,
    }
}

/// Rewrites the length at the beginning of a message that so many bytes, at least one, are put
/// into. `head` goes at least as far as [`body_start`]. Where no length is written there is nothing
/// to do.
///
/// # Errors
/// It would be too long. So is all that has a fixed size, and, since another number may have
/// another size, all that has a varint; nothing is changed then.
pub fn lengthen(framing: &Framing, head: &mut [u8], by: usize) -> Result<(), TooLong> {
    let field = match framing {
        Framing::Length(field) => field,
        Framing::Delimiter { .. } | Framing::Eof { .. } => return Ok(()),
        Framing::Fixed { .. } => return Err(TooLong),
    };
    let size = field.number.size().ok_or(TooLong)?;
    let mut progress = Progress::default();
    progress.look(framing, head).map_err(|_| TooLong)?;
    let total = progress.total().ok_or(TooLong)?.checked_add(by as u64).ok_or(TooLong)?;
    let value = total - u64::from(field.body_offset);
    if total > field.max || value > field.number.largest() {
        return Err(TooLong);
    }
    let offset = field.offset as usize;
    number::put(field.number, value, &mut head[offset..offset + size as usize]);
    Ok(())
}
