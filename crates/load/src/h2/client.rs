//! The client's side of one connection, without its socket: bytes come in and go out.

use std::collections::VecDeque;
use std::rc::Rc;

use super::call::Call;
use super::frame::{self, Frame};
use super::head::Head;
use super::hpack::{Decoder, TABLE_BYTES};
use crate::arguments::Asked;
use crate::reply::check_body;

/// What a browser allows: Chrome has these two.
const STREAM_WINDOW_BYTES: u32 = 6 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 15 << 20;

pub(super) struct Client {
    asked: Asked,
    calls: Rc<[Call]>,
    decoder: Decoder,
    /// Frames that wait to be sent.
    pub(super) output: Vec<u8>,
    /// In flight, by their ids from `first_id` on; None are those that are over.
    streams: VecDeque<Option<Stream>>,
    first_id: u32,
    in_flight: usize,
    is_begun: bool,
    /// What the peer takes of messages before it says more.
    allowed: u32,
    /// Calls that wait for that.
    waiting: VecDeque<usize>,
    /// Bytes that came, of which the peer has not been told that it may send as many again.
    taken: u32,
}

struct Stream {
    call: usize,
    has_head: bool,
    /// Bytes of the body so far, and as in `Client::taken`.
    seen: usize,
    taken: u32,
}

impl Client {
    pub(super) fn new(asked: Asked, calls: Rc<[Call]>) -> Self {
        let mut output = frame::PREFACE.to_vec();
        let settings = [(frame::ENABLE_PUSH, 0), (frame::INITIAL_WINDOW, STREAM_WINDOW_BYTES)];
        frame::write_settings(&mut output, &settings);
        frame::write_window(&mut output, 0, CONNECTION_WINDOW_BYTES - frame::WINDOW_BYTES);
        Self {
            asked,
            calls,
            decoder: Decoder::new(),
            output,
            streams: VecDeque::new(),
            first_id: 1,
            in_flight: 0,
            is_begun: false,
            allowed: frame::WINDOW_BYTES,
            waiting: VecDeque::new(),
            taken: 0,
        }
    }

    /// Calls without a reply, those included that wait to be sent.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight + self.waiting.len()
    }

    pub(super) fn start(&mut self, call: usize) {
        self.waiting.push_back(call);
        self.send_waiting();
    }

    /// Takes whole frames: gives the bytes that those are, and the replies that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, usize), String> {
        let (mut used, before) = (0, self.in_flight);
        while let Some((frame, length)) = Frame::first(&bytes[used..])? {
            self.take(&frame)?;
            used += length;
        }
        let done = before - self.in_flight;
        if self.taken >= CONNECTION_WINDOW_BYTES / 2 {
            frame::write_window(&mut self.output, 0, std::mem::take(&mut self.taken));
        }
        self.send_waiting();
        Ok((used, done))
    }

    fn send_waiting(&mut self) {
        while let Some(call) = self.waiting.front().copied() {
            let Call { head, message, .. } = &self.calls[call];
            let Some(left) = self.allowed.checked_sub(message.len() as u32) else { return };
            self.allowed = left;
            self.waiting.pop_front();
            let id = self.first_id + 2 * self.streams.len() as u32;
            let block = if self.is_begun { &head.next } else { &head.first };
            self.is_begun = true;
            let end = if message.is_empty() { frame::END_STREAM } else { 0 };
            frame::write(&mut self.output, frame::HEADERS, frame::END_HEADERS | end, id, block);
            if !message.is_empty() {
                frame::write(&mut self.output, frame::DATA, frame::END_STREAM, id, message);
            }
            self.streams.push_back(Some(Stream { call, has_head: false, seen: 0, taken: 0 }));
            self.in_flight += 1;
        }
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        match frame.kind {
            frame::DATA => self.take_data(frame),
            frame::HEADERS => self.take_head(frame),
            frame::SETTINGS if frame.has(frame::ACK) => Ok(()),
            frame::SETTINGS => self.take_settings(frame),
            frame::WINDOW_UPDATE if frame.stream == 0 => {
                self.allowed = self.allowed.saturating_add(frame.value()?);
                Ok(())
            }
            frame::PING if !frame.has(frame::ACK) => {
                frame::write(&mut self.output, frame::PING, frame::ACK, 0, frame.payload);
                Ok(())
            }
            frame::RESET => Err(format!("a stream was reset with code {}", frame.value()?)),
            frame::GO_AWAY => Err(format!("the connection was ended with code {}", frame.value()?)),
            frame::PUSH | frame::CONTINUATION => Err(format!("a frame of kind {}", frame.kind)),
            _ => Ok(()),
        }
    }

    fn take_settings(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for (name, value) in frame.settings() {
            // Neither can be smaller with any proxy under test, and so neither is followed.
            let needed = match name {
                frame::TABLE_BYTES => TABLE_BYTES,
                frame::INITIAL_WINDOW => {
                    self.calls.iter().map(|c| c.message.len()).max().unwrap_or(0)
                }
                _ => 0,
            };
            if (value as usize) < needed {
                return Err(format!("setting {name} is {value}"));
            }
        }
        frame::write(&mut self.output, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    fn take_head(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        if !frame.has(frame::END_HEADERS) {
            return Err("a head in several frames".to_owned());
        }
        let head = self.decoder.read(frame.content()?)?;
        let stream = stream(&mut self.streams, self.first_id, frame.stream)?;
        let expected = self.calls[stream.call].expected();
        let is_trailers = std::mem::replace(&mut stream.has_head, true);
        match is_trailers {
            true => check_trailers(&head, stream.seen, expected.len(), frame)?,
            false => check_head(&head, self.asked, expected.len(), frame)?,
        }
        if frame.has(frame::END_STREAM) {
            self.finish(frame.stream);
        }
        Ok(())
    }

    fn take_data(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        let stream = stream(&mut self.streams, self.first_id, frame.stream)?;
        if !stream.has_head {
            return Err("a body without a head".to_owned());
        }
        let expected = self.calls[stream.call].expected();
        stream.seen = check_body(frame.content()?, stream.seen, expected)?;
        // Padding counts too.
        self.taken += frame.payload.len() as u32;
        if frame.has(frame::END_STREAM) {
            if self.asked == Asked::Grpc {
                return Err("trailers are missing".to_owned());
            }
            check_length(stream.seen, expected.len())?;
            self.finish(frame.stream);
            return Ok(());
        }
        stream.taken += frame.payload.len() as u32;
        if stream.taken >= STREAM_WINDOW_BYTES / 2 {
            let taken = std::mem::take(&mut stream.taken);
            frame::write_window(&mut self.output, frame.stream, taken);
        }
        Ok(())
    }

    fn finish(&mut self, id: u32) {
        self.streams[((id - self.first_id) / 2) as usize] = None;
        self.in_flight -= 1;
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.first_id += 2;
        }
    }
}

