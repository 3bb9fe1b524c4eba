//! Two engines that talk to each other, and one that is told what nobody should say.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fairwater_message::{Field, HeadLimits, HeaderId, RequestHead, ResponseHead, Trailers};

use super::*;
use crate::form::Form;
use crate::h1::{
    Edits, Forwarding, HostPolicy, ReplyFraming, RequestFraming, RequestReader, ResponseReader,
    write_request, write_response,
};

const BOUNDS: Bounds = Bounds {
    head_bytes: 32 * 1024,
    head_fields: 128,
    streams: 8,
    stream_window: 100_000,
    connection_window: 200_000,
    unsent_bytes: 64 * 1024,
    phrase: |status| if status == 200 { "OK" } else { "" },
};

struct Pair {
    client: Connection<()>,
    server: Connection<()>,
    scratch: Scratch,
}

impl Pair {
    fn new() -> Self {
        let client = Connection::new(Role::Client, BOUNDS);
        let server = Connection::new(Role::Server, BOUNDS);
        let mut pair = Self { client, server, scratch: Scratch::default() };
        pair.talk();
        pair
    }

    /// Lets both hear what there is, in pieces of `step` bytes.
    fn talk_by(&mut self, step: usize) {
        loop {
            let (up, down) = (self.client.out().to_vec(), self.server.out().to_vec());
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.client.sent(up.len());
            self.server.sent(down.len());
            up.chunks(step).for_each(|piece| self.server.receive(piece, 1, &mut self.scratch));
            down.chunks(step).for_each(|piece| self.client.receive(piece, 1, &mut self.scratch));
        }
    }

    fn talk(&mut self) {
        self.talk_by(usize::MAX);
    }

    fn ask(&mut self, text: &str, is_last: bool) -> u32 {
        self.client.send_request(Requested::default(), is_last, appends(&block(text))).unwrap()
    }

    fn opened(&mut self) -> Opened {
        self.server.next_opened().unwrap().unwrap()
    }

    fn read(connection: &mut Connection<()>, stream: u32) -> (Vec<u8>, Read) {
        let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match connection.read(stream, &mut buffer) {
                Read::Data(len) => all.extend_from_slice(&buffer[..len]),
                other => return (all, other),
            }
        }
    }
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: b\r\nX-One: 1\r\nconnection: close\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nhost: b\r\n\r\n";

/// The block of a request that is given as HTTP/1.1 has it.
fn block_for(text: &str, scheme: &'static str, tunnel: Option<&'static str>) -> Vec<u8> {
    let mut head = RequestHead::default();
    assert_eq!(RequestReader::default().read(text.as_bytes(), &mut head), Ok(true), "{text:?}");
    let mut out = Vec::new();
    let mut form = Block::of_request(&mut out, scheme, tunnel);
    let bytes = text.as_bytes();
    form.begin_request(
        head.method_span.of(bytes),
        [b"", head.path.of(bytes)],
        head.authority.of(bytes),
    );
    let is_sent = |field: &&Field| !matches!(field.id, HeaderId::Host | HeaderId::Connection);
    for field in head.fields.iter().filter(is_sent) {
        form.field(field, bytes, false);
    }
    form.end();
    out
}

fn appends(block: &[u8]) -> impl FnOnce(&mut Vec<u8>) + '_ {
    |out| out.extend_from_slice(block)
}

fn block(text: &str) -> Vec<u8> {
    block_for(text, "http", None)
}

/// What becomes of a head that is written for an endpoint of HTTP/1.1.
fn sent(request: &str, edits: Edits<'_>, scheme: &'static str) -> Vec<(String, String)> {
    let mut head = RequestHead::default();
    assert_eq!(RequestReader::default().read(request.as_bytes(), &mut head), Ok(true));
    let peer = Some([192, 0, 2, 1].into());
    let forwarding = Forwarding {
        peer,
        is_trusted: false,
        is_tls: scheme == "https",
        host: HostPolicy::Keep,
        close: true,
        edits,
    };
    let mut out = Vec::new();
    let mut form = Block::of_request(&mut out, scheme, None);
    write_request(&mut form, &head, request.as_bytes(), RequestFraming::Chunked, &forwarding);
    fields(&out)
}

