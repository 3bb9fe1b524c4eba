//! What goes to a peer: heads from lines as we write them for HTTP/1.1, and bodies under the flow
//! control of the peer (RFC 9113, sections 5.2 and 8).

use super::connection::{Connection, Role};
use super::frame::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, HEAD_BYTES, HEADERS,
    PAYLOAD_BYTES_MAX,
};
use super::stream::Waiter;
use crate::hpack::{write_field, write_status, write_table_size};

/// What is sent of a request beside its lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requested<'a> {
    pub scheme: &'a str,
    /// In place of the method: a tunnel for this protocol (RFC 8441, section 4).
    pub tunnel: Option<&'a str>,
    /// The client reads trailers.
    pub takes_trailers: bool,
    /// The reply has no body, whatever it says.
    pub is_head: bool,
}

/// The stream has ended by force, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Fields of a connection, which HTTP/2 has none of (section 8.2.2).
fn is_of_connection(name: &[u8]) -> bool {
    match name.len() {
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
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

    /// Begins a stream with a request that was written for HTTP/1.1: its first field is the host.
    /// `None` if the peer takes no more streams now, or the text is no request.
    pub fn send_request(
        &mut self,
        text: &[u8],
        asked: Requested<'_>,
        is_last: bool,
    ) -> Option<u32> {
        let line_end = memchr::memchr(b'\n', text)? + 1;
        let host_end = line_end + memchr::memchr(b'\n', &text[line_end..])? + 1;
        let line = text[..line_end].strip_suffix(b" HTTP/1.1\r\n")?;
        let space = memchr::memchr(b' ', line)?;
        let host = text[line_end..host_end].strip_prefix(b"host: ")?.strip_suffix(b"\r\n")?;
        let id = self.begin_own()?;
        let stream = self.find(id)?;
        (stream.is_bodiless, stream.is_sent) = (asked.is_head, is_last);
        stream.is_tunnel = asked.tunnel.is_some();
        let block = self.begin_block();
        let out = &mut self.out;
        let method = if asked.tunnel.is_some() { b"CONNECT" } else { &line[..space] };
        write_field(out, b":method", method);
        write_field(out, b":scheme", asked.scheme.as_bytes());
        write_field(out, b":path", &line[space + 1..]);
        write_field(out, b":authority", host);
        if let Some(protocol) = asked.tunnel {
            write_field(out, b":protocol", protocol.as_bytes());
        }
        let without = if asked.tunnel.is_some() { b"sec-websocket-key".as_slice() } else { b"" };
        write_lines(out, &text[host_end..], without);
        if asked.takes_trailers {
            write_field(out, b"te", b"trailers");
        }
        self.end_block(id, block, is_last);
        Some(id)
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
        let is_last = is_last && len == data.len();
        if len < data.len() {
            stream.is_blocked = true;
        }
        if len == 0 && !(is_last && data.is_empty()) {
            return Ok(0);
        }
        stream.send_window -= len as i64;
        stream.is_sent |= is_last;
        self.send_window -= len as i64;
        self.data_bytes += len as u64;
        let mut rest = &data[..len];
        loop {
            let piece = rest.len().min(PAYLOAD_BYTES_MAX);
            let is_end = is_last && piece == rest.len();
            let flags = if is_end { END_STREAM } else { 0 };
            self.budget.sent_frame();
            frame::write(&mut self.out, DATA, flags, id, &rest[..piece]);
            rest = &rest[piece..];
            if rest.is_empty() {
                return Ok(len);
            }
        }
    }

    /// Ends a body with trailers, as field lines.
    pub fn send_trailers(&mut self, id: u32, lines: &[u8]) -> Result<(), Gone> {
        self.begin_to_send(id, true)?;
        let block = self.begin_block();
        write_lines(&mut self.out, lines, b"");
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
            let mut head = Vec::with_capacity(HEAD_BYTES);
            FrameHead { len, kind: HEADERS, flags: end | END_HEADERS, stream }.write(&mut head);
            self.out[at..at + HEAD_BYTES].copy_from_slice(&head);
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

/// Field lines up to the empty one, without those of connections.
fn write_lines(out: &mut Vec<u8>, lines: &[u8], without: &[u8]) {
    let mut lower = [0; 64];
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if is_of_connection(name) || name.eq_ignore_ascii_case(without) {
            continue;
        }
        match lower.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                write_field(out, lower, value);
            }
            None => write_field(out, &name.to_ascii_lowercase(), value),
        }
    }
}
