//! Bytes looked at eight at a time. What is asked of a word must be asked of each byte alone, since
//! some may come twice.

const ONES: u64 = u64::MAX / 0xff;
/// The highest bit of each byte, in which the answers stand.
const HIGH: u64 = ONES << 7;

/// Whether any byte is a control character, tabs among them.
#[inline(always)]
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    any(bytes, |word| {
        // "A byte below n" and "a byte of value n": Sean Anderson's bit tricks. Either may take a
        // byte above one that is found for another.
        let delete = word ^ (ONES * 0x7f);
        (word.wrapping_sub(ONES * 0x20) & !word) | (delete.wrapping_sub(ONES) & !delete)
    })
}

/// Whether any byte is below a space.
#[inline(always)]
pub(crate) fn has_low(bytes: &[u8]) -> bool {
    any(bytes, |word| word.wrapping_sub(ONES * 0x20) & !word)
}

/// Where a byte stands first, for what is mostly near the front: a search that pays off behind some
/// tens of bytes begins with a call.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        // The lowest bit that is set is right; those above it may not be.
        let found = differs.wrapping_sub(ONES) & !differs & HIGH;
        if found != 0 {
            return Some(at * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter().position(|&one| one == byte).map(|at| bytes.len() - rest.len() + at)
}

/// Whether a test, which answers in the highest bit of each byte, finds one.
#[inline(always)]
fn any(bytes: &[u8], test: impl Fn(u64) -> u64) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return !bytes.is_empty() && test(short(bytes)) & HIGH != 0;
    };
    let before = bytes[..bytes.len() - 1].as_chunks().0;
    let all = before.iter().fold(test(u64::from_le_bytes(*last)), |found, word| {
        found | test(u64::from_le_bytes(*word))
    });
    all & HIGH != 0
}

/// One to seven bytes; some of them come twice.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    let [first, middle, last] = [0, bytes.len() / 2, bytes.len() - 1].map(|at| bytes[at]);
    u64::from_le_bytes([first, middle, last, first, first, first, first, first])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte in each place of texts of each length, among others that are plain.
    fn for_each_text(check: impl Fn(&[u8], u8)) {
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut text = b"abcdefghij0123456789"[..len].to_vec();
                    text[at] = byte;
                    check(&text, byte);
                }
            }
        }
    }

    #[test]
    fn each_test_says_what_a_look_at_each_byte_says() {
        for_each_text(|text, byte| {
            assert_eq!(has_low(text), byte < 0x20, "{text:?}");
            assert_eq!(has_control(text), byte < 0x20 || byte == 0x7f, "{text:?}");
            assert_eq!(find(text, b':'), text.iter().position(|&b| b == b':'), "{text:?}");
        });
    }

    #[test]
    fn nothing_is_in_nothing() {
        assert!(!has_low(b"") && !has_control(b""));
        assert_eq!(find(b"", b':'), None);
    }
}
