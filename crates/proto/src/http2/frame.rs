//! Frames: their heads and codes (RFC 9113, sections 4 and 7).

pub(super) const HEAD_BYTES: usize = 9;
/// What we take, and what every peer takes (section 4.2).
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const HAS_PRIORITY: u8 = 32;

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    /// What the log calls it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "http2_no_error",
            1 => "http2_protocol_error",
            2 => "http2_internal_error",
            3 => "http2_flow_control_error",
            4 => "http2_settings_timeout",
            5 => "http2_stream_closed",
            6 => "http2_frame_size_error",
            7 => "http2_refused_stream",
            8 => "http2_cancel",
            9 => "http2_compression_error",
            10 => "http2_connect_error",
            11 => "http2_enhance_your_calm",
            12 => "http2_inadequate_security",
            13 => "http2_http11_required",
            _ => "http2_unknown_code",
        }
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHead {
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = *bytes;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        Self { len, kind, flags, stream: u32::from_be_bytes([s, t, u, v]) & 0x7fff_ffff }
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    pub(super) fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, a, b, c] = (self.len as u32).to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s, t, u, v]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The payload of a frame without its padding (section 6.1).
pub(super) fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], Code> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Code::FRAME_SIZE_ERROR)?;
    let len = rest.len().checked_sub(usize::from(padding)).ok_or(Code::PROTOCOL_ERROR)?;
    Ok(&rest[..len])
}

/// A whole small frame.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    FrameHead { len: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// The first four bytes as a number.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
