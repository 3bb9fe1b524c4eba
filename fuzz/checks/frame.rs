//! Any bytes as messages of any form: no panic, the messages that a naive reader finds, however the
//! stream is cut, and what is made of their bodies is a message again.

use fairwater_message::frame::{Framing, LengthField, Number};
use fairwater_proto::frame::{BadFrame, End, Look, Progress, body_start, lengthen, wrap};

use super::reference::pieces;

/// Sizes of the messages of a stream, and how it ends.
type Messages = (Vec<u64>, Result<End, BadFrame>);

/// The first bytes say which form, the others are the stream.
pub(crate) fn check(data: &[u8]) {
    let Some((head, stream)) = data.split_first_chunk::<4>() else { return };
    check_stream(&framing(*head), stream);
}

/// Every value of four bytes is a form.
fn framing(head: [u8; 4]) -> Framing {
    let [kind, size, offset, max] = head;
    let max = 1 + u64::from(max) * 5;
    let number = match kind & 0x0f {
        0..=7 => {
            let bytes = [1, 2, 3, 4, 8][usize::from(size % 5)];
            Number::Binary { bytes, is_signed: kind & 1 != 0, is_little: kind & 2 != 0 }
        }
        8 | 9 => Number::Varint,
        10 | 11 => Number::Ascii { digits: size % 10 + 1 },
        12 => {
            let bytes = b"abab\r\n\r\n--aabaaa";
            let start = usize::from(offset) % bytes.len();
            let end = (start + 1 + usize::from(size)).min(bytes.len());
            return Framing::Delimiter { bytes: bytes[start..end].into(), max };
        }
        13 => return Framing::line(max),
        14 => return Framing::Fixed { size: max },
        _ => return Framing::Eof { max },
    };
    let offset = u32::from(offset % 20);
    let body_offset = match kind >> 5 {
        0 => 0,
        1 => offset,
        more => offset + number.size().unwrap_or(0) + u32::from(more) - 2,
    };
    let max = if kind & 0x10 == 0 { max } else { u64::MAX };
    Framing::Length(LengthField { number, offset, body_offset, max })
}

pub(crate) fn check_stream(framing: &Framing, stream: &[u8]) {
    let expected = naive(framing, stream);
    assert_eq!(read(framing, stream, [stream.len()]), expected, "{framing:?} whole");
    assert_eq!(read(framing, stream, pieces(stream.len())), expected, "{framing:?} in pieces");
    for at in (0..stream.len()).step_by(stream.len() / 256 + 1) {
        assert_eq!(read(framing, stream, [at, stream.len()]), expected, "{framing:?} cut at {at}");
    }
    let mut rest = stream;
    for size in expected.0 {
        // What has all bytes before it finds the same.
        assert_eq!(framing.first_message(rest), Some(size as usize), "{framing:?}");
        let (message, behind) = rest.split_at(size as usize);
        assert!(framing.is_message(message));
        check_longer(framing, message);
        rest = behind;
    }
    let is_last = expected.1 == Ok(End::Complete);
    assert_eq!(framing.first_message(rest), is_last.then_some(rest.len()), "{framing:?}");
    check_wrapped(framing, &stream[..stream.len().min(100)]);
}

/// Reads the pieces of a stream that end at `ends`.
fn read(framing: &Framing, stream: &[u8], ends: impl IntoIterator<Item = usize>) -> Messages {
    let mut sizes = Vec::new();
    let mut progress = Progress::default();
    let mut start = 0;
    for end in ends {
        while start < end {
            match progress.look(framing, &stream[start..end]) {
                Err(bad) => return (sizes, Err(bad)),
                Ok(Look::More) => start = end,
                Ok(Look::Ends(size)) => {
                    assert!((1..=end - start).contains(&size));
                    assert_eq!(progress.at_end(framing), End::Complete);
                    sizes.push(progress.seen());
                    progress = Progress::default();
                    start += size;
                }
            }
            assert!(progress.total().is_none_or(|total| total <= framing.max()));
        }
    }
    (sizes, Ok(progress.at_end(framing)))
}

/// One message after the other, each with all that is left of the stream before the eyes.
fn naive(framing: &Framing, mut stream: &[u8]) -> Messages {
    let mut sizes = Vec::new();
    let end = loop {
        if stream.is_empty() {
            break Ok(End::Between);
        }
        let size = match framing {
            Framing::Length(field) => naive_length(field, stream),
            Framing::Fixed { size } => Ok(Some(*size)),
            Framing::Delimiter { bytes, max } => {
                let found = stream.windows(bytes.len()).position(|window| window == &bytes[..]);
                let size = found.map(|at| (at + bytes.len()) as u64);
                let least = size.unwrap_or(stream.len() as u64 + 1);
                if least > *max { Err(BadFrame::TooLong) } else { Ok(size) }
            }
            Framing::Eof { max } if stream.len() as u64 > *max => Err(BadFrame::TooLong),
            Framing::Eof { .. } => break Ok(End::Complete),
        };
        match size {
            Err(bad) => break Err(bad),
            Ok(Some(size)) if size <= stream.len() as u64 => {
                sizes.push(size);
                stream = &stream[size as usize..];
            }
            Ok(_) => break Ok(End::Torn),
        }
    };
    (sizes, end)
}

