//! What goes to a peer: heads from lines as we write them for HTTP/1.1, and bodies under the flow
//! control of the peer (RFC 9113, sections 5.2 and 8).

use fairwater_message::Trailers;

use super::block::{write_lines, write_trailers};
use super::connection::{Connection, Role};
use super::frame::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, HEAD_BYTES, HEADERS,
    PAYLOAD_BYTES_MAX,
};
use super::stream::Waiter;
use crate::hpack::{write_status, write_table_size};

/// What must be free of the room for bodies before there is any.
const ROOM_BYTES_MIN: usize = 4096;

/// What there is to know of a request beside its fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requested {
    /// A reply that says yes makes a tunnel.
    pub is_tunnel: bool,
    /// The reply has no body, whatever it says.
    pub is_head: bool,
}

/// The stream has ended by force, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What is around data that goes out as frames.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    stream: u32,
    len: usize,
    is_last: bool,
}

impl Frames {
    pub fn count(self) -> usize {
        self.len.max(1).div_ceil(PAYLOAD_BYTES_MAX)
    }

    /// Each head, and what goes behind it.
    pub fn around(self, data: &[u8]) -> impl Iterator<Item = ([u8; HEAD_BYTES], &[u8])> {
        let Self { stream, len, is_last } = self;
        // The end alone has a frame too.
        (0..len.max(1)).step_by(PAYLOAD_BYTES_MAX).map(move |start| {
            let end = len.min(start + PAYLOAD_BYTES_MAX);
            let flags = if is_last && end == len { END_STREAM } else { 0 };
            let head = FrameHead { len: end - start, kind: DATA, flags, stream };
            (head.bytes(), &data[start..end])
        })
    }
}

impl<W: Waiter> Connection<W> {
    /// Sends the head of a reply, which was written for HTTP/1.1, perhaps with a body behind it.
    /// Returns where the head ends.
    pub fn send_reply(&mut self, id: u32, text: &[u8], is_last: bool) -> Result<usize, Gone> {
        let status = text.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status.and_then(|digits| digits.parse().ok()).ok_or(Gone)?;
        self.send_reply_as(id, status, text, b"", is_last)
    }

    /// As [`Self::send_reply`], with another status, and without the field of a name.
    pub fn send_reply_as(
        &mut self,
        id: u32,
        status: u16,
        text: &[u8],
        without: &[u8],
        is_last: bool,
    ) -> Result<usize, Gone> {
        let start = memchr::memchr(b'\n', text).ok_or(Gone)? + 1;
        let len = head_len(text);
        let is_last = is_last && len == text.len();
        self.begin_to_send(id, is_last)?;
        let block = self.begin_block();
        write_status(&mut self.out, status);
        write_lines(&mut self.out, &text[start..len], without);
        self.end_block(id, block, is_last);
        Ok(len)
    }

