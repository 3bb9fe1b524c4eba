//! Two engines of HTTP/2 that talk to each other in whatever order: a client and a server that both
//! keep to the rules. Neither finds fault with the other, every byte comes once and in its place, a
//! reset is the only way to lose one, and in the end nothing waits and no window is lost.

use fairwater_message::Trailers;
use fairwater_proto::http2::{Bounds, Code, Connection, Read, Refusal, Requested, Role, Scratch};

const BOUNDS: Bounds = Bounds {
    head_bytes: 4096,
    head_fields: 32,
    streams: 8,
    stream_window: 70_000,
    connection_window: 140_000,
    unsent_bytes: 64 * 1024,
    phrase: |_| "OK",
};
/// `POST /` of `a`, compressed.
const BLOCK: &[u8] = b"\x83\x86\x84\x01\x01a";
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const TRAILERS: &[u8] = b"x-sum: 5\r\n";
const SIZES: [usize; 16] =
    [0, 1, 9, 10, 100, 200, 1000, 4096, 5000, 12_000, 16_384, 16_385, 30_000, 50_000, 70_000, 3];
const WINDOWS: [u32; 4] = [4_000, 20_000, 70_000, 100_000];
/// Rounds that all that is left may take.
const ROUNDS_MAX: usize = 1_000;
const ACTS_MAX: usize = 2_000;
/// Requests of a client that does not know how many there may be: of so many that are refused a
/// server knows that it has done so.
const UNTOLD_MAX: usize = 100;

/// What two sides do with one direction of a stream.
#[derive(Debug, Default)]
struct Way {
    sent: usize,
    read: usize,
    has_trailers: bool,
    is_ended: bool,
    is_read_out: bool,
    /// Taken out, and not given back yet.
    owed: usize,
}

#[derive(Debug)]
struct Line {
    id: u32,
    /// From the client, and from the server.
    ways: [Way; 2],
    is_opened: bool,
    has_reply: bool,
    /// One of them has given up.
    is_reset: bool,
    /// Who has forgotten the stream.
    is_released: [bool; 2],
}

struct Talk {
    /// The client, and the server.
    sides: [Connection<()>; 2],
    scratch: Scratch,
    lines: Vec<Line>,
    has_left: bool,
    /// What either lets the other send ahead on a stream.
    windows: [u32; 2],
}

/// Each act is two bytes: what is done, and with how much.
pub(crate) fn check(data: &[u8]) {
    let mut talk = Talk::new();
    for act in data.chunks_exact(2).take(ACTS_MAX) {
        talk.act(act[0], act[1]);
        if talk.is_flooded() {
            return;
        }
    }
    talk.settle();
    if !talk.is_flooded() {
        talk.look_for_windows();
    }
}

/// What a side sends, so that a byte in another place is another byte.
fn pattern(id: u32, side: usize, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|at| (at * 7 + at / 251 + id as usize * 31 + side * 101) as u8).collect()
}

impl Talk {
    fn new() -> Self {
        Self {
            sides: [Role::Client, Role::Server].map(|role| Connection::new(role, BOUNDS)),
            scratch: Scratch::default(),
            lines: Vec::new(),
            has_left: false,
            windows: [BOUNDS.stream_window; 2],
        }
    }

    /// Whether too much was done that carries nothing, as chance may have it.
    fn is_flooded(&self) -> bool {
        self.sides.iter().any(|side| match side.end() {
            None => false,
            Some((_, flood)) => {
                assert!(flood.is_some(), "one finds fault with the other: {:?}", side.end());
                true
            }
        })
    }

    fn act(&mut self, what: u8, how: u8) {
        let (side, size) = (usize::from(what >> 4 & 1), SIZES[usize::from(how & 15)]);
        let is_last = what >> 5 & 1 == 1;
        let line = usize::from(how >> 4) % self.lines.len().max(1);
        match what & 15 {
            0 => self.ask(is_last),
            1 | 2 => self.send(line, side, size, is_last),
            3 => self.send_past(line, size, how, is_last),
            4 => self.reply(line, is_last),
            5 => self.read_piece(line, side, size.max(1)),
            6 => self.read(line, side, size.max(1)),
            7 => self.read_all(line, side),
            8 => self.give_back(line, side),
            9 | 10 => self.carry(side, size),
            11 => self.send_trailers(line, side),
            12 => self.give_up(line, side, is_last),
            13 => self.set_windows(side, how),
            14 if what >> 6 == 3 => self.leave(),
            14 => self.sides[side].ping(),
            _ => self.carry(side, usize::MAX),
        }
    }

    fn ask(&mut self, is_last: bool) {
        if !self.sides[0].has_settings() && self.lines.len() >= UNTOLD_MAX {
            return;
        }
        let append = |out: &mut Vec<u8>| out.extend_from_slice(BLOCK);
        let id = self.sides[0].send_request(Requested::default(), is_last, append);
        let Some(id) = id else { return };
        let ways = [Way { is_ended: is_last, ..Way::default() }, Way::default()];
        self.lines.push(Line {
            id,
            ways,
            is_opened: false,
            has_reply: false,
            is_reset: false,
            is_released: [false; 2],
        });
    }

