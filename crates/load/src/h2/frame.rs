//! Frames of HTTP/2 (RFC 9113, sections 4 and 6): taking them apart, and writing them.

/// What a client sends before its first frame.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;

/// Nobody here allows larger ones.
const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Of a connection and of its streams, until a peer says otherwise.
pub(super) const WINDOW_BYTES: u32 = 65_535;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GO_AWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Names of settings.
pub(super) const TABLE_BYTES: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const INITIAL_WINDOW: u16 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes` with its length; None until it is whole.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, String> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(format!("a frame of {length} bytes"));
        }
        let stream = number(&head[5..]) & 0x7fff_ffff;
        let frame = |payload| Self { kind: head[3], flags: head[4], stream, payload };
        Ok(rest.get(..length).map(|payload| (frame(payload), HEAD_BYTES + length)))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA or HEADERS without padding and priority.
    pub(super) fn content(&self) -> Result<&'a [u8], String> {
        let mut content = self.payload;
        if self.has(PADDED) {
            let (padding, rest) = content.split_first().ok_or("padding without its length")?;
            let kept = rest.len().checked_sub(usize::from(*padding));
            content = &rest[..kept.ok_or("more padding than payload")?];
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            content = content.get(5..).ok_or("a priority that is cut off")?;
        }
        Ok(content)
    }

    /// The names and values of SETTINGS.
    pub(super) fn settings(&self) -> impl Iterator<Item = (u16, u32)> {
        let pairs = self.payload.chunks_exact(6);
        pairs.map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), number(&pair[2..])))
    }

    /// The number that a RESET or a WINDOW_UPDATE is, or that stands second in GO_AWAY.
    pub(super) fn value(&self) -> Result<u32, String> {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        self.payload.get(at..at + 4).map(number).ok_or_else(|| "a frame is cut off".to_owned())
    }
}

/// The first four bytes, of which the caller knows that they are there.
fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    let id = stream.to_be_bytes();
    let [_, a, b, c] = length;
    out.extend_from_slice(&[a, b, c, kind, flags, id[0], id[1], id[2], id[3]]);
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let bytes = settings.iter().flat_map(|(name, value)| {
        let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
        [name[0], name[1], value[0], value[1], value[2], value[3]]
    });
    write(out, SETTINGS, 0, 0, &bytes.collect::<Vec<u8>>());
}

/// Allows the peer so many bytes more.
pub(super) fn write_window(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_there_once_it_is_whole() {
        let mut bytes = Vec::new();
        write(&mut bytes, DATA, END_STREAM, 7, b"hello");
        for length in 0..bytes.len() {
            assert!(Frame::first(&bytes[..length]).unwrap().is_none(), "{length}");
        }
        let (frame, length) = Frame::first(&bytes).unwrap().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.payload), (DATA, 7, &b"hello"[..]));
        assert!(frame.has(END_STREAM));
        assert_eq!(length, bytes.len());
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let check = |kind, flags, payload: &[u8], expected: Option<&[u8]>| {
            let frame = Frame { kind, flags, stream: 1, payload };
            assert_eq!(frame.content().ok(), expected);
        };
        check(DATA, PADDED, b"\x02ab\0\0", Some(b"ab"));
        check(DATA, PADDED, b"\x05ab\0\0", None);
        check(HEADERS, PRIORITY, b"\0\0\0\0\x10ab", Some(b"ab"));
        check(HEADERS, PRIORITY, b"\0\0\0", None);
    }

    #[test]
    fn settings_come_back_as_pairs() {
        let mut bytes = Vec::new();
        write_settings(&mut bytes, &[(TABLE_BYTES, 0), (INITIAL_WINDOW, 1 << 20)]);
        let (frame, _) = Frame::first(&bytes).unwrap().unwrap();
        let settings: Vec<_> = frame.settings().collect();
        assert_eq!(settings, [(TABLE_BYTES, 0), (INITIAL_WINDOW, 1 << 20)]);
    }
}
