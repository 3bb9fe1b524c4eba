//! Reads blocks of HPACK (RFC 7541), and remembers those that say the same again.
//!
//! A block that leaves the table as it is means the same as long as the table stays, which is
//! nearly always: then it is compared with the ones before instead of being taken apart.

use std::collections::VecDeque;

use super::head::Head;
use super::huffman;

/// Of the table that both sides begin with, what is looked at or sent here: index, name, value.
/// Names that are not among these are read as empty.
pub(super) const STATIC: [(usize, &str, &str); 17] = [
    (1, ":authority", ""),
    (2, ":method", "GET"),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (6, ":scheme", "http"),
    (7, ":scheme", "https"),
    (8, ":status", "200"),
    (16, "accept-encoding", "gzip, deflate"),
    (17, "accept-language", ""),
    (19, "accept", ""),
    (23, "authorization", ""),
    (24, "cache-control", ""),
    (28, "content-length", ""),
    (31, "content-type", ""),
    (32, "cookie", ""),
    (51, "referer", ""),
    (58, "user-agent", ""),
];

/// Indexes from here on are those of the table that grows.
pub(super) const STATIC_COUNT: usize = 61;

/// What this table may take unless it is said otherwise, which is not said here.
pub(super) const TABLE_BYTES: usize = 4096;

/// What an entry counts for at the least, whence how many there can be. To hold some that the other
/// side has dropped does no harm: it does not name them.
const ENTRY_BYTES_MIN: usize = 32;

/// Blocks that are remembered: there are two or three in use at a time.
const KNOWN_MAX: usize = 8;

pub(super) struct Decoder {
    /// The newest one is the first.
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    entries_max: usize,
    known: Vec<(Vec<u8>, Head)>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        let entries_max = TABLE_BYTES / ENTRY_BYTES_MIN;
        Self { table: VecDeque::new(), entries_max, known: Vec::new() }
    }

    pub(super) fn read(&mut self, block: &[u8]) -> Result<Head, String> {
        if let Some((_, head)) = self.known.iter().find(|(known, _)| known == block) {
            return Ok(*head);
        }
        let mut head = Head::default();
        let is_changed = self.take_apart(&mut Cursor(block), &mut head)?;
        if is_changed || self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        if !is_changed {
            self.known.push((block.to_vec(), head));
        }
        Ok(head)
    }

    /// Whether the table is another one now.
    fn take_apart(&mut self, block: &mut Cursor<'_>, head: &mut Head) -> Result<bool, String> {
        let mut is_changed = false;
        while let Some(first) = block.0.first().copied() {
            match first {
                0x80.. => {
                    let (name, value) = self.field(block.integer(7)?)?;
                    head.note(name, value);
                }
                0x20..0x40 => is_changed |= self.resize(block.integer(5)?)?,
                _ => {
                    let stays = first >= 0x40;
                    let name = match block.integer(if stays { 6 } else { 4 })? {
                        0 => block.string()?,
                        index => self.field(index)?.0.to_vec(),
                    };
                    let value = block.string()?;
                    head.note(&name, &value);
                    is_changed |= stays && self.insert(name, value);
                }
            }
        }
        Ok(is_changed)
    }

    fn field(&self, index: usize) -> Result<(&[u8], &[u8]), String> {
        if let Some(at) = index.checked_sub(STATIC_COUNT + 1) {
            let entry = self.table.get(at).map(|(name, value)| (&name[..], &value[..]));
            return entry.ok_or_else(|| format!("index {index} has no field"));
        }
        let entry = STATIC.iter().find(|entry| entry.0 == index);
        Ok(entry.map_or((b"", b""), |(_, name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) -> bool {
        self.table.push_front((name, value));
        self.table.truncate(self.entries_max);
        self.entries_max > 0
    }

    fn resize(&mut self, bytes: usize) -> Result<bool, String> {
        if bytes > TABLE_BYTES {
            return Err(format!("a table of {bytes} bytes"));
        }
        let before = std::mem::replace(&mut self.entries_max, bytes / ENTRY_BYTES_MIN);
        self.table.truncate(self.entries_max);
        Ok(before != self.entries_max)
    }
}

/// What is left of a block.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a block is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    /// One that begins in the last `bits` of a byte (RFC 7541, section 5.1).
    fn integer(&mut self, bits: u32) -> Result<usize, String> {
        let most = (1_usize << bits) - 1;
        let mut value = usize::from(self.take(1)?[0]) & most;
        if value < most {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.take(1)?[0]);
            value += (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number without an end".to_owned())
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        let is_coded = self.0.first().is_some_and(|first| *first >= 0x80);
        let length = self.integer(7)?;
        let bytes = self.take(length)?;
        match is_coded {
            true => huffman::decode(bytes).ok_or_else(|| "a string in an odd code".to_owned()),
            false => Ok(bytes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(length: usize) -> Head {
        Head { is_ok: true, length: Some(length), ..Head::default() }
    }

    #[test]
    fn a_field_that_was_said_once_is_known_by_its_index() {
        let mut decoder = Decoder::new();
        // 200 and a new `content-length: 128`, then both by index.
        assert_eq!(decoder.read(b"\x88\x5c\x03128"), Ok(ok(128)));
        assert_eq!(decoder.read(b"\x88\xbe"), Ok(ok(128)));
        assert_eq!(decoder.read(b"\x88\xbe"), Ok(ok(128)));
        // A newer one takes its place.
        assert_eq!(decoder.read(b"\x88\x5c\x0264"), Ok(ok(64)));
        assert_eq!(decoder.read(b"\x88\xbe"), Ok(ok(64)));
        assert_eq!(decoder.read(b"\x88\xbf"), Ok(ok(128)));
        assert!(decoder.read(b"\x88\xc0").is_err());
    }

    #[test]
    fn a_table_without_room_keeps_nothing() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.read(b"\x20\x88\x5c\x03128"), Ok(ok(128)));
        assert!(decoder.read(b"\xbe").is_err());
        assert_eq!(decoder.read(b"\x88\x5c\x03128"), Ok(ok(128)));
        assert_eq!(decoder.known.len(), 1, "it changes nothing, and is remembered");
    }

    #[test]
    fn names_are_read_however_they_are_written() {
        let trailers = Head { grpc_status: Some(0), ..Head::default() };
        let check = |block: &[u8], head| assert_eq!(Decoder::new().read(block), Ok(head));
        check(b"\x00\x0bgrpc-status\x010", trailers);
        check(b"\x40\x0bgrpc-status\x010", trailers);
        check(b"\x10\x0bgrpc-status\x010", trailers);
        check(b"\x40\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x010", trailers);
        check(b"\x0f\x0d\x03128", Head { length: Some(128), ..Head::default() });
        // A name that nobody asks for.
        check(b"\x7a\x01x", Head::default());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for block in [&b"\x5c"[..], b"\x5c\x03", b"\x5c\x0312", b"\xff", b"\x3f\xff\xff\xff\x7f"] {
            assert!(Decoder::new().read(block).is_err(), "{block:?}");
        }
    }
}
