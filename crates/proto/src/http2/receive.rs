//! What a peer says, frame by frame (RFC 9113, sections 4 to 6).

use fairwater_message::Trailers;

use super::PREFACE;
use super::budget::Flood;
use super::connection::{Connection, Event, Opened, Pieces, Refusal, Role};
use super::fields::{Kind, Problem, Scratch};
use super::frame::{
    self, ACK, CONTINUATION, Code, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HAS_PRIORITY,
    HEAD_BYTES, HEADERS, PAYLOAD_BYTES_MAX, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, unpadded, word,
};
use super::stream::{Head, Reset, Waiter};

/// Frames of one head behind the first. Each may have 16 KiB, half of the largest head by default.
const CONTINUATIONS_MAX: u32 = 8;
/// A head that stands for so many times what one may have is no mistake.
const BOMB_FACTOR: usize = 4;
/// A frame makes at least as much work as so many bytes of a body; and a head as many more, beside
/// its fields, whatever they were compressed to.
const FRAME_WORK_BYTES: u64 = 512;
const HEAD_WORK_BYTES: u64 = 1024;
/// A request that is refused was not to come at all, and there is a line in the log for it.
const REFUSED_WORK_BYTES: u64 = 16 * 1024;
/// Interim heads that nobody has read.
const HEADS_MAX: usize = 32;
const WINDOW_MAX: i64 = (1 << 31) - 1;

/// What becomes of the connection: nothing, or the end.
type Verdict = Result<(), Code>;

