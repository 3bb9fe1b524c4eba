//! What a client has sent and what was not given out yet: the beginning of a message, and what came
//! behind those that may be under way.

use fairwater_message::frame::Framing;
use fairwater_message::{Fault, FaultKind};
use fairwater_net::clock;
use fairwater_proto::frame::{BadFrame, End, Look, Progress};

use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Input {
    progress: Progress,
    /// The message that comes, as far as it was seen.
    held: Vec<u8>,
    begun_ms: u64,
    /// What was read and not looked at, from here on.
    ahead: Vec<u8>,
    ahead_start: usize,
    /// Bytes of what has become no message.
    lost: u64,
    /// Nothing more comes: in order, or because of this.
    pub end: Option<Option<Fault>>,
}

/// What bytes of a client are.
#[derive(Debug)]
pub(super) enum Piece {
    /// A message, which is the first of them and so long.
    Whole { len: usize },
    /// A message, the last bytes of which are the first so many of them.
    Joined { message: Vec<u8>, len: usize },
    /// All belong to a message that goes on.
    Part,
    /// The same of one that is too long to be kept: what has come of it until now.
    Begun { message: Vec<u8> },
    /// No message.
    Bad,
}

impl Input {
    /// Of a client of which this was read before.
    pub(super) fn starting_with(ahead: Vec<u8>) -> Self {
        Self { ahead, ..Self::default() }
    }

    /// Whether no message has begun.
    pub(super) fn is_between(&self) -> bool {
        self.progress.seen() == 0
    }

    pub(super) fn begun_ms(&self) -> Option<u64> {
        (!self.is_between()).then_some(self.begun_ms)
    }

    /// Bytes that have come of a message that has begun, or of what has become none.
    pub(super) fn unfinished(&self) -> u64 {
        self.progress.seen().max(self.lost)
    }

    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Everything that was read and belongs to no message that was given out.
    pub(super) fn at_rest(&self) -> Option<Vec<u8>> {
        self.end.is_none().then(|| [&self.held[..], &self.ahead[self.ahead_start..]].concat())
    }

    /// What was read and not looked at, from a place on; to be put back.
    pub(super) fn take_ahead(&mut self) -> Option<(Vec<u8>, usize)> {
        self.has_ahead().then(|| (std::mem::take(&mut self.ahead), self.ahead_start))
    }

    /// Puts it back, of which all before a place was used. Nothing was kept meanwhile.
    pub(super) fn put_back(&mut self, ahead: Vec<u8>, start: usize) {
        (self.ahead, self.ahead_start) = match start < ahead.len() && self.end.is_none() {
            true => (ahead, start),
            false => (Vec::new(), 0),
        };
    }

    pub(super) fn keep_ahead(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Looks at the next bytes.
    pub(super) fn take(&mut self, framing: &Framing, bytes: &[u8]) -> Piece {
        if self.is_between() {
            self.begun_ms = clock::coarse_ms();
        }
        let before = self.progress.seen();
        match self.progress.look(framing, bytes) {
            Ok(Look::Ends(len)) => {
                self.progress = Progress::default();
                if self.held.is_empty() {
                    return Piece::Whole { len };
                }
                let mut message = std::mem::take(&mut self.held);
                message.extend_from_slice(&bytes[..len]);
                Piece::Joined { message, len }
            }
            Ok(Look::More) => {
                self.held.extend_from_slice(bytes);
                // Not before so much is there: who claims a length holds no connection for it.
                if self.held.len() >= limits::FRAME_STORED_BYTES {
                    return Piece::Begun { message: std::mem::take(&mut self.held) };
                }
                Piece::Part
            }
            Err(bad) => {
                self.lost = before + bytes.len() as u64;
                self.break_off(bad);
                Piece::Bad
            }
        }
    }

    /// The same while the message goes out: how many of them are its last ones, if it ends.
    pub(super) fn take_more(
        &mut self,
        framing: &Framing,
        bytes: &[u8],
    ) -> Result<Option<usize>, Fault> {
        let before = self.progress.seen();
        match self.progress.look(framing, bytes) {
            Ok(Look::Ends(len)) => {
                self.progress = Progress::default();
                Ok(Some(len))
            }
            Ok(Look::More) => Ok(None),
            Err(bad) => {
                self.lost = before + bytes.len() as u64;
                Err(Fault::because(FaultKind::BadFrame, bad.detail()))
            }
        }
    }

    fn break_off(&mut self, bad: BadFrame) {
        self.end = Some(Some(Fault::because(FaultKind::BadFrame, bad.detail())));
        (self.progress, self.held) = Default::default();
        (self.ahead, self.ahead_start) = Default::default();
    }

    /// Nothing more is wanted of it.
    pub(super) fn cut_short(&mut self) {
        self.progress = Progress::default();
        self.end = Some(None);
    }

    /// The client has closed its direction. Gives the message that ends with it, if there is one.
    pub(super) fn at_end(&mut self, framing: &Framing) -> Option<Vec<u8>> {
        let end = self.progress.at_end(framing);
        if end == End::Torn {
            self.lost = self.progress.seen();
        }
        self.progress = Progress::default();
        let held = std::mem::take(&mut self.held);
        let torn = Fault::because(FaultKind::ClientAborted, "torn_message");
        self.end = Some((end == End::Torn).then_some(torn));
        (end == End::Complete).then_some(held)
    }
}
