//! The table that a peer fills while it writes (RFC 7541, sections 2.3.2 and 4): a queue of fields
//! whose bytes stand in one buffer, each in one piece.

use std::collections::VecDeque;

/// What an entry counts beside its bytes (section 4.1).
const ENTRY_BYTES: usize = 32;

/// The buffer is never smaller: a few fields.
const BUFFER_BYTES_MIN: usize = 256;

#[derive(Default)]
pub(super) struct Table {
    /// The oldest is the last.
    entries: VecDeque<Entry>,
    /// Bytes of the entries, from the oldest on, with those of entries that are gone before them.
    buffer: Vec<u8>,
    /// Of all bytes that were ever written, those before the buffer.
    before: u64,
    /// As section 4.1 counts.
    size: usize,
    size_max: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Where its name begins, among all bytes that were ever written.
    start: u64,
    name_bytes: u32,
    value_bytes: u32,
}

impl Entry {
    fn len(self) -> usize {
        self.name_bytes as usize + self.value_bytes as usize
    }
}

impl Table {
    pub(super) fn new(size_max: u32) -> Self {
        Self { size_max: size_max as usize, ..Self::default() }
    }

    /// The entry that came in as the last but `index`.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(index)?;
        let start = (entry.start - self.before) as usize;
        Some(self.buffer[start..start + entry.len()].split_at(entry.name_bytes as usize))
    }

    /// Drops the oldest entries until the others have the new size.
    pub(super) fn resize(&mut self, size_max: u32) {
        self.size_max = size_max as usize;
        self.evict(self.size_max);
        if self.entries.is_empty() {
            *self = Self::new(size_max);
        }
    }

    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        if let Some(others_max) = self.others_max(name.len() + value.len()) {
            self.evict(others_max);
            self.reserve(name.len() + value.len());
            self.push(name.len(), value.len());
            self.buffer.extend_from_slice(name);
            self.buffer.extend_from_slice(value);
        }
    }

    /// Inserts a value under the name of the entry `index`, which is there, and may have to go for
    /// it.
    pub(super) fn insert_under(&mut self, index: usize, value: &[u8]) {
        let Entry { start, name_bytes, .. } = self.entries[index];
        let name_len = name_bytes as usize;
        if let Some(others_max) = self.others_max(name_len + value.len()) {
            // Room first: it takes that of entries which are gone, and this one still has its name.
            self.reserve(name_len + value.len());
            self.evict(others_max);
            self.push(name_len, value.len());
            let start = (start - self.before) as usize;
            self.buffer.extend_from_within(start..start + name_len);
            self.buffer.extend_from_slice(value);
        }
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.buffer.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The size that is left for others beside a new entry. One that is larger than the table has
    /// no place in it, nor has any other then (section 4.4).
    fn others_max(&mut self, len: usize) -> Option<usize> {
        let others_max = self.size_max.checked_sub(len + ENTRY_BYTES);
        if others_max.is_none() {
            self.evict(0);
        }
        others_max
    }

    fn evict(&mut self, size_max: usize) {
        while self.size > size_max
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.len() + ENTRY_BYTES;
        }
    }

    fn push(&mut self, name_len: usize, value_len: usize) {
        let start = self.before + self.buffer.len() as u64;
        let (name_bytes, value_bytes) = (name_len as u32, value_len as u32);
        self.entries.push_front(Entry { start, name_bytes, value_bytes });
        self.size += name_len + value_len + ENTRY_BYTES;
    }

    /// Makes room at the end of the buffer. It has twice as much as is needed, so that moving
    /// everything to its start is seldom.
    fn reserve(&mut self, len: usize) {
        if self.buffer.capacity() - self.buffer.len() >= len {
            return;
        }
        let oldest = self.entries.back().map(|entry| (entry.start - self.before) as usize);
        let dropped = oldest.unwrap_or(self.buffer.len());
        self.buffer.drain(..dropped);
        self.before += dropped as u64;
        let needed = self.buffer.len() + len;
        if needed > self.buffer.capacity() / 2 {
            let capacity = (2 * needed).max(BUFFER_BYTES_MIN);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }
}
