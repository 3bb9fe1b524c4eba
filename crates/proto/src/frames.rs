//! Frames of HTTP/2 as they pass (RFC 9113, section 4), counted: a client that makes much work with
//! few bytes is told apart from one that has much to ask, and a request that the library answered
//! by itself is known. What the frames mean is not read here.

mod head;

use std::collections::VecDeque;

use head::{Head, Heads};

/// Budgets are for so long.
const SPAN_MS: u64 = 10_000;

/// Of each kind that carries nothing, in one span.
const IDLE_FRAMES_MAX: u32 = 1000;
const SETTINGS_MAX: u32 = 100;
/// Streams that a client gives up or makes us give up, unless they are less than half of those that
/// it began.
const RESETS_MAX: u32 = 200;
/// Pieces of one head. Each may have 16 KiB, as much as half of the largest head by default.
const CONTINUATIONS_MAX: u32 = 8;
/// For each of these that it was sent a client may say once that it takes more.
const BYTES_PER_UPDATE: u64 = 512;

/// The library ends a connection that has made it reset 1024 streams, or has sent 100 empty frames
/// of data, in however long a life. Short of that the connection retires, so that nothing is lost.
const PROVOKED_MAX: u32 = 768;
const EMPTY_MAX: u32 = 75;

/// Requests of which is not known yet what the library makes of them.
const BEGUN_MAX: usize = 512;

/// What a client says before its first frame.
const PREFACE_BYTES: u32 = 24;

/// What a client does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    EmptyData,
    Resets,
    Settings,
    Pings,
    WindowUpdates,
    Continuations,
    /// Priorities, and frames that nobody knows.
    Others,
}

impl Flood {
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyData => "empty_data",
            Self::Resets => "resets",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::WindowUpdates => "window_updates",
            Self::Continuations => "continuations",
            Self::Others => "other_frames",
        }
    }
}

/// Why no more is read of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    Flood(Flood),
    /// A frame is too short or too long for its kind.
    FrameSize,
    /// The first frame is another than SETTINGS.
    NoSettings,
    /// A stream depends on itself. The library would pass over its head, and read those behind it
    /// by another table than they were written with.
    OwnParent,
}

impl Offence {
    /// What the peer is told (RFC 9113, section 7).
    pub const fn code(self) -> u32 {
        match self {
            Self::NoSettings | Self::OwnParent => 1,
            Self::FrameSize => 6,
            Self::Flood(_) => 11,
        }
    }
}

/// What the library has made of a request that it gave to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has answered: the head was too large.
    Answered,
    /// The client had as many requests open as it may (REFUSED_STREAM).
    Busy,
    /// The request was malformed.
    Reset,
}

/// The frames of one peer.
#[derive(Debug)]
pub struct Frames {
    heads: Heads,
    sent: Heads,
    span_end_ms: u64,
    sent_bytes: u64,
    streams: u32,
    counts: [u32; Flood::Others as usize + 1],
    has_settings: bool,
    /// The last frame belongs to a head.
    is_of_head: bool,
    /// A head has begun, and its last frame has not.
    lacks_end: bool,
    /// An endpoint may refuse as much as it likes: none of it was its own idea.
    is_client: bool,
    /// The highest stream that was begun.
    stream_max: u32,
    /// Requests that began and were neither taken nor refused, in their order.
    begun: VecDeque<u32>,
    refused: Vec<(u32, Refusal)>,
    /// Of the whole life.
    provoked: u32,
    empty: u32,
    /// The last frame that was sent is one of data.
    is_sending_data: bool,
    data_bytes: u64,
}

impl Frames {
    /// Those of a client, which begins with the preface.
    pub fn of_client() -> Self {
        Self::new(PREFACE_BYTES, true)
    }

    /// Those of an endpoint.
    pub fn of_endpoint() -> Self {
        Self::new(0, false)
    }

    fn new(preface: u32, is_client: bool) -> Self {
        Self {
            heads: Heads::behind(preface),
            sent: Heads::behind(0),
            span_end_ms: 0,
            sent_bytes: 0,
            streams: 0,
            counts: [0; Flood::Others as usize + 1],
            has_settings: false,
            is_of_head: false,
            lacks_end: false,
            is_client,
            stream_max: 0,
            begun: VecDeque::new(),
            refused: Vec::new(),
            provoked: 0,
            empty: 0,
            is_sending_data: false,
            data_bytes: 0,
        }
    }

    /// Whether the end of a head is waited for.
    pub fn is_within_head(&self) -> bool {
        self.lacks_end || self.heads.awaits_word() || (self.is_of_head && self.heads.is_within())
    }

    /// Whether the library will soon have had enough of this connection.
    pub fn is_worn(&self) -> bool {
        self.provoked >= PROVOKED_MAX || self.empty >= EMPTY_MAX
    }

    /// Bytes of bodies that went to the peer.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The request on this stream is given to somebody. Returns whether it shall be: the library
    /// gives away also what it has refused meanwhile.
    pub fn take_stream(&mut self, stream: u32) -> bool {
        if let Some(at) = self.begun.iter().position(|&begun| begun == stream) {
            self.begun.remove(at);
        }
        !self.refused.iter().any(|&(refused, _)| refused == stream)
    }

    /// What has become of a request that was given to nobody and is not accounted for. To be asked
    /// when all that there are to give away were given.
    pub fn next_refused(&mut self) -> Option<Refusal> {
        self.refused.pop().map(|(_, refusal)| refusal)
    }