    /// A line on which this side may send a body now.
    fn sender(&mut self, line: usize, side: usize) -> Option<&mut Line> {
        let line = self.lines.get_mut(line)?;
        let may_send = side == 0 || line.has_reply;
        (may_send && !line.ways[side].is_ended && !line.is_released[side]).then_some(line)
    }

    fn send(&mut self, line: usize, side: usize, len: usize, is_last: bool) {
        let Some(Line { id, ways, is_reset, .. }) = self.sender(line, side) else { return };
        let (id, way, is_reset) = (*id, &mut ways[side], *is_reset);
        let data = pattern(id, side, way.sent..way.sent + len);
        let (sent, is_ended) = match self.sides[side].send_data(id, &data, is_last) {
            Ok(sent) => (sent, is_last && sent == len),
            Err(_) => return assert!(is_reset || self.has_left, "{id} is gone"),
        };
        let way = &mut self.lines[line].ways[side];
        (way.sent, way.is_ended) = (way.sent + sent, is_ended);
    }

    /// The server sends by itself what there is room for, and some of it goes at once.
    fn send_past(&mut self, line: usize, len: usize, how: u8, is_last: bool) {
        let Some(Line { id, ways, .. }) = self.sender(line, 1) else { return };
        let (id, sent) = (*id, ways[1].sent);
        let Ok(room) = self.sides[1].room(id, len) else { return };
        let (take, is_last) = (room.min(len), is_last && room >= len);
        if take == 0 && !is_last {
            return;
        }
        let data = pattern(id, 1, sent..sent + take);
        let frames = self.sides[1].frame_data(id, take, is_last).expect("there was room");
        let mut bytes = self.sides[1].out().to_vec();
        for (head, data) in frames.around(&data) {
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(data);
        }
        bytes.truncate(bytes.len() * usize::from(how) / 255);
        self.sides[1].sent_past(bytes.len(), frames, &data);
        self.sides[0].receive(&bytes, 1, &mut self.scratch);
        self.note_refused();
        let way = &mut self.lines[line].ways[1];
        (way.sent, way.is_ended) = (sent + take, is_last);
    }

    fn reply(&mut self, line: usize, is_last: bool) {
        let Some(line) = self.lines.get_mut(line) else { return };
        if line.is_opened && !line.has_reply && !line.is_released[1] {
            let sent = self.sides[1].send_reply(line.id, REPLY, is_last);
            assert!(sent.is_ok() || line.is_reset, "{line:?}");
            line.has_reply = sent.is_ok();
            line.ways[1].is_ended = sent.is_ok() && is_last;
        }
    }

    fn send_trailers(&mut self, line: usize, side: usize) {
        let Some(line) = self.sender(line, side) else { return };
        let id = line.id;
        let trailers = Trailers { lines: TRAILERS.to_vec(), has_secrets: false };
        let sent = self.sides[side].send_trailers(id, &trailers).is_ok();
        let way = &mut self.lines.iter_mut().find(|line| line.id == id).expect("it is").ways[side];
        (way.is_ended, way.has_trailers) = (sent, sent);
    }

    /// What this side may read of a stream.
    fn reader(&self, line: usize, side: usize) -> Option<u32> {
        let line = self.lines.get(line)?;
        let is_there = side == 0 || line.is_opened;
        (is_there && !line.is_released[side]).then_some(line.id)
    }

    fn read_piece(&mut self, line: usize, side: usize, len: usize) {
        let Some(id) = self.reader(line, side) else { return };
        let (piece, read) = self.sides[side].read_piece(id, len);
        assert!(piece.len() <= len);
        self.heard(line, side, &piece, read);
    }

    fn read(&mut self, line: usize, side: usize, len: usize) {
        let Some(id) = self.reader(line, side) else { return };
        let mut buffer = vec![0; len];
        let read = self.sides[side].read(id, &mut buffer);
        let len = if let Read::Data(len) = read { len } else { 0 };
        self.heard(line, side, &buffer[..len], read);
    }

    fn read_all(&mut self, line: usize, side: usize) {
        let Some(id) = self.reader(line, side) else { return };
        let (data, read) = self.sides[side].read_all(id);
        self.lines[line].ways[1 - side].owed += data.len();
        self.heard(line, side, &data, read);
    }

    fn give_back(&mut self, line: usize, side: usize) {
        let Some(id) = self.reader(line, side) else { return };
        let owed = std::mem::take(&mut self.lines[line].ways[1 - side].owed);
        self.sides[side].give_back(id, owed);
    }