    /// As [`Self::send_reply`], with a head that `write` appends, compressed.
    #[inline]
    pub fn send_block(
        &mut self,
        id: u32,
        is_last: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Gone> {
        self.begin_to_send(id, is_last)?;
        let at = self.write_block(write);
        self.end_block(id, at, is_last);
        Ok(())
    }

    /// Appends a block, or nothing at all, should `write` panic. Returns where it is.
    #[inline]
    fn write_block(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        struct Whole<'o> {
            out: &'o mut Vec<u8>,
            keep: usize,
        }
        impl Drop for Whole<'_> {
            fn drop(&mut self) {
                self.out.truncate(self.keep);
            }
        }
        let at = self.begin_block();
        let mut block = Whole { out: &mut self.out, keep: at };
        write(block.out);
        block.keep = block.out.len();
        at
    }

    /// Begins a stream with a request, whose head `write` appends, compressed. `None` if the peer
    /// takes no more streams now.
    #[inline]
    pub fn send_request(
        &mut self,
        asked: Requested,
        is_last: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<u32> {
        if !self.takes_own() {
            return None;
        }
        let at = self.write_block(write);
        let id = self.begin_own();
        let stream = self.find(id)?;
        (stream.is_bodiless, stream.is_sent) = (asked.is_head, is_last);
        stream.is_tunnel = asked.is_tunnel;
        self.end_block(id, at, is_last);
        Some(id)
    }

    /// Counts data of a body as sent that its owner sends by itself, right behind [`Self::out`] and
    /// in these frames: see [`Self::sent_past`]. The stream must have [`Self::room`] for it.
    pub fn frame_data(&mut self, id: u32, len: usize, is_last: bool) -> Result<Frames, Gone> {
        let stream = self.find(id).filter(|stream| stream.reset.is_none() && !stream.is_sent);
        let stream = stream.ok_or(Gone)?;
        stream.send_window -= len as i64;
        stream.is_sent |= is_last;
        self.send_window -= len as i64;
        self.sent_last = id;
        self.data_bytes += len as u64;
        Ok(Frames { stream: id, len, is_last })
    }

    /// So many bytes of [`Self::out`], and of the frames around `data` behind it, have gone. What
    /// has not waits there.
    pub fn sent_past(&mut self, taken: usize, frames: Frames, data: &[u8]) {
        let before = taken.min(self.out.len());
        self.sent(before);
        self.budget.sent(taken - before);
        self.hold_back(taken - before, frames, data);
    }

    /// Has frames wait, but for their first bytes.
    fn hold_back(&mut self, mut gone: usize, frames: Frames, data: &[u8]) {
        self.out.reserve((frames.count() * HEAD_BYTES + data.len()).saturating_sub(gone));
        for (head, data) in frames.around(data) {
            self.budget.sent_frame();
            for part in [&head[..], data] {
                let of_part = gone.min(part.len());
                gone -= of_part;
                self.out.extend_from_slice(&part[of_part..]);
            }
        }
    }

    /// Sends data of a body, as much as the peer takes now and there is room for. Nothing but the
    /// end waits for no room. 0 of something says that the stream is woken when more can go.
    pub fn send_data(&mut self, id: u32, data: &[u8], is_last: bool) -> Result<usize, Gone> {
        let has_room = self.has_room();
        let all = self.send_window;
        let stream = self.find(id).filter(|stream| stream.reset.is_none() && !stream.is_sent);
        let stream = stream.ok_or(Gone)?;
        let window = usize::try_from(stream.send_window.min(all)).unwrap_or(0);
        let len = if has_room { data.len().min(window) } else { 0 };
        let is_blocked = len < data.len();
        stream.is_blocked |= is_blocked;
        self.has_blocked |= is_blocked;
        let is_last = is_last && !is_blocked;
        if len == 0 && !is_last {
            return Ok(0);
        }
        let frames = self.frame_data(id, len, is_last)?;
        self.hold_back(0, frames, &data[..len]);
        Ok(len)
    }

    /// How much of a body can go now, and up to `at_rest` while nothing waits in [`Self::out`].
    /// With 0 the stream is woken when there is some.
    pub fn room(&mut self, id: u32, at_rest: usize) -> Result<usize, Gone> {
        let all = self.send_window;
        let left = match self.out.len() {
            0 => at_rest,
            len => self.bounds.unsent_bytes.saturating_sub(len),
        };
        let stream = self.find(id).filter(|stream| stream.reset.is_none() && !stream.is_sent);
        let stream = stream.ok_or(Gone)?;
        let window = usize::try_from(stream.send_window.min(all)).unwrap_or(0);
        // Less than this would be many small pieces; with the next flush there is more.
        let room = if left < ROOM_BYTES_MIN { 0 } else { left.min(window) };
        stream.is_blocked |= room == 0;
        self.has_blocked |= room == 0;
        Ok(room)
    }

    /// Ends a body with trailers.
    pub fn send_trailers(&mut self, id: u32, trailers: &Trailers) -> Result<(), Gone> {
        self.begin_to_send(id, true)?;
        let block = self.begin_block();
        write_trailers(&mut self.out, trailers);
        self.end_block(id, block, true);
        Ok(())
    }

    fn begin_to_send(&mut self, id: u32, is_last: bool) -> Result<(), Gone> {
        let stream = self.find(id).filter(|stream| stream.reset.is_none() && !stream.is_sent);
        stream.ok_or(Gone)?.is_sent = is_last;
        Ok(())
    }

    /// Leaves room for the head of a frame. Returns where that is.
    fn begin_block(&mut self) -> usize {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; HEAD_BYTES]);
        if std::mem::take(&mut self.tells_table_size) {
            // We use none, whatever the peer lets us have.
            write_table_size(&mut self.out, 0);
        }
        at
    }

    /// Puts the head before a block that was written, and cuts one that is too long.
    fn end_block(&mut self, stream: u32, at: usize, is_last: bool) {
        let end = if is_last { END_STREAM } else { 0 };
        let len = self.out.len() - at - HEAD_BYTES;
        if len <= PAYLOAD_BYTES_MAX {
            let head = FrameHead { len, kind: HEADERS, flags: end | END_HEADERS, stream };
            self.out[at..at + HEAD_BYTES].copy_from_slice(&head.bytes());
            return;
        }
        let block = self.out.split_off(at + HEAD_BYTES);
        self.out.truncate(at);
        let count = block.len().div_ceil(PAYLOAD_BYTES_MAX);
        for (number, piece) in block.chunks(PAYLOAD_BYTES_MAX).enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let begin = if number == 0 { end } else { 0 };
            let flags = begin | if number + 1 == count { END_HEADERS } else { 0 };
            frame::write(&mut self.out, kind, flags, stream, piece);
        }
    }

    /// Whether this side answers.
    pub fn is_server(&self) -> bool {
        self.role == Role::Server
    }
}

/// Where a head ends: behind the empty line, or with the text.
fn head_len(text: &[u8]) -> usize {
    memchr::memmem::find(text, b"\r\n\r\n").map_or(text.len(), |at| at + 4)
}
