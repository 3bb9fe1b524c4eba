//! The code in which HPACK writes strings (RFC 7541, appendix B), as far as it is for the letters
//! that header fields here are made of: those of 5 to 15 bits.

/// The symbols of each length, in order. Codes of a length count up, and those of the next length
/// go on where they end, so that the code follows from this alone.
const SYMBOLS: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// Each length with its first code and its symbols.
fn rows() -> impl Iterator<Item = (u32, u32, &'static [u8])> {
    let (mut code, mut length) = (0, 0);
    SYMBOLS.into_iter().map(move |(bits, symbols)| {
        code <<= bits - length;
        length = bits;
        let first = code;
        code += symbols.len() as u32;
        (bits, first, symbols)
    })
}

/// None when a letter is not among those above.
pub(super) fn encode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut held, mut count) = (0_u64, 0);
    for letter in text {
        let (bits, code) = rows().find_map(|(bits, first, symbols)| {
            Some((bits, first + symbols.iter().position(|symbol| symbol == letter)? as u32))
        })?;
        held = held << bits | u64::from(code);
        count += bits;
        while count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    if count > 0 {
        // Filled up with ones, the beginning of a longer code.
        out.push((held << (8 - count)) as u8 | 0xff >> count);
    }
    Some(out)
}

/// None when it is no such text.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut length) = (0_u32, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        let row = rows().find(|row| row.0 == length);
        let symbol =
            row.and_then(|(_, first, symbols)| symbols.get(code.checked_sub(first)? as usize));
        if let Some(symbol) = symbol {
            out.push(*symbol);
            (code, length) = (0, 0);
        } else if length > 15 {
            return None;
        }
    }
    // What is left fills up the last byte.
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_come_out_both_ways() {
        let check = |text: &str, bytes: &[u8]| {
            assert_eq!(encode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
            assert_eq!(decode(bytes).as_deref(), Some(text.as_bytes()), "{text}");
        };
        check("www.example.com", b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff");
        check("no-cache", b"\xa8\xeb\x10\x64\x9c\xbf");
        check("302", b"\x64\x02");
        check(
            "https://www.example.com",
            b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
        );
        check("", b"");
    }

    #[test]
    fn every_letter_comes_back() {
        for (_, _, symbols) in rows() {
            assert_eq!(decode(&encode(symbols).unwrap()).as_deref(), Some(symbols));
        }
        assert_eq!(encode(b"\xff"), None);
        assert_eq!(decode(b"\xff\xff"), None);
        assert_eq!(decode(b"\x00\x00"), None, "the last byte is filled up with zeros");
    }
}
