//! The backend's side of one connection, without its socket: a gRPC server that says back what it
//! is told.

use std::collections::VecDeque;
use std::rc::Rc;

use super::block::{Block, Field};
use super::frame::{self, Frame};
use super::hpack::{Decoder, TABLE_BYTES};

/// What may come before we say more.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;

/// The head and the trailers of every reply.
pub(crate) struct Words([Block; 2]);

impl Words {
    pub(crate) fn new() -> Self {
        let head =
            [Field::fixed(":status", "200"), Field::fixed("content-type", "application/grpc")];
        let trailers = [Field::fixed("grpc-status", "0")];
        Self(Block::series([&head, &trailers]))
    }
}

pub(crate) struct Server {
    words: Rc<Words>,
    decoder: Decoder,
    /// Frames that wait to be sent.
    pub(crate) output: Vec<u8>,
    has_preface: bool,
    /// Requests of which the rest is to come: nearly always none or one.
    uploads: Vec<Upload>,
    table: Table,
    /// What the peer takes of bodies before it says more, and replies that wait for that.
    allowed: u32,
    waiting: VecDeque<(u32, Vec<u8>)>,
    /// Bytes that came, of which the peer has not been told that it may send as many again.
    taken: u32,
}

struct Upload {
    id: u32,
    message: Vec<u8>,
    /// As in `Server::taken`.
    taken: u32,
}

/// What the peer has in its table of our fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Table {
    Empty,
    Filled,
    /// It wants none, which has yet to be acknowledged in the next block.
    Refused,
    None,
}

impl Server {
    pub(crate) fn new(words: Rc<Words>) -> Self {
        let mut output = Vec::new();
        frame::write_settings(&mut output, &[]);
        frame::write_window(&mut output, 0, CONNECTION_WINDOW_BYTES - frame::WINDOW_BYTES);
        Self {
            words,
            decoder: Decoder::new(),
            output,
            has_preface: false,
            uploads: Vec::new(),
            table: Table::Empty,
            allowed: frame::WINDOW_BYTES,
            waiting: VecDeque::new(),
            taken: 0,
        }
    }

    /// Takes whole frames, and gives the bytes that those are.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        if !self.has_preface {
            let length = frame::PREFACE.len().min(bytes.len());
            if bytes[..length] != frame::PREFACE[..length] {
                return Err("this is not HTTP/2".to_owned());
            }
            if length < frame::PREFACE.len() {
                return Ok(0);
            }
            self.has_preface = true;
            used = length;
        }
        while let Some((frame, length)) = Frame::first(&bytes[used..])? {
            self.take(&frame)?;
            used += length;
        }
        if self.taken >= CONNECTION_WINDOW_BYTES / 2 {
            frame::write_window(&mut self.output, 0, std::mem::take(&mut self.taken));
        }
        self.send_waiting();
        Ok(used)
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        match frame.kind {
            frame::HEADERS => self.take_head(frame),
            frame::DATA => self.take_data(frame),
            frame::SETTINGS if !frame.has(frame::ACK) => {
                let mut tables = frame.settings().filter(|pair| pair.0 == frame::TABLE_BYTES);
                if tables.any(|(_, bytes)| (bytes as usize) < TABLE_BYTES) {
                    self.table = Table::Refused;
                }
                frame::write(&mut self.output, frame::SETTINGS, frame::ACK, 0, &[]);
                Ok(())
            }
            frame::WINDOW_UPDATE if frame.stream == 0 => {
                self.allowed = self.allowed.saturating_add(frame.value()?);
                Ok(())
            }
            frame::PING if !frame.has(frame::ACK) => {
                frame::write(&mut self.output, frame::PING, frame::ACK, 0, frame.payload);
                Ok(())
            }
            frame::RESET => {
                self.uploads.retain(|upload| upload.id != frame.stream);
                Ok(())
            }
            frame::GO_AWAY => Err("the proxy ends the connection".to_owned()),
            frame::PUSH | frame::CONTINUATION => Err(format!("a frame of kind {}", frame.kind)),
            _ => Ok(()),
        }
    }

    fn take_head(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if !frame.has(frame::END_HEADERS) {
            return Err("a head in several frames".to_owned());
        }
        let head = self.decoder.read(frame.content()?)?;
        let is_right = head.is_post && head.is_grpc && head.takes_trailers;
        if !is_right || frame.has(frame::END_STREAM) {
            self.refuse(frame.stream);
            return Ok(());
        }
        self.uploads.push(Upload { id: frame.stream, message: Vec::new(), taken: 0 });
        Ok(())
    }

    fn take_data(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        self.taken += frame.payload.len() as u32;
        // Of a request that was refused the rest still comes.
        let at = self.uploads.iter().rposition(|upload| upload.id == frame.stream);
        let Some(at) = at else { return Ok(()) };
        self.uploads[at].message.extend_from_slice(frame.content()?);
        if frame.has(frame::END_STREAM) {
            let Upload { id, message, .. } = self.uploads.swap_remove(at);
            match is_one_message(&message) {
                true => self.waiting.push_back((id, message)),
                false => self.refuse(id),
            }
        } else {
            self.uploads[at].taken += frame.payload.len() as u32;
            if self.uploads[at].taken >= frame::WINDOW_BYTES / 2 {
                let taken = std::mem::take(&mut self.uploads[at].taken);
                frame::write_window(&mut self.output, frame.stream, taken);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, id: u32) {
        frame::write(&mut self.output, frame::RESET, 0, id, &PROTOCOL_ERROR.to_be_bytes());
    }

    fn send_waiting(&mut self) {
        while let Some((id, message)) = self.waiting.front() {
            let Some(left) = self.allowed.checked_sub(message.len() as u32) else { return };
            self.allowed = left;
            let [head, trailers] = &self.words.0;
            let mut sized = Vec::new();
            let (head, trailers) = match self.table {
                Table::Empty => (&head.first, &trailers.first),
                Table::Filled => (&head.next, &trailers.next),
                Table::None => (&head.plain, &trailers.plain),
                Table::Refused => {
                    // A table of no bytes (RFC 7541, section 6.3).
                    sized.push(0x20);
                    sized.extend_from_slice(&head.plain);
                    (&sized, &trailers.plain)
                }
            };
            self.table = match self.table {
                Table::Empty | Table::Filled => Table::Filled,
                Table::Refused | Table::None => Table::None,
            };
            let (out, last) = (&mut self.output, frame::END_HEADERS | frame::END_STREAM);
            frame::write(out, frame::HEADERS, frame::END_HEADERS, *id, head);
            frame::write(out, frame::DATA, 0, *id, message);
            frame::write(out, frame::HEADERS, last, *id, trailers);
            self.waiting.pop_front();
        }
    }
}

/// Whether it has the prefix of a message that is not compressed, and as many bytes as that says.
fn is_one_message(bytes: &[u8]) -> bool {
    match bytes.split_first_chunk() {
        Some(([0, a, b, c, d], text)) => {
            u32::from_be_bytes([*a, *b, *c, *d]) as usize == text.len()
        }
        _ => false,
    }
}
