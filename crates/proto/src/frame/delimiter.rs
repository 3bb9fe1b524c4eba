//! Where a delimiter ends in a stream, however that is cut.

use memchr::{memchr, memmem};

/// What the next bytes hold of a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It ends behind so many of them.
    End(usize),
    /// It does not. So many bytes at the end of the stream may be the beginning of one.
    Begun(usize),
}

/// Looks through the next bytes, in front of which stood the first `begun` bytes of the delimiter.
/// The first one counts that is complete, as it does where none of the bytes came late.
#[inline]
pub(super) fn find(delimiter: &[u8], begun: usize, bytes: &[u8]) -> Found {
    if let [byte] = delimiter {
        return memchr(*byte, bytes).map_or(Found::Begun(0), |at| Found::End(at + 1));
    }
    find_long(delimiter, begun, bytes)
}

fn find_long(delimiter: &[u8], begun: usize, bytes: &[u8]) -> Found {
    // Those that begin in front of these bytes; the first of them is the one that ends first.
    let starts = (1..=begun).rev().filter(|&len| is_beginning(delimiter, &delimiter[..begun], len));
    for len in starts {
        let rest = &delimiter[len..];
        let common = rest.len().min(bytes.len());
        if rest[..common] == bytes[..common] {
            let is_whole = common == rest.len();
            return if is_whole { Found::End(common) } else { Found::Begun(len + common) };
        }
    }
    if let Some(at) = memmem::find(bytes, delimiter) {
        return Found::End(at + delimiter.len());
    }
    let longest = bytes.len().min(delimiter.len().saturating_sub(1));
    let begun = (1..=longest).rev().find(|&len| is_beginning(delimiter, bytes, len));
    Found::Begun(begun.unwrap_or(0))
}

/// Whether `bytes` end with the first `len` of the delimiter.
fn is_beginning(delimiter: &[u8], bytes: &[u8], len: usize) -> bool {
    bytes.ends_with(&delimiter[..len])
}
