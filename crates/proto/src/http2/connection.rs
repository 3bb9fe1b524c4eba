//! A connection and its streams: what both directions share.

use std::collections::VecDeque;

use fairwater_message::Trailers;

use super::budget::Budget;
use super::fields::{HeadBounds, Problem};
use super::frame::{self, Code, GOAWAY, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use super::settings::{self, Settings, WINDOW_BYTES};
use super::stream::{Head, Read, Reset, Stream, Waiter};
use super::{Flood, PREFACE};
use crate::hpack;

/// Streams that we have reset and of which something may still come.
const RESET_MAX: usize = 128;
/// The highest number that a stream can have.
const STREAM_END: u32 = 1 << 31;
/// Bytes for the peer that make us listen no more, in such as make us take nothing more of bodies.
/// With bodies alone there are never so many.
const UNSENT_TIMES_MAX: usize = 4;
/// What we ask with when we go: the answer says that whatever came before it is here.
const LAST_PING: [u8; 8] = *b"going...";
const OWN_PING: [u8; 8] = *b"alive...";

/// Whose side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What a peer may make of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of a head, as lines.
    pub head_bytes: usize,
    pub head_fields: usize,
    /// Streams at a time that the peer may begin.
    pub streams: u32,
    /// What the peer may send ahead on a stream, and over all; not less than the 65 535 that it may
    /// send before it knows (RFC 9113, section 6.9.2).
    pub stream_window: u32,
    pub connection_window: u32,
    /// Bytes for the peer, above which nothing more of bodies is taken.
    pub unsent_bytes: usize,
    /// The words behind a status.
    pub phrase: fn(u16) -> &'static str,
}

/// A request that came.
#[derive(Debug)]
pub struct Opened {
    pub stream: u32,
    /// As HTTP/1.1 would have it.
    pub text: Vec<u8>,
    /// Nothing follows.
    pub is_all: bool,
    /// It shall become a tunnel; the text lacks the lines that say so, and its end. Whether it is
    /// one of WebSocket.
    pub tunnel: Option<bool>,
    /// Why it can only be refused.
    pub problem: Option<Problem>,
    /// Some of its fields may come into no table of any later hop.
    pub has_secrets: bool,
}

/// A request that nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many as there may be.
    Busy,
    Malformed,
}

/// An event for the one who serves the connection.
#[derive(Debug)]
pub(super) enum Event {
    Opened(Opened),
    Refused(Refusal),
}

#[derive(Debug)]
pub struct Connection<W> {
    pub(super) role: Role,
    pub(super) bounds: Bounds,
    pub(super) decoder: hpack::Decoder,
    /// Of a frame of which the rest has not come.
    pub(super) partial: Vec<u8>,
    pub(super) preface_left: usize,
    pub(super) has_settings: bool,
    /// A head that goes on in another frame, and whether its stream ends with it.
    pub(super) pieces: Option<Pieces>,
    /// Numbers of streams, in their order, apart from them: they are looked for with each step.
    ids: VecDeque<u32>,
    streams: VecDeque<Stream<W>>,
    /// Streams that the peer has begun and that count.
    pub(super) peer_streams: u32,
    pub(super) peer_last: u32,
    pub(super) own_next: u32,
    own_streams: u32,
    pub(super) was_reset: VecDeque<u32>,
    pub(super) receive_window: i64,
    owed: u32,
    window_target: u32,
    stream_window: u32,
    /// A smaller one, which holds once the peer has said that it knows.
    pub(super) window_to_be: Option<u32>,
    pub(super) settings_unknown: u32,
    pub(super) send_window: i64,
    pub(super) peer: Settings,
    pub(super) tells_table_size: bool,
    pub(super) out: Vec<u8>,
    pub(super) budget: Budget,
    pub(super) events: VecDeque<Event>,
    /// What the peer was told with GOAWAY: the highest stream that we take.
    pub(super) taken_max: Option<u32>,
    /// Streams that it has begun since.
    late_streams: u32,
    /// The peer takes no more streams.
    pub(super) is_left: bool,
    pub(super) end: Option<(Code, Option<Flood>)>,
    pub(super) has_pong: bool,
    pub(super) data_bytes: u64,
    /// The stream that data was sent of last.
    pub(super) sent_last: u32,
    /// Streams may wait for room to send.
    pub(super) has_blocked: bool,
    /// Heads that have come.
    pub(super) heads: u64,
    /// What the frames that came make of work, in bytes of a body that would make as much.
    pub(super) work_bytes: u64,
}

