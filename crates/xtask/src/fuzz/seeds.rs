//! What the corpora of the fuzz targets start from: the malicious heads and bodies that proxies are
//! known to stumble over, ordinary ones to break, and the golden files of the configuration.

use std::fs;
use std::path::Path;

use crate::Failure;

/// A file name and its bytes.
type Seed = (String, Vec<u8>);

pub(super) fn all() -> Result<Vec<(&'static str, Vec<Seed>)>, Failure> {
    Ok(vec![
        (
            "request_head",
            [named(REQUESTS, whole), named(FIELDS, with_fields), long_requests()].concat(),
        ),
        ("response_head", [named(RESPONSES, whole), long_responses()].concat()),
        ("chunked_body", [named(BODIES, whole), long_bodies()].concat()),
        ("dns_reply", dns_replies()),
        ("proxy_header", proxy_headers()),
        ("client_hello", client_hellos()),
        ("hpack", hpack_blocks()),
        ("http2", http2_frames()),
        ("http2_talk", http2_talks()),
        ("frame", named(MESSAGES, whole)),
        ("config", configurations()?),
    ])
}

fn named(table: &[(&str, &[u8])], make: fn(&[u8]) -> Vec<u8>) -> Vec<Seed> {
    table.iter().map(|(name, bytes)| ((*name).to_owned(), make(bytes))).collect()
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn with_fields(fields: &[u8]) -> Vec<u8> {
    [b"POST /p HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n0\r\n\r\n"].concat()
}

/// The answers of a reply to the question for `app.example`, behind their number and kind.
fn dns_reply(answers: &[u8]) -> Vec<u8> {
    let (count, kind) = (answers[0], answers[1]);
    let head = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    let question = [b"\x03app\x07example\0\0", &[kind, 0, 1][..]].concat();
    [&head[..], &question, &answers[2..]].concat()
}

/// Each whole, with its last byte cut off, and with the flags of a failure.
fn dns_replies() -> Vec<Seed> {
    let variants = |(name, bytes): Seed| {
        let mut cut = bytes.clone();
        cut.pop();
        let mut failing = bytes.clone();
        failing[3] = 0x83;
        [(format!("{name}-cut"), cut), (format!("{name}-failing"), failing), (name, bytes)]
    };
    named(DNS_ANSWERS, dns_reply).into_iter().flat_map(variants).collect()
}

const DNS_ANSWERS: &[(&str, &[u8])] = &[
    ("none", b"\0\x01"),
    ("address", b"\x01\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
    (
        "address-6",
        b"\x01\x1c\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
    ),
    (
        "alias",
        b"\x02\x01\xc0\x0c\0\x05\0\x01\0\0\0\x14\0\x04\x01b\xc0\x10\
          \xc0\x29\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01",
    ),
    ("alias-of-itself", b"\x01\x01\xc0\x0c\0\x05\0\x01\0\0\0\x14\0\x02\xc0\x0c"),
    ("service", b"\x01\x21\xc0\x0c\0\x21\0\x01\0\0\0\x05\0\x0a\0\x01\0\x02\x1f\x90\x01n\xc0\x0c"),
    ("pointer-forwards", b"\x01\x01\xc0\xff\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
    ("pointer-to-itself", b"\x01\x01\xc0\x1d\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
    ("too-few", b"\x09\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
    ("short-address", b"\x01\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x03\x0a\0\0"),
];

const LINES: &[(&str, &[u8])] = &[
    ("line", b"PROXY TCP4 192.0.2.7 10.0.0.1 51000 443\r\nGET / HTTP/1.1\r\n\r\n"),
    ("line-6", b"PROXY TCP6 2001:db8::7 2001:db8::1 51000 443\r\n"),
    ("line-unknown", b"PROXY UNKNOWN ::1 ::1 1 2\r\n"),
    ("e03-no-end", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2"),
    ("e03-lower", b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("e03-space", b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"),
    ("e03-port", b"PROXY TCP4 1.2.3.4 1.2.3.4 0080 65536\r\n"),
    ("e03-family", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("e09-two", b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"),
];

/// Version and command, family and transport, and what follows the length.
const BLOCKS: &[(&str, &[u8])] = &[
    ("v4", b"\x21\x11\xc0\0\x02\x07\x0a\0\0\x01\xc7\x38\x01\xbb"),
    (
        "v6",
        b"\x21\x21\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\
          \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xc7\x38\x01\xbb",
    ),
    ("e06-local", b"\x20\0"),
    ("unspecified", b"\x21\0abc"),
    ("e04-version", b"\x31\x11\xc0\0\x02\x07\x0a\0\0\x01\xc7\x38\x01\xbb"),
    ("e04-command", b"\x22\x11\xc0\0\x02\x07\x0a\0\0\x01\xc7\x38\x01\xbb"),
    ("e04-short", b"\x21\x11\xc0\0\x02\x07"),
    ("e09-datagrams", b"\x21\x12\xc0\0\x02\x07\x0a\0\0\x01\xc7\x38\x01\xbb"),
];

/// Behind a block of IPv4.
const TLVS: &[(&str, &[u8])] = &[
    ("tls", b"\x01\0\x02h2\x02\0\x01a\x20\0\x0f\x01\0\0\0\x01\x21\0\x07TLSv1.3"),
    ("id", b"\x05\0\x0242\x04\0\0\xe0\0\x01x"),
    ("e05-past-the-end", b"\x04\0\xffx"),
    ("e05-checksum", b"\x03\0\x04\0\0\0\0"),
    ("e05-within", b"\x20\0\x09\x01\0\0\0\0\x21\0\x09x"),
];

fn block(bytes: &[u8]) -> Vec<u8> {
    let (start, rest) = bytes.split_at(2);
    let len = (rest.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", start, &len, rest].concat()
}

fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    block(&[BLOCKS[0].1, tlvs].concat())
}

fn proxy_headers() -> Vec<Seed> {
    let noops = with_tlvs(&b"\x04\0\0".repeat(1000));
    let unix = block(&[&b"\x21\x31"[..], &[0; 216]].concat());
    let long = vec![("e05-noops".to_owned(), noops), ("unix".to_owned(), unix)];
    [named(LINES, whole), named(BLOCKS, block), named(TLVS, with_tlvs), long].concat()
}

const EXTENSIONS: &[(&str, &[u8])] = &[
    ("none", b""),
    ("name", b"\0\0\0\x06\0\x04\0\0\x01a"),
    ("name-behind", b"\x0a\x0a\0\0\0\x2b\0\x03\x02\x03\x04\0\0\0\x06\0\x04\0\0\x01a"),
    ("d04-final-dot", b"\0\0\0\x09\0\x07\0\0\x04A.b."),
    ("d04-nul", b"\0\0\0\x08\0\x06\0\0\x03a\0b"),
    ("d04-empty", b"\0\0\0\x05\0\x03\0\0\0"),
    ("d04-twice", b"\0\0\0\x0a\0\x08\0\0\x01a\0\0\x01b"),
    ("d04-past-the-end", b"\0\0\0\x06\0\x09\0\0\x01a"),
];

/// A message with these extensions.
fn client_hello(extensions: &[u8]) -> Vec<u8> {
    let len = |content: &[u8]| (content.len() as u16).to_be_bytes();
    let start = [b"\x03\x03", &[7; 32][..], b"\0\0\x02\x13\x01\x01\0"].concat();
    let body = [&start, &len(extensions)[..], extensions].concat();
    [b"\x01\0", &len(&body)[..], &body].concat()
}

fn client_hellos() -> Vec<Seed> {
    let record = |part: &[u8]| [b"\x16\x03\x01\0", &[part.len() as u8][..], part].concat();
    let variants = |(name, bytes): Seed| {
        let (whole, split) = (record(&bytes), bytes.chunks(3).flat_map(record).collect());
        let cut = whole[..whole.len() - 1].to_vec();
        [(format!("{name}-split"), split), (format!("{name}-cut"), cut), (name, whole)]
    };
    named(EXTENSIONS, client_hello).into_iter().flat_map(variants).collect()
}

/// Blocks of compressed fields: the examples of RFC 7541 by their numbers, and what is none.
const HPACK_BLOCKS: &[(&str, &[u8])] = &[
    ("c21", b"@\x0acustom-key\x0dcustom-header"),
    ("c22", b"\x04\x0c/sample/path"),
    ("c23", b"\x10\x08password\x06secret"),
    ("c24", b"\x82"),
    (
        "c3",
        b"\x82\x86\x84A\x0fwww.example.com\x82\x86\x84\xbeX\x08no-cache\x82\x87\x85\
          \xbf@\x0acustom-key\x0ccustom-value",
    ),
    (
        "c4",
        b"\x82\x86\x84A\x8c\xf1\xe3\xc2\xe5\xf2:k\xa0\xab\x90\xf4\xff\x82\x86\x84\
          \xbeX\x86\xa8\xeb\x10d\x9c\xbf\x82\x87\x85\xbf@\x88%\xa8I\xe9[\xa9}\x7f\
          \x89%\xa8I\xe9[\xb8\xe8\xb4\xbf",
    ),
    (
        "c5",
        b"H\x03302X\x07privatea\x1dMon, 21 Oct 2013 20:13:21 GMTn\x17https://www.exa\
          mple.comH\x03307\xc1\xc0\xbf",
    ),
    (
        "c6",
        b"H\x82d\x02X\x85\xae\xc3w\x1aKa\x96\xd0z\xbe\x94\x10T\xd4D\xa8 \x05\x95\x04\
          \x0b\x81f\xe0\x82\xa6-\x1b\xffn\x91\x9d)\xad\x17\x18c\xc7\x8f\x0b\x97\xc8\
          \xe9\xae\x82\xaeC\xd3H\x83d\x0e\xff\xc1\xc0\xbf",
    ),
    ("sizes", b" ?\xe1\x1f@\x01a\x01b\xbe"),
    ("size-late", b"@\x01a\x01b "),
    ("size-large", b"?\xe1\xff\xff\x03"),
    ("zero", b"\x80"),
    ("missing", b"\xbf"),
    ("padding", b"\x04\x81\x18"),
    ("padding-long", b"\x04\x82\x1f\xff"),
    ("end", b"\0\x84\xff\xff\xff\xff\0"),
    ("claim", b"\0\x7f\x80\xff\xff\xff\x0f"),
    ("number-long", b"\xff\x80\x80\x80\x80\x80\0"),
    ("named-after", b"@\x04name\x03abc~\x03def~\0"),
    ("long-codes", b"\0\x90\xff\xff\xfe\xff\xff\xff\xdf\xff\xff\xff\xbf\xff\xff\xfe\xff\xff\0"),
    ("empty", b""),
];

/// Each whole, and cut in two.
fn hpack_blocks() -> Vec<Seed> {
    let bomb = [b"@\x01a\x7f\0", &[b'x'; 127][..], &[0xbe; 100]].concat();
    let variants = |(name, bytes): Seed| {
        let half = (bytes.len() / 2) as u8;
        [
            (format!("{name}-split"), [&[half][..], &bytes].concat()),
            (name, [&[0], &bytes[..]].concat()),
        ]
    };
    let blocks = named(HPACK_BLOCKS, whole).into_iter();
    blocks.chain([("bomb".to_owned(), bomb)]).flat_map(variants).collect()
}

/// Four bytes that choose a form (`framing` in fuzz/checks/frame.rs), and a stream.
const MESSAGES: &[(&str, &[u8])] = &[
    ("u8", b"\x40\0\0\xff\x02hi\0\x01x"),
    ("i8-negative", b"\x41\0\0\xff\x01x\x80"),
    ("u16", b"\x40\x01\0\xff\0\x02hi\0\x01x"),
    ("u16-little", b"\x42\x01\0\xff\x02\0hi\x01\0x"),
    ("i16-negative", b"\x41\x01\0\xff\0\x01x\xff\xff"),
    ("u24", b"\x40\x02\0\xff\0\0\x02hi\0\0\x01x"),
    ("swoole", b"\x40\x03\0\xff\0\0\0\x02hi\0\0\0\x01x\0\0\0\0"),
    ("swoole-little", b"\x42\x03\0\xff\x02\0\0\0hi\x01\0\0\0x"),
    ("swoole-header", b"\x60\x03\x02\xffid\0\0\0\x02?hi"),
    ("workerman", b"\0\x03\0\xff\0\0\0\x06hi\0\0\0\x05x"),
    ("f10-zero", b"\0\x03\0\xff\0\0\0\0"),
    ("f10-runt", b"\0\x03\0\xff\0\0\0\x03"),
    ("f10-minus-one", b"\x41\x03\0\xff\xff\xff\xff\xff"),
    ("f10-most", b"\x40\x03\0\xff\xff\xff\xff\xff"),
    ("f10-above-the-limit", b"\x40\x03\0\0\0\0\0\x02"),
    ("f10-good-then-bad", b"\x40\x03\0\xff\0\0\0\x01x\xff\xff\xff\xff"),
    ("u64", b"\x50\x04\0\0\0\0\0\0\0\0\0\x02hi"),
    ("u64-overflow", b"\x50\x04\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("i64-little", b"\x53\x04\0\0\x02\0\0\0\0\0\0\0hi"),
    ("varint", b"\x48\0\0\xff\x02hi\x80\x01"),
    ("mqtt", b"\x48\0\x01\xff0\x02hi0\0"),
    ("f10-varint-of-eleven", b"\x58\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
    ("f10-varint-padded", b"\x48\0\0\xff\x82\0hi"),
    ("varint-overflow", b"\x58\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
    ("digits", b"\x4a\x03\0\xff0002hi0001x"),
    ("digits-bad", b"\x4a\x03\0\xff0001x00-1"),
    ("delimiter", b"\x0c\x03\0\xffababaabab"),
    ("delimiter-headers", b"\x0c\x03\x04\xffa\r\n\r\n\r\n\r\r\n\r\n"),
    ("f10-delimiter-never", b"\x0c\x03\x04\x01abcdefgh"),
    ("line", b"\x0d\0\0\xffone\r\ntwo\n\nthr"),
    ("fixed", b"\x0e\0\0\x01one2three4"),
    ("eof", b"\x0f\0\0\x02all of it"),
];

/// Kind, flags, stream and payload of each frame behind the settings that come first.
type Frame = (u8, u8, u8, &'static [u8]);

const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
const POST: &[u8] = b"\x83\x86\x84\x01\x01a\x0f\x0d\x015";
const OK: &[u8] = b"\x88\x0f\x0d\x015";

const HTTP2_FRAMES: &[(&str, &[Frame])] = &[
    ("get", &[(1, 5, 1, GET)]),
    ("post", &[(1, 4, 1, POST), (0, 1, 1, b"hello")]),
    ("body-too-long", &[(1, 4, 1, POST), (0, 1, 1, b"hello!")]),
    ("body-too-short", &[(1, 4, 1, POST), (0, 1, 1, b"hell")]),
    ("trailers", &[(1, 4, 1, POST), (0, 0, 1, b"hello"), (1, 5, 1, b"\0\x01a\x01b")]),
    ("pieces", &[(1, 1, 1, b"\x82\x86"), (9, 0, 1, b"\x84\x01"), (9, 4, 1, b"\x01a")]),
    ("pieces-between", &[(1, 1, 1, b"\x82"), (6, 0, 0, b"01234567"), (9, 4, 1, b"\x86")]),
    ("padded", &[(1, 0x0d, 1, b"\x02\x82\x86\x84\x01\x01a\0\0")]),
    ("padded-too-much", &[(0, 9, 1, b"\xffabc")]),
    ("priority", &[(1, 0x25, 1, b"\0\0\0\0\x10\x82\x86\x84\x01\x01a"), (2, 0, 3, b"\0\0\0\0\x10")]),
    ("reset", &[(1, 4, 1, POST), (3, 0, 1, b"\0\0\0\x08"), (0, 1, 1, b"late")]),
    (
        "more-than-may-run",
        &[
            (1, 5, 1, GET),
            (1, 5, 3, GET),
            (3, 0, 3, b"\0\0\0\x08"),
            (1, 5, 5, GET),
            (1, 5, 7, GET),
            (1, 5, 9, GET),
            (1, 5, 11, GET),
            (1, 5, 13, GET),
            (1, 5, 15, GET),
            (1, 5, 17, GET),
        ],
    ),
    ("settings", &[(4, 0, 0, b"\0\x04\0\0\0\0\0\x05\0\0\x40\0"), (4, 1, 0, b"")]),
    ("settings-bad", &[(4, 0, 0, b"\0\x02\0\0\0\x07")]),
    ("ping", &[(6, 0, 0, b"01234567"), (6, 1, 0, b"01234567")]),
    ("goaway", &[(7, 0, 0, b"\0\0\0\x01\0\0\0\0bye"), (1, 5, 1, GET)]),
    ("windows", &[(8, 0, 0, b"\x7f\xff\xff\xff"), (8, 0, 1, b"\0\0\0\0")]),
    ("push", &[(5, 4, 1, b"\0\0\0\x02\x82")]),
    ("unknown", &[(0x2a, 0xff, 7, b"whatever")]),
    ("even", &[(1, 5, 2, GET)]),
    ("backwards", &[(1, 5, 5, GET), (1, 5, 3, GET)]),
    ("many", &[(1, 4, 1, POST), (1, 4, 3, POST), (1, 4, 5, POST), (1, 5, 7, GET), (1, 5, 9, GET)]),
    ("ok", &[(1, 4, 1, OK), (0, 1, 1, b"hello"), (1, 5, 3, b"\x89")]),
    ("interim", &[(1, 4, 1, b"\x08\x03103\0\x04link\x01x"), (1, 5, 1, b"\x88")]),
    ("informal", &[(1, 5, 1, b"\x08\x03103")]),
    ("upper", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\0\x01X\x01y")]),
    ("line-end", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\0\x01x\x06y\r\nz:1")]),
    ("connection", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\0\x0aconnection\x05close")]),
    ("hosts", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\x0f\x17\x01b")]),
    ("tunnel", &[(1, 4, 1, b"\x02\x07CONNECT\x86\x84\x01\x01a\0\x09:protocol\x09websocket")]),
    ("cookies", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\x0f\x11\x03a=b\x0f\x11\x03c=d")]),
];

/// In pieces of 1 byte, and of 100.
fn http2_frames() -> Vec<Seed> {
    let frame = |(kind, flags, stream, payload): &Frame| {
        let head = [0, 0, payload.len() as u8, *kind, *flags, 0, 0, 0, *stream];
        [&head[..], payload].concat()
    };
    let seed = |(name, frames): &(&str, &[Frame])| {
        let bytes: Vec<u8> = frames.iter().flat_map(frame).collect();
        let settings = frame(&(4, 0, 0, b""));
        [(0, "-slow"), (99, "")]
            .map(|(step, end)| (format!("{name}{end}"), [&[step], &settings[..], &bytes].concat()))
    };
    HTTP2_FRAMES.iter().flat_map(seed).collect()
}

/// A request that is answered, with bodies both ways; then whatever chance says, of which there is
/// enough to use up windows.
fn http2_talks() -> Vec<Seed> {
    let talk = |number: u8| {
        let mut acts = b"\0\0\x0f\0\x1f\0\x04\0\x01\x0e\x11\x0e\x0f\0\x1f\0".to_vec();
        let mut random = 0x9e37_79b9_u32 + u32::from(number);
        for _ in 0..usize::from(number) * 25 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            acts.extend_from_slice(&random.to_be_bytes()[..2]);
        }
        (format!("{number:02}"), acts)
    };
    (0..30).map(talk).collect()
}

const REQUESTS: &[(&str, &[u8])] = &[
    ("ordinary", b"GET /x?y=z HTTP/1.1\r\nHost: a:80\r\nUser-Agent: c\r\nAccept: */*\r\n\r\n"),
    ("old", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ("absolute", b"GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute-bare", b"OPTIONS http://a HTTP/1.1\r\nHost: A\r\n\r\n"),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    ("upgrade", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ("pipelined", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n"),
    ("a14-old", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("a33-cr", b"GET / HTTP/1.1\rHost: a\r\r"),
    ("a34-lf", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("a43-method", b"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a43-lower", b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a46-userinfo", b"GET / HTTP/1.1\r\nHost: good@evil\r\n\r\n"),
    ("a47-differs", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a49-connect", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("a51-version", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("a52-spaces", b"GET  /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a53-lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a54-tls", b"\x16\x03\x01\x02\x00"),
    ("a54-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
];

/// Fields of a request.
const FIELDS: &[(&str, &[u8])] = &[
    ("a01-length-and-chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
    ("a02-two-lengths", b"Content-Length: 5\r\nContent-Length: 6"),
    ("a03-equal-lengths", b"Content-Length: 5\r\nContent-Length: 5"),
    ("a03-list", b"Content-Length: 5, 5"),
    ("a04-plus", b"Content-Length: +5"),
    ("a05-empty", b"Content-Length:\r\nContent-Length: 5"),
    ("a06-overflow", b"Content-Length: 18446744073709551621"),
    ("a07-zeros", b"Content-Length: 0005"),
    ("a08-space", b"Content-Length : 5"),
    ("a09-alias", b"Content_Length: 5\r\nTransfer_Encoding: chunked"),
    ("a10-xchunked", b"Transfer-Encoding: xchunked"),
    ("a11-comma", b"Transfer-Encoding: ,chunked"),
    ("a12-twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("a13-vt", b"Transfer-Encoding: \x0bchunked"),
    ("a27-expect", b"Expect: y 100-continue"),
    ("a26-expect", b"Expect: 100-continue\r\nContent-Length: 5"),
    ("a31-nul", b"X-Value: a\0b"),
    ("a35-fold", b"X-Value: a\r\n b"),
    ("a37-no-colon", b"X-Value-foo-bar"),
    ("a38-name", b"X(Value): a-b-c"),
    ("a39-pseudo", b":path: /x-y-z"),
    ("a45-two-hosts", b"Host: a\r\nHost: b"),
    ("a55-named", b"Connection: X-Real-IP, Host, Cookie, x\r\nCookie: a\r\nX: y"),
    ("a56-hops", b"Keep-Alive: x\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: x"),
    (
        "a57-claims",
        b"X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=x\r\nX-Forwarded-Host: b",
    ),
    ("a58-for", b"X-Forwarded-For: unknown, [::1]:80, fe80::1%eth0, 1.2.3.4:80,"),
    ("a59-alias", b"X_Forwarded_For: 1.2.3.4\r\nX-Forwarded-For : 1.2.3.4"),
    ("a72-h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A"),
    ("via", b"Via: 1.1 a, 1.0 b\r\nVia: , ,2 c"),
];

fn long_requests() -> Vec<Seed> {
    let start = &b"GET / HTTP/1.1\r\nHost: a\r\n"[..];
    vec![
        ("a40-fields".to_owned(), [start, &b"A:\r\n".repeat(127)[..], b"\r\n"].concat()),
        ("a42-target".to_owned(), [b"GET /", &b"x".repeat(8300)[..]].concat()),
        ("a53-many-lines".to_owned(), b"\r\n".repeat(6)),
        ("names".to_owned(), [start, b"Connection: ", &b"x,".repeat(33)[..], b"\r\n\r\n"].concat()),
    ]
}

const RESPONSES: &[(&str, &[u8])] = &[
    ("ordinary", b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"),
    ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("old", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"),
    ("close", b"HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: y\r\n\r\n"),
    ("keep-alive", b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"),
    ("no-reason", b"HTTP/1.1 204\r\n\r\n"),
    ("cookies", b"HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nLocation: /\r\n\r\n"),
    ("interim", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("switch", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ("r05-half", b"HTTP/1.1 200 O"),
    ("r06-garbage", b"<html><body>"),
    ("r09-both", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("r10-twice", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    ("r10-negative", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
    ("r10-list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
    ("r12-nul", b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
    ("r13-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\n\r\n"),
    ("r13-fold-length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n 6\r\n\r\n"),
    ("r13-fold-upgrade", b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\n b\r\n\r\n"),
    ("r13-lf", b"HTTP/1.1 200 OK\nX: a\n b\n\n"),
    ("r13-no-colon", b"HTTP/1.1 200 OK\r\nXfoo\r\n\r\n"),
    ("r15-42", b"HTTP/1.1 42 X\r\n\r\n"),
    ("r15-abc", b"HTTP/1.1 abc X\r\n\r\n"),
    ("r15-999", b"HTTP/1.1 999 X\r\n\r\n"),
    ("r19-named", b"HTTP/1.1 200 OK\r\nConnection: set-cookie, server\r\nSet-Cookie: a\r\n\r\n"),
    ("reason", b"HTTP/1.1 200 \xc3\xa9\t x \r\n\r\n"),
    ("version", b"HTTP/2.0 200 OK\r\n\r\n"),
];

fn long_responses() -> Vec<Seed> {
    let start = &b"HTTP/1.1 200 OK\r\n"[..];
    vec![
        ("r14-fields".to_owned(), [start, &b"A:\r\n".repeat(129)[..], b"\r\n"].concat()),
        ("r14-long".to_owned(), [start, b"X: ", &b"x".repeat(33_000)[..], b"\r\n\r\n"].concat()),
    ]
}

const BODIES: &[(&str, &[u8])] = &[
    ("ordinary", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    ("empty", b"0\r\n\r\n"),
    ("behind", b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    ("upper", b"A\r\n0123456789\r\n00\r\n\r\n"),
    ("lines", b"4\r\n\r\n\r\n\r\n0\r\n\r\n"),
    ("unfinished", b"ff\r\nhello"),
    ("zeros", b"0000000000000001\r\nx\r\n0\r\n\r\n"),
    ("a16-hex", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a16-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a16-digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a16-max", b"7fffffffffffffff\r\nhello"),
    ("a16-over", b"8000000000000000\r\nhello"),
    ("a17-space", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("a18-lf-size", b"5\nhello\r\n0\r\n\r\n"),
    ("a18-lf-data", b"5\r\nhello\n0\r\n\r\n"),
    ("a18-lf-final", b"5\r\nhello\r\n0\r\n\n"),
    ("a19-ext-lf", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a19-ext-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a20-ext-nul", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    ("a20-ext-bare", b"5;\r\nhello\r\n0\r\n\r\n"),
    ("a20-ext-open", b"5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    ("a21-ext", b"5;a=b;c=\"d\\\"\"\r\nhello\r\n0;e\r\n\r\n"),
    ("a22-spill", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("a23-trailers", b"0\r\nContent-Length: 5\r\nHost: a\r\nX-Sum: y\r\n\r\n"),
    ("trailer-lines", b"X: y\r\nContent_Length: 5\r\nGrpc-Status:0 \r\n"),
    ("trailer-fold", b"0\r\nX: y\r\n z\r\n\r\n"),
];

fn long_bodies() -> Vec<Seed> {
    let chunk = [b"1;", &b"a".repeat(1023)[..], b"\r\nx\r\n"].concat();
    vec![
        ("a21-ext-long".to_owned(), chunk.repeat(17)),
        ("a23-many".to_owned(), [b"0\r\n", &b"A: b\r\n".repeat(1400)[..]].concat()),
        ("tiny".to_owned(), [&b"1\r\nx\r\n".repeat(300)[..], b"0\r\n\r\n"].concat()),
    ]
}

/// The golden files of the configuration are as odd as one can wish for, and there are many.
fn configurations() -> Result<Vec<Seed>, Failure> {
    let mut seeds = Vec::new();
    for (directory, prefix) in [("golden", ""), ("format", "format_")] {
        for entry in fs::read_dir(Path::new("crates/config/tests").join(directory))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".toml") {
                seeds.push((format!("{prefix}{name}"), fs::read(path)?));
            }
        }
    }
    let named = CONFIGURATIONS.iter();
    seeds.extend(named.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())));
    Ok(seeds)
}

/// `# ---` stands between the files of one configuration, `1.toml` is the second of them.
const CONFIGURATIONS: &[(&str, &str)] = &[
    ("nested.toml", "a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
    ("dotted.toml", "a.b.c.d.e.f = 1\n[a.b]\nc = 2\n"),
    ("bom.toml", "\u{feff}[listeners.web]\r\nbind = ':80'\r\n"),
    ("short.toml", "[listeners.web]\nbind=':80'\nupstream='a'\n[upstreams.a]\nendpoints=[]\n"),
    (
        "several_files.toml",
        "include = '*.toml'\nlisteners.web = { bind = ':${PORT}', upstream = 'a' }\n\
         # ---\n[upstreams.a]\nendpoints=['${HOST:-a}:1']\n\
         # ---\n[[routes]]\nlistener='web'\npath='/x'\nupstream='a'\n\
         # ---\nthreads=2\n",
    ),
    (
        "files_in_files.toml",
        "include = ['1.toml', 'none/*.none', '7.toml']\nlisteners.web.bind = ':1'\n\
         # ---\ninclude = '2.toml'\nlisteners.web.bind = ':2'\nthreads = 1\n\
         # ---\ninclude = ['1.toml', '3.toml', '']\nthreads = 2\n\
         # ---\n[upstreams.a\n",
    ),
    (
        "variables_everywhere.toml",
        "include = '${MISSING:-1}.toml'\naccess_log.path = '${LONG}'\n\
         listeners.'${PORT}' = { bind = ['${NESTED}', '$${PORT}'], upstream = '${CONTROL}' }\n\
         routes = [{ listener = '${EMPTY}', host = '${EMPTY:-*.a}', path = '/${PORT}/{x}/*', \
         method = '${PORT', headers = { x = '${CONTROL}' }, query = { y = '${LONG}' }, \
         client = '${}', upstream = '${EMPTY:-}' }]\n\
         [upstreams.a]\nendpoints = [{ address = 'a:${PORT}', weight = 2 }]\n\
         connect_timeout = '${PORT}ms'\nhost = '${LONG}'\n# ---\n",
    ),
    (
        "tcp.toml",
        "[listeners.games]\nbind=['unix:/g.sock']\nprotocol='tcp'\nupstream='games'\nidle='both'\n\
         on_error={connect='no\\n',empty='${LONG}'}\n[upstreams.games]\n\
         endpoints=['tcp://a:1','[::1]:2',{address='unix:/a.sock',weight=0}]\nbalance='random'\n\
         host='endpoint'\nretries=7\nrelaxed_responses=true\nqueue_timeout='1h'\n",
    ),
];
