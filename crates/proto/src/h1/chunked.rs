//! The chunked coding (RFC 9112, section 7.1): decoded strictly and written anew, so that no
//! extension, odd number or line end of one hop reaches the next.

use std::ops::Range;

use fairwater_message::{Fault, FaultKind};

use super::fields::{TRAILER_BYTES_MAX, is_token};

/// The most bytes of chunk extensions in one body; they carry nothing that we forward.
const EXTENSION_BYTES_MAX: u32 = 16 * 1024;
/// Digits of a chunk size: 16 hold 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
/// The most bytes of a chunk head that we write.
pub const CHUNK_HEAD_BYTES_MAX: usize = 18;
/// Ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Digits of the size read so far.
    Size(u8),
    /// Behind a `;`, before the first letter of a name.
    ExtensionStart,
    ExtensionName,
    /// Behind a `=`, before the value.
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    /// At the start of a trailer line.
    TrailerStart,
    TrailerLine,
    TrailerReturn,
    /// The carriage return of the empty line was seen.
    FinalFeed,
    Done,
}

/// Decodes one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Of the size line: the value so far. In data: bytes left.
    left: u64,
    extension_bytes: u32,
    /// Trailer lines, raw; empty for nearly every body.
    trailers: Vec<u8>,
    malformed: FaultKind,
}

/// What one call of [`ChunkDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Where the data stands in the buffer, moved together if it came in several chunks.
    pub data: Range<usize>,
    /// Input bytes that belong to the body; after its end the rest belongs to the next message.
    pub consumed: usize,
    pub is_done: bool,
    /// The buffer was changed: data of several chunks was moved together.
    pub is_moved: bool,
}

impl ChunkDecoder {
    pub fn of_request() -> Self {
        Self::new(FaultKind::RequestBodyMalformed)
    }

    pub fn of_response() -> Self {
        Self::new(FaultKind::BodyMalformed)
    }

    fn new(malformed: FaultKind) -> Self {
        Self { state: State::Size(0), left: 0, extension_bytes: 0, trailers: Vec::new(), malformed }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer section as it came, each line with its CRLF; complete once `is_done`.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Decodes what is in `buffer`, in place: data of several chunks is moved together, so that a
    /// body of tiny chunks costs one write per read, not one per chunk.
    ///
    /// # Errors
    /// Anything outside the grammar; the connection must not be used any more.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, Fault> {
        let mut data = 0..0;
        let mut at = 0;
        let mut is_moved = false;
        while at < buffer.len() && self.state != State::Done {
            if self.state == State::Data {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len() - at);
                if data.is_empty() {
                    data = at..at + len;
                } else {
                    is_moved = true;
                    buffer.copy_within(at..at + len, data.end);
                    data.end += len;
                }
                at += len;
                self.left -= len as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
            } else {
                self.state = self.step(buffer[at])?;
                at += 1;
            }
        }
        Ok(Decoded { data, consumed: at, is_done: self.is_done(), is_moved })
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match self.state {
            State::Size(digits) => self.size(byte, digits),
            State::SizeFeed if byte == b'\n' => Ok(match self.left {
                0 => State::TrailerStart,
                _ => State::Data,
            }),
            State::DataReturn if byte == b'\r' => Ok(State::DataFeed),
            State::DataFeed if byte == b'\n' => Ok(State::Size(0)),
            State::TrailerStart if byte == b'\r' => Ok(State::FinalFeed),
            State::TrailerStart | State::TrailerLine => self.trailer(byte),
            State::TrailerReturn if byte == b'\n' => {
                self.trailers.push(byte);
                Ok(State::TrailerStart)
            }
            State::FinalFeed if byte == b'\n' => Ok(State::Done),
            State::SizeFeed | State::DataFeed | State::TrailerReturn | State::FinalFeed => {
                Err(self.malformed("chunk_line_end"))
            }
            State::DataReturn => Err(self.malformed("chunk_longer_than_its_size")),
            State::Data | State::Done => Err(self.malformed("chunk_state")),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8, digits: u8) -> Result<State, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(State::SizeFeed),
            b';' if digits > 0 => return Ok(State::ExtensionStart),
            _ => return Err(self.malformed("bad_chunk_size")),
        };
        if digits == 0 {
            self.left = 0;
        }
        if digits == SIZE_DIGITS_MAX || self.left > (i64::MAX as u64) >> 4 {
            return Err(self.malformed("chunk_size_too_large"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size(digits + 1))
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, checked and forgotten.
    /// The optional blanks are refused: nobody sends them but to confuse a parser.
    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(self.malformed("chunk_extensions_too_long"));
        }
        Ok(match (self.state, byte) {
            (State::ExtensionStart | State::ExtensionName, _) if is_token(byte) => {
                State::ExtensionName
            }
            (State::ExtensionName, b'=') => State::ValueStart,
            (State::ValueStart | State::Value, _) if is_token(byte) => State::Value,
            (State::ValueStart, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::QuotedEnd,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted | State::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => State::Quoted,
            (State::ExtensionName | State::Value | State::QuotedEnd, b';') => State::ExtensionStart,
            (State::ExtensionName | State::Value | State::QuotedEnd, b'\r') => State::SizeFeed,
            _ => return Err(self.malformed("bad_chunk_extension")),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Fault> {
        // Its last line feed must fit, too.
        if self.trailers.len() >= TRAILER_BYTES_MAX - 1 {
            return Err(self.malformed("trailers_too_long"));
        }
        self.trailers.push(byte);
        match byte {
            b'\r' => Ok(State::TrailerReturn),
            b'\n' => Err(self.malformed("bare_lf")),
            _ => Ok(State::TrailerLine),
        }
    }

    fn malformed(&self, detail: &'static str) -> Fault {
        Fault::because(self.malformed, detail)
    }
}

/// The size line of a chunk that we write.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; CHUNK_HEAD_BYTES_MAX],
    start: u8,
}

impl ChunkHead {
    pub fn new(size: usize) -> Self {
        let mut head = Self { bytes: [0; CHUNK_HEAD_BYTES_MAX], start: 16 };
        head.bytes[16..].copy_from_slice(b"\r\n");
        let mut left = size;
        loop {
            head.start -= 1;
            head.bytes[usize::from(head.start)] = b"0123456789abcdef"[left & 15];
            left >>= 4;
            if left == 0 {
                return head;
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests;
