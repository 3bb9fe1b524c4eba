//! Where the messages of a stream end, for whoever holds its bytes. What tells so is a
//! [`Framing`]; the numbers are those of Swoole, made strict: a length that cannot be is found out
//! as soon as its last byte is there, and before a byte of what it claims is made room for.

mod delimiter;
mod number;
#[cfg(test)]
mod tests;
mod wrap;

use fairwater_message::frame::{Framing, LengthField};

use delimiter::Found;
pub use wrap::{TooLong, body_start, lengthen, wrap};

/// One message as it comes. Knows how much of it was seen; the bytes are the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    seen: u64,
    /// 0 until it is known.
    total: u64,
    /// What is to be known of bytes that were seen: the part of a number, or how much of a
    /// delimiter they end with.
    part: u64,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The message ends after so many of them; what is behind belongs to the next.
    Ends(usize),
    /// All of them belong to it, and it goes on.
    More,
}

/// Where the end of a stream finds its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No message has begun.
    Between,
    /// The one that has begun is whole.
    Complete,
    /// The one that has begun never ends.
    Torn,
}

/// Why something is no message. Nothing that follows on that stream can be told apart any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// The length is below zero.
    Negative,
    /// The message would end before its length does.
    Runt,
    /// The length needs more than 64 bits.
    Overflow,
    /// It is longer than it may be.
    TooLong,
    /// Something else stands where a digit should.
    Digit,
    /// A varint of more than ten bytes, or of more than it needs.
    Varint,
}

impl BadFrame {
    /// Its name in the log.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Negative => "length_negative",
            Self::Runt => "length_runt",
            Self::Overflow => "length_overflow",
            Self::TooLong => "too_long",
            Self::Digit => "bad_digit",
            Self::Varint => "bad_varint",
        }
    }
}

impl Progress {
    /// Takes in the next bytes of the stream. A `Progress::default()` is the beginning of a
    /// message; one that has ended has nothing to take in, and needs a new one behind it.
    ///
    /// # Errors
    /// See [`BadFrame`]; each as soon as it is certain.
    #[inline]
    pub fn look(&mut self, framing: &Framing, bytes: &[u8]) -> Result<Look, BadFrame> {
        match framing {
            Framing::Length(field) => {
                if self.total == 0 {
                    let at_once =
                        if self.seen == 0 { number::at_once(field, bytes)? } else { None };
                    match at_once {
                        Some((value, size)) => self.total = total(field, value, size)?,
                        None => return self.number(field, bytes),
                    }
                }
                Ok(self.advance(bytes))
            }
            Framing::Fixed { size } => {
                self.total = *size;
                Ok(self.advance(bytes))
            }
            Framing::Delimiter { bytes: delimiter, max } => self.delimited(delimiter, *max, bytes),
            // One that has just as many bytes as it may is known to be whole by the end alone.
            Framing::Eof { max } => {
                self.seen = self.seen.saturating_add(bytes.len() as u64);
                if self.seen > *max { Err(BadFrame::TooLong) } else { Ok(Look::More) }
            }
        }
    }

    /// Bytes of the whole message, once that is known: of one with a length when this was read, of
    /// those of a fixed size from the first look on, of others at their end.
    pub fn total(&self) -> Option<u64> {
        (self.total > 0).then_some(self.total)
    }

    /// Bytes of it that were taken in.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What becomes of the message if the stream ends here. A stream without a byte holds none, not
    /// even where its end is the end of one.
    pub fn at_end(&self, framing: &Framing) -> End {
        match framing {
            _ if self.seen == 0 => End::Between,
            Framing::Eof { .. } => End::Complete,
            _ if self.seen == self.total => End::Complete,
            Framing::Length(_) | Framing::Delimiter { .. } | Framing::Fixed { .. } => End::Torn,
        }
    }

    /// Of a message whose size is known.
    #[inline]
    fn advance(&mut self, bytes: &[u8]) -> Look {
        let left = self.total.saturating_sub(self.seen);
        if bytes.len() as u64 >= left {
            self.seen = self.total;
            return Look::Ends(left as usize);
        }
        self.seen += bytes.len() as u64;
        Look::More
    }

    /// Reads on at a number that comes in pieces, or whose bytes must be looked at one by one.
    fn number(&mut self, field: &LengthField, bytes: &[u8]) -> Result<Look, BadFrame> {
        let offset = u64::from(field.offset);
        let before = offset.saturating_sub(self.seen).min(bytes.len() as u64);
        let mut place = (self.seen + before).saturating_sub(offset) as u32;
        for &byte in &bytes[before as usize..] {
            let value = number::step(field.number, &mut self.part, place, byte)?;
            place += 1;
            if let Some(value) = value {
                self.total = total(field, value, place)?;
                return Ok(self.advance(bytes));
            }
        }
        self.seen += bytes.len() as u64;
        Ok(Look::More)
    }

    fn delimited(&mut self, delimiter: &[u8], max: u64, bytes: &[u8]) -> Result<Look, BadFrame> {
        if self.total > 0 {
            return Ok(Look::Ends(0));
        }
        let room = max.saturating_sub(self.seen);
        let within = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        match delimiter::find(delimiter, self.part as usize, &bytes[..within]) {
            Found::End(end) => {
                self.seen += end as u64;
                self.total = self.seen;
                Ok(Look::Ends(end))
            }
            Found::Begun(_) if within as u64 == room => Err(BadFrame::TooLong),
            Found::Begun(part) => {
                self.seen += within as u64;
                self.part = part as u64;
                Ok(Look::More)
            }
        }
    }
}

/// Bytes of a message whose length is `value`, written in `size` bytes.
#[inline]
fn total(field: &LengthField, value: u64, size: u32) -> Result<u64, BadFrame> {
    let uncounted = if field.number.size().is_some() { 0 } else { size };
    let rest = u64::from(field.body_offset) + u64::from(uncounted);
    let total = value.checked_add(rest).ok_or(BadFrame::Overflow)?;
    if total < u64::from(field.offset) + u64::from(size) {
        return Err(BadFrame::Runt);
    }
    if total > field.max {
        return Err(BadFrame::TooLong);
    }
    Ok(total)
}
