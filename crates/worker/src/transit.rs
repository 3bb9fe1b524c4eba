//! Where raw bytes of a thread pass through on their way from one socket to another.

use std::ops::{Deref, DerefMut};

use fairwater_net::Stream;

/// Raw bytes are read in pieces of this size: large enough that a stream costs few calls.
const TRANSIT_BYTES: usize = 64 * 1024;
/// The same where nothing has to be kept of it: an endpoint is woken for each piece.
pub(crate) const STREAM_BYTES: usize = 252 * 1024;
/// So many times as much is what a socket says that it has room for, when it takes all of it.
const ROOM_TIMES: usize = 2;

/// Large blocks begin with a page, and copies between two of them are close to the same place in
/// theirs. For such a copy `rep movsb` takes twelve times as long on AMD's Zen 3 and 4 (glibc's
/// bug 30994, which versions before 2.40 have): so far from that this one begins.
const SKEW_BYTES: usize = 1024;

#[derive(Debug)]
pub(crate) struct Transit(Box<[u8]>);

impl Transit {
    pub(crate) fn new() -> Self {
        Self(vec![0; SKEW_BYTES + STREAM_BYTES].into())
    }

    /// All of it, for what is sent at once.
    pub(crate) fn for_stream(&mut self) -> &mut [u8; STREAM_BYTES] {
        self.0[SKEW_BYTES..].first_chunk_mut().expect("it is made as long")
    }
}

/// How much is read at a time for a peer: no more than it takes at once, or may be kept for it.
pub(crate) fn piece_bytes(peer: &Stream) -> usize {
    let is_taken = peer.write_room() >= ROOM_TIMES * STREAM_BYTES;
    if is_taken { STREAM_BYTES } else { TRANSIT_BYTES }
}

impl Deref for Transit {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[SKEW_BYTES..][..TRANSIT_BYTES]
    }
}

impl DerefMut for Transit {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0[SKEW_BYTES..][..TRANSIT_BYTES]
    }
}
