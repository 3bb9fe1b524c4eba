//! Whether a program needs anything but the kernel.

/// Where the table of segments begins, and the size and number of its entries, in 64-bit files
/// (elf(5)).
const TABLE_AT: usize = 32;
const ENTRY_SIZE_AT: usize = 54;
const ENTRIES_AT: usize = 56;
/// A segment that names the loader of libraries.
const INTERPRETER: u32 = 3;

/// Whether no loader of libraries is asked for; nothing, if this is no 64-bit program.
pub(super) fn is_static(file: &[u8]) -> Option<bool> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = u64::from_le_bytes(file.get(TABLE_AT..TABLE_AT + 8)?.try_into().ok()?) as usize;
    let short = |at: usize| {
        let bytes = file.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(bytes)))
    };
    let (size, count) = (short(ENTRY_SIZE_AT)?, short(ENTRIES_AT)?);
    for at in (0..count).map(|index| table.saturating_add(index * size)) {
        let kind = u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if kind == INTERPRETER {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_this_machine_need_libraries() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(is_static(&own), Some(false));
        assert_eq!(is_static(&own[..100]), None, "cut off");
        assert_eq!(is_static(b"#!/bin/sh\n"), None);
        // A header that has no segments.
        let mut bare = [0; 64];
        bare[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(is_static(&bare), Some(true));
    }
}