    /// Takes bytes that went to the peer, in their order.
    ///
    /// # Errors
    /// When it makes us reset too many streams.
    pub fn sent(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        self.sent_bytes += bytes.len() as u64;
        let mut rest = bytes;
        while self.is_client {
            let before = rest.len();
            self.sent.skip(&mut rest);
            if self.is_sending_data {
                self.data_bytes += (before - rest.len()) as u64;
            }
            let Some(head) = self.sent.next(&mut rest) else { break };
            self.is_sending_data = head.kind == head::DATA;
            self.look_at_reply(head)?;
        }
        Ok(())
    }

    fn look_at_reply(&mut self, head: Head) -> Result<(), Offence> {
        let refusal = match (head.kind, head.word) {
            (head::HEADERS, _) => Refusal::Answered,
            (head::RST_STREAM, REFUSED_STREAM) => Refusal::Busy,
            (head::RST_STREAM, _) => Refusal::Reset,
            _ => return Ok(()),
        };
        if let Some(at) = self.begun.iter().position(|&begun| begun == head.stream) {
            self.begun.remove(at);
            self.refused.push((head.stream, refusal));
            // It is no stream that others may be given up for.
            self.streams = self.streams.saturating_sub(1);
        }
        if head.kind != head::RST_STREAM {
            return Ok(());
        }
        let has_work = WITH_WORK.contains(&head.word);
        self.provoked += u32::from(has_work || WITHOUT_WORK.contains(&head.word));
        if has_work { self.count(Flood::Resets, RESETS_MAX.max(self.streams / 2)) } else { Ok(()) }
    }

    /// Takes bytes of the peer, in their order.
    ///
    /// # Errors
    /// What is wrong, and behind how many bytes: nothing further shall be read of this peer.
    pub fn take(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), (usize, Offence)> {
        if now_ms >= self.span_end_ms {
            (self.span_end_ms, self.sent_bytes, self.streams) = (now_ms + SPAN_MS, 0, 0);
            // A head goes on over the end of a span.
            let pieces = self.counts[Flood::Continuations as usize];
            self.counts = [0; Flood::Others as usize + 1];
            self.counts[Flood::Continuations as usize] = pieces;
        }
        let mut rest = bytes;
        loop {
            self.heads.skip(&mut rest);
            let good = bytes.len() - rest.len();
            let Some(head) = self.heads.next(&mut rest) else { return Ok(()) };
            self.look_at(head).map_err(|offence| (good, offence))?;
        }
    }

    fn look_at(&mut self, head: Head) -> Result<(), Offence> {
        if !self.has_settings && (head.kind != head::SETTINGS || head.has(head::ACK)) {
            return Err(Offence::NoSettings);
        }
        self.has_settings = true;
        if !head.is_sound() {
            return Err(Offence::FrameSize);
        }
        if head.is_own_parent() {
            return Err(Offence::OwnParent);
        }
        self.is_of_head = matches!(head.kind, head::HEADERS | head::CONTINUATION);
        match head.kind {
            head::DATA if head.len > 0 || head.has(head::END_STREAM) => Ok(()),
            head::DATA => {
                self.empty += 1;
                self.count(Flood::EmptyData, IDLE_FRAMES_MAX)
            }
            head::HEADERS => {
                self.begin(head);
                Ok(())
            }
            head::RST_STREAM if !self.is_client => Ok(()),
            head::RST_STREAM => self.count(Flood::Resets, RESETS_MAX.max(self.streams / 2)),
            head::SETTINGS => self.count(Flood::Settings, SETTINGS_MAX),
            head::PING => self.count(Flood::Pings, IDLE_FRAMES_MAX),
            head::WINDOW_UPDATE => {
                let more = u32::try_from(self.sent_bytes / BYTES_PER_UPDATE).unwrap_or(u32::MAX);
                self.count(Flood::WindowUpdates, more.saturating_add(IDLE_FRAMES_MAX))
            }
            head::CONTINUATION => {
                self.lacks_end &= !head.has(head::END_HEADERS);
                self.count(Flood::Continuations, CONTINUATIONS_MAX)
            }
            _ => self.count(Flood::Others, IDLE_FRAMES_MAX.max(self.streams * 2)),
        }
    }

    fn begin(&mut self, head: Head) {
        self.streams += 1;
        self.lacks_end = !head.has(head::END_HEADERS);
        self.counts[Flood::Continuations as usize] = 0;
        // Trailers begin nothing.
        if self.is_client && head.stream > self.stream_max {
            self.stream_max = head.stream;
            if self.begun.len() < BEGUN_MAX {
                self.begun.push_back(head.stream);
            }
        }
    }

    fn count(&mut self, flood: Flood, max: u32) -> Result<(), Offence> {
        let count = &mut self.counts[flood as usize];
        *count += 1;
        if *count > max { Err(Offence::Flood(flood)) } else { Ok(()) }
    }
}

/// Codes (RFC 9113, section 7) of resets that a client is the reason for. With the first somebody
/// may have begun to work: PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR. With the others
/// nobody has, and they come in numbers when streams are refused whose data is on its way:
/// STREAM_CLOSED, REFUSED_STREAM.
const WITH_WORK: [u32; 3] = [1, 3, 6];
const WITHOUT_WORK: [u32; 2] = [5, REFUSED_STREAM];
const REFUSED_STREAM: u32 = 7;

#[cfg(test)]
mod tests;
