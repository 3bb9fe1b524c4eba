//! Values in a line: whatever a client sends, a line stays one line of printable ASCII.

/// The most bytes of one value in a line.
pub(crate) const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Bytes as the inside of a JSON string in pure ASCII: nothing that a client sends can end the
/// line, the string, or reach a terminal as a control sequence. A byte above 0x7e is written as the
/// code point of the same number.
pub(crate) fn escape(out: &mut Vec<u8>, value: &[u8]) {
    if value.len() <= VALUE_BYTES_MAX && !has_any::<Odd>(value) {
        out.extend_from_slice(value);
    } else {
        escape_odd(out, value, None);
    }
}

/// As [`escape`], and `end` is escaped as well.
pub(crate) fn escape_until(out: &mut Vec<u8>, value: &[u8], end: Option<u8>) {
    match end {
        Some(byte) if value.contains(&byte) => escape_odd(out, value, end),
        _ => escape(out, value),
    }
}

#[cold]
fn escape_odd(out: &mut Vec<u8>, value: &[u8], end: Option<u8>) {
    for &byte in value.iter().take(VALUE_BYTES_MAX) {
        if Odd::has(byte) || Some(byte) == end {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex_pair(byte));
        } else {
            out.push(byte);
        }
    }
}

/// A set of bytes, told one by one or eight at a time.
pub(crate) trait Bytes {
    fn has(byte: u8) -> bool;
    /// Sets the high bit of a byte that is in the set. A higher byte may then be marked wrongly.
    fn mark(word: u64) -> u64;
}

/// What must not stand in a line as it is: what is no printable ASCII, quote and backslash.
pub(crate) struct Odd;

impl Bytes for Odd {
    #[inline(always)]
    fn has(byte: u8) -> bool {
        !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\')
    }

    #[inline(always)]
    fn mark(word: u64) -> u64 {
        mark_unquotable(word) | mark_byte(word, b'"')
    }
}

/// As [`Bytes::mark`], for all of [`Odd`] but the quote.
#[inline(always)]
pub(crate) fn mark_unquotable(word: u64) -> u64 {
    let below_space = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    let delete_or_high = word.wrapping_add(ONES) | word;
    below_space | delete_or_high | mark_byte(word, b'\\')
}

pub(crate) const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// As [`Bytes::mark`], for one byte.
#[inline(always)]
pub(crate) fn mark_byte(word: u64, byte: u8) -> u64 {
    let differs = word ^ (ONES * u64::from(byte));
    differs.wrapping_sub(ONES) & !differs
}

/// Whether any byte is one of these.
#[inline(always)]
pub(crate) fn has_any<B: Bytes>(value: &[u8]) -> bool {
    let has = |word: &[u8; 8]| B::mark(u64::from_ne_bytes(*word)) & HIGHS != 0;
    match value.last_chunk() {
        // The last word overlaps the one before.
        Some(last) => value.as_chunks().0.iter().any(has) || has(last),
        None => value.iter().any(|&byte| B::has(byte)),
    }
}

pub(crate) fn hex_pair(byte: u8) -> [u8; 2] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_needs_no_escape() {
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for before in 0..40 {
                let mut value = vec![b'a'; 44];
                value[before] = byte;
                assert_eq!(!has_any::<Odd>(&value[..=before]), expected, "{byte} behind {before}");
                assert_eq!(!has_any::<Odd>(&value), expected, "{byte} behind {before}, and more");
                assert_eq!(!has_any::<Odd>(&value[before..]), expected, "{byte} and more");
            }
        }
        assert!(!has_any::<Odd>(b""));
    }

    #[test]
    fn the_sign_behind_a_value_is_escaped_in_it() {
        let mut out = Vec::new();
        escape_until(&mut out, b"a b|c", Some(b'|'));
        escape_until(&mut out, b" |\n", Some(b' '));
        assert_eq!(out, b"a b\\u007cc\\u0020|\\u000a");
    }
}