/// A head in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    pub stream: u32,
    pub is_last: bool,
    pub block: Vec<u8>,
    pub count: u32,
}

impl<W: Waiter> Connection<W> {
    /// Begins a connection: what there is to say first is in [`Self::out`].
    pub fn new(role: Role, bounds: Bounds) -> Self {
        let mut connection = Self {
            role,
            bounds,
            decoder: hpack::Decoder::new(4096),
            partial: Vec::new(),
            preface_left: if role == Role::Server { PREFACE.len() } else { 0 },
            has_settings: false,
            pieces: None,
            ids: VecDeque::new(),
            streams: VecDeque::new(),
            peer_streams: 0,
            peer_last: 0,
            own_next: 1,
            own_streams: 0,
            was_reset: VecDeque::new(),
            receive_window: i64::from(WINDOW_BYTES),
            owed: 0,
            window_target: WINDOW_BYTES,
            stream_window: bounds.stream_window,
            window_to_be: None,
            settings_unknown: 1,
            send_window: i64::from(WINDOW_BYTES),
            peer: Settings::default(),
            tells_table_size: false,
            out: Vec::new(),
            budget: Budget::default(),
            events: VecDeque::new(),
            taken_max: None,
            late_streams: 0,
            is_left: false,
            end: None,
            has_pong: false,
            data_bytes: 0,
            sent_last: 0,
            has_blocked: false,
            heads: 0,
            work_bytes: 0,
        };
        connection.greet();
        connection
    }

    fn greet(&mut self) {
        let mut own = Vec::with_capacity(36);
        settings::write(&mut own, settings::INITIAL_WINDOW_SIZE, self.bounds.stream_window);
        let list = u32::try_from(self.bounds.head_bytes).unwrap_or(u32::MAX);
        settings::write(&mut own, settings::MAX_HEADER_LIST_SIZE, list);
        if self.role == Role::Client {
            self.out.extend_from_slice(PREFACE);
            settings::write(&mut own, settings::ENABLE_PUSH, 0);
        } else {
            settings::write(&mut own, settings::MAX_CONCURRENT_STREAMS, self.bounds.streams);
            settings::write(&mut own, settings::ENABLE_CONNECT_PROTOCOL, 1);
        }
        frame::write(&mut self.out, SETTINGS, 0, 0, &own);
        self.grow_window(self.bounds.connection_window);
    }

