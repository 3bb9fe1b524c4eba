//! Values of cookies as letters, digits, `-` and `_` (RFC 4648, section 5), of one length.

use fairwater_tls::Sealed;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Three bytes are four digits, without a rest.
pub(super) const DIGITS_LEN: usize = size_of::<Sealed>() / 3 * 4;
const _: () = assert!(size_of::<Sealed>().is_multiple_of(3));

pub(super) fn encode(bytes: &Sealed, out: &mut Vec<u8>) {
    for triple in bytes.as_chunks::<3>().0 {
        let bits = u32::from_be_bytes([0, triple[0], triple[1], triple[2]]);
        out.extend([18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]));
    }
}

pub(super) fn decode(text: &[u8]) -> Option<Sealed> {
    let text: &[u8; DIGITS_LEN] = text.try_into().ok()?;
    let mut bytes = [0; size_of::<Sealed>()];
    for (four, three) in text.as_chunks::<4>().0.iter().zip(bytes.as_chunks_mut::<3>().0) {
        let mut bits = 0;
        for &digit in four {
            bits = bits << 6 | value(digit)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard() {
        let bytes: Sealed = std::array::from_fn(|at| (at * 7) as u8 ^ 0xa5);
        let mut text = Vec::new();
        encode(&bytes, &mut text);
        assert_eq!(text, b"paKrsLmGj5SdmuPo8f7HzNXS2yApNj8EDQoTGGFud3xFQktQ");
        assert_eq!(decode(&text), Some(bytes));
    }

    #[test]
    fn what_is_none_of_it_is_refused() {
        let mut text = Vec::new();
        encode(&[0xff; size_of::<Sealed>()], &mut text);
        assert_eq!(text, [b'_'; DIGITS_LEN]);
        assert_eq!(decode(&text[1..]), None);
        assert_eq!(decode(&[&text[..], b"A"].concat()), None);
        for wrong in [b'+', b'/', b'=', b' ', b'"', 0, 0xff] {
            text[5] = wrong;
            assert_eq!(decode(&text), None, "{wrong}");
        }
    }
}