fn fields(block: &[u8]) -> Vec<(String, String)> {
    let (mut decoder, mut fields) = (crate::hpack::Decoder::new(0), Vec::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    decoder.decode(block, |name, value| fields.push((text(name), text(value)))).unwrap();
    fields
}

/// As for HTTP/1.1, but for what its connections need.
#[test]
fn heads_are_written_as_fields() {
    let long = "x".repeat(200);
    let request = format!(
        "POST http://{long}/a?b HTTP/1.1\r\nHost: {long}\r\nX-One:  1\r\nConnection: upgrade, x-two\r\n\
         Upgrade: websocket\r\nX-Two: 2\r\nUser-Agent: c\r\nTransfer-Encoding: chunked\r\n\
         Proxy-Authorization: p\r\nTE: trailers\r\n\r\n"
    );
    let edits = Edits {
        path: None,
        removed: &[],
        lines: b"X-Own: o\r\nConnection: close\r\n",
        own_cookie: b"",
    };
    let forwarded = format!("for=192.0.2.1;host={long};proto=https");
    let expected = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/a?b"),
        (":authority", &long),
        ("x-one", "1"),
        ("user-agent", "c"),
        ("x-own", "o"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", &long),
        ("forwarded", &forwarded),
        ("via", "1.1 fairwater"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(sent(&request, edits, "https"), expected);
}

/// The same of a reply, whose folded line becomes one.
#[test]
fn replies_are_written_as_fields() {
    let reply = b"HTTP/1.1 302 Found\r\nServer: s\r\nX-Long: a\r\n b\r\nX-Late:\r\n b \r\n\
        X-Early: a\r\n \r\nKeep-Alive: timeout=5\r\n\
        Set-Cookie: c\r\nContent-Length: 5\r\n\r\n";
    let mut head = ResponseHead::default();
    let mut reader = ResponseReader::new(true, HeadLimits::DEFAULT);
    assert_eq!(reader.read(reply, &mut head), Ok(true));
    let mut out = Vec::new();
    let connection = fairwater_message::Connection { close: true, ..Default::default() };
    let form = &mut Block::of_reply(&mut out);
    write_response(form, &head, reply, ReplyFraming::Length(5), connection, Edits::default());
    let expected = [
        (":status", "302"),
        ("server", "s"),
        ("x-long", "a   b"),
        ("x-late", "b"),
        ("x-early", "a"),
        ("set-cookie", "c"),
        ("content-length", "5"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&out), expected);
}

#[test]
fn a_request_is_answered() {
    for step in [1, 7, usize::MAX] {
        let mut pair = Pair::new();
        let stream = pair.ask(GET, true);
        pair.talk_by(step);
        let opened = pair.opened();
        let text = String::from_utf8(opened.text).unwrap();
        assert_eq!(text, "GET /a HTTP/1.1\r\nhost: b\r\nx-one: 1\r\n\r\n");
        assert!(opened.is_all && opened.problem.is_none() && opened.tunnel.is_none());
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let len = pair.server.send_reply(stream, reply, false).unwrap();
        assert_eq!(pair.server.send_data(stream, &reply[len..], true), Ok(5));
        pair.server.release(stream);
        pair.talk_by(step);
        let head = pair.client.next_head(stream).unwrap();
        assert_eq!((head.status, &*head.text), (200, &reply[..len]));
        assert_eq!(Pair::read(&mut pair.client, stream), (b"hello".to_vec(), Read::End));
        pair.client.release(stream);
        pair.talk();
        assert_eq!((pair.client.streams_open(), pair.server.streams_open()), (0, 0));
        assert_eq!((pair.client.end(), pair.server.end()), (None, None));
    }
}

#[test]
fn bodies_wait_for_windows_and_end_with_trailers() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n >> 3) as u8).collect();
    let (mut sent, mut received) = (0, Vec::new());
    pair.talk();
    assert!(pair.opened().text.ends_with(b"transfer-encoding: chunked\r\n\r\n"));
    while received.len() < body.len() {
        sent += pair.client.send_data(stream, &body[sent..], false).unwrap();
        assert!(sent - received.len() <= BOUNDS.stream_window as usize);
        pair.talk();
        let (data, read) = Pair::read(&mut pair.server, stream);
        assert_eq!(read, Read::Wait);
        received.extend(data);
    }
    assert_eq!(received, body);
    let sent = Trailers { lines: b"X-Sum: 5\r\n".to_vec(), has_secrets: true };
    pair.client.send_trailers(stream, &sent).unwrap();
    pair.talk();
    assert_eq!(Pair::read(&mut pair.server, stream), (Vec::new(), Read::End));
    assert!(!pair.server.is_read_out(stream));
    let trailers = Trailers { lines: b"x-sum: 5\r\n".to_vec(), has_secrets: true };
    assert_eq!(pair.server.trailers(stream), trailers);
}

