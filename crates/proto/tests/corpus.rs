//! The fuzz targets of the codecs, run with a stable compiler over their corpora.

#[path = "../../../fuzz/checks/mod.rs"]
#[allow(dead_code, reason = "the property tests use more of it")]
mod checks;
#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

/// Pieces of heads.
const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "GET ",
    "POST ",
    "OPTIONS * ",
    "http://a",
    " HTTP/1.1",
    " HTTP/1.0",
    "HTTP/1.1 200 OK\r\n",
    "101",
    "204",
    "304",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: ",
    "chunked",
    "Connection: close\r\n",
    "Connection: upgrade, x\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "Via: 1.1 a\r\n",
    "X-Forwarded-For: 1.2.3.4, ::1\r\n",
    "Forwarded: for=a;b=\",\"\r\n",
    "X-Real-IP: 1.2.3.4\r\n",
    "Keep-Alive: timeout=5\r\n",
    "content_length: 5\r\n",
    "x: y\r\n",
    " folded\r\n",
    "[::1]:80",
    "9223372036854775807",
    "18446744073709551616",
    "é",
];

/// Pieces of chunked bodies.
const CHUNKS: &[&str] = &[
    "\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "0",
    "a",
    "F",
    "\n",
    "\r",
    " ",
    ";",
    ";a",
    ";a=b",
    "=",
    "\"",
    ";a=\"b\\\"\"",
    "X: y\r\n",
    "Content-Length: 5\r\n",
    "Host: a\r\n",
    "7fffffffffffffff",
    "8000000000000000",
    "10000000000000000",
];

/// Pieces of DNS messages.
const PARTS: &[&str] = &[
    "\0",
    "\x01",
    "\0\x01\0\x01",
    "\0\x05\0\x01",
    "\0\x1c\0\x01",
    "\0\x21\0\x01",
    "\0\0\0\x3c",
    "\x7f\x7f\x7f\x7f",
    "\0\x04\x0a\0\0\x01",
    "\0\x02",
    "\x03app\x07example\0",
    "\x03APP",
    "\x01.",
    "?",
    // Above 0xc0: the first byte of a pointer.
    "é",
];

#[test]
fn dns_reply() {
    replay("dns_reply", PARTS, checks::dns_reply::check);
}

/// Pieces of PROXY headers.
const CLAIMS: &[&str] = &[
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "1.2.3.4 ",
    "::1 ",
    "65535",
    " 0",
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n\0\r\nQUIT\n",
    "\x20\0\0\0",
    "!\x11\0\x0c",
    "!!\0\x24",
    "!1",
    "\x03\0\x04",
    "\x04\0\0",
    "\x05\0\x01",
    "\x20\0\x05\x01\0\0\0\0",
];

#[test]
fn proxy_header() {
    replay("proxy_header", CLAIMS, checks::proxy_header::check);
}

/// Pieces of the first message of TLS.
const HELLO: &[&str] = &[
    "\x16\x03\x01",
    "\x16\x03\x03\0\x04",
    "\x01\0\0",
    "\x03\x03",
    "\0\0\0\x06\0\x04\0\0\x01a",
    "\0\0\0\x0e\0\x0c\0\0\x09a.example",
    "\x02\x13\x01\x01\0",
];

#[test]
fn client_hello() {
    replay("client_hello", HELLO, checks::client_hello::check);
}

/// Pieces of compressed fields.
const BLOCKS: &[&str] = &[
    "\0",
    "\x01a",
    "@\x01a\x01b",
    "\x40\x03abc\x00",
    "\x7e\x01c",
    "\x20",
    "?\x01",
    "?!",
    "\x3f\x45",
    "\x10",
    "\x0f/",
    "\x0f\x01\x03xyz",
    "\x04\x06/b/128",
    "\x7f",
    // Above 0xc0: entries of the table that the block fills, or a long number.
    "é",
];

#[test]
fn hpack() {
    replay("hpack", BLOCKS, checks::hpack::check);
}

/// Heads of frames, and what may stand behind them.
const FRAMES: &[&str] = &[
    "\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\x7f\x7f",
    "\0\0\0\x04\x01\0\0\0\0",
    "\0\0\x01\x01\x05\0\0\0\x01",
    "\0\0\x01\x01\x04\0\0\0\x03",
    "\0\0\x01\x01\x01\0\0\0\x05",
    "\0\0\x02\x09\x04\0\0\0\x05",
    "\0\0\x04\0\0\0\0\0\x01",
    "\0\0\x04\0\x09\0\0\0\x03",
    "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    "\0\0\x04\x08\0\0\0\0\0\0\0\x10\0",
    "\0\0\x08\x06\0\0\0\0\0fairwatr",
    "\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0",
    "\0\x03content-length\x015",
    "\x01a",
];

#[test]
fn http2() {
    replay("http2", FRAMES, checks::http2::check);
}

/// What two sides do: ask, say all, answer, send and read much.
const ACTS: &[&str] = &[
    "\x00\x00",
    "\x20\x00",
    "\x0f\x00\x1f\x00",
    "\x0f\x00",
    "\x1f\x00",
    "\x04\x00",
    "\x04\x10",
    "\x01\x0e",
    "\x11\x0e",
    "\x01\x1e\x0f\x00",
    "\x13\x0d",
    "\x15\x0d",
    "\x05\x0d",
    "\x17\x00\x18\x00",
    "\x07\x00",
    "\x08\x00",
    "\x0b\x00",
    "\x1b\x00",
    "\x0c\x00",
    "\x3c\x10",
    "\x0d\x00\x0f\x00\x1f\x00",
    "\x1d\x03",
];

#[test]
fn http2_talk() {
    replay("http2_talk", ACTS, checks::http2_talk::check);
}

/// Forms of messages, and their lengths and ends.
const MESSAGES: &[&str] = &[
    "\0\0\0\x04",
    "\x04\0\0\0",
    "\0\0\0\0\0\0\0\x02",
    "0004",
    "9999",
    "\x02hi",
    "\x7f\x7f\x7f\x7f",
    "\r\n",
    "abab",
    "a\n",
    // Above 0x80: a number that is below zero, or goes on.
    "\u{80}",
    "é",
];

#[test]
fn frame() {
    replay("frame", MESSAGES, checks::frame::check);
}

#[test]
fn request_head() {
    replay("request_head", WORDS, checks::request_head::check);
}

#[test]
fn response_head() {
    replay("response_head", WORDS, checks::response_head::check);
}

#[test]
fn chunked_body() {
    replay("chunked_body", CHUNKS, checks::chunked_body::check);
}