    /// Lets the peer send more ahead over all streams.
    fn grow_window(&mut self, to: u32) {
        if let Some(more) = to.checked_sub(self.window_target).filter(|more| *more > 0) {
            self.window_target = to;
            self.receive_window += i64::from(more);
            frame::write(&mut self.out, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    /// Sets what the peer may send ahead on a stream from now on, and over all. False while it has
    /// not answered for the last change.
    pub fn set_windows(&mut self, stream: u32, all: u32) -> bool {
        if self.settings_unknown > 0 {
            return false;
        }
        let mut own = Vec::with_capacity(6);
        settings::write(&mut own, settings::INITIAL_WINDOW_SIZE, stream);
        frame::write(&mut self.out, SETTINGS, 0, 0, &own);
        self.settings_unknown = 1;
        if stream >= self.stream_window {
            self.apply_window(stream);
        } else {
            self.window_to_be = Some(stream);
        }
        self.grow_window(all);
        true
    }

    pub(super) fn apply_window(&mut self, stream: u32) {
        let more = i64::from(stream) - i64::from(self.stream_window);
        self.stream_window = stream;
        self.streams.iter_mut().for_each(|stream| stream.receive_window += more);
        if more < 0 {
            self.settle_debts();
        }
    }

    /// Gives back all that was read: a peer that has used the larger window has nothing left of the
    /// smaller one, and nothing more would come to be given back behind.
    fn settle_debts(&mut self) {
        for (&id, stream) in self.ids.iter().zip(&mut self.streams) {
            if stream.owed > 0 && !stream.is_received {
                let owed = std::mem::take(&mut stream.owed);
                stream.receive_window += i64::from(owed);
                frame::write(&mut self.out, WINDOW_UPDATE, 0, id, &owed.to_be_bytes());
            }
        }
    }

    /// Bytes for the peer. What was sent is taken out of it with [`Self::sent`].
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    pub fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// So many bytes of [`Self::out`] have gone. Streams that waited for room are woken.
    pub fn sent(&mut self, len: usize) {
        self.budget.sent(len);
        if len == self.out.len() {
            self.out.clear();
            // A busy connection needs it again at once, an idle one never.
            if self.streams.is_empty() {
                self.out = Vec::new();
                (self.ids, self.streams) = (VecDeque::new(), VecDeque::new());
            }
        } else {
            self.out.drain(..len);
        }
        if self.has_room() {
            self.wake_blocked();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.len() < self.bounds.unsent_bytes
    }

    /// Whether there is so much for the peer that nothing more should be heard of it: who asks and
    /// never listens would have us keep all answers.
    pub fn is_choked(&self) -> bool {
        self.out.len() >= self.bounds.unsent_bytes.saturating_mul(UNSENT_TIMES_MAX)
    }

    /// Wakes the streams that could send now. Those that are first may take all that there is, so
    /// that the one which had it last comes last.
    pub(super) fn wake_blocked(&mut self) {
        if self.send_window <= 0 || !self.has_blocked {
            return;
        }
        self.has_blocked = false;
        let last = self.sent_last;
        let next = self.ids.partition_point(|&id| id <= last);
        let len = self.streams.len();
        for at in (next..len).chain(0..next) {
            let Some(stream) = self.streams.get_mut(at).filter(|stream| stream.is_blocked) else {
                continue;
            };
            if stream.send_window > 0 {
                stream.is_blocked = false;
                stream.waiter.wake();
            } else {
                self.has_blocked = true;
            }
        }
    }

    /// The next request, of a server.
    pub fn next_opened(&mut self) -> Option<Result<Opened, Refusal>> {
        self.events.pop_front().map(|event| match event {
            Event::Opened(opened) => Ok(opened),
            Event::Refused(refusal) => Err(refusal),
        })
    }

    /// Why it is over, if the peer was at fault: nothing more is to be read.
    pub fn end(&self) -> Option<(Code, Option<Flood>)> {
        self.end
    }

    /// Whether the peer has sent its settings.
    pub fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// Whether the peer knows ours: what it had to say first of all has come before that.
    pub fn is_known(&self) -> bool {
        self.settings_unknown == 0
    }

    /// Which head it is whose end is waited for, if one has begun.
    pub fn begun_head(&self) -> Option<u64> {
        let is_begun = self.partial.get(3).is_some_and(|&kind| kind == frame::HEADERS);
        (is_begun || self.pieces.is_some()).then_some(self.heads)
    }

    /// Whether the peer takes no more streams.
    pub fn is_left(&self) -> bool {
        self.is_left || self.own_next >= STREAM_END || self.end.is_some()
    }

    pub fn takes_tunnels(&self) -> bool {
        self.peer.takes_tunnels
    }

    /// Streams that the peer lets us have at a time.
    pub fn streams_max(&self) -> u32 {
        self.peer.streams
    }

    pub fn streams_open(&self) -> usize {
        self.streams.len()
    }

    /// Bytes of bodies that went out.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// What has come since this was asked last, in bytes of a body that would make as much work.
    pub fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work_bytes)
    }

    /// Asks the peer for a sign of life; [`Self::take_pong`] tells of it.
    pub fn ping(&mut self) {
        self.has_pong = false;
        frame::write(&mut self.out, PING, 0, 0, &OWN_PING);
    }

    pub fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.has_pong)
    }

    /// Takes no further stream; those that run go on. The peer is asked for a sign that it knows,
    /// and what it has begun until then is taken (section 6.8).
    pub fn leave(&mut self) {
        if self.taken_max.is_none() && self.end.is_none() {
            self.taken_max = Some(STREAM_END - 1);
            self.write_goaway(STREAM_END - 1, Code::NO_ERROR);
            if self.role == Role::Server {
                frame::write(&mut self.out, PING, 0, 0, &LAST_PING);
            }
        }
    }

    pub(super) fn take_ack_of_ping(&mut self, payload: &[u8]) {
        if payload == OWN_PING {
            self.has_pong = true;
        } else if payload == LAST_PING {
            self.take_no_more();
        }
    }

    /// Tells a peer that was told to go which stream is the last.
    fn take_no_more(&mut self) {
        if self.taken_max == Some(STREAM_END - 1) {
            self.taken_max = Some(self.peer_last);
            self.write_goaway(self.peer_last, Code::NO_ERROR);
        }
    }