/// As it is with a copy, wherever the socket stops to take it.
#[test]
fn data_is_sent_past_what_waits() {
    let data: Vec<u8> = (0..40_000u32).map(|n| (n >> 3) as u8).collect();
    let start = || {
        let mut pair = Pair::new();
        let stream = pair.ask(GET, true);
        pair.talk();
        pair.server.send_reply(stream, b"HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
        (pair, stream)
    };
    let (mut copying, stream) = start();
    assert_eq!(copying.server.send_data(stream, &data, true), Ok(data.len()));
    let copied = copying.server.out().to_vec();
    let head = copied.len() - data.len() - 3 * 9;
    for taken in [0, 1, head, head + 5, head + 9, head + 20_000, copied.len() - 1, copied.len()] {
        let (mut pair, stream) = start();
        let room = BOUNDS.unsent_bytes - head;
        assert_eq!(pair.server.room(stream, 200_000), Ok(room));
        let frames = pair.server.frame_data(stream, data.len(), true).unwrap();
        let mut all = pair.server.out().to_vec();
        for (head, piece) in frames.around(&data) {
            all.extend([&head[..], piece].concat());
        }
        assert_eq!(frames.around(&data).count(), frames.count());
        assert!(all == copied);
        pair.server.sent_past(taken, frames, &data);
        assert!([&all[..taken], pair.server.out()].concat() == copied, "{taken}");
        assert_eq!(pair.server.frame_data(stream, 1, false).err(), Some(Gone));
    }
    let (mut pair, stream) = start();
    pair.talk();
    assert_eq!(pair.server.room(stream, 200_000), Ok(BOUNDS.stream_window as usize));
    assert_eq!(pair.server.room(stream, 70_000), Ok(70_000));
}

/// Else the connection would have less of it each time, and nothing in the end.
#[test]
fn the_window_of_what_was_taken_and_never_read_comes_back() {
    let mut pair = Pair::new();
    for _ in 0..10 {
        let stream = pair.ask(GET, true);
        pair.talk();
        pair.opened();
        pair.server.send_reply(stream, b"HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
        let body = vec![b'x'; BOUNDS.stream_window as usize];
        let mut sent = 0;
        while sent < body.len() {
            let len = pair.server.send_data(stream, &body[sent..], false).unwrap();
            assert!(len > 0, "the window of the connection is used up");
            sent += len;
            pair.talk();
        }
        let (data, _) = pair.client.read_all(stream);
        assert_eq!(data.len(), body.len());
        pair.client.release(stream);
        pair.talk();
        pair.server.release(stream);
        pair.talk();
    }
}

#[test]
fn pieces_are_no_longer_than_asked_and_make_room_for_more() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let body: Vec<u8> = (0..BOUNDS.stream_window * 3).map(|at| at as u8).collect();
    let (mut sent, mut read) = (0, Vec::new());
    while read.len() < body.len() {
        let rest = &body[sent..];
        sent += pair.client.send_data(stream, rest, false).unwrap();
        pair.talk();
        let (piece, what) = pair.server.read_piece(stream, 30_000);
        assert!(piece.capacity() <= 2 * piece.len() + 1, "{} bytes", piece.capacity());
        assert!(what == Read::Data(piece.len()) && (1..=30_000).contains(&piece.len()), "{what:?}");
        read.extend(piece);
        pair.talk();
    }
    assert_eq!(read, body);
    assert_eq!(pair.server.read_piece(stream, 30_000), (Vec::new(), Read::Wait));
    pair.client.send_data(stream, b"end", true).unwrap();
    pair.talk();
    assert_eq!(pair.server.read_piece(stream, 3), (b"end".to_vec(), Read::Data(3)));
    assert_eq!(pair.server.read_piece(stream, 3), (Vec::new(), Read::End));
}

/// As many do that learn of it only then.
#[test]
fn who_has_used_a_larger_window_can_end_by_an_empty_frame() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let body = vec![b'x'; 60_000];
    assert_eq!(pair.client.send_data(stream, &body, false), Ok(body.len()));
    pair.talk();
    assert!(pair.server.set_windows(20_000, BOUNDS.connection_window));
    pair.talk();
    assert_eq!(pair.client.send_data(stream, b"y", false), Ok(0), "there is no room");
    assert_eq!(pair.client.send_data(stream, b"", true), Ok(0));
    pair.talk();
    assert_eq!(pair.server.read_all(stream).0.len(), body.len());
    assert_eq!(pair.server.read_all(stream).1, Read::End);
}

