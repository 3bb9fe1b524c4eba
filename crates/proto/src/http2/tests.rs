//! Two engines that talk to each other, and one that is told what nobody should say.

use super::*;

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
        let asked = Requested { scheme: "http", ..Requested::default() };
        self.client.send_request(text.as_bytes(), asked, is_last).unwrap()
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
    pair.client.send_trailers(stream, b"X-Sum: 5\r\n").unwrap();
    pair.talk();
    assert_eq!(Pair::read(&mut pair.server, stream), (Vec::new(), Read::End));
    assert!(!pair.server.is_read_out(stream));
    assert_eq!(pair.server.trailers(stream), b"x-sum: 5\r\n");
}

#[test]
fn streams_are_refused_given_up_and_left() {
    let mut pair = Pair::new();
    let streams: Vec<_> = (0..8).map(|_| pair.ask(GET, true)).collect();
    let asked = Requested { scheme: "http", ..Requested::default() };
    assert_eq!(pair.client.send_request(GET.as_bytes(), asked, true), None, "no more than allowed");
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
    let asked = Requested { scheme: "https", tunnel: Some("websocket"), ..Requested::default() };
    let stream = pair.client.send_request(text.as_bytes(), asked, false).unwrap();
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