    fn heard(&mut self, line: usize, side: usize, data: &[u8], read: Read) {
        let line = &mut self.lines[line];
        let way = &mut line.ways[1 - side];
        assert_eq!(data, pattern(line.id, 1 - side, way.read..way.read + data.len()));
        way.read += data.len();
        assert!(way.read <= way.sent, "{way:?}");
        match read {
            Read::Data(len) => assert_eq!(len, data.len()),
            Read::Wait => assert!(data.is_empty()),
            Read::Reset(_) => assert!(line.is_reset || self.has_left, "{line:?}"),
            Read::End => {
                assert!(way.is_ended && way.read == way.sent, "{way:?}");
                let lines = self.sides[side].trailers(line.id).lines;
                assert_eq!(lines, if way.has_trailers { TRAILERS } else { b"" });
                way.is_read_out = true;
            }
        }
    }

    fn carry(&mut self, from: usize, len: usize) {
        let bytes = self.sides[from].out();
        let bytes = bytes[..len.min(bytes.len())].to_vec();
        self.sides[from].sent(bytes.len());
        self.sides[1 - from].receive(&bytes, 1, &mut self.scratch);
        while let Some(opened) = self.sides[1].next_opened() {
            match opened {
                Ok(opened) => {
                    assert!(opened.problem.is_none(), "{opened:?}");
                    let line = self.lines.iter_mut().find(|line| line.id == opened.stream);
                    line.expect("it was asked").is_opened = true;
                }
                // Before the client knows how many there may be.
                Err(refusal) => assert_eq!(refusal, Refusal::Busy),
            }
        }
        self.note_refused();
    }

    fn note_refused(&mut self) {
        for line in self.lines.iter_mut().filter(|line| !line.is_released[0]) {
            while self.sides[0].next_head(line.id).is_some() {}
            let reset = self.sides[0].reset_of(line.id);
            line.is_reset |= reset.is_some_and(|(code, is_remote, is_unseen)| {
                is_remote && (code == Code::REFUSED_STREAM || is_unseen)
            });
        }
    }

    /// One side ends a stream, or forgets it.
    fn give_up(&mut self, line: usize, side: usize, is_for_good: bool) {
        let Some(line) = self.lines.get_mut(line) else { return };
        if line.is_released[side] || (side == 1 && !line.is_opened) {
            return;
        }
        let [up, down] = &line.ways;
        let is_over = up.is_ended && down.is_ended && line.ways[1 - side].is_read_out;
        line.is_reset |= !is_over;
        if is_for_good {
            self.sides[side].release(line.id);
            line.is_released[side] = true;
        } else if !is_over {
            self.sides[side].reset(line.id, Code::CANCEL);
        }
    }

    fn set_windows(&mut self, side: usize, how: u8) {
        let window = WINDOWS[usize::from(how & 3)];
        if self.sides[side].set_windows(window, 140_000 + u32::from(how >> 2) * 2_000) {
            self.windows[side] = window;
        }
    }

    fn leave(&mut self) {
        self.sides[1].leave();
        self.has_left = true;
    }

    /// All that is left is said and heard.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for line in 0..self.lines.len() {
                self.reply(line, false);
                for side in [0, 1] {
                    self.send(line, side, 1000, true);
                    self.give_back(line, side);
                    self.read_piece(line, side, 50_000);
                }
            }
            self.carry(0, usize::MAX);
            self.carry(1, usize::MAX);
            if self.is_flooded() {
                return;
            }
            let is_idle = self.sides.iter().all(|side| !side.has_out());
            let is_over =
                |line: &Line| line.is_reset || line.ways.iter().all(|way| way.is_read_out);
            if is_idle && self.lines.iter().all(is_over) {
                return self.forget_all();
            }
        }
        panic!("something waits for ever: {:?}", self.lines);
    }

    fn forget_all(&mut self) {
        for line in &self.lines {
            self.sides.iter_mut().for_each(|side| side.release(line.id));
        }
        self.carry(0, usize::MAX);
        self.carry(1, usize::MAX);
        self.carry(0, usize::MAX);
        assert_eq!(self.sides[0].streams_open(), 0);
        assert_eq!(self.sides[1].streams_open(), 0);
    }

    /// Whatever has gone to and fro, a new stream can send as much ahead as it may; but for what is
    /// told of in larger steps.
    fn look_for_windows(&mut self) {
        self.ask(false);
        let Some(line) = self.lines.len().checked_sub(1) else { return };
        let Some(true) = self.lines.last().map(|line| line.ways[0].sent == 0) else { return };
        if self.has_left || self.lines[line].is_reset {
            return;
        }
        for _ in 0..20 {
            for side in [0, 1] {
                self.carry(side, usize::MAX);
                self.reply(line, false);
                self.send(line, side, 5_000, false);
            }
        }
        for side in [0, 1] {
            let least =
                (self.windows[1 - side] as usize).min(BOUNDS.connection_window as usize / 2);
            let sent = self.lines[line].ways[side].sent;
            assert!(sent >= least || sent >= 20 * 5_000, "{sent} and not {least} of {side}");
        }
    }
}
