//! The code against lines of its table, and strings against a decoder that goes bit by bit.

use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A code and its bits, by symbol.
static CODES: LazyLock<Vec<(u32, u8)>> = LazyLock::new(codes);

static SYMBOLS_OF_CODES: LazyLock<HashMap<(u32, u8), u16>> =
    LazyLock::new(|| CODES.iter().copied().zip(0..).collect());

fn codes() -> Vec<(u32, u8)> {
    let mut codes = vec![(0, 0); BITS.len()];
    let mut code = 0;
    for bits in 1..=LONGEST_BITS as u8 {
        code *= 2;
        for symbol in (0..BITS.len()).filter(|&symbol| BITS[symbol] == bits) {
            codes[symbol] = (code, bits);
            code += 1;
        }
    }
    codes
}

fn encode(string: &[u8]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for &byte in string {
        let (code, count) = CODES[usize::from(byte)];
        bits.extend((0..count).rev().map(|bit| code >> bit & 1 == 1));
    }
    pack(&bits)
}

/// Into bytes, the last filled with ones.
fn pack(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| {
        (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&true)))
    };
    bits.chunks(8).map(byte).collect()
}

/// What the text of the standard says, word by word.
fn decode_slowly(string: &[u8]) -> Result<Vec<u8>, HpackError> {
    let (mut code, mut count, mut decoded) = (0, 0, Vec::new());
    for at in 0..8 * string.len() {
        code = code << 1 | u32::from(string[at / 8] >> (7 - at % 8) & 1);
        count += 1;
        if let Some(&symbol) = SYMBOLS_OF_CODES.get(&(code, count)) {
            decoded.push(u8::try_from(symbol).map_err(|_| HpackError::EndOfString)?);
            (code, count) = (0, 0);
        }
    }
    if count < 8 && code == (1 << count) - 1 { Ok(decoded) } else { Err(HpackError::Padding) }
}

fn decode_quickly(string: &[u8]) -> Result<Vec<u8>, HpackError> {
    // What is behind the room is left alone.
    let mut out = vec![0xee; room(string.len()) + 3];
    let (start, end) = out.split_at_mut(room(string.len()));
    let len = decode(string, start)?;
    assert_eq!(end, [0xee; 3]);
    out.truncate(len);
    Ok(out)
}

fn check(string: &[u8]) {
    assert_eq!(decode_quickly(string), decode_slowly(string), "{string:02x?}");
}

#[test]
fn the_code_is_that_of_the_standard() {
    for (symbol, code, bits) in [
        (0, 0x1ff8, 13),
        (1, 0x7f_ffd8, 23),
        (10, 0x3fff_fffc, 30),
        (b' '.into(), 0x14, 6),
        (b'&'.into(), 0xf8, 8),
        (b'0'.into(), 0, 5),
        (b'\\'.into(), 0x7_fff0, 19),
        (b'a'.into(), 3, 5),
        (b'z'.into(), 0x7b, 7),
        (127, 0xfff_fffc, 28),
        (128, 0xf_ffe6, 20),
        (249, 0xfff_fffe, 28),
        (255, 0x3ff_ffee, 26),
        (256, 0x3fff_ffff, 30),
    ] {
        assert_eq!(CODES[symbol], (code, bits), "{symbol}");
    }
    // No sequence of bits is without a meaning.
    let share: u32 = BITS.iter().map(|&bits| 1 << (LONGEST_BITS - usize::from(bits))).sum();
    assert_eq!(share, 1 << LONGEST_BITS);
}

#[test]
fn every_byte_is_read_behind_every_other() {
    for byte in 0..=255 {
        for next in 0..=255 {
            let string = [byte, next, next, byte];
            assert_eq!(decode_quickly(&encode(&string)).unwrap(), string);
        }
    }
}

#[test]
fn any_two_bytes_are_read_as_bit_by_bit() {
    (0..=u16::MAX).for_each(|bytes| check(&bytes.to_be_bytes()));
}

#[test]
fn what_is_wrong_with_a_string_is_named() {
    for (string, error) in [
        // `a`, and more ones or others than there should be.
        (&[0x18][..], HpackError::Padding),
        (&[0x1e], HpackError::Padding),
        (&[0x1f, 0xff], HpackError::Padding),
        (&[0xff], HpackError::Padding),
        (&[0xff, 0xff, 0xff], HpackError::Padding),
        (&[0xff, 0xff, 0xff, 0xff], HpackError::EndOfString),
        (&[0xff, 0xff, 0xff, 0xfc, 0x1f], HpackError::EndOfString),
        (&[0x1f, 0xff, 0xff, 0xff, 0xff], HpackError::EndOfString),
    ] {
        assert_eq!(decode_quickly(string), Err(error), "{string:02x?}");
    }
    assert_eq!(decode_quickly(&[0x1f]).unwrap(), b"a");
    assert_eq!(decode_quickly(&[]).unwrap(), b"");
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_bit_by_bit(string in vec(any::<u8>(), 0..60)) {
        check(&string);
    }

    /// Mostly ones, as in the longest codes.
    #[test]
    fn long_codes_are_read_as_bit_by_bit(bits in vec(prop::bool::weighted(0.93), 0..300)) {
        check(&pack(&bits));
    }

    #[test]
    fn what_is_encoded_is_decoded(string in vec(any::<u8>(), 0..100), text in "[ -~]{0,100}") {
        for string in [&string[..], text.as_bytes()] {
            prop_assert_eq!(decode_quickly(&encode(string)).unwrap(), string);
        }
    }
}