fn stream(
    streams: &mut VecDeque<Option<Stream>>,
    first_id: u32,
    id: u32,
) -> Result<&mut Stream, String> {
    let at = id.checked_sub(first_id).filter(|distance| distance % 2 == 0);
    let found = at.and_then(|distance| streams.get_mut(distance as usize / 2)?.as_mut());
    found.ok_or_else(|| format!("stream {id} is not in flight"))
}

fn check_head(
    head: &Head,
    asked: Asked,
    body_bytes: usize,
    frame: &Frame<'_>,
) -> Result<(), String> {
    if let Some(status) = head.grpc_status {
        return Err(format!("grpc-status is {status} at once"));
    }
    let fault = match asked {
        _ if !head.is_ok => "status",
        Asked::Http if head.length != Some(body_bytes) => "content-length differs",
        Asked::Grpc if !head.is_grpc => "content-type differs",
        _ if frame.has(frame::END_STREAM) && body_bytes > 0 => "body too short",
        _ => return Ok(()),
    };
    Err(fault.to_owned())
}

fn check_trailers(
    head: &Head,
    seen: usize,
    body_bytes: usize,
    frame: &Frame<'_>,
) -> Result<(), String> {
    check_length(seen, body_bytes)?;
    match head.grpc_status {
        _ if !frame.has(frame::END_STREAM) => Err("trailers that do not end".to_owned()),
        Some(0) => Ok(()),
        status => Err(format!("grpc-status is {status:?}")),
    }
}

