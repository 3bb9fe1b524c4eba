//! The hash table of everything that a request is looked up in.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

pub(super) type Map<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<OneShot>>;

/// One hash over the whole key. Keys come from the configuration, so that no client can choose ones
/// that collide; it only looks them up.
#[derive(Default)]
pub(super) struct OneShot(u64);

impl Hasher for OneShot {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ xxh3_64(bytes);
    }

    fn write_usize(&mut self, _length: usize) {
        // The length prefix of a slice tells keys of one slice nothing apart.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