#[test]
fn streams_are_refused_given_up_and_left() {
    let mut pair = Pair::new();
    let streams: Vec<_> = (0..8).map(|_| pair.ask(GET, true)).collect();
    let more = pair.client.send_request(Requested::default(), true, appends(&block(GET)));
    assert_eq!(more, None, "no more than allowed");
    pair.talk();
    pair.client.release(streams[0]);
    pair.talk();
    assert_eq!(pair.server.reset_of(streams[0]), Some((Code::CANCEL, true, false)));
    pair.server.leave();
    pair.talk();
    assert!(pair.client.is_left() && !pair.server.has_left());
    for &stream in &streams {
        let reply = b"HTTP/1.1 204 No Content\r\n\r\n";
        let is_there = stream != streams[0];
        assert_eq!(pair.server.send_reply(stream, reply, true).is_ok(), is_there);
        pair.server.release(stream);
    }
    assert!(pair.server.has_left());
}

#[test]
fn a_tunnel_is_asked_for() {
    let mut pair = Pair::new();
    assert!(pair.client.takes_tunnels());
    let text = "GET /chat HTTP/1.1\r\nhost: b\r\nsec-websocket-key: k\r\nsec-websocket-version: 13\r\n\r\n";
    let asked = Requested { is_tunnel: true, ..Requested::default() };
    let block = block_for(text, "https", Some("websocket"));
    let stream = pair.client.send_request(asked, false, appends(&block)).unwrap();
    pair.talk();
    let opened = pair.opened();
    assert_eq!(opened.tunnel, Some(true));
    assert_eq!(opened.text, b"GET /chat HTTP/1.1\r\nhost: b\r\nsec-websocket-version: 13\r\n");
    let yes = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: a\r\nx: y\r\n\r\n";
    pair.server.send_reply_as(stream, 200, yes, b"sec-websocket-accept", false).unwrap();
    pair.talk();
    let head = pair.client.next_head(stream).unwrap();
    assert_eq!(head.text, b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n");
}

/// As HAProxy does it, for streams of small messages.
#[test]
fn who_answers_each_message_floods_nobody() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let update = |stream: u32| {
        let mut frame = vec![0, 0, 4, 8, 0];
        frame.extend(stream.to_be_bytes());
        frame.extend([0, 0, 0, 1]);
        frame
    };
    for _ in 0..20_000 {
        assert_eq!(pair.client.send_data(stream, b"x", false), Ok(1));
        pair.client.sent(pair.client.out().len());
        pair.client.receive(&update(stream), 1, &mut pair.scratch);
        pair.client.receive(&update(0), 1, &mut pair.scratch);
    }
    assert_eq!(pair.client.end(), None);
    for _ in 0..2000 {
        pair.client.receive(&update(0), 1, &mut pair.scratch);
    }
    assert_eq!(pair.client.end(), Some((Code::ENHANCE_YOUR_CALM, Some(Flood::WindowUpdates))));
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, kind, flags, stream, payload);
    out
}

