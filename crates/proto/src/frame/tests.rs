//! Messages of every form, whole and cut, and what is none.

use fairwater_message::frame::{Framing, LengthField, Number};

use super::*;

const U32: Number = Number::Binary { bytes: 4, is_signed: false, is_little: false };

fn length(number: Number, offset: u32, body_offset: u32, max: u64) -> Framing {
    Framing::Length(LengthField { number, offset, body_offset, max })
}

fn binary(bytes: u8, is_signed: bool, is_little: bool, body_offset: u32) -> Framing {
    length(Number::Binary { bytes, is_signed, is_little }, 0, body_offset, u64::MAX)
}

fn delimiter(bytes: &[u8], max: u64) -> Framing {
    Framing::Delimiter { bytes: bytes.into(), max }
}

/// The sizes of the messages of a stream, and what stands at its end.
fn sizes(framing: &Framing, pieces: &[&[u8]]) -> (Vec<u64>, Result<End, BadFrame>) {
    let mut sizes = Vec::new();
    let mut progress = Progress::default();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            match progress.look(framing, rest) {
                Err(bad) => return (sizes, Err(bad)),
                Ok(Look::More) => rest = &[],
                Ok(Look::Ends(end)) => {
                    assert_eq!(progress.total(), Some(progress.seen()));
                    assert_eq!(progress.at_end(framing), End::Complete);
                    sizes.push(progress.seen());
                    progress = Progress::default();
                    rest = &rest[end..];
                }
            }
        }
    }
    (sizes, Ok(progress.at_end(framing)))
}

/// Whole, in single bytes, and cut in two at each place.
fn check(framing: &Framing, stream: &[u8], messages: &[u64], end: Result<End, BadFrame>) {
    let expected = (messages.to_vec(), end);
    assert_eq!(sizes(framing, &[stream]), expected, "{framing:?}: {}", stream.escape_ascii());
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(sizes(framing, &bytes), expected, "{framing:?}: {}", stream.escape_ascii());
    for at in 0..stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(sizes(framing, &[left, right]), expected, "{framing:?} cut at {at}");
    }
}

#[test]
fn a_progress_is_small() {
    assert!(size_of::<Progress>() <= 32);
}

#[test]
fn a_length_says_where_a_message_ends() {
    let swoole = length(U32, 0, 4, 2 << 20);
    for (stream, messages, end) in [
        (&b""[..], &[][..], Ok(End::Between)),
        (b"\0\0\0\x02hi", &[6], Ok(End::Between)),
        (b"\0\0\0\0", &[4], Ok(End::Between)),
        (b"\0\0\0\x02hi\0\0\0\x01x\0\0\0\x08abcdefgh", &[6, 5, 12], Ok(End::Between)),
        (b"\0\0\0\x02hi\0\0\0\x01x\0\0\0", &[6, 5], Ok(End::Torn)),
        (b"\0\0\0\x09abcdefgh", &[], Ok(End::Torn)),
        (b"\0", &[], Ok(End::Torn)),
        // A good one in front of a bad one is one.
        (b"\0\0\0\x02hi\xff\xff\xff\xff", &[6], Err(BadFrame::TooLong)),
        (b"\0\0\0\x02hi\xff\xff\xff\xffabcdefgh", &[6], Err(BadFrame::TooLong)),
    ] {
        check(&swoole, stream, messages, end);
    }
    let header = length(U32, 4, 12, 64);
    check(&header, b"type\0\0\0\x02idididhi", &[14], Ok(End::Torn));
    check(&header, b"type\0\0\0\x02ididhi", &[14], Ok(End::Between));
    check(&length(U32, 0, 0, 64), b"\0\0\0\x06hi\0\0\0\x04", &[6, 4], Ok(End::Between));
}

