//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). It is canonical: the codes of
//! one length follow one another in the order of their symbols, and those of the next length follow
//! them, so that the lengths say all of it.

use super::HpackError;

/// Bits of the code of each byte, and of the end.
const BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const END: u16 = 256;
const BITS_MIN: usize = 5;
const BITS_MAX: usize = 30;

/// So many bits are looked up at once. Nearly all codes that are seen have no more.
const QUICK_BITS: u32 = 9;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// Behind the last of them, as the first bits of 32.
    end: u32,
    /// What is to be added to a code for the place of its symbol in `SYMBOLS`.
    offset: u32,
}

/// By length. The end of the longest ones is beyond 32 bits, and stands for all that is left.
const LENGTHS: [Length; BITS_MAX + 1] = lengths();

/// In the order of their codes.
const SYMBOLS: [u16; 257] = symbols();

/// For the next bits their first symbol, and in the highest four the bits of its code; 0 where
/// it is longer.
static QUICK: [u16; 1 << QUICK_BITS] = quick();

const fn symbols() -> [u16; 257] {
    let mut symbols = [0; 257];
    let (mut count, mut bits) = (0, BITS_MIN);
    while bits <= BITS_MAX {
        let mut symbol = 0;
        while symbol < BITS.len() {
            if BITS[symbol] as usize == bits {
                symbols[count] = symbol as u16;
                count += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    symbols
}

const fn lengths() -> [Length; BITS_MAX + 1] {
    let mut lengths = [Length { end: 0, offset: 0 }; BITS_MAX + 1];
    let (mut code, mut place, mut bits) = (0_u32, 0_u32, BITS_MIN);
    while bits <= BITS_MAX {
        lengths[bits].offset = place.wrapping_sub(code);
        let mut symbol = 0;
        while symbol < BITS.len() {
            if BITS[symbol] as usize == bits {
                (code, place) = (code + 1, place + 1);
            }
            symbol += 1;
        }
        let end = (code as u64) << (32 - bits);
        lengths[bits].end = if end > u32::MAX as u64 { u32::MAX } else { end as u32 };
        code <<= 1;
        bits += 1;
    }
    lengths
}

const fn quick() -> [u16; 1 << QUICK_BITS] {
    let mut table = [0; 1 << QUICK_BITS];
    let mut next = 0;
    while next < table.len() {
        let (symbol, bits) = search((next as u32) << (32 - QUICK_BITS));
        if bits <= QUICK_BITS {
            table[next] = symbol | (bits as u16) << 12;
        }
        next += 1;
    }
    table
}

/// The symbol whose code these bits begin with, and how many bits it has.
const fn search(next: u32) -> (u16, u32) {
    let mut bits = BITS_MIN;
    while bits < BITS_MAX && next >= LENGTHS[bits].end {
        bits += 1;
    }
    let place = (next >> (32 - bits)).wrapping_add(LENGTHS[bits].offset);
    (SYMBOLS[place as usize], bits as u32)
}

/// At most so many bytes come out of so many.
pub(super) const fn decoded_bytes_max(encoded_bytes: usize) -> usize {
    encoded_bytes * 8 / BITS_MIN
}

/// Decodes a string into the start of `out`, which has room for all that can come of it. Returns
/// how many bytes these are.
pub(super) fn decode(mut string: &[u8], out: &mut [u8]) -> Result<usize, HpackError> {
    // The next bits are the highest, with ones behind the last.
    let (mut next, mut bits, mut len) = (u64::MAX, 0_u32, 0);
    loop {
        while bits <= 56
            && let Some((&byte, rest)) = string.split_first()
        {
            string = rest;
            let shift = 56 - bits;
            next &= !(u64::from(!byte) << shift);
            bits += 8;
        }
        let quick = QUICK[(next >> (64 - QUICK_BITS)) as usize];
        let (symbol, used) = match quick >> 12 {
            0 => search((next >> 32) as u32),
            used => (quick & 0x0fff, u32::from(used)),
        };
        if used > bits {
            return if bits < 8 && next == u64::MAX { Ok(len) } else { Err(HpackError::Padding) };
        }
        if symbol == END {
            return Err(HpackError::EndOfString);
        }
        out[len] = symbol as u8;
        len += 1;
        next = !(!next << used);
        bits -= used;
    }
}