fn check_length(seen: usize, expected: usize) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err("body too short".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::super::block::{Block, Field};
    use super::super::server::{Server, Words};
    use super::*;
    use crate::arguments::{MultiplexSettings, Profile};

    fn client(asked: Asked, body_bytes: usize) -> Client {
        let settings = MultiplexSettings {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            asked,
            profile: Profile::Bare,
            body_bytes,
            streams: 1,
            window: 1,
            core: None,
            trust: None,
        };
        Client::new(asked, Call::all(&settings).into())
    }

    /// A head of a reply, as a server writes it that keeps no table.
    fn head(fields: &[Field]) -> Vec<u8> {
        let [block] = Block::series([fields]);
        block.plain
    }

    fn ok(length: &str) -> Vec<u8> {
        head(&[Field::fixed(":status", "200"), Field::varying("content-length", length)])
    }

    /// What becomes of one GET for five bytes when these frames come: kind, flags, payload.
    fn check(frames: &[(u8, u8, &[u8])], expected: Result<usize, &str>) {
        let mut client = client(Asked::Http, 5);
        client.start(0);
        let mut bytes = Vec::new();
        for (kind, flags, payload) in frames {
            let of_stream = matches!(*kind, frame::DATA | frame::HEADERS | frame::RESET);
            frame::write(&mut bytes, *kind, *flags, u32::from(of_stream), payload);
        }
        let outcome = client.feed(&bytes).map(|(used, replies)| {
            assert_eq!(used, bytes.len());
            replies
        });
        assert_eq!(outcome, expected.map_err(str::to_owned));
    }

    #[test]
    fn calls_are_answered_by_the_server_of_the_backend() {
        let (mut client, words) = (client(Asked::Grpc, 64), Rc::new(Words::new()));
        let mut server = Server::new(words);
        let mut replies = 0;
        // More than either window holds, so that both have to be opened again and again.
        for turn in 0..200 {
            for call in 0..100 {
                client.start(call);
            }
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while client.in_flight() > 0 {
                up.append(&mut client.output);
                // In pieces that fit no frame.
                let end = up.len().min(1000);
                let used = server.feed(&up[..end]).unwrap();
                up.drain(..used);
                down.append(&mut server.output);
                let end = down.len().min(777);
                let (used, done) = client.feed(&down[..end]).unwrap();
                down.drain(..used);
                replies += done;
            }
            assert_eq!(replies, (turn + 1) * 100);
        }
    }

    #[test]
    fn a_right_reply_is_done_however_its_body_is_cut() {
        let (head, body) = (ok("5"), message_of(5));
        let end = frame::END_STREAM;
        let whole = (frame::HEADERS, frame::END_HEADERS, &*head);
        check(&[whole, (frame::DATA, end, &body)], Ok(1));
        check(&[whole, (frame::DATA, 0, &body), (frame::DATA, end, b"")], Ok(1));
        check(&[whole, (frame::DATA, 0, &body[..2]), (frame::DATA, end, &body[2..])], Ok(1));
        check(&[whole, (frame::DATA, 0, &body)], Ok(0));
        check(&[(frame::SETTINGS, 0, b""), (frame::PING, 0, b"12345678")], Ok(0));
    }

    #[test]
    fn wrong_replies_are_named() {
        let (end, ends) = (frame::END_STREAM, frame::END_HEADERS);
        let (good, body) = (ok("5"), message_of(5));
        let refused = head(&[Field::fixed(":status", "502")]);
        let good = (frame::HEADERS, ends, &*good);
        check(&[(frame::HEADERS, ends, &refused)], Err("status"));
        check(&[(frame::HEADERS, ends, &ok("6"))], Err("content-length differs"));
        check(&[(frame::HEADERS, ends | end, good.2)], Err("body too short"));
        check(&[good, (frame::DATA, end, &body[..4])], Err("body too short"));
        check(&[good, (frame::DATA, end, b"12345")], Err("body differs"));
        check(&[good, (frame::DATA, 0, &body), (frame::DATA, end, b"x")], Err("body too long"));
        check(&[(frame::DATA, end, &body)], Err("a body without a head"));
        check(&[(frame::RESET, 0, b"\0\0\0\x07")], Err("a stream was reset with code 7"));
        check(
            &[good, (frame::DATA, end, &body), (frame::DATA, end, &body)],
            Err("stream 1 is not in flight"),
        );
        check(
            &[(frame::GO_AWAY, 0, b"\0\0\0\x01\0\0\0\x0b")],
            Err("the connection was ended with code 11"),
        );
    }

    #[test]
    fn a_call_without_its_status_is_wrong() {
        let check = |trailers: &[Field], flags, expected: &str| {
            let mut client = client(Asked::Grpc, 1);
            client.start(0);
            let message = client.calls[0].message.clone();
            let mut bytes = Vec::new();
            let start =
                [Field::fixed(":status", "200"), Field::fixed("content-type", "application/grpc")];
            frame::write(&mut bytes, frame::HEADERS, frame::END_HEADERS, 1, &head(&start));
            frame::write(&mut bytes, frame::DATA, flags, 1, &message);
            let last = frame::END_HEADERS | frame::END_STREAM;
            frame::write(&mut bytes, frame::HEADERS, last, 1, &head(trailers));
            assert_eq!(client.feed(&bytes), Err(expected.to_owned()));
        };
        check(&[], 0, "grpc-status is None");
        check(&[Field::fixed("grpc-status", "14")], 0, "grpc-status is Some(14)");
        check(&[Field::fixed("grpc-status", "0")], frame::END_STREAM, "trailers are missing");
        let (mut client, mut bytes) = (client(Asked::Grpc, 1), Vec::new());
        client.start(0);
        let head = head(&[Field::fixed(":status", "200"), Field::fixed("grpc-status", "14")]);
        let flags = frame::END_HEADERS | frame::END_STREAM;
        frame::write(&mut bytes, frame::HEADERS, flags, 1, &head);
        assert_eq!(client.feed(&bytes), Err("grpc-status is 14 at once".to_owned()));
    }

    fn message_of(bytes: usize) -> Vec<u8> {
        crate::message::pattern()[..bytes].to_vec()
    }
}
