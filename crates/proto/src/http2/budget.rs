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

#[derive(Debug, Default)]
pub(super) struct Budget {
    span_end_ms: u64,
    sent_bytes: u64,
    sent_frames: u64,
    streams: u32,
    counts: [u32; Flood::Others as usize + 1],
}

impl Budget {
    /// To be called with what comes.
    pub(super) fn begin(&mut self, now_ms: u64) {
        if now_ms >= self.span_end_ms {
            *self = Self { span_end_ms: now_ms + SPAN_MS, ..Self::default() };
        }
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.sent_bytes += len as u64;
    }

    pub(super) fn sent_frame(&mut self) {
        self.sent_frames += 1;
    }

    pub(super) fn stream(&mut self) {
        self.streams += 1;
    }

    /// Takes one of a kind.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn take(&mut self, flood: Flood) -> Result<(), Flood> {
        let max = match flood {
            Flood::EmptyData | Flood::Pings => IDLE_FRAMES_MAX,
            Flood::Settings => SETTINGS_MAX,
            Flood::Resets => RESETS_MAX.max(self.streams / 2),
            Flood::WindowUpdates => {
                let more =
                    self.sent_bytes / BYTES_PER_UPDATE + self.sent_frames * UPDATES_PER_FRAME;
                u32::try_from(more).unwrap_or(u32::MAX).saturating_add(IDLE_FRAMES_MAX)
            }
            Flood::Others => IDLE_FRAMES_MAX.max(self.streams * 2),
        };
        let count = &mut self.counts[flood as usize];
        *count += 1;
        if *count > max { Err(flood) } else { Ok(()) }
    }
}