/// A client that is always ahead of who reads: what was read must not stay.
#[test]
fn what_was_read_of_a_body_takes_no_memory() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let (body, mut buffer, mut read_bytes) = ([b'x'; 100_000], [0; 1000], 0);
    while read_bytes < 10_000_000 {
        let _ = pair.client.send_data(stream, &body, false).unwrap();
        pair.talk();
        for _ in 0..20 {
            assert_eq!(pair.server.read(stream, &mut buffer), Read::Data(1000));
            read_bytes += 1000;
        }
        let kept = pair.server.find(stream).unwrap().data.len();
        assert!(kept <= 2 * BOUNDS.stream_window as usize, "{kept} bytes after {read_bytes}");
    }
}

#[test]
fn nothing_is_said_behind_the_last_word() {
    let mut pair = Pair::new();
    pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let empty = frame(frame::DATA, 0, 1, b"");
    for _ in 0..1001 {
        pair.server.receive(&empty, 1, &mut pair.scratch);
    }
    assert_eq!(pair.server.end(), Some((Code::ENHANCE_YOUR_CALM, Some(Flood::EmptyData))));
    let out = pair.server.out();
    assert_eq!(out[3], frame::GOAWAY, "{out:?}");
    assert_eq!(out.len(), 17, "{out:?}");
}

/// Go measures the way with a ping for each message that comes while none is on its way.
#[test]
fn who_measures_the_way_floods_nobody() {
    let mut pair = Pair::new();
    let stream = pair.ask(POST, false);
    pair.talk();
    pair.opened();
    let update = frame(frame::WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]);
    let ping = frame(frame::PING, 0, 0, b"measured");
    for _ in 0..20_000 {
        assert_eq!(pair.client.send_data(stream, b"x", false), Ok(1));
        pair.client.sent(pair.client.out().len());
        pair.client.receive(&update, 1, &mut pair.scratch);
        pair.client.receive(&ping, 1, &mut pair.scratch);
    }
    // What was sent in one span is answered in the next.
    for _ in 0..20_000 {
        pair.client.receive(&ping, 10_001, &mut pair.scratch);
        pair.client.sent(pair.client.out().len());
    }
    assert_eq!(pair.client.end(), None);
    for _ in 0..2000 {
        pair.client.receive(&ping, 20_002, &mut pair.scratch);
    }
    assert_eq!(pair.client.end(), Some((Code::ENHANCE_YOUR_CALM, Some(Flood::Pings))));
}