#[test]
fn each_kind_of_number_is_read() {
    for (framing, head, len) in [
        (binary(1, false, false, 1), &b"\xff"[..], 255),
        (binary(1, true, false, 1), b"\x7f", 127),
        (binary(2, false, false, 2), b"\x01\x02", 0x102),
        (binary(2, false, true, 2), b"\x02\x01", 0x102),
        (binary(2, true, true, 2), b"\x02\x01", 0x102),
        (binary(3, false, false, 3), b"\0\x01\x02", 0x102),
        (binary(3, false, true, 3), b"\x02\x01\0", 0x102),
        (binary(3, true, true, 3), b"\x02\x01\0", 0x102),
        (binary(4, false, true, 4), b"\x02\x01\0\0", 0x102),
        (binary(4, true, false, 4), b"\0\0\x01\x02", 0x102),
        (binary(8, false, false, 8), b"\0\0\0\0\0\0\x01\x02", 0x102),
        (binary(8, true, true, 8), b"\x02\x01\0\0\0\0\0\0", 0x102),
        (length(Number::Varint, 0, 0, 999), b"\0", 0),
        (length(Number::Varint, 0, 0, 999), b"\x7f", 127),
        (length(Number::Varint, 0, 0, 999), b"\x82\x02", 0x102),
        (length(Number::Varint, 1, 1, 999), b"0\x82\x02", 0x102),
        (length(Number::Ascii { digits: 1 }, 0, 1, 999), b"7", 7),
        (length(Number::Ascii { digits: 4 }, 0, 4, 999), b"0258", 258),
        (length(Number::Ascii { digits: 10 }, 0, 10, 999), b"0000000258", 258),
    ] {
        let message = [head, &vec![b'.'; len]].concat();
        let size = message.len() as u64;
        check(&framing, &message, &[size], Ok(End::Between));
        check(&framing, &[&message[..], &message].concat(), &[size, size], Ok(End::Between));
    }
}