impl<W: Waiter> Connection<W> {
    /// Takes bytes of the peer, in their order. When it breaks the rules, or floods us, that is the
    /// end, and [`Self::end`] says why.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64, scratch: &mut Scratch) {
        self.budget.begin(now_ms);
        let mut rest = self.without_preface(bytes);
        while self.end.is_none() && !rest.is_empty() {
            rest = match self.partial.is_empty() {
                true => self.take_whole(rest, scratch),
                false => self.take_partial(rest, scratch),
            };
        }
    }

    fn without_preface<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let len = self.preface_left.min(bytes.len());
        let at = PREFACE.len() - self.preface_left;
        if bytes[..len] != PREFACE[at..at + len] {
            // Who speaks something else would not understand the last word.
            self.end = Some((Code::PROTOCOL_ERROR, None));
            self.out.clear();
        }
        self.preface_left -= len;
        &bytes[len..]
    }

    /// Takes a frame that is here as a whole, or keeps what is here of it.
    fn take_whole<'b>(&mut self, bytes: &'b [u8], scratch: &mut Scratch) -> &'b [u8] {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            self.partial.extend_from_slice(bytes);
            return &[];
        };
        let head = FrameHead::read(head);
        match rest.split_at_checked(head.len) {
            Some((payload, rest)) if head.len <= PAYLOAD_BYTES_MAX => {
                self.take(head, payload, scratch);
                rest
            }
            _ => {
                self.keep(head, bytes);
                &[]
            }
        }
    }

    fn keep(&mut self, head: FrameHead, bytes: &[u8]) {
        if head.len > PAYLOAD_BYTES_MAX {
            return self.fail(Code::FRAME_SIZE_ERROR, None);
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Completes the frame that was kept, and takes it.
    fn take_partial<'b>(&mut self, bytes: &'b [u8], scratch: &mut Scratch) -> &'b [u8] {
        let mut rest = bytes;
        let mut fill = |partial: &mut Vec<u8>, want: usize| {
            let len = rest.len().min(want.saturating_sub(partial.len()));
            partial.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
            partial.len() >= want
        };
        if !fill(&mut self.partial, HEAD_BYTES) {
            return &[];
        }
        let Some(head) = self.partial.first_chunk().map(FrameHead::read) else { return &[] };
        if head.len > PAYLOAD_BYTES_MAX {
            self.fail(Code::FRAME_SIZE_ERROR, None);
            return &[];
        }
        if fill(&mut self.partial, HEAD_BYTES + head.len) {
            let partial = std::mem::take(&mut self.partial);
            self.take(head, &partial[HEAD_BYTES..], scratch);
        }
        rest
    }

    fn take(&mut self, head: FrameHead, payload: &[u8], scratch: &mut Scratch) {
        self.work_bytes += (head.len as u64).max(FRAME_WORK_BYTES);
        let is_first = !std::mem::replace(&mut self.has_settings, true);
        if is_first && (head.kind != SETTINGS || head.has(ACK)) {
            return self.fail(Code::PROTOCOL_ERROR, None);
        }
        let goes_on = self.pieces.as_ref().map(|pieces| pieces.stream);
        if goes_on.is_some_and(|stream| head.kind != CONTINUATION || head.stream != stream) {
            return self.fail(Code::PROTOCOL_ERROR, None);
        }
        let verdict = match head.kind {
            DATA => self.take_data(head, payload),
            HEADERS => self.take_headers(head, payload, scratch),
            CONTINUATION => self.take_continuation(head, payload, scratch),
            PRIORITY => self.take_priority(head, payload),
            RST_STREAM => self.take_reset(head, payload),
            SETTINGS => self.take_settings(head, payload),
            PING => self.take_ping(head, payload),
            GOAWAY => self.take_goaway(head, payload),
            WINDOW_UPDATE => self.take_window(head, payload),
            PUSH_PROMISE => Err(Code::PROTOCOL_ERROR),
            _ => self.spend(Flood::Others),
        };
        if let Err(code) = verdict {
            self.fail(code, None);
        }
    }

    /// Spends of a budget; the end of that is the end.
    fn spend(&mut self, flood: Flood) -> Verdict {
        self.budget.take(flood).map_err(|flood| self.flooded(flood))
    }

    fn flooded(&mut self, flood: Flood) -> Code {
        self.fail(Code::ENHANCE_YOUR_CALM, Some(flood));
        Code::ENHANCE_YOUR_CALM
    }

    /// Ends a stream that has broken the rules. It counts as one that the peer gives up.
    fn break_stream(&mut self, id: u32, code: Code) -> Verdict {
        match self.find(id).is_some_and(|stream| !stream.is_over()) {
            true => self.reset(id, code),
            false => self.write_reset(id, code),
        }
        if self.role == Role::Server { self.spend(Flood::Resets) } else { Ok(()) }
    }

    fn is_idle(&self, id: u32) -> bool {
        let is_own = (id % 2 == 1) == (self.role == Role::Client);
        if is_own { id >= self.own_next } else { id > self.peer_last }
    }

    fn take_data(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        let (id, len) = (head.stream, payload.len() as i64);
        if id == 0 || self.is_idle(id) {
            return Err(Code::PROTOCOL_ERROR);
        }
        let data = unpadded(head, payload)?;
        self.receive_window -= len;
        if self.receive_window < 0 {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        let is_last = head.has(END_STREAM);
        if data.is_empty() && !is_last {
            self.spend(Flood::EmptyData)?;
        }
        let is_client = self.role == Role::Client;
        let Some(stream) = self.find(id).filter(|stream| stream.reset.is_none()) else {
            self.owe(payload.len() as u32);
            // What we have reset may have been on its way.
            return match self.was_reset.contains(&id) {
                true => Ok(()),
                false => self.break_stream(id, Code::STREAM_CLOSED),
            };
        };
        stream.receive_window -= len;
        let broken = if stream.is_received {
            Some(Code::STREAM_CLOSED)
        } else if stream.receive_window < 0 && len > 0 {
            Some(Code::FLOW_CONTROL_ERROR)
        } else if is_client && !stream.has_final_head || (stream.is_bodiless && !data.is_empty()) {
            Some(Code::PROTOCOL_ERROR)
        } else {
            stream.take_data(data, is_last).err()
        };
        match broken {
            None => self.return_window(id, payload.len() - data.len()),
            Some(code) => {
                self.owe(payload.len() as u32);
                return self.break_stream(id, code);
            }
        }
        Ok(())
    }

    fn take_headers(&mut self, head: FrameHead, payload: &[u8], scratch: &mut Scratch) -> Verdict {
        if head.stream == 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let mut block = unpadded(head, payload)?;
        if head.has(HAS_PRIORITY) {
            // Priorities are no more (RFC 9113, section 5.3.2).
            block = block.get(5..).ok_or(Code::FRAME_SIZE_ERROR)?;
        }
        let is_last = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.take_block(head.stream, is_last, block, scratch);
        }
        let (stream, block) = (head.stream, block.to_vec());
        self.pieces = Some(Pieces { stream, is_last, block, count: 0 });
        Ok(())
    }

    fn take_continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        scratch: &mut Scratch,
    ) -> Verdict {
        let Some(pieces) = &mut self.pieces else { return Err(Code::PROTOCOL_ERROR) };
        pieces.block.extend_from_slice(payload);
        pieces.count += 1;
        if pieces.count > CONTINUATIONS_MAX {
            return Err(self.flooded(Flood::Others));
        }
        if head.has(END_HEADERS)
            && let Some(Pieces { stream, is_last, block, .. }) = self.pieces.take()
        {
            return self.take_block(stream, is_last, &block, scratch);
        }
        Ok(())
    }

    /// Takes the fields of a head, or of trailers.
    fn take_block(
        &mut self,
        id: u32,
        is_last: bool,
        block: &[u8],
        scratch: &mut Scratch,
    ) -> Verdict {
        let is_new = self.role == Role::Server && id > self.peer_last;
        let is_known = self.find(id).is_some_and(|stream| stream.reset.is_none());
        let kind = match self.role {
            Role::Server if is_new => Kind::Request,
            Role::Client if !self.look(id).is_some_and(|stream| stream.has_final_head) => {
                Kind::Reply
            }
            _ => Kind::Trailers,
        };
        let is_late = self.taken_max.is_some_and(|max| id > max);
        let is_refused = is_new && (is_late || self.is_full());
        let bounds = self.head_bounds();
        scratch.clear();
        let fields = |name: &[u8], value: &[u8]| {
            // What nobody reads is decoded for the table alone.
            match is_refused {
                true => scratch.decoded_bytes += name.len() + value.len(),
                false => scratch.take(kind, bounds, name, value),
            }
        };
        self.decoder.decode(block, fields).map_err(|_| Code::COMPRESSION_ERROR)?;
        self.heads += 1;
        self.work_bytes += HEAD_WORK_BYTES + scratch.decoded_bytes as u64;
        if scratch.decoded_bytes > BOMB_FACTOR * bounds.bytes {
            return Err(self.flooded(Flood::Others));
        }
        match kind {
            Kind::Request if id.is_multiple_of(2) => Err(Code::PROTOCOL_ERROR),
            Kind::Request if is_refused => self.refuse(id, is_late),
            Kind::Request => self.open(id, is_last, scratch),
            _ if !is_known => {
                // What we have given up may have been on its way; an endpoint may be late in any
                // case.
                let may_come =
                    self.role == Role::Client && !self.is_idle(id) || self.was_reset.contains(&id);
                if may_come { Ok(()) } else { Err(Code::PROTOCOL_ERROR) }
            }
            Kind::Reply => self.take_reply(id, is_last, scratch),
            Kind::Trailers => self.take_trailers(id, is_last, scratch),
        }
    }

    /// A request that is not to be.
    fn refuse(&mut self, id: u32, is_late: bool) -> Verdict {
        self.peer_last = id;
        self.work_bytes += REFUSED_WORK_BYTES;
        if is_late {
            // The peer was told, and knows that nothing comes of it.
            self.forget(id);
            return Ok(());
        }
        self.write_reset(id, Code::REFUSED_STREAM);
        self.events.push_back(Event::Refused(Refusal::Busy));
        self.spend(Flood::Others)
    }

    /// A request begins.
    fn open(&mut self, id: u32, is_last: bool, scratch: &mut Scratch) -> Verdict {
        self.peer_last = id;
        let lacks_body = is_last && scratch.length.is_some_and(|length| length > 0);
        let is_cut = scratch.problem == Some(Problem::TooLarge);
        let is_whole = is_cut || scratch.is_whole_request() && !lacks_body;
        let is_good = !scratch.is_malformed && is_whole;
        if !is_good {
            self.events.push_back(Event::Refused(Refusal::Malformed));
            return self.break_stream(id, Code::PROTOCOL_ERROR);
        }
        if is_cut {
            self.spend(Flood::Resets)?;
        } else {
            self.budget.stream();
        }
        self.count_stream();
        let length = scratch.length;
        let stream = self.insert(id);
        (stream.left, stream.is_received) = (length, is_last);
        let tunnel = scratch.tunnel().map(|name| name.eq_ignore_ascii_case(b"websocket"));
        if tunnel.is_some() {
            stream.left = None;
        }
        let text = scratch.write_request(!is_last && tunnel.is_none());
        let (problem, has_secrets) = (scratch.problem, self.decoder.has_secrets());
        self.events.push_back(Event::Opened(Opened {
            stream: id,
            text,
            is_all: is_last,
            tunnel,
            problem,
            has_secrets,
        }));
        Ok(())
    }

    /// Whether as many streams run as there may be. As many that have ended may wait to be dropped.
    fn is_full(&mut self) -> bool {
        let max = self.bounds.streams;
        if self.peer_streams < max {
            return false;
        }
        let running = self.each().filter(|(_, stream)| !stream.is_over()).count();
        self.peer_streams >= 2 * max || running >= max as usize
    }

    fn take_reply(&mut self, id: u32, is_last: bool, scratch: &mut Scratch) -> Verdict {
        let status = scratch.status().filter(|_| !scratch.is_malformed);
        let Some(status) = status else { return self.break_stream(id, Code::PROTOCOL_ERROR) };
        let is_interim = status < 200;
        let (phrase, has_secrets) = ((self.bounds.phrase)(status), self.decoder.has_secrets());
        let Some(stream) = self.find(id) else { return Ok(()) };
        let is_bodiless = stream.is_bodiless || matches!(status, 204 | 304);
        let lacks_body = is_last && !is_bodiless && scratch.length.is_some_and(|length| length > 0);
        if stream.is_received || lacks_body || (is_interim && is_last && status != 101) {
            return self.break_stream(id, Code::PROTOCOL_ERROR);
        }
        if stream.heads.len() + usize::from(stream.head.is_some()) >= HEADS_MAX {
            return self.break_stream(id, Code::ENHANCE_YOUR_CALM);
        }
        let is_too_large = scratch.problem.is_some();
        let is_yes = stream.is_tunnel && (200..300).contains(&status);
        let has_body = !is_last && !is_interim && !is_bodiless && !is_yes;
        let text = scratch.write_reply(phrase, has_body);
        // One that is too large is cut, and says so by what it lacks.
        let text = if is_too_large { Vec::new() } else { text };
        if !is_interim {
            stream.has_final_head = true;
            stream.is_bodiless = is_bodiless;
            stream.left = scratch.length.filter(|_| !is_bodiless && !is_yes);
        }
        stream.push_head(Head { status, text, is_all: is_last, has_secrets });
        stream.is_received = is_last;
        Ok(())
    }

    fn take_trailers(&mut self, id: u32, is_last: bool, scratch: &mut Scratch) -> Verdict {
        let is_good = is_last && !scratch.is_malformed && scratch.problem.is_none();
        let has_secrets = self.decoder.has_secrets();
        let Some(stream) = self.find(id) else { return Ok(()) };
        let broken = if stream.is_received {
            Some(Code::STREAM_CLOSED)
        } else if !is_good {
            Some(Code::PROTOCOL_ERROR)
        } else {
            stream.trailers = Trailers { lines: scratch.lines().to_vec(), has_secrets };
            stream.end().err()
        };
        broken.map_or(Ok(()), |code| self.break_stream(id, code))
    }

    fn take_priority(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        match (head.stream, payload.len()) {
            (0, _) => Err(Code::PROTOCOL_ERROR),
            (_, 5) => self.spend(Flood::Others),
            _ => Err(Code::FRAME_SIZE_ERROR),
        }
    }

    fn take_reset(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        let code = word(payload).filter(|_| payload.len() == 4).ok_or(Code::FRAME_SIZE_ERROR)?;
        if let Some(stream) = self.find(head.stream).filter(|stream| stream.reset.is_none()) {
            // A complete reply stays one, whatever is said of the rest of its request.
            if !stream.is_received || !stream.is_sent {
                let reset = Reset { code: Code(code), is_remote: true, is_unseen: false };
                let is_answered = self.role == Role::Client && code == 0;
                if let Some(stream) = self.find(head.stream) {
                    if is_answered && stream.is_received {
                        stream.is_sent = true;
                    } else {
                        stream.reset = Some(reset);
                    }
                    stream.waiter.wake();
                }
            }
        }
        // An endpoint may refuse what it likes: none of it was its own idea.
        if self.role == Role::Server { self.spend(Flood::Resets) } else { Ok(()) }
    }

    fn take_settings(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if head.has(ACK) {
            if !payload.is_empty() {
                return Err(Code::FRAME_SIZE_ERROR);
            }
            self.settings_unknown =
                self.settings_unknown.checked_sub(1).ok_or(Code::PROTOCOL_ERROR)?;
            if let Some(window) = self.window_to_be.take() {
                self.apply_window(window);
            }
            return Ok(());
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        self.spend(Flood::Settings)?;
        let before = self.peer.window;
        self.peer.take(payload, self.role == Role::Client)?;
        self.tells_table_size |= std::mem::take(&mut self.peer.has_table_size);
        let more = i64::from(self.peer.window) - i64::from(before);
        for (_, stream) in self.each() {
            stream.send_window += more;
            if stream.send_window > WINDOW_MAX {
                return Err(Code::FLOW_CONTROL_ERROR);
            }
        }
        frame::write(&mut self.out, SETTINGS, ACK, 0, &[]);
        self.wake_blocked();
        Ok(())
    }

    fn take_ping(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if payload.len() != 8 {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        if head.has(ACK) {
            self.take_ack_of_ping(payload);
        } else {
            frame::write(&mut self.out, PING, ACK, 0, payload);
        }
        self.spend(Flood::Pings)
    }

    fn take_goaway(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let (Some(last), Some(code)) = (word(payload), payload.get(4..).and_then(word)) else {
            return Err(Code::FRAME_SIZE_ERROR);
        };
        self.is_left = true;
        if self.role == Role::Client {
            let reset = Reset { code: Code(code), is_remote: true, is_unseen: true };
            for (id, stream) in self.each() {
                if id > last & 0x7fff_ffff && stream.reset.is_none() && !stream.is_received {
                    stream.reset = Some(reset);
                    stream.waiter.wake();
                }
            }
        }
        self.spend(Flood::Others)
    }

    fn take_window(&mut self, head: FrameHead, payload: &[u8]) -> Verdict {
        let more = word(payload).filter(|_| payload.len() == 4).ok_or(Code::FRAME_SIZE_ERROR)?;
        let (id, more) = (head.stream, i64::from(more & 0x7fff_ffff));
        if id == 0 {
            self.send_window += more;
            return match (more, self.send_window) {
                (0, _) => Err(Code::PROTOCOL_ERROR),
                (_, ..=WINDOW_MAX) => {
                    self.wake_blocked();
                    self.spend(Flood::WindowUpdates)
                }
                _ => Err(Code::FLOW_CONTROL_ERROR),
            };
        }
        if self.is_idle(id) {
            return Err(Code::PROTOCOL_ERROR);
        }
        self.spend(Flood::WindowUpdates)?;
        let Some(stream) = self.find(id) else { return Ok(()) };
        stream.send_window += more;
        let broken = match (more, stream.send_window) {
            (0, _) => Some(Code::PROTOCOL_ERROR),
            (_, ..=WINDOW_MAX) => None,
            _ => Some(Code::FLOW_CONTROL_ERROR),
        };
        match broken {
            Some(code) => self.break_stream(id, code),
            None => {
                if std::mem::take(&mut stream.is_blocked) {
                    stream.waiter.wake();
                }
                Ok(())
            }
        }
    }
}
