//! Numbers (RFC 7541, section 5.1): what fits stands beside the flags in one byte, the rest in
//! groups of seven bits, the lowest first.

use super::HpackError;

/// More groups than 32 bits need are padding, or an attack.
const GROUPS_MAX: u32 = 5;

/// Reads a number whose first `prefix` bits, at most 7, are the low ones of `first`, which is taken
/// already.
#[inline]
pub(super) fn read(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<u32, HpackError> {
    let mask = (1 << prefix) - 1;
    match first & mask {
        short if short < mask => Ok(u32::from(short)),
        _ => read_groups(u64::from(mask), rest),
    }
}

#[cold]
fn read_groups(mut value: u64, rest: &mut &[u8]) -> Result<u32, HpackError> {
    for group in 0..GROUPS_MAX {
        let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = behind;
        value += u64::from(byte & 0x7f) << (7 * group);
        if byte < 0x80 {
            return u32::try_from(value).map_err(|_| HpackError::Integer);
        }
    }
    Err(HpackError::Integer)
}

/// Writes a number beside `flags`, for which the byte has room above its lowest `prefix` bits.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, flags: u8, prefix: u32, value: usize) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        out.push(flags | value as u8);
    } else {
        out.push(flags | mask as u8);
        write_groups(out, value - mask);
    }
}

fn write_groups(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