#[test]
fn an_empty_frame_in_each_reply_is_no_flood() {
    let mut pair = Pair::new();
    for _ in 0..5000 {
        let stream = pair.ask(GET, true);
        pair.talk();
        pair.opened();
        pair.server.send_reply(stream, b"HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
        let empty = frame(frame::DATA, 0, stream, b"");
        pair.talk();
        pair.client.receive(&empty, 1, &mut pair.scratch);
        assert_eq!(pair.server.send_data(stream, b"", true), Ok(0));
        pair.server.release(stream);
        pair.talk();
        pair.client.release(stream);
        assert_eq!(pair.client.end(), None);
    }
}

/// Says which stream was woken.
#[derive(Debug, Default)]
struct Told(u32, Rc<RefCell<Vec<u32>>>);

impl Waiter for Told {
    fn wake(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

/// The room of a connection, and its window, are for all streams: each that is woken takes what
/// there is, and leaves nothing to those behind.
#[test]
fn streams_take_turns() {
    let mut client: Connection<()> = Connection::new(Role::Client, BOUNDS);
    let mut server: Connection<Told> = Connection::new(Role::Server, BOUNDS);
    let (mut scratch, woken) = (Scratch::default(), Rc::default());
    let ask = |client: &mut Connection<()>| {
        client.send_request(Requested::default(), true, appends(&block(GET))).unwrap()
    };
    let streams: Vec<_> = (0..4).map(|_| ask(&mut client)).collect();
    server.receive(client.out(), 1, &mut scratch);
    for &stream in &streams {
        *server.waiter(stream).unwrap() = Told(stream, Rc::clone(&woken));
        server.send_reply(stream, b"HTTP/1.1 200 OK\r\n\r\n", false).unwrap();
        // The last has no window of its own.
        let window = if stream == 7 { 0 } else { 1 << 20 };
        server.find(stream).unwrap().send_window = window;
    }
    let (mut sent, body) = (HashMap::new(), vec![b'x'; 1 << 20]);
    woken.borrow_mut().extend(&streams);
    for _ in 0..300 {
        for stream in woken.take() {
            *sent.entry(stream).or_insert(0) += server.send_data(stream, &body, false).unwrap();
        }
        server.sent(server.out().len());
        let update = frame(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0x3, 0xe8]);
        server.receive(&update, 1, &mut scratch);
    }
    assert_eq!(sent[&7], 0);
    let least = [1, 3, 5].map(|stream| sent[&stream]).into_iter().min();
    assert!(least >= Some(99_000), "{sent:?}");
    assert!(!woken.borrow().contains(&7), "nothing has changed for it");
}

/// One that asks and never listens.
#[test]
fn nothing_is_heard_of_who_does_not_listen() {
    let mut pair = Pair::new();
    let mut stream = 1;
    while !pair.server.is_choked() {
        let head = frame(frame::HEADERS, 5, stream, b"\x82\x86\x84\x01\x01a");
        pair.server.receive(&head, 1, &mut pair.scratch);
        pair.server.send_reply(stream, b"HTTP/1.1 200 OK\r\nserver: s\r\n\r\n", true).unwrap();
        pair.server.release(stream);
        stream += 2;
        assert!(stream < 100_000);
    }
    assert_eq!(pair.server.end(), None);
    pair.server.sent(pair.server.out().len());
    assert!(!pair.server.is_choked());
}

/// A peer that was told to go, does not say that it knows, and goes on.
#[test]
fn who_does_not_go_is_told_which_stream_is_the_last() {
    let mut pair = Pair::new();
    pair.server.leave();
    let mut taken = 0;
    for number in 0..20 {
        let stream = pair.ask(POST, false);
        pair.server.receive(pair.client.out(), 1, &mut pair.scratch);
        pair.client.sent(pair.client.out().len());
        let is_taken = pair.server.next_opened().is_some();
        assert_eq!(is_taken, number < BOUNDS.streams, "{number}");
        if is_taken {
            taken += 1;
        }
        // Whatever comes of the others is dropped.
        pair.client.send_data(stream, b"hello", false).unwrap();
        let trailers = Trailers { lines: b"a: b\r\n".to_vec(), has_secrets: false };
        pair.client.send_trailers(stream, &trailers).unwrap();
        pair.server.receive(pair.client.out(), 1, &mut pair.scratch);
        pair.client.sent(pair.client.out().len());
        pair.client.release(stream);
        pair.server.release(stream);
    }
    assert_eq!((taken, pair.server.end()), (BOUNDS.streams, None));
    assert!(pair.server.has_left());
}