    /// The peer has begun a stream. One that was told to go, and goes on for long, has not heard.
    pub(super) fn count_stream(&mut self) {
        self.peer_streams += 1;
        if self.taken_max.is_some() {
            self.late_streams += 1;
            if self.late_streams >= self.bounds.streams {
                self.take_no_more();
            }
        }
    }

    /// Whether the peer knows that we leave, and nothing runs any more.
    pub fn has_left(&self) -> bool {
        let knows = self.taken_max.is_some_and(|max| max < STREAM_END - 1);
        (knows || (self.role == Role::Client && self.taken_max.is_some()))
            && self.streams.is_empty()
    }

    /// Ends everything at once.
    pub fn abort(&mut self, code: Code) {
        self.fail(code, None);
    }

    pub(super) fn fail(&mut self, code: Code, flood: Option<Flood>) {
        if self.end.is_some() {
            return;
        }
        self.end = Some((code, flood));
        self.write_goaway(self.peer_last, code);
        self.lose(code);
    }

    /// The connection has ended: so have its streams.
    pub fn lose(&mut self, code: Code) {
        self.is_left = true;
        for stream in &mut self.streams {
            if !stream.is_over() {
                stream.reset = Some(Reset { code, is_remote: false, is_unseen: false });
            }
            stream.waiter.wake();
        }
    }

    fn write_goaway(&mut self, last: u32, code: Code) {
        let payload = [last.to_be_bytes(), code.0.to_be_bytes()].concat();
        frame::write(&mut self.out, GOAWAY, 0, 0, &payload);
    }

    // Streams.

