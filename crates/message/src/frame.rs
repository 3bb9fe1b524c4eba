//! How messages lie in a stream of bytes: what tells where one ends.

/// How the messages of one direction are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A number says how long each is.
    Length(LengthField),
    /// Each ends with these bytes, which belong to it: 1 to 64 of them. A line is one that ends
    /// with a line feed.
    Delimiter { bytes: Box<[u8]>, max: u64 },
    /// All have this many bytes, at least one.
    Fixed { size: u64 },
    /// The end of the stream is the end of the one message.
    Eof { max: u64 },
}

/// Where the length of a message stands, and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    pub number: Number,
    /// Where the number begins.
    pub offset: u32,
    /// A message has as many bytes as the number says, and this many more. 0 where the number
    /// counts all of it. The bytes of a varint, which may be any, come on top.
    pub body_offset: u32,
    /// The most that a message may have in all.
    pub max: u64,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Binary {
        /// 1, 2, 3, 4 or 8.
        bytes: u8,
        is_signed: bool,
        is_little: bool,
    },
    /// Seven bits a byte, the low ones first, as Protocol Buffers and MQTT have it: at most ten
    /// bytes.
    Varint,
    /// Decimal digits, as many as there are: 1 to 10.
    Ascii { digits: u8 },
}

/// Seven bits a byte: 64 bits need no more bytes.
pub const VARINT_BYTES_MAX: u32 = 10;

/// The bytes of a varint.
const fn varint_size(value: u64) -> u32 {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7)
}

/// How endpoints are told whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIdentity {
    /// The address of the client as text, and a space.
    Address,
    /// Address and port as text, and a space.
    AddressAndPort,
}

/// The beginning of a connection to an endpoint, before its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub send: Vec<u8>,
    /// What the endpoint answers it with, exactly; nothing is waited for if that is empty.
    pub expect: Vec<u8>,
}

impl Number {
    /// The bytes of a varint are as many as it takes.
    pub const fn size(self) -> Option<u32> {
        match self {
            Self::Binary { bytes, .. } => Some(bytes as u32),
            Self::Varint => None,
            Self::Ascii { digits } => Some(digits as u32),
        }
    }

    /// The largest that can be written.
    pub const fn largest(self) -> u64 {
        match self {
            Self::Binary { bytes, is_signed, .. } => {
                u64::MAX >> (64 - 8 * bytes as u32 + is_signed as u32)
            }
            Self::Varint => u64::MAX,
            Self::Ascii { digits } => 10_u64.pow(digits as u32) - 1,
        }
    }

    /// The number that bytes begin with, and how many of them it is; nothing if that is none.
    fn read(self, bytes: &[u8]) -> Option<(u64, u32)> {
        let Some(size) = self.size() else { return read_varint(bytes) };
        let digits = bytes.get(..size as usize)?;
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = match self {
            Self::Binary { is_little: true, .. } => digits.iter().rev().fold(0, join),
            Self::Binary { is_little: false, .. } => digits.iter().fold(0, join),
            Self::Ascii { .. } if digits.iter().all(u8::is_ascii_digit) => {
                digits.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0'))
            }
            Self::Ascii { .. } | Self::Varint => return None,
        };
        // One with a sign may be below zero.
        (value <= self.largest()).then_some((value, size))
    }
}

/// In as few bytes as will do.
fn read_varint(bytes: &[u8]) -> Option<(u64, u32)> {
    let size = bytes.iter().take(VARINT_BYTES_MAX as usize).position(|byte| byte & 0x80 == 0)? + 1;
    let bits = |byte: &u8| u128::from(byte & 0x7f);
    let value = bytes[..size].iter().rev().fold(0, |value, byte| value << 7 | bits(byte));
    let value = u64::try_from(value).ok()?;
    (varint_size(value) == size as u32).then_some((value, size as u32))
}

impl LengthField {
    /// Bytes of the message that these begin with, by its length; nothing if that is not there, or
    /// none that a message may have.
    pub fn total(&self, bytes: &[u8]) -> Option<u64> {
        let (value, size) = self.number.read(bytes.get(self.offset as usize..)?)?;
        let uncounted = if self.number.size().is_some() { 0 } else { size };
        let total = value.checked_add(u64::from(self.body_offset) + u64::from(uncounted))?;
        let is_there = total >= u64::from(self.offset) + u64::from(size);
        (is_there && total <= self.max).then_some(total)
    }

