//! The working set of a busy connection: buffers and indexes, taken from the thread's pool with the
//! first byte of a request and given back when nothing is left to do. An idle connection has none.

use std::ops::Range;

use fairwater_message::{HEAD_BYTES_MAX, RequestHead, ResponseHead};

use crate::filter::Changes;
use crate::limits::BUFFER_BYTES;
use crate::shard::Shard;

/// Below this a body would take more calls than bytes are worth.
const READ_BYTES_MIN: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Work {
    /// What came from the client: a head, then body bytes behind it.
    pub request: Buffer,
    pub request_head: RequestHead,
    /// A body that is held, and what was read behind it.
    pub held: Vec<u8>,
    /// The request head on its way out.
    pub out: Vec<u8>,
    /// What filters change in it, and in the reply.
    pub changes: Changes,
    pub reply_changes: Changes,
    /// What came from the endpoint.
    pub response: Buffer,
    pub response_head: ResponseHead,
    /// What goes to the client before the body.
    pub reply_out: Vec<u8>,
}

impl Work {
    /// Makes the set fit for another connection. Returns false when it has grown and should go.
    pub(crate) fn recycle(&mut self) -> bool {
        self.held = Vec::new();
        self.request.clear();
        self.response.clear();
        if self.request.bytes.len() < BUFFER_BYTES {
            self.request.bytes = Box::default(); // the head of a stream, and no more
        }
        // After a panic they may hold what was for somebody else.
        self.changes.clear();
        self.reply_changes.clear();
        let written = [&self.out, &self.reply_out, &self.changes.lines, &self.reply_changes.lines];
        self.request.bytes.len() <= BUFFER_BYTES
            && self.response.bytes.len() <= BUFFER_BYTES
            && written.iter().all(|block| block.capacity() <= BUFFER_BYTES)
    }
}

/// What was read behind a request.
pub(crate) enum Rest {
    /// A part of the buffer behind its head.
    Behind(Range<usize>),
    /// These bytes: the body before them was held apart.
    Apart(Vec<u8>),
}

/// Bytes that were read and are not used yet: `start..end` of a block that is allocated once.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub bytes: Box<[u8]>,
    pub start: usize,
    pub end: usize,
}

impl Buffer {
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is no room left to be had.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len() && self.bytes.len() >= HEAD_BYTES_MAX
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Holds these bytes and nothing else.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        self.clear();
        if bytes.len() > self.bytes.len() {
            self.grow(bytes.len().max(BUFFER_BYTES));
        }
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.end = bytes.len();
    }

    /// Holds these bytes in the block that they came in. There is no room behind them.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes.into_boxed_slice();
        (self.start, self.end) = (0, self.bytes.len());
    }

    /// Keeps what lies behind a request with a head of this length.
    #[inline(always)]
    pub(crate) fn keep(&mut self, head_len: usize, rest: Rest, held: &mut Vec<u8>) {
        match rest {
            Rest::Behind(Range { start, end }) => {
                (self.start, self.end) = (head_len + start, head_len + end);
            }
            Rest::Apart(bytes) => {
                *held = Vec::new();
                self.hold(&bytes);
            }
        }
    }

    /// Marks bytes as used.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Moves what is there to the front, where a head must start.
    pub(crate) fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Room behind the data; the block is allocated when it is first needed, and grows up to the
    /// size of the longest head. Empty when there is no more room to be had.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.bytes.len() < HEAD_BYTES_MAX {
            self.grow((2 * self.bytes.len()).clamp(BUFFER_BYTES, HEAD_BYTES_MAX));
        }
        &mut self.bytes[self.end..]
    }

    /// Makes room for a sensible read behind a head of this length, which may fill the whole block.
    pub(crate) fn make_room_behind(&mut self, head_len: usize) {
        if self.bytes.len() - head_len < READ_BYTES_MIN {
            self.grow(head_len + BUFFER_BYTES);
        }
    }

    fn grow(&mut self, len: usize) {
        let mut grown = vec![0; len].into_boxed_slice();
        grown[..self.end].copy_from_slice(&self.bytes[..self.end]);
        self.bytes = grown;
    }
}

/// A working set on loan from the thread; goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Loan<'a> {
    shard: &'a Shard,
    work: Option<Box<Work>>,
}

impl<'a> Loan<'a> {
    #[inline(always)]
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { shard, work: Some(shard.take_work()) }
    }
}

impl std::ops::Deref for Loan<'_> {
    type Target = Work;

    fn deref(&self) -> &Work {
        // The set is taken out in `drop` only.
        self.work.as_deref().expect("a loan holds its set until it is dropped")
    }
}

impl std::ops::DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        self.work.as_deref_mut().expect("a loan holds its set until it is dropped")
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.shard.give_back_work(work);
        }
    }
}