#[test]
fn lengths_that_cannot_be_are_found_out_with_their_last_byte() {
    let varint = || length(Number::Varint, 0, 0, u64::MAX);
    let digits = |digits| length(Number::Ascii { digits }, 0, digits.into(), 999);
    for (framing, head, bad) in [
        (binary(1, true, false, 1), &b"\x80"[..], BadFrame::Negative),
        (binary(2, true, true, 2), b"\0\x80", BadFrame::Negative),
        (binary(3, true, false, 3), b"\xff\xff\xff", BadFrame::Negative),
        (binary(4, true, false, 4), b"\xff\xff\xff\xff", BadFrame::Negative),
        (binary(8, true, true, 8), b"\0\0\0\0\0\0\0\x80", BadFrame::Negative),
        // The whole of a message is no longer than its number, or nothing.
        (binary(4, false, false, 0), b"\0\0\0\0", BadFrame::Runt),
        (binary(4, false, false, 0), b"\0\0\0\x03", BadFrame::Runt),
        (length(U32, 4, 4, 99), b"type\0\0\0\x03", BadFrame::Runt),
        (binary(8, false, false, 8), b"\xff\xff\xff\xff\xff\xff\xff\xff", BadFrame::Overflow),
        (varint(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BadFrame::Overflow),
        (varint(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", BadFrame::Overflow),
        (varint(), b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", BadFrame::Varint),
        (varint(), b"\x80\0", BadFrame::Varint),
        (varint(), b"\x85\x80\0", BadFrame::Varint),
        (varint(), b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", BadFrame::Varint),
        (digits(4), b"+", BadFrame::Digit),
        (digits(4), b"00 ", BadFrame::Digit),
        (digits(4), b"012\xb2", BadFrame::Digit),
        (digits(4), b"0996", BadFrame::TooLong),
        (digits(10), b"9999999999", BadFrame::TooLong),
        (length(U32, 0, 4, 99), b"\0\0\0\x60", BadFrame::TooLong),
        (length(U32, 0, 4, u64::from(u32::MAX)), b"\xff\xff\xff\xff", BadFrame::TooLong),
    ] {
        check(&framing, head, &[], Err(bad));
        check(&framing, &[head, &[0; 16]].concat(), &[], Err(bad));
        let before = &head[..head.len() - 1];
        let end = if before.is_empty() { End::Between } else { End::Torn };
        check(&framing, before, &[], Ok(end));
    }
    check(
        &length(U32, 0, 4, 99),
        &[&b"\0\0\0\x5f"[..], &[0; 95]].concat(),
        &[99],
        Ok(End::Between),
    );
}

#[test]
fn a_delimiter_ends_a_message_wherever_it_is_cut() {
    for (bytes, stream, messages, end) in [
        (&b"\n"[..], &b"\n\r\nabc\nd"[..], &[1, 2, 4][..], End::Torn),
        (b"\r\n", b"a\r\n\r\nb\r\r\nc\n\r\n", &[3, 2, 4, 4], End::Between),
        (b"\r\n\r\n", b"a\r\n\r\n\r\n\r\n\r\r\n\r\n", &[5, 4, 5], End::Between),
        (b"\r\n\r\n", b"a\r\n\r\r\n\r", &[], End::Torn),
        (b"aab", b"aaaab", &[5], End::Between),
        (b"aaa", b"aaaaaaa", &[3, 3], End::Torn),
        (b"abab", b"abaabab", &[7], End::Between),
        (b"ababc", b"abababcababababc", &[7, 9], End::Between),
        (b"aabaaa", b"aabaabaaabaaa", &[9], End::Torn),
        (&[7; 64], &[7; 130], &[64, 64], End::Torn),
    ] {
        check(&delimiter(bytes, 1000), stream, messages, Ok(end));
    }
}

#[test]
fn what_has_no_end_is_too_long_at_its_limit() {
    let line = Framing::line(4);
    check(&line, b"abc\nabc", &[4], Ok(End::Torn));
    check(&line, b"abc\nabcd", &[4], Err(BadFrame::TooLong));
    check(&line, b"abcd\n", &[], Err(BadFrame::TooLong));
    let long = delimiter(b"--", 4);
    check(&long, b"ab--abc", &[4], Ok(End::Torn));
    check(&long, b"abc--", &[], Err(BadFrame::TooLong));
    let whole = Framing::Eof { max: 4 };
    check(&whole, b"", &[], Ok(End::Between));
    check(&whole, b"abcd", &[], Ok(End::Complete));
    check(&whole, b"abcde", &[], Err(BadFrame::TooLong));
    check(&Framing::Fixed { size: 3 }, b"abcdefgh", &[3, 3], Ok(End::Torn));
}

#[test]
fn the_size_is_known_before_the_end() {
    let mut progress = Progress::default();
    let swoole = length(U32, 0, 4, 99);
    assert_eq!(progress.look(&swoole, b"\0\0\0"), Ok(Look::More));
    assert_eq!((progress.total(), progress.seen()), (None, 3));
    assert_eq!(progress.look(&swoole, b"\x05a"), Ok(Look::More));
    assert_eq!((progress.total(), progress.seen()), (Some(9), 5));
    assert_eq!(progress.look(&swoole, b""), Ok(Look::More));
    assert_eq!(progress.look(&swoole, b"bcde\0"), Ok(Look::Ends(4)));
    assert_eq!(progress.look(&swoole, b"\0"), Ok(Look::Ends(0)), "it takes in no more");
    let mut progress = Progress::default();
    assert_eq!(progress.look(&Framing::Fixed { size: 3 }, b"a"), Ok(Look::More));
    assert_eq!((progress.total(), progress.seen()), (Some(3), 1));
}

/// What a body becomes.
fn check_wrap(framing: &Framing, payload: &[u8], expected: Result<&[u8], TooLong>) {
    let mut out = b"before".to_vec();
    let result = wrap(framing, payload, &mut out);
    assert_eq!(result, expected.map(|_| ()), "{framing:?}");
    assert_eq!(&out[6..], expected.unwrap_or_default(), "{framing:?}");
    if result.is_ok() {
        assert!(framing.is_message(&out[6..]) || payload.is_empty());
    }
}

#[test]
fn bodies_are_wrapped() {
    let digits = Number::Ascii { digits: 2 };
    let little = Number::Binary { bytes: 2, is_signed: true, is_little: true };
    for (framing, payload, expected) in [
        (length(U32, 0, 4, 99), &b"hi"[..], Ok(&b"\0\0\0\x02hi"[..])),
        (length(U32, 0, 0, 99), b"hi", Ok(b"\0\0\0\x06hi")),
        (length(U32, 2, 8, 99), b"hi", Ok(b"\0\0\0\0\0\x02\0\0hi")),
        (length(U32, 2, 2, 99), b"hi", Ok(b"\0\0\0\0\0\x06hi")),
        (length(U32, 0, 4, 5), b"hi", Err(TooLong)),
        (length(little, 0, 2, 99), b"hi", Ok(b"\x02\0hi")),
        (length(little, 0, 2, 99_999), &[7; 32_768], Err(TooLong)),
        (length(digits, 1, 3, 999), b"hi", Ok(b"\x0002hi")),
        (length(digits, 0, 2, 999), &[7; 100], Err(TooLong)),
        (length(Number::Varint, 1, 1, 99), b"hi", Ok(b"\0\x02hi")),
        (length(Number::Varint, 1, 2, 99), b"hi", Ok(b"\0\x02\0hi")),
        (length(Number::Varint, 0, 0, 2), b"hi", Err(TooLong)),
        (Framing::line(4), b"hi", Ok(b"hi\n")),
        (Framing::line(4), b"hi\n", Ok(b"hi\n")),
        (Framing::line(4), b"", Ok(b"\n")),
        (Framing::line(4), b"high", Err(TooLong)),
        (delimiter(b"\r\n", 9), b"hi\n", Ok(b"hi\n\r\n")),
        (Framing::Fixed { size: 3 }, b"hi", Ok(b"hi\0")),
        (Framing::Fixed { size: 3 }, b"high", Err(TooLong)),
        (Framing::Eof { max: 2 }, b"hi", Ok(b"hi")),
        (Framing::Eof { max: 1 }, b"hi", Err(TooLong)),
    ] {
        check_wrap(&framing, payload, expected);
    }
    let mut out = Vec::new();
    wrap(&length(Number::Varint, 0, 0, 999), &[7; 300], &mut out).expect("it has room");
    assert_eq!((&out[..2], out.len()), (&b"\xac\x02"[..], 302));
}

#[test]
fn what_takes_a_body_makes_a_message_of_it() {
    let sizes = [0, 1, 2, 3, 9, 126, 127, 128, 129, 300, 16_383, 16_384];
    let body = [b'x'; 16_384];
    let numbers = [
        Number::Varint,
        Number::Ascii { digits: 2 },
        Number::Binary { bytes: 1, is_signed: true, is_little: false },
        U32,
    ];
    let mut framings: Vec<Framing> = Vec::new();
    for max in sizes.iter().flat_map(|size| (0..16).map(move |more| *size as u64 + more)) {
        for number in numbers {
            let end = 2 + number.size().unwrap_or(0);
            framings.extend([0, 2, end, end + 3].map(|body| length(number, 2, body, max)));
        }
        framings.extend([Framing::line(max), delimiter(b"ab", max)]);
        framings.extend([Framing::Fixed { size: max }, Framing::Eof { max }]);
    }
    for framing in framings {
        for body in sizes.map(|size| &body[..size]) {
            let made = wrap(&framing, body, &mut Vec::new()).is_ok();
            assert_eq!(framing.takes(body), made, "{framing:?}: {} bytes", body.len());
        }
    }
}

#[test]
fn two_messages_are_not_one() {
    assert!(Framing::line(9).is_message(b"a\n"));
    for bytes in [&b"a\nb\n"[..], b"a\nb", b"a", b"", b"abcdefghij"] {
        assert!(!Framing::line(9).is_message(bytes));
    }
    assert!(!Framing::Eof { max: 9 }.is_message(b""));
    assert!(Framing::line(9).are_messages(b"a\nb\n"));
    assert!(!Framing::line(9).are_messages(b"a\nb"));
}

/// The head of a message that five bytes are put into.
fn check_lengthen(framing: &Framing, head: &[u8], expected: Result<&[u8], TooLong>) {
    let mut changed = head.to_vec();
    let result = lengthen(framing, &mut changed, 5);
    assert_eq!(result, expected.map(|_| ()), "{framing:?}");
    assert_eq!(changed, expected.unwrap_or(head), "{framing:?}");
}

#[test]
fn messages_grow() {
    let i8 = Number::Binary { bytes: 1, is_signed: true, is_little: false };
    let digits = Number::Ascii { digits: 2 };
    for (framing, head, expected) in [
        (length(U32, 0, 4, 99), &b"\0\0\0\x02h"[..], Ok(&b"\0\0\0\x07h"[..])),
        (length(U32, 0, 4, 99), b"\0\0\0\x5a", Ok(b"\0\0\0\x5f")),
        (length(U32, 0, 4, 99), b"\0\0\0\x5b", Err(TooLong)),
        (length(U32, 0, 4, 99), b"\0\0\0", Err(TooLong)),
        (length(U32, 1, 0, 999), b"x\0\0\0\xfe", Ok(b"x\0\0\x01\x03")),
        (length(i8, 0, 1, 999), b"\x7a", Ok(b"\x7f")),
        (length(i8, 0, 1, 999), b"\x7b", Err(TooLong)),
        (length(i8, 0, 1, 999), b"\xff", Err(TooLong)),
        (length(digits, 0, 2, 999), b"05hello", Ok(b"10hello")),
        (length(digits, 0, 2, 999), b"95", Err(TooLong)),
        (length(Number::Varint, 0, 0, 999), b"\x05", Err(TooLong)),
        (Framing::line(9), b"hi\n", Ok(b"hi\n")),
        (Framing::Eof { max: 9 }, b"hi", Ok(b"hi")),
        (Framing::Fixed { size: 9 }, b"hi", Err(TooLong)),
    ] {
        check_lengthen(&framing, head, expected);
    }
    assert_eq!(body_start(&length(U32, 0, 4, 99)), 4);
    assert_eq!(body_start(&length(U32, 2, 0, 99)), 6);
    assert_eq!(body_start(&length(U32, 0, 28, 99)), 28);
    assert_eq!(body_start(&Framing::line(9)), 0);
}
