//! How much a peer may do that makes work and carries nothing: a client that makes much work with
//! few bytes is told apart from one that has much to ask.

/// Budgets are for so long.
const SPAN_MS: u64 = 10_000;
/// Of each kind that carries nothing, in one span.
const IDLE_FRAMES_MAX: u32 = 1000;
const SETTINGS_MAX: u32 = 100;
/// Streams that a client gives up or makes us give up, unless they are less than half of those that
/// it began.
const RESETS_MAX: u32 = 200;
/// For each of these that it was sent a peer may say once that it takes more; and twice for each
/// frame of data, as one does that answers each small message for its stream and for all.
const BYTES_PER_UPDATE: u64 = 512;
const UPDATES_PER_FRAME: u64 = 2;
/// Priorities of a stream, and the like.
const FRAMES_PER_STREAM: u32 = 2;

/// What a peer does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    EmptyData,
    Resets,
    Settings,
    Pings,
    WindowUpdates,
    /// Priorities, and frames that nobody knows.
    Others,
}

/// What a peer was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    bytes: u64,
    frames: u64,
}

#[derive(Debug, Default)]
pub(super) struct Budget {
    span_end_ms: u64,
    sent: Sent,
    /// In the span before: its answers may come in this one.
    sent_before: Sent,
    streams: u32,
    counts: [u32; Flood::Others as usize + 1],
}

impl Budget {
    /// To be called with what comes.
    pub(super) fn begin(&mut self, now_ms: u64) {
        if now_ms >= self.span_end_ms {
            let span_end_ms = now_ms + SPAN_MS;
            *self = Self { span_end_ms, sent_before: self.sent, ..Self::default() };
        }
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.sent.bytes += len as u64;
    }

    pub(super) fn sent_frame(&mut self) {
        self.sent.frames += 1;
    }

    pub(super) fn stream(&mut self) {
        self.streams += 1;
    }

    /// Takes one of a kind.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn take(&mut self, flood: Flood) -> Result<(), Flood> {
        let bytes = self.sent.bytes + self.sent_before.bytes;
        let frames = self.sent.frames + self.sent_before.frames;
        let idle_and =
            |more: u64| u32::try_from(more).unwrap_or(u32::MAX).saturating_add(IDLE_FRAMES_MAX);
        let max = match flood {
            Flood::Settings => SETTINGS_MAX,
            Flood::Resets => RESETS_MAX.max(self.streams / 2),
            // Some measure the way with each message.
            Flood::Pings => idle_and(frames),
            Flood::WindowUpdates => idle_and(bytes / BYTES_PER_UPDATE + frames * UPDATES_PER_FRAME),
            Flood::EmptyData | Flood::Others => {
                IDLE_FRAMES_MAX.max(self.streams.saturating_mul(FRAMES_PER_STREAM))
            }
        };
        let count = &mut self.counts[flood as usize];
        *count += 1;
        if *count > max { Err(flood) } else { Ok(()) }
    }
}
