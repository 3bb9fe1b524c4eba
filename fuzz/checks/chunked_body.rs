//! Any bytes as a chunked body, and as the data of one: no panic, nothing taken that was not given,
//! the same outcome however it is cut, and what is encoded decodes to itself.

use fairwater_message::Fault;
use fairwater_proto::h1::{
    CHUNK_HEAD_BYTES_MAX, ChunkDecoder, ChunkHead, LAST_CHUNK, TRAILER_BYTES_MAX, write_trailers,
};

use super::reference::pieces;

/// A decoded body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub data: Vec<u8>,
    pub trailers: Vec<u8>,
    /// Bytes of the input that belong to it.
    pub consumed: usize,
    pub is_done: bool,
}

/// Decodes the pieces of `input` that end at `ends`, in place, as `worker` does.
pub(crate) fn decode(input: &[u8], ends: impl IntoIterator<Item = usize>) -> Result<Body, Fault> {
    let mut decoder = ChunkDecoder::of_request();
    let mut body = Body::default();
    let mut start = 0;
    for end in ends {
        let mut buffer = input[start..end].to_vec();
        let decoded = decoder.decode(&mut buffer)?;
        assert!(decoded.data.start <= decoded.data.end);
        assert!(decoded.data.end <= decoded.consumed && decoded.consumed <= buffer.len());
        let untouched = if decoded.is_moved { decoded.consumed } else { 0 };
        assert_eq!(buffer[untouched..], input[start + untouched..end], "touched without need");
        body.data.extend_from_slice(&buffer[decoded.data]);
        start += decoded.consumed;
        assert!(decoder.trailers().len() <= TRAILER_BYTES_MAX);
        if decoded.is_done {
            break;
        }
        assert_eq!(start, end, "all is taken while the body goes on");
    }
    body.trailers.extend_from_slice(decoder.trailers());
    body.consumed = start;
    body.is_done = decoder.is_done();
    Ok(body)
}

pub(crate) fn check(data: &[u8]) {
    let whole = decode(data, [data.len()]);
    assert_eq!(decode(data, pieces(data.len())), whole, "cut into pieces");
    if let Ok(body) = &whole {
        assert!(body.consumed <= data.len() && body.data.len() <= body.consumed);
        if body.is_done {
            agree_with_naive(&data[..body.consumed], body);
        }
        check_trailers(&body.trailers);
    }
    check_trailers(data);
    let size = data.first().map_or(1, |&first| usize::from(first) + 1);
    check_identity(data, size);
}

/// Splits an accepted body at its line ends.
fn agree_with_naive(input: &[u8], body: &Body) {
    let mut rest = input;
    let mut line = || {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line has an end");
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let digits = line.split(|&b| b == b';').next().and_then(|d| std::str::from_utf8(d).ok());
        let size = usize::from_str_radix(digits.expect("a size is text"), 16);
        let size = size.expect("a size is hexadecimal");
        let data = &rest[..size];
        if size > 0 {
            assert_eq!(&rest[size..size + 2], b"\r\n");
            rest = &rest[size + 2..];
        }
        (size > 0).then_some(data)
    };
    let data: Vec<&[u8]> = std::iter::from_fn(&mut line).collect();
    assert_eq!(body.data, data.concat());
    assert_eq!(rest, [&body.trailers[..], b"\r\n"].concat());
}

/// What is written as trailers is read again, and nothing in it is of importance.
fn check_trailers(raw: &[u8]) {
    let mut once = Vec::new();
    if write_trailers(raw, true, &[], &mut once).is_err() {
        return;
    }
    assert!(once.len() <= 2 * raw.len());
    let mut twice = Vec::new();
    assert_eq!(write_trailers(&once, false, &[], &mut twice), Ok(()));
    assert_eq!(once, twice, "writing is idempotent");
    for line in once.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let name = line.split(|&b| b == b':').next().unwrap_or_default().to_ascii_lowercase();
        let is_forbidden = matches!(
            &name[..],
            b"host" | b"content-length" | b"transfer-encoding" | b"authorization" | b"cookie"
        );
        assert!(!is_forbidden, "{}", line.escape_ascii());
    }
}

/// Encodes `data` in chunks of `size` and decodes it again.
pub(crate) fn check_identity(data: &[u8], size: usize) {
    let mut encoded = Vec::new();
    for chunk in data.chunks(size) {
        let head = ChunkHead::new(chunk.len());
        assert!(head.as_bytes().len() <= CHUNK_HEAD_BYTES_MAX);
        encoded.extend_from_slice(head.as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(LAST_CHUNK);
    let len = encoded.len();
    encoded.extend_from_slice(data);
    let body = decode(&encoded, [encoded.len()]).expect("what we encode is well-formed");
    assert_eq!(
        body,
        Body { data: data.to_vec(), trailers: Vec::new(), consumed: len, is_done: true }
    );
}