/// The size that a message has by its length, if that is all there.
fn naive_length(field: &LengthField, stream: &[u8]) -> Result<Option<u64>, BadFrame> {
    let Some(bytes) = stream.get(field.offset as usize..) else { return Ok(None) };
    let Some((number, size)) = naive_number(field.number, bytes)? else { return Ok(None) };
    if number < 0 {
        return Err(BadFrame::Negative);
    }
    let own = if field.number == Number::Varint { size } else { 0 };
    let total = number + i128::from(field.body_offset) + own as i128;
    if total > i128::from(u64::MAX) {
        return Err(BadFrame::Overflow);
    }
    if total < i128::from(field.offset) + size as i128 {
        return Err(BadFrame::Runt);
    }
    if total > i128::from(field.max) { Err(BadFrame::TooLong) } else { Ok(Some(total as u64)) }
}

/// A number and its size.
fn naive_number(number: Number, bytes: &[u8]) -> Result<Option<(i128, usize)>, BadFrame> {
    match number {
        Number::Binary { bytes: size, is_signed, is_little } => {
            let size = usize::from(size);
            let Some(own) = bytes.get(..size) else { return Ok(None) };
            let mut own = own.to_vec();
            if is_little {
                own.reverse();
            }
            let value = own.iter().fold(0_i128, |value, &byte| value * 256 + i128::from(byte));
            let wraps = is_signed && own[0] >= 0x80;
            Ok(Some((if wraps { value - (1 << (8 * size)) } else { value }, size)))
        }
        Number::Ascii { digits } => {
            let own = &bytes[..bytes.len().min(usize::from(digits))];
            if !own.iter().all(u8::is_ascii_digit) {
                return Err(BadFrame::Digit);
            }
            let text = std::str::from_utf8(own).expect("digits are text");
            let is_whole = own.len() == usize::from(digits);
            Ok(is_whole.then(|| (text.parse().expect("digits are a number"), own.len())))
        }
        Number::Varint => {
            let last = bytes.iter().take(10).position(|&byte| byte < 0x80);
            let Some(last) = last else {
                return if bytes.len() < 10 { Ok(None) } else { Err(BadFrame::Varint) };
            };
            let own = &bytes[..=last];
            let add = |value: i128, &byte: &u8| value * 128 + i128::from(byte & 0x7f);
            let value = own.iter().rev().fold(0, add);
            if last > 0 && own[last] == 0 {
                return Err(BadFrame::Varint);
            }
            if value > i128::from(u64::MAX) {
                return Err(BadFrame::Overflow);
            }
            Ok(Some((value, own.len())))
        }
    }
}

/// Three bytes in front of the body of a message, and it is one.
fn check_longer(framing: &Framing, message: &[u8]) {
    let (mut head, start) = (message.to_vec(), body_start(framing));
    if lengthen(framing, &mut head, 3).is_err() {
        assert_eq!(head, message, "changed in part");
        return;
    }
    let longer = [&head[..start], b"abc", &head[start..]].concat();
    let is_whole = framing.is_message(&longer) || longer.len() as u64 > framing.max();
    let may_end_early = matches!(framing, Framing::Delimiter { .. });
    assert!(is_whole || may_end_early, "{framing:?}: {}", longer.escape_ascii());
}

/// A body becomes a message, or nothing; it becomes one if `takes` says so, and only then.
fn check_wrapped(framing: &Framing, body: &[u8]) {
    let mut out = Vec::new();
    if wrap(framing, body, &mut out).is_err() {
        assert!(out.is_empty(), "written in part");
        assert!(!framing.takes(body));
        return;
    }
    assert!(out.len() as u64 <= framing.max());
    let is_one = framing.is_message(&out);
    match framing {
        Framing::Delimiter { .. } => assert_eq!(framing.takes(body), is_one, "{framing:?}"),
        Framing::Eof { .. } if body.is_empty() => assert!(!is_one),
        _ => {
            assert!(is_one, "{framing:?}: {}", out.escape_ascii());
            assert!(framing.takes(body), "{framing:?} refuses {} bytes", body.len());
        }
    }
}
