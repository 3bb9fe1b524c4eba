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

const SHORTEST_BITS: usize = 5;
const LONGEST_BITS: usize = 30;

/// So many bits are looked up at once: two letters, as a rule.
const QUICK_BITS: u32 = 12;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// Behind the last of them, as the first bits of 32.
    end: u32,
    /// What is to be added to a code for the place of its symbol in `SYMBOLS`.
    offset: u32,
}

/// By length. The end of the longest ones is beyond 32 bits, and stands for all that is left.
static LENGTHS: [Length; LONGEST_BITS + 1] = lengths();

/// In the order of their codes.
static SYMBOLS: [u16; 257] = symbols();

/// What the next bits begin with, by their inverse.
static QUICK: [Quick; 1 << QUICK_BITS] = quick();

/// As many symbols as there are in so few bits, two at most. Nothing, where the first has more.
#[derive(Clone, Copy)]
struct Quick {
    symbols: u16,
    symbols_bits: u8,
    code_bits: u8,
}

const fn symbols() -> [u16; 257] {
    let mut symbols = [0; 257];
    let (mut count, mut bits) = (0, SHORTEST_BITS);
    while bits <= LONGEST_BITS {
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

const fn lengths() -> [Length; LONGEST_BITS + 1] {
    let mut lengths = [Length { end: 0, offset: 0 }; LONGEST_BITS + 1];
    let (mut code, mut place, mut bits) = (0_u32, 0_u32, SHORTEST_BITS);
    while bits <= LONGEST_BITS {
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

const fn quick() -> [Quick; 1 << QUICK_BITS] {
    let mut table = [Quick { symbols: 0, symbols_bits: 0, code_bits: 0 }; 1 << QUICK_BITS];
    let mut at = 0;
    while at < table.len() {
        let next = !(at as u32) << (32 - QUICK_BITS);
        let (first, bits) = search(next);
        // Behind the known bits come zeros, of which more is read than there is.
        let (second, more) = search(next << bits);
        if bits + more <= QUICK_BITS {
            let (symbols, code_bits) = (first | second << 8, (bits + more) as u8);
            table[at] = Quick { symbols, symbols_bits: 16, code_bits };
        } else if bits <= QUICK_BITS {
            table[at] = Quick { symbols: first, symbols_bits: 8, code_bits: bits as u8 };
        }
        at += 1;
    }
    table
}

/// The symbol whose code these bits begin with, and how many bits it has.
const fn search(next: u32) -> (u16, u32) {
    let mut bits = SHORTEST_BITS;
    while bits < LONGEST_BITS && next >= LENGTHS[bits].end {
        bits += 1;
    }
    let place = (next >> (32 - bits)).wrapping_add(LENGTHS[bits].offset);
    (SYMBOLS[place as usize], bits as u32)
}

/// How many bytes have to be at hand for what comes out of so many.
pub(super) const fn room(encoded_bytes: usize) -> usize {
    encoded_bytes * 8 / SHORTEST_BITS + GROUP_BYTES
}

/// Decodes a string into the start of `out`, which has [`room`] for it. Returns how many bytes
/// came of it.
pub(super) fn decode(string: &[u8], out: &mut [u8]) -> Result<usize, HpackError> {
    let mut next = Next { rest: string, inverse: 0, bits: 0 };
    let mut len = 0;
    loop {
        next.fill();
        let (group, bytes, is_whole) = next.take_group()?;
        // Each symbol so far has used five bits of the string or more, so that there is room.
        out[len..len + GROUP_BYTES].copy_from_slice(&group);
        len += bytes;
        if is_whole {
            continue;
        }
        next.fill();
        // Fewer ones than in any code.
        if next.bits < 8 && next.inverse == 0 && next.rest.is_empty() {
            return Ok(len);
        }
        out[len] = next.take_long()?;
        len += 1;
    }
}

/// Symbols that are looked up before they are written.
const GROUP_BYTES: usize = 8;

/// The bits of a string that come next.
struct Next<'a> {
    rest: &'a [u8],
    /// The first is the highest, and each is inverted: so that ones follow the last, as they shall
    /// in the last byte.
    inverse: u64,
    /// So many of them are not in `rest`.
    bits: u32,
}

impl Next<'_> {
    /// Makes at least 56 bits ready, or all that there are. Bits of a byte that is not taken whole
    /// are put there too, and once more with the next word.
    #[inline]
    fn fill(&mut self) {
        let word = match self.rest.first_chunk() {
            Some(word) => !u64::from_be_bytes(*word),
            None => last_word(self.rest),
        };
        self.inverse |= word >> self.bits;
        let bytes = (((63 - self.bits) / 8) as usize).min(self.rest.len());
        self.rest = &self.rest[bytes..];
        self.bits += 8 * bytes as u32;
    }

    /// Looks up what comes next, four times without a branch: where nothing was found, nothing is
    /// added, then and after. Returns the symbols, how many they are, and whether more can be found
    /// in this way.
    #[inline]
    fn take_group(&mut self) -> Result<([u8; GROUP_BYTES], usize, bool), HpackError> {
        let (mut symbols, mut symbols_bits, mut code_bits, mut is_whole) = (0, 0, 0, true);
        for _ in 0..GROUP_BYTES / 2 {
            let quick = QUICK[(self.inverse >> (64 - QUICK_BITS)) as usize];
            symbols |= u64::from(quick.symbols) << symbols_bits;
            symbols_bits += u32::from(quick.symbols_bits);
            code_bits += u32::from(quick.code_bits);
            self.inverse <<= quick.code_bits;
            is_whole = quick.code_bits != 0;
        }
        // A code that needs the ones behind the last byte is none.
        self.bits = self.bits.checked_sub(code_bits).ok_or(HpackError::Padding)?;
        Ok((symbols.to_le_bytes(), symbols_bits as usize / 8, is_whole))
    }

    fn take_long(&mut self) -> Result<u8, HpackError> {
        let (symbol, bits) = search((!self.inverse >> 32) as u32);
        self.bits = self.bits.checked_sub(bits).ok_or(HpackError::Padding)?;
        self.inverse <<= bits;
        u8::try_from(symbol).map_err(|_| HpackError::EndOfString)
    }
}

/// Fewer than eight bytes, inverted and with ones behind them.
fn last_word(bytes: &[u8]) -> u64 {
    let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(!byte));
    // Of no bytes it is 0 anyway.
    word << ((64 - 8 * bytes.len()) % 64)
}

#[cfg(test)]
mod tests;
