//! Any bytes as a response head: no panic; the same outcome however they are cut; and whatever is
//! accepted is read alike by others, before and after we have written it anew.

use fairwater_message::{BodyLength, Connection, Fault, HeadLimits, ResponseHead, Version};
use fairwater_proto::h1::{Edits, Lines, ReplyFraming, ResponseReader, write_response};

use super::reference::{Naive, pieces};

const HEAD_BYTES: usize = HeadLimits::DEFAULT.bytes as usize;
const HEAD_FIELDS: usize = HeadLimits::DEFAULT.fields as usize;

/// `None` while more is needed.
pub(crate) type Outcome = Option<Result<ResponseHead, Fault>>;

/// Reads the prefixes of `data` that end at `ends`, until there is an outcome.
pub(crate) fn read(
    data: &[u8],
    is_relaxed: bool,
    ends: impl IntoIterator<Item = usize>,
) -> Outcome {
    let (mut reader, mut head) =
        (ResponseReader::new(is_relaxed, HeadLimits::DEFAULT), ResponseHead::default());
    for end in ends {
        match reader.read(&data[..end], &mut head) {
            Ok(false) => {}
            Ok(true) => return Some(Ok(head)),
            Err(fault) => return Some(Err(fault)),
        }
    }
    None
}

pub(crate) fn check(data: &[u8]) {
    let strict = read(data, false, [data.len()]);
    let relaxed = read(data, true, [data.len()]);
    assert_eq!(read(data, false, pieces(data.len())), strict, "cut into pieces");
    assert_eq!(read(data, true, pieces(data.len())), relaxed, "cut into pieces, relaxed");
    if let Some(Ok(head)) = &strict {
        assert_eq!(relaxed.as_ref(), strict.as_ref(), "strict heads are read alike in both modes");
        agree_with_httparse(&data[..head.len], head);
        agree_with_naive(&data[..head.len], head);
    }
    if let Some(Ok(head)) = &relaxed {
        assert!(head.len <= data.len() && head.len <= HEAD_BYTES);
        assert!(head.fields.len() <= HEAD_FIELDS);
        round_trip(&data[..head.len], head);
    }
}

fn agree_with_httparse(bytes: &[u8], head: &ResponseHead) {
    let mut headers = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut response = httparse::Response::new(&mut headers);
    assert_eq!(response.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(response.code, Some(head.status));
    assert_eq!(response.version, Some(u8::from(head.version == Version::Http11)));
    let reason = head.reason.of(bytes);
    if reason.is_ascii() {
        assert_eq!(response.reason.map(str::as_bytes), Some(reason));
    }
    assert_eq!(response.headers.len(), head.fields.len());
    for (theirs, ours) in response.headers.iter().zip(&head.fields) {
        assert_eq!(theirs.name.as_bytes(), ours.name.of(bytes));
        assert_eq!(theirs.value, ours.value.of(bytes));
    }
}

fn agree_with_naive(bytes: &[u8], head: &ResponseHead) {
    let body = Naive::split(bytes).body();
    assert_eq!(head.body, body.unwrap_or(BodyLength::UntilClose));
}

/// Writes what was accepted, and has it read strictly, by us and by the second parser.
fn round_trip(bytes: &[u8], head: &ResponseHead) {
    let framing = match head.body {
        BodyLength::Known(length) => ReplyFraming::Length(length),
        BodyLength::Chunked => ReplyFraming::Chunked,
        BodyLength::None | BodyLength::UntilClose => ReplyFraming::Bare,
    };
    let connection = Connection { close: true, ..Connection::default() };
    let mut out = Vec::new();
    write_response(&mut Lines(&mut out), head, bytes, framing, connection, Edits::default());
    assert!(out.len() <= 2 * bytes.len() + 128, "{}", out.len());
    if out.len() > HEAD_BYTES || head.fields.len() + 2 > HEAD_FIELDS {
        return; // limits are the next hop's business
    }
    let Some(Ok(again)) = read(&out, false, [out.len()]) else {
        panic!("we refuse what we wrote: {}", out.escape_ascii());
    };
    assert_eq!(again.len, out.len());
    agree_with_httparse(&out, &again);
    assert_eq!((again.status, again.body), (head.status, head.body));
    assert_eq!(again.reason.of(&out), head.reason.of(bytes));
    assert_eq!(again.connection, connection);

    let unfolded = unfold(bytes, head);
    let original = Naive::split(&unfolded);
    let written = Naive::split(&out);
    let passed = original.returned();
    assert_eq!(written.fields[..passed.len()], passed);
    for (name, _) in &written.fields[passed.len()..] {
        assert!(matches!(&**name, "content-length" | "transfer-encoding" | "connection"));
    }
}

/// A relaxed head as a strict server would have sent it.
fn unfold(bytes: &[u8], head: &ResponseHead) -> Vec<u8> {
    let mut strict = b"HTTP/1.1 200 OK\r\n".to_vec();
    for field in &head.fields {
        strict.extend_from_slice(field.name.of(bytes));
        strict.push(b':');
        let value = field.value.of(bytes).iter();
        strict.extend(value.map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
        strict.extend_from_slice(b"\r\n");
    }
    strict.extend_from_slice(b"\r\n");
    strict
}
