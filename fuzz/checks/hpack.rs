//! Any bytes as blocks of compressed fields: no panic; two blocks give what they give as one; what
//! was read is read again when it was written.

use fairwater_proto::hpack::{Decoder, HpackError, write_field};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// More than this of fields is not compared: few bytes can stand for very many.
const FIELD_BYTES_MAX: usize = 1 << 20;

/// The first byte says where the others are cut in two.
pub(crate) fn check(data: &[u8]) {
    let Some((&cut, block)) = data.split_first() else { return };
    let (start, end) = block.split_at(usize::from(cut).min(block.len()));
    for table_bytes_max in [0, 100, 4096, 1 << 20] {
        let whole = read(table_bytes_max, &[block]);
        let halves = read(table_bytes_max, &[start, end]);
        // Where the second begins with a new size, that is not at the front of the whole.
        let is_resized = end.first().is_some_and(|first| first & 0xe0 == 0x20);
        if let (Ok(halves), false) = (&halves, is_resized) {
            assert_eq!(whole.as_ref(), Ok(halves), "two blocks are not as one");
        }
        if let Ok(fields) = &whole {
            check_written(fields);
        }
    }
}

/// What these blocks say, one after the other, and what is in the table then.
fn read(table_bytes_max: u32, blocks: &[&[u8]]) -> Result<Fields, HpackError> {
    let mut decoder = Decoder::new(table_bytes_max);
    let (mut fields, mut bytes) = (Fields::new(), 0);
    let mut keep = |name: &[u8], value: &[u8]| {
        bytes += name.len() + value.len();
        if bytes <= FIELD_BYTES_MAX {
            fields.push((name.to_vec(), value.to_vec()));
        }
    };
    blocks.iter().try_for_each(|block| decoder.decode(block, &mut keep))?;
    let mut size = 0;
    for index in 0x80 | 62..0xff_u8 {
        let entry = decoder.decode(&[index], |name, value| {
            size += 32 + name.len() + value.len();
            keep(name, value);
        });
        if entry.is_err() {
            break;
        }
    }
    assert!(size <= table_bytes_max as usize, "the table is too large");
    Ok(fields)
}

fn check_written(fields: &Fields) {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| write_field(&mut block, name, value));
    assert_eq!(read(0, &[&block]).as_ref(), Ok(fields), "it was written as something else");
}
