//! Blocks of HPACK that are made once and sent again and again.
//!
//! A field that stays the same is put into the other side's table by the first block of a
//! connection, and is an index from then on, as with every client and server of HTTP/2.

use super::hpack::{STATIC, STATIC_COUNT};
use super::huffman;

pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
    /// Others are written out each time.
    pub(super) stays: bool,
}

impl Field {
    pub(super) fn fixed(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), stays: true }
    }

    pub(super) fn varying(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), stays: false }
    }
}

/// The same fields in all the ways that are needed.
pub(super) struct Block {
    /// At first, in a table that is empty, or has what the blocks before it have put there.
    pub(super) first: Vec<u8>,
    /// From then on.
    pub(super) next: Vec<u8>,
    /// For those who keep no table; the size of theirs has to be said before, once.
    pub(super) plain: Vec<u8>,
}

impl Block {
    /// Those that are sent one after the other, always together.
    pub(super) fn series<const N: usize>(parts: [&[Field]; N]) -> [Self; N] {
        let kept = parts.iter().flat_map(|part| part.iter()).filter(|field| is_kept(field)).count();
        let mut index = STATIC_COUNT + kept;
        parts.map(|fields| {
            let mut block = Self { first: Vec::new(), next: Vec::new(), plain: Vec::new() };
            for field in fields {
                let all = [&mut block.first, &mut block.next, &mut block.plain];
                if let Some(index) = whole(field) {
                    all.into_iter().for_each(|out| integer(out, 0x80, 7, index));
                } else if field.stays {
                    literal(&mut block.first, 0x40, 6, field);
                    integer(&mut block.next, 0x80, 7, index);
                    literal(&mut block.plain, 0, 4, field);
                    index -= 1;
                } else {
                    all.into_iter().for_each(|out| literal(out, 0, 4, field));
                }
            }
            block
        })
    }
}

fn is_kept(field: &Field) -> bool {
    field.stays && whole(field).is_none()
}

/// The index of a field that is in everybody's table.
fn whole(field: &Field) -> Option<usize> {
    let found = STATIC.iter().find(|(_, name, value)| *name == field.name && *value == field.value);
    found.map(|entry| entry.0)
}

fn literal(out: &mut Vec<u8>, prefix: u8, bits: u32, field: &Field) {
    let known = STATIC.iter().find(|(_, name, _)| *name == field.name);
    integer(out, prefix, bits, known.map_or(0, |entry| entry.0));
    if known.is_none() {
        string(out, field.name.as_bytes());
    }
    string(out, field.value.as_bytes());
}

/// In the code where that is shorter.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    match huffman::encode(text).filter(|coded| coded.len() < text.len()) {
        Some(coded) => {
            integer(out, 0x80, 7, coded.len());
            out.extend_from_slice(&coded);
        }
        None => {
            integer(out, 0, 7, text.len());
            out.extend_from_slice(text);
        }
    }
}

fn integer(out: &mut Vec<u8>, prefix: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.push(prefix | value as u8);
    }
    out.push(prefix | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::super::head::Head;
    use super::super::hpack::Decoder;
    use super::*;

    #[test]
    fn all_ways_say_the_same() {
        let head =
            [Field::fixed(":status", "200"), Field::fixed("content-type", "application/grpc")];
        let trailers = [Field::fixed("grpc-status", "0"), Field::varying("content-length", "300")];
        let blocks = Block::series([&head, &trailers]);
        let expected = [
            Head { is_ok: true, is_grpc: true, ..Head::default() },
            Head { grpc_status: Some(0), length: Some(300), ..Head::default() },
        ];
        let (mut decoder, mut other) = (Decoder::new(), Decoder::new());
        for turn in 0..3 {
            for (block, expected) in blocks.iter().zip(expected) {
                let bytes = if turn == 0 { &block.first } else { &block.next };
                assert_eq!(decoder.read(bytes), Ok(expected), "turn {turn}");
                assert_eq!(other.read(&block.plain), Ok(expected), "turn {turn}");
            }
        }
        assert_eq!(blocks[0].next, b"\x88\xbf");
        assert_eq!(blocks[1].next[..1], *b"\xbe");
    }

    #[test]
    fn numbers_are_those_of_the_rfc() {
        let check = |bits, value, expected: &[u8]| {
            let mut out = Vec::new();
            integer(&mut out, 0, bits, value);
            assert_eq!(out, expected);
        };
        check(5, 10, b"\x0a");
        check(5, 1337, b"\x1f\x9a\x0a");
        check(8, 42, b"\x2a");
    }
}
