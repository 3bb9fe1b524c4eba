//! Blocks of compressed fields, read (RFC 7541, sections 3 and 6).

use std::fmt;

use super::HpackError;
use super::huffman;
use super::integer;
use super::static_table::ENTRIES;
use super::table::Table;

/// What a peer takes the table for before it has heard of another size (RFC 9113, section 6.5.2).
const TABLE_BYTES_AT_FIRST: u32 = 4096;

/// Changes of the size of the table before the first field of a block: to the smallest that was
/// wanted since the last block, and to the last (section 4.2).
const UPDATES_MAX: u32 = 2;

/// The room for strings as they become is kept up to this size.
const SCRATCH_BYTES_KEPT: usize = 4096;

/// Reads the blocks of one peer, in their order. It allocates nothing until a block needs it.
/// After an error it knows no longer what the peer means.
pub struct Decoder {
    table: Table,
    table_bytes_max: u32,
    scratch: Vec<u8>,
    has_secrets: bool,
}

impl Decoder {
    /// With a dynamic table of at most so many bytes, as SETTINGS_HEADER_TABLE_SIZE has said. A
    /// peer that has not heard of it yet may fill 4096.
    pub fn new(table_bytes_max: u32) -> Self {
        let table = Table::new(TABLE_BYTES_AT_FIRST.min(table_bytes_max));
        Self { table, table_bytes_max, scratch: Vec::new(), has_secrets: false }
    }

    /// Decodes a whole block and gives out each field, in order: name and value as they are. The
    /// whole block is decoded whatever becomes of the fields, so that the table stays true.
    /// One byte of a block may stand for a field as large as the table: who keeps fields counts
    /// their bytes.
    ///
    /// # Errors
    /// When the block is not encoded as it must be. The fields before were given out.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let (mut rest, mut updates) = (block, 0..UPDATES_MAX);
        self.has_secrets = false;
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                0x80.. => {
                    let (name, value) = self.indexed(integer::read(first, 7, &mut rest)?)?;
                    field(name, value);
                }
                0x20..0x40 => {
                    updates.next().ok_or(HpackError::MisplacedUpdate)?;
                    self.update_size(integer::read(first, 5, &mut rest)?)?;
                    continue;
                }
                _ => self.literal(first, &mut rest, &mut field)?,
            }
            updates = 0..0;
        }
        if self.scratch.len() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Whether a field of the last block may come into no table of any later hop (RFC 7541,
    /// section 6.2.3).
    pub fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.scratch.capacity() + self.table.kept_bytes()
    }

    #[cold]
    fn update_size(&mut self, size: u32) -> Result<(), HpackError> {
        if size > self.table_bytes_max {
            return Err(HpackError::TableSize);
        }
        self.table.resize(size);
        Ok(())
    }

    /// The field with this index, in either table (section 2.3.3).
    #[inline]
    fn indexed(&self, index: u32) -> Result<(&[u8], &[u8]), HpackError> {
        let place = (index as usize).wrapping_sub(1);
        match ENTRIES.get(place) {
            Some(&entry) => Ok(entry),
            // Of 0 that is beyond all entries.
            None => self.table.get(place.wrapping_sub(ENTRIES.len())).ok_or(HpackError::Index),
        }
    }

    /// A field with a value of its own (section 6.2).
    #[inline]
    fn literal(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let is_inserted = first >= 0x40;
        self.has_secrets |= is_never_indexed(first);
        let index = integer::read(first, if is_inserted { 6 } else { 4 }, rest)?;
        let mut entry = None;
        let name = match (index as usize).checked_sub(1) {
            None => read_string(rest, &mut self.scratch, 0)?,
            Some(place) => match place.checked_sub(ENTRIES.len()) {
                None => Text::Plain(ENTRIES[place].0),
                Some(place) => {
                    entry = Some(place);
                    Text::Plain(b"")
                }
            },
        };
        let value = read_string(rest, &mut self.scratch, name.scratch_end())?;
        let value = value.bytes(&self.scratch);
        if let Some(place) = entry {
            field(self.table.get(place).ok_or(HpackError::Index)?.0, value);
            if is_inserted {
                self.table.insert_under(place, value);
            }
        } else {
            let name = name.bytes(&self.scratch);
            field(name, value);
            if is_inserted {
                self.table.insert(name, value);
            }
        }
        Ok(())
    }
}

fn is_never_indexed(first: u8) -> bool {
    first & 0xf0 == 0x10
}

/// Without what the peer has said: there are secrets in it.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = &self.table_bytes_max;
        f.debug_struct("Decoder").field("table_bytes_max", max).finish_non_exhaustive()
    }
}

/// A string that was read.
#[derive(Clone, Copy)]
enum Text<'a> {
    Plain(&'a [u8]),
    /// It was decoded, and stands in the scratch.
    Scratch {
        start: usize,
        end: usize,
    },
}

impl Text<'_> {
    fn scratch_end(self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Scratch { end, .. } => end,
        }
    }

    fn bytes<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match *self {
            Self::Plain(bytes) => bytes,
            Self::Scratch { start, end } => &scratch[start..end],
        }
    }
}

/// Reads a string (section 5.2). Where it has to be decoded, it goes to this place of the scratch.
#[inline]
fn read_string<'a>(
    rest: &mut &'a [u8],
    scratch: &mut Vec<u8>,
    start: usize,
) -> Result<Text<'a>, HpackError> {
    let (&first, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = behind;
    let len = integer::read(first, 7, rest)?;
    let (string, behind) = rest.split_at_checked(len as usize).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if first < 0x80 {
        return Ok(Text::Plain(string));
    }
    let end = decode_string(string, scratch, start)?;
    Ok(Text::Scratch { start, end })
}

/// Returns where its end is in the scratch.
fn decode_string(string: &[u8], scratch: &mut Vec<u8>, start: usize) -> Result<usize, HpackError> {
    let room = start + huffman::room(string.len());
    if scratch.len() < room {
        scratch.resize(room.next_power_of_two(), 0);
    }
    Ok(start + huffman::decode(string, &mut scratch[start..])?)
}
