//! HTTP/1 messages, read strictly: CRLF, no control character, one space behind the colon, chunks
//! in the form that the proxy writes.

use std::fmt;
use std::io::{self, Read};

use crate::Socket;

/// One message as it stood on the wire.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// All of it, exactly.
    pub raw: Vec<u8>,
    pub start_line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Sizes of the chunks, without the last.
    pub chunks: Vec<usize>,
}

/// Why there is no complete message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Closed between messages.
    Closed,
    /// Reset between messages.
    Reset,
    /// Closed within a message: what came of it.
    ClosedWithin(Box<Message>),
    ResetWithin(Box<Message>),
    TimedOut(Box<Message>),
    Grammar(String),
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// Short: bodies of megabytes help nobody who reads why a test failed.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.raw[..self.raw.len().min(600)];
        write!(f, "{} bytes: {}", self.raw.len(), shown.escape_ascii())
    }
}

impl Message {
    /// The value of the only field with this name.
    ///
    /// # Panics
    /// When there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        let is_it = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        let mut found = self.fields.iter().filter(is_it);
        let value = found.next();
        assert!(found.next().is_none(), "{name} is there more than once: {self:?}");
        value.map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Of a response; 0 when there is none.
    pub fn status(&self) -> u16 {
        self.start_line.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    pub fn method(&self) -> &str {
        self.start_line.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.start_line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender says that it will close.
    pub fn closes(&self) -> bool {
        self.all("connection").any(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads messages from a socket.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
}

enum More {
    Bytes,
    Closed,
    Reset,
    TimedOut,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    pub const fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// What was read and belongs to no message yet.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// # Errors
    /// See [`Broken`].
    pub fn request(&mut self, socket: &mut Socket) -> Result<Message, Broken> {
        let mut message = self.head(socket)?;
        let parts: Vec<_> = message.start_line.split(' ').collect();
        if parts.len() != 3 || parts[2] != "HTTP/1.1" || parts[1].is_empty() {
            return Err(Broken::Grammar(format!("request line {:?}", message.start_line)));
        }
        let length = length_of(&message)?.unwrap_or(Length::Known(0));
        self.body(socket, &mut message, length)?;
        Ok(message)
    }

    /// The response to a request with this method; interim ones come out like others.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn response(&mut self, socket: &mut Socket, method: &str) -> Result<Message, Broken> {
        let mut message = self.head(socket)?;
        let line = &message.start_line;
        if !line.starts_with("HTTP/1.1 ") || message.status() < 100 || line.get(12..13) != Some(" ")
        {
            return Err(Broken::Grammar(format!("status line {line:?}")));
        }
        let status = message.status();
        let is_bodiless =
            method == "HEAD" || status == 204 || status == 304 || (100..200).contains(&status);
        let length = match length_of(&message)? {
            _ if is_bodiless => Length::Known(0),
            Some(length) => length,
            None => Length::UntilClose,
        };
        self.body(socket, &mut message, length)?;
        Ok(message)
    }

    fn head(&mut self, socket: &mut Socket) -> Result<Message, Broken> {
        let mut from = 0;
        let end = loop {
            if let Some(at) = self.buffer[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at + 4;
            }
            from = self.buffer.len().saturating_sub(3);
            match self.more(socket) {
                More::Bytes => {}
                More::Closed if self.buffer.is_empty() => return Err(Broken::Closed),
                More::Reset if self.buffer.is_empty() => return Err(Broken::Reset),
                end => return Err(self.within(Message::default(), &end)),
            }
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        let mut lines = raw[..end - 4].split(|&byte| byte == b'\n');
        let start_line = line_of(lines.next().unwrap_or_default(), lines.clone().next().is_some())?;
        let mut fields = Vec::new();
        while let Some(line) = lines.next() {
            fields.push(field_of(&line_of(line, lines.clone().next().is_some())?)?);
        }
        Ok(Message { raw, start_line, fields, ..Message::default() })
    }

    fn body(
        &mut self,
        socket: &mut Socket,
        message: &mut Message,
        length: Length,
    ) -> Result<(), Broken> {
        match length {
            Length::Known(length) => {
                let (body, end) = self.take(socket, length);
                message.raw.extend_from_slice(&body);
                message.body = body;
                end.map_or(Ok(()), |end| Err(self.within(std::mem::take(message), &end)))
            }
            Length::UntilClose => loop {
                message.body.append(&mut self.buffer);
                match self.more(socket) {
                    More::Bytes => {}
                    More::Closed => {
                        let body = &message.body;
                        message.raw.extend_from_slice(body);
                        return Ok(());
                    }
                    end => return Err(self.within(std::mem::take(message), &end)),
                }
            },
            Length::Chunked => self.chunks(socket, message),
        }
    }

    fn chunks(&mut self, socket: &mut Socket, message: &mut Message) -> Result<(), Broken> {
        loop {
            let line = self.line(socket, message)?;
            let size = usize::from_str_radix(&line, 16).ok().filter(|n| format!("{n:x}") == line);
            let Some(size) = size else {
                return Err(Broken::Grammar(format!("chunk size {line:?}")));
            };
            if size == 0 {
                break;
            }
            let (data, end) = self.take(socket, size);
            message.raw.extend_from_slice(&data);
            message.body.extend_from_slice(&data);
            if let Some(end) = end {
                return Err(self.within(std::mem::take(message), &end));
            }
            message.chunks.push(size);
            if !self.line(socket, message)?.is_empty() {
                return Err(Broken::Grammar("no line end behind a chunk".to_owned()));
            }
        }
        loop {
            let line = self.line(socket, message)?;
            if line.is_empty() {
                return Ok(());
            }
            message.trailers.push(field_of(&line)?);
        }
    }

    /// A line of the chunked coding.
    fn line(&mut self, socket: &mut Socket, message: &mut Message) -> Result<String, Broken> {
        let end = loop {
            match self.buffer.iter().position(|&byte| byte == b'\n') {
                Some(at) => break at,
                None => match self.more(socket) {
                    More::Bytes => {}
                    end => return Err(self.within(std::mem::take(message), &end)),
                },
            }
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        message.raw.extend_from_slice(&line);
        line_of(&line[..end], true)
    }

    fn take(&mut self, socket: &mut Socket, len: usize) -> (Vec<u8>, Option<More>) {
        while self.buffer.len() < len {
            match self.more(socket) {
                More::Bytes => {}
                end => return (self.take_rest(), Some(end)),
            }
        }
        (self.buffer.drain(..len).collect(), None)
    }

    fn within(&mut self, mut message: Message, end: &More) -> Broken {
        message.raw.append(&mut self.buffer);
        match end {
            More::Reset => Broken::ResetWithin(Box::new(message)),
            More::TimedOut => Broken::TimedOut(Box::new(message)),
            More::Bytes | More::Closed => Broken::ClosedWithin(Box::new(message)),
        }
    }

    fn more(&mut self, socket: &mut Socket) -> More {
        let mut piece = [0; 64 * 1024];
        match socket.read(&mut piece) {
            Ok(0) => More::Closed,
            Ok(len) => {
                self.buffer.extend_from_slice(&piece[..len]);
                More::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => More::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => More::TimedOut,
            Err(_) => More::Reset,
        }
    }
}

/// A line without its CR, which must be there (the last line of a head was cut off with it).
fn line_of(line: &[u8], has_return: bool) -> Result<String, Broken> {
    let text = match line.strip_suffix(b"\r") {
        Some(text) if has_return => text,
        None if !has_return => line,
        _ => return Err(Broken::Grammar(format!("line end of {}", line.escape_ascii()))),
    };
    if text.iter().any(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
        return Err(Broken::Grammar(format!("control character in {}", line.escape_ascii())));
    }
    Ok(text.iter().map(|&byte| char::from(byte)).collect())
}

fn field_of(line: &str) -> Result<(String, String), Broken> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    };
    match line.split_once(':') {
        Some((name, value)) if is_name(name) && (value.is_empty() || value.starts_with(' ')) => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(Broken::Grammar(format!("field {line:?}"))),
    }
}

fn length_of(message: &Message) -> Result<Option<Length>, Broken> {
    let wrong = |what: &str| Broken::Grammar(format!("{what} in {:?}", message.fields));
    let lengths: Vec<_> = message.all("content-length").collect();
    let codings: Vec<_> = message.all("transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([length], []) => {
            let value = length.parse::<usize>().ok().filter(|n| n.to_string() == *length);
            value.map(|n| Some(Length::Known(n))).ok_or_else(|| wrong("bad content-length"))
        }
        ([], ["chunked"]) => Ok(Some(Length::Chunked)),
        _ => Err(wrong("ambiguous framing")),
    }
}
