//! What a peer has said of itself (RFC 9113, section 6.5; RFC 8441, section 3).

use super::frame::Code;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

pub(super) const WINDOW_BYTES: u32 = 65_535;
pub(super) const WINDOW_BYTES_END: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub window: u32,
    pub streams: u32,
    pub takes_tunnels: bool,
    /// The peer wants a table of another size than the usual one, and has to be told of ours.
    pub has_table_size: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: WINDOW_BYTES,
            streams: u32::MAX,
            takes_tunnels: false,
            has_table_size: false,
        }
    }
}

impl Settings {
    /// Takes the payload of a frame, of which the length was looked at.
    pub(super) fn take(&mut self, payload: &[u8], is_of_server: bool) -> Result<(), Code> {
        for entry in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            match (id, value) {
                (HEADER_TABLE_SIZE, _) => self.has_table_size = true,
                (ENABLE_PUSH, 0) => {}
                (ENABLE_PUSH, 1) if !is_of_server => {}
                (ENABLE_PUSH, _) => return Err(Code::PROTOCOL_ERROR),
                (MAX_CONCURRENT_STREAMS, streams) => self.streams = streams,
                (INITIAL_WINDOW_SIZE, WINDOW_BYTES_END..) => return Err(Code::FLOW_CONTROL_ERROR),
                (INITIAL_WINDOW_SIZE, window) => self.window = window,
                // We send none that is larger than what every peer takes.
                (MAX_FRAME_SIZE, 16_384..=16_777_215) => {}
                (MAX_FRAME_SIZE, _) => return Err(Code::PROTOCOL_ERROR),
                (ENABLE_CONNECT_PROTOCOL, value @ 0..=1) => self.takes_tunnels = value == 1,
                (ENABLE_CONNECT_PROTOCOL, _) => return Err(Code::PROTOCOL_ERROR),
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn write(out: &mut Vec<u8>, id: u16, value: u32) {
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}
