//! The first message of TLS (RFC 8446, section 4.1.2), read for the host that a client asks for by
//! one who takes no part in the session. The message may come in any number of records.

use std::borrow::Cow;

/// The longest message with its records. Those of browsers have about 2 KiB, most of it a key
/// that quantum computers do not break.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

/// As names of hosts are: what is longer names none.
const SERVER_NAME_BYTES_MAX: usize = 253;

const RECORD_HEAD_BYTES: usize = 5;
const RECORD_BYTES_MAX: usize = 1 << 14;
const MESSAGE_HEAD_BYTES: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// An alert that ends the connection (RFC 8446, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    DecodeError = 50,
    /// The name is nobody's.
    UnrecognizedName = 112,
}

impl Alert {
    /// Its record. Nothing is agreed on yet, so that it goes in clear.
    pub const fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHello {
    /// Something else comes.
    Absent,
    /// It has begun, and more of it is needed.
    Incomplete,
    /// Which rule it breaks.
    Malformed(&'static str),
}

/// The host that the message at the start of `bytes` asks for, in small letters and without a final
/// dot; nothing, if it names none.
///
/// # Errors
/// See [`NoHello`]; more bytes help against `Incomplete`, and against nothing else.
pub fn server_name(bytes: &[u8]) -> Result<Option<String>, NoHello> {
    let message = message(bytes)?;
    let name = Parts(&message).name().ok_or(NoHello::Malformed("message"))?;
    Ok(name.and_then(host))
}

/// The body of the message.
fn message(bytes: &[u8]) -> Result<Cow<'_, [u8]>, NoHello> {
    let mut message = Cow::Borrowed(&[][..]);
    let mut rest = &bytes[..bytes.len().min(HELLO_BYTES_MAX)];
    loop {
        let is_tls = rest.iter().zip([HANDSHAKE, 3]).all(|(byte, expected)| *byte == expected);
        if !is_tls {
            let is_first = rest.len() == bytes.len().min(HELLO_BYTES_MAX);
            return Err(if is_first { NoHello::Absent } else { NoHello::Malformed("record") });
        }
        let Some((head, behind)) = rest.split_first_chunk::<RECORD_HEAD_BYTES>() else { break };
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if len == 0 || len > RECORD_BYTES_MAX {
            return Err(NoHello::Malformed("record length"));
        }
        let (part, behind) = behind.split_at(len.min(behind.len()));
        match message.is_empty() {
            true => message = Cow::Borrowed(part),
            false => message.to_mut().extend_from_slice(part),
        }
        if let Some((head, body)) = message.split_first_chunk::<MESSAGE_HEAD_BYTES>() {
            let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            if head[0] != CLIENT_HELLO {
                return Err(NoHello::Malformed("message type"));
            }
            if len > HELLO_BYTES_MAX - RECORD_HEAD_BYTES - MESSAGE_HEAD_BYTES {
                return Err(NoHello::Malformed("message length"));
            }
            if body.len() >= len {
                return Ok(cut(message, len));
            }
        }
        if part.len() < len {
            break;
        }
        rest = behind;
    }
    match bytes.len() < HELLO_BYTES_MAX {
        true => Err(NoHello::Incomplete),
        false => Err(NoHello::Malformed("length")),
    }
}

/// The body of a message that is all there.
fn cut(message: Cow<'_, [u8]>, len: usize) -> Cow<'_, [u8]> {
    let body = MESSAGE_HEAD_BYTES..MESSAGE_HEAD_BYTES + len;
    match message {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[body]),
        Cow::Owned(bytes) => Cow::Owned(bytes[body].to_vec()),
    }
}

/// As it is compared; nothing, if no host can have it.
fn host(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_fit =
        (1..=SERVER_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    let name = is_fit.then(|| std::str::from_utf8(name).ok())??;
    Some(name.to_ascii_lowercase())
}

/// What has not been read of a message.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// The name that the whole message asks for. `None` if the message is broken.
    fn name(mut self) -> Option<Option<&'a [u8]>> {
        // Version and random; session id, cipher suites, compression methods.
        self.take(2 + 32)?;
        let (session, suites, methods) = (self.short()?, self.long()?, self.short()?);
        if session.len() > 32 || suites.is_empty() || suites.len() % 2 > 0 || methods.is_empty() {
            return None;
        }
        let mut name = None;
        if self.0.is_empty() {
            return Some(name);
        }
        let mut extensions = Self(self.long()?);
        while !extensions.0.is_empty() {
            let (kind, value) = (extensions.number()?, extensions.long()?);
            if kind == SERVER_NAME && name.replace(Self(value).host_name()?).is_some() {
                return None;
            }
        }
        self.0.is_empty().then_some(name)
    }

    /// Of a list of names (RFC 6066, section 3), which has exactly one host.
    fn host_name(mut self) -> Option<&'a [u8]> {
        let mut names = Self(self.long()?);
        let mut host = None;
        while !names.0.is_empty() {
            let (kind, name) = (names.take(1)?[0], names.long()?);
            if name.is_empty() || kind == HOST_NAME && host.replace(name).is_some() {
                return None;
            }
        }
        host.filter(|_| self.0.is_empty())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A vector whose length has one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(len.into())
    }

    /// A vector whose length has two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests;