    /// Where the body begins, but for the bytes of a varint: behind the number, and behind all that
    /// the number leaves out.
    pub const fn body_start(&self) -> u32 {
        let end = match self.number.size() {
            Some(size) => self.offset + size,
            None => self.offset,
        };
        if self.body_offset > end { self.body_offset } else { end }
    }

    /// The number of a message whose body has so many bytes; nothing, if that cannot be.
    pub fn value_of(&self, body_bytes: u64) -> Option<u64> {
        let total = u64::from(self.body_start()) + body_bytes;
        let value = total - u64::from(self.body_offset);
        let own = match self.number.size() {
            Some(_) => 0,
            None => u64::from(varint_size(value)),
        };
        (total + own <= self.max && value <= self.number.largest()).then_some(value)
    }
}

impl Framing {
    /// Where each line is a message; a carriage return before its end is part of it.
    pub fn line(max: u64) -> Self {
        Self::Delimiter { bytes: Box::new([b'\n']), max }
    }

    /// The most that a message may have.
    pub fn max(&self) -> u64 {
        match self {
            Self::Length(LengthField { max, .. })
            | Self::Delimiter { max, .. }
            | Self::Eof { max } => *max,
            Self::Fixed { size } => *size,
        }
    }

    /// How many of these bytes are a message, if they begin with a whole one.
    pub fn first_message(&self, bytes: &[u8]) -> Option<usize> {
        let len = match self {
            Self::Length(field) => field.total(bytes)?,
            Self::Delimiter { bytes: delimiter, .. } => {
                let is_end = |window: &[u8]| window == &delimiter[..];
                (bytes.windows(delimiter.len()).position(is_end)? + delimiter.len()) as u64
            }
            Self::Fixed { size } => *size,
            Self::Eof { .. } => bytes.len() as u64,
        };
        let is_there = len > 0 && len <= self.max() && len <= bytes.len() as u64;
        is_there.then_some(len as usize)
    }

    /// Whether these bytes are one message, and no more.
    pub fn is_message(&self, bytes: &[u8]) -> bool {
        self.first_message(bytes) == Some(bytes.len())
    }

    /// Whether these bytes are whole messages, at least one.
    pub fn are_messages(&self, mut bytes: &[u8]) -> bool {
        loop {
            match self.first_message(bytes) {
                Some(len) if len == bytes.len() => return true,
                Some(len) => bytes = &bytes[len..],
                None => return false,
            }
        }
    }

    /// Whether a message with this body can be made: it has room, and does not end before its end.
    pub fn takes(&self, body: &[u8]) -> bool {
        let len = body.len() as u64;
        match self {
            Self::Length(field) => field.value_of(len).is_some(),
            Self::Delimiter { bytes, max } => {
                let body = body.strip_suffix(&bytes[..]).unwrap_or(body);
                let whole = [body, bytes].concat();
                let first = whole.windows(bytes.len()).position(|window| window == &bytes[..]);
                whole.len() as u64 <= *max && first == Some(body.len())
            }
            Self::Fixed { size } => len <= *size,
            Self::Eof { max } => len <= *max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_have_no_place_are_known() {
        let number = Number::Binary { bytes: 1, is_signed: true, is_little: false };
        let length =
            |body_offset, max| Framing::Length(LengthField { number, offset: 0, body_offset, max });
        let end = |bytes: &[u8]| Framing::Delimiter { bytes: bytes.into(), max: 6 };
        for (framing, body, expected) in [
            (length(1, 4), &b"abc"[..], true),
            (length(1, 3), b"abc", false),
            (length(1, 999), &[0; 127], true),
            (length(1, 999), &[0; 128], false),
            (length(0, 999), &[0; 126], true),
            (length(0, 999), &[0; 127], false),
            (Framing::line(4), b"abc", true),
            (Framing::line(4), b"abc\n", true),
            (Framing::line(4), b"abcd", false),
            (Framing::line(4), b"a\nb", false),
            (Framing::line(4), b"", true),
            (end(b"aa"), b"b", true),
            (end(b"aa"), b"a", false),
            (end(b"aa"), b"baa", true),
            (Framing::Fixed { size: 2 }, b"ab", true),
            (Framing::Fixed { size: 2 }, b"abc", false),
            (Framing::Eof { max: 2 }, b"ab", true),
            (Framing::Eof { max: 2 }, b"abc", false),
        ] {
            assert_eq!(framing.takes(body), expected, "{framing:?}: {}", body.escape_ascii());
        }
    }
}