    /// Where a stream is. They are numbered in steps of two, so that this is where the first one
    /// says, unless some between them have ended before it.
    fn place(&self, id: u32) -> Option<usize> {
        let at = (id.checked_sub(*self.ids.front()?)? / 2) as usize;
        match self.ids.get(at) {
            Some(&there) if there == id => Some(at),
            _ => self.ids.binary_search(&id).ok(),
        }
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Stream<W>> {
        let at = self.place(id)?;
        self.streams.get_mut(at)
    }

    pub(super) fn look(&self, id: u32) -> Option<&Stream<W>> {
        let at = self.place(id)?;
        self.streams.get(at)
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = (u32, &mut Stream<W>)> {
        self.ids.iter().copied().zip(&mut self.streams)
    }

    /// A new one; its number is the highest so far.
    pub(super) fn insert(&mut self, id: u32) -> &mut Stream<W> {
        debug_assert!(self.ids.back().is_none_or(|last| *last < id), "numbers only grow");
        self.ids.push_back(id);
        self.streams.push_back(Stream::new(self.stream_window, self.peer.window));
        self.streams.back_mut().expect("it was put there a line above")
    }

    /// Who waits for the stream, if there is one.
    pub fn waiter(&mut self, id: u32) -> Option<&mut W> {
        self.find(id).map(|stream| &mut stream.waiter)
    }

    /// Gives up a stream that is not over, and forgets it. Nobody asks for it any more.
    pub fn release(&mut self, id: u32) {
        let Some(at) = self.place(id) else { return };
        self.ids.remove(at);
        let Some(stream) = self.streams.remove(at) else { return };
        if self.role == Role::Server {
            self.peer_streams -= 1;
        } else {
            self.own_streams -= 1;
        }
        // Also of what was taken out by somebody who has given up.
        let unread = (stream.data.len() - stream.start) as u32;
        self.owe(unread + stream.taken);
        if !stream.is_over() && self.end.is_none() {
            // A reply that is complete needs no more of its request (section 8.1).
            let is_done = stream.is_sent && self.role == Role::Server;
            self.write_reset(id, if is_done { Code::NO_ERROR } else { Code::CANCEL });
        }
    }

    /// Ends a stream by force.
    pub fn reset(&mut self, id: u32, code: Code) {
        let Some(stream) = self.find(id).filter(|stream| !stream.is_over()) else { return };
        stream.reset = Some(Reset { code, is_remote: false, is_unseen: false });
        stream.waiter.wake();
        self.write_reset(id, code);
    }

    /// Remembers a stream of which nothing more is taken.
    pub(super) fn forget(&mut self, id: u32) {
        if self.was_reset.len() == RESET_MAX {
            self.was_reset.pop_front();
        }
        self.was_reset.push_back(id);
    }

    pub(super) fn write_reset(&mut self, id: u32, code: Code) {
        self.forget(id);
        frame::write(&mut self.out, RST_STREAM, 0, id, &code.0.to_be_bytes());
    }

    // Reading.

    pub fn read(&mut self, id: u32, buffer: &mut [u8]) -> Read {
        let Some(stream) = self.find(id) else { return Read::Reset(Code::CANCEL) };
        let read = stream.read(buffer);
        if let Read::Data(len) = read {
            self.return_window(id, len);
        }
        read
    }

    /// Takes out so many bytes at the most, in the memory that they came in if there are no more
    /// and that is not much larger. The peer may send as much again.
    pub fn read_piece(&mut self, id: u32, bytes_max: usize) -> (Vec<u8>, Read) {
        let unread = self.look(id).map_or(0, |stream| stream.data.len() - stream.start);
        if unread > bytes_max {
            let mut piece = vec![0; bytes_max];
            let read = self.read(id, &mut piece);
            return (piece, read);
        }
        let (mut piece, read) = self.read_all(id);
        if let Read::Data(len) = read {
            self.give_back(id, len);
        }
        if piece.capacity() / 2 > piece.len() {
            piece.shrink_to_fit(); // more may have come with it, which nobody counts any more
        }
        (piece, read)
    }

    /// Takes out all data that there is; it counts as unread until [`Self::give_back`].
    pub fn read_all(&mut self, id: u32) -> (Vec<u8>, Read) {
        let Some(stream) = self.find(id) else { return (Vec::new(), Read::Reset(Code::CANCEL)) };
        let start = std::mem::take(&mut stream.start);
        let mut data = std::mem::take(&mut stream.data);
        data.drain(..start);
        stream.taken += data.len() as u32;
        let read = if data.is_empty() { stream.read(&mut []) } else { Read::Data(data.len()) };
        (data, read)
    }

    /// What [`Self::read_all`] has taken out was read: the peer may send as much again.
    pub fn give_back(&mut self, id: u32, len: usize) {
        if let Some(stream) = self.find(id) {
            stream.taken = stream.taken.saturating_sub(len as u32);
        }
        self.return_window(id, len);
    }

    /// Lets the peer send as much again as was read.
    pub(super) fn return_window(&mut self, id: u32, len: usize) {
        let window = self.stream_window;
        let is_ended = self.end.is_some();
        if let Some(stream) = self.find(id)
            && !stream.is_received
            && !is_ended
        {
            stream.owed += len as u32;
            if stream.owed >= window / 2 {
                let owed = std::mem::take(&mut stream.owed);
                stream.receive_window += i64::from(owed);
                frame::write(&mut self.out, WINDOW_UPDATE, 0, id, &owed.to_be_bytes());
            }
        }
        self.owe(len as u32);
    }

    /// The same of the connection alone.
    pub(super) fn owe(&mut self, len: u32) {
        self.owed += len;
        if self.owed >= self.window_target / 2 && self.end.is_none() {
            let owed = std::mem::take(&mut self.owed);
            self.receive_window += i64::from(owed);
            frame::write(&mut self.out, WINDOW_UPDATE, 0, 0, &owed.to_be_bytes());
        }
    }

    /// Whether all of a body was read, and nothing is behind it.
    pub fn is_read_out(&self, id: u32) -> bool {
        self.look(id).is_none_or(Stream::is_read_out)
    }

    /// The trailers behind a body that has ended.
    pub fn trailers(&self, id: u32) -> Trailers {
        self.look(id).map(|stream| stream.trailers.clone()).unwrap_or_default()
    }

    /// The next head of a reply.
    pub fn next_head(&mut self, id: u32) -> Option<Head> {
        self.find(id)?.pop_head()
    }

    /// Why the stream has ended by force, if it has: the code, whether the peer has said so, and
    /// whether it has not even seen it.
    pub fn reset_of(&self, id: u32) -> Option<(Code, bool, bool)> {
        let reset = self.look(id)?.reset?;
        Some((reset.code, reset.is_remote, reset.is_unseen))
    }

    pub(super) fn head_bounds(&self) -> HeadBounds {
        HeadBounds { bytes: self.bounds.head_bytes, fields: self.bounds.head_fields }
    }

    /// Whether the peer takes another stream of ours.
    pub(super) fn takes_own(&self) -> bool {
        !self.is_left() && self.own_streams < self.peer.streams
    }

    /// A stream of our own, where [`Self::takes_own`].
    pub(super) fn begin_own(&mut self) -> u32 {
        let id = self.own_next;
        self.own_next += 2;
        self.own_streams += 1;
        self.budget.stream();
        self.insert(id);
        id
    }
}
