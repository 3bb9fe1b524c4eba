//! How much a peer may send ahead of who reads it. A small window keeps memory small, and on a long
//! way it is what limits the speed: 256 KiB in each 50 ms are 5 MiB a second. So who sends much
//! over few streams gets a large one, as long as not too many have it.

use std::rc::Rc;

use crate::shard::Shard;

/// On a stream: what there is of it for a start, and for who makes use of it.
pub(crate) const SMALL_BYTES: u32 = 256 * 1024;
const LARGE_BYTES: u32 = 4 * 1024 * 1024;
/// Of bodies that have come, before more may come at once.
const SENT_BYTES_MIN: u64 = 1024 * 1024;
/// Streams that may have so much each.
const LARGE_STREAMS: u32 = 4;
/// Connections of a thread that have it at a time: 512 MiB, if nobody read anything.
const LARGE_MAX: u32 = 32;

/// The window of the streams of one connection.
#[derive(Debug)]
pub(crate) struct Windows {
    shard: Rc<Shard>,
    is_large: bool,
}

impl Windows {
    pub(crate) fn new(shard: &Rc<Shard>) -> Self {
        Self { shard: Rc::clone(shard), is_large: false }
    }

    /// What the window should be now, if that is not what it is. `set` returns whether it could be
    /// set: while the peer has not answered for the last change, there is no other.
    pub(crate) fn fit(&mut self, read_bytes: u64, streams: u32, mut set: impl FnMut(u32) -> bool) {
        let large = &self.shard.large_windows;
        let is_wanted = read_bytes >= SENT_BYTES_MIN && (1..=LARGE_STREAMS).contains(&streams);
        match (self.is_large, is_wanted) {
            (false, true) if large.get() < LARGE_MAX && set(LARGE_BYTES) => {
                self.is_large = true;
                large.set(large.get() + 1);
            }
            (true, false) if streams > 0 && set(SMALL_BYTES) => self.be_small(),
            _ => {}
        }
    }

    /// What the connection as a whole may be sent ahead at least.
    pub(crate) fn of_all(stream_bytes: u32) -> u32 {
        stream_bytes * LARGE_STREAMS
    }

    fn be_small(&mut self) {
        self.is_large = false;
        self.shard.large_windows.set(self.shard.large_windows.get() - 1);
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        if self.is_large {
            self.be_small();
        }
    }
}
