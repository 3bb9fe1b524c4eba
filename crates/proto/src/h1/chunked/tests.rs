//! Chunked bodies as data. Every input is decoded whole, byte by byte and cut at every place: the
//! outcome is the same each time.

use super::*;

/// Decodes pieces that end at `ends`; gives data, what is left over, and trailers.
fn decode(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let mut decoder = ChunkDecoder::of_request();
    let (mut data, mut start) = (Vec::new(), 0);
    for end in ends {
        let mut buffer = bytes[start..end].to_vec();
        let decoded = match decoder.decode(&mut buffer) {
            Ok(decoded) => decoded,
            Err(fault) => return format!("{} {}", fault.kind.status(), fault.detail),
        };
        assert!(decoded.consumed <= buffer.len() && decoded.data.end <= decoded.consumed);
        assert_eq!(&buffer[decoded.consumed..], &bytes[start + decoded.consumed..end]);
        assert_eq!(decoded.is_done, decoder.is_done());
        data.extend_from_slice(&buffer[decoded.data]);
        start += decoded.consumed;
        if decoded.is_done {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let rest = text(&bytes[start..]);
            return format!("{}|{rest}|{}", text(&data), text(decoder.trailers()));
        }
        assert_eq!(start, end, "all is taken while the body goes on");
    }
    "more".to_owned()
}

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let name = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(decode(bytes, [bytes.len()]), expected, "whole: {name:?}");
    assert_eq!(decode(bytes, 0..=bytes.len()), expected, "byte by byte: {name:?}");
    if bytes.len() <= 400 {
        for cut in 0..bytes.len() {
            assert_eq!(decode(bytes, [cut, bytes.len()]), expected, "cut at {cut}: {name:?}");
        }
    }
}

#[test]
fn bodies_are_decoded() {
    for (bytes, expected) in [
        (&b"5\r\nhello\r\n0\r\n\r\n"[..], "hello||"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world||"),
        (b"0\r\n\r\n", "||"),
        (b"0\r\n\r\nGET / HTTP/1.1\r\n", "|GET / HTTP/1.1\r\n|"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789||"),
        (b"a\r\n0123456789\r\n00\r\n\r\n", "0123456789||"),
        (b"0000000000000001\r\nx\r\n0\r\n\r\n", "x||"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n||"),
        (b"0\r\nX: y\r\n\r\n", "||X: y\r\n"),
        (b"0\r\nX: y\r\nZ:\r\n\r\nrest", "|rest|X: y\r\nZ:\r\n"),
        (b"5\r\nhel", "more"),
        (b"5", "more"),
        (b"0\r\n", "more"),
        (b"0\r\n\r", "more"),
        (b"", "more"),
    ] {
        check(bytes, expected);
    }
}

/// Table A16 and A17.
#[test]
fn sizes_have_one_spelling() {
    for size in [
        &b"0x5"[..],
        b"x5",
        b"+5",
        b"-0",
        b"-5",
        b"0_5",
        b" 5",
        b"\t5",
        b"5 ",
        b"5\t",
        b"5 ;a",
        b"5g",
        b"5,5",
        b"\"5\"",
        b"",
        b";a",
        b"\xef\xbc\x95",
        b"5\0",
        b"h",
    ] {
        check(&[size, b"\r\nhello\r\n0\r\n\r\n"].concat(), "400 bad_chunk_size");
    }
    for size in ["00000000000000005", "8000000000000000", "ffffffffffffffff", "10000000000000000"] {
        check(format!("{size}\r\nhello").as_bytes(), "400 chunk_size_too_large");
    }
    check(b"7fffffffffffffff\r\nhello", "more");
}

/// Table A18, A22.
#[test]
fn lines_end_with_cr_lf() {
    for (bytes, expected) in [
        (&b"5\nhello\r\n0\r\n\r\n"[..], "400 bad_chunk_size"),
        (b"5\r\rhello\r\n0\r\n\r\n", "400 chunk_line_end"),
        (b"5\rhello\r\n0\r\n\r\n", "400 chunk_line_end"),
        (b"5\r\nhello\n0\r\n\r\n", "400 chunk_longer_than_its_size"),
        (b"5\r\nhello\r0\r\n\r\n", "400 chunk_line_end"),
        (b"5\r\nhello0\r\n\r\n", "400 chunk_longer_than_its_size"),
        (b"5\r\nhello!\r\n0\r\n\r\n", "400 chunk_longer_than_its_size"),
        (b"5\r\nhell\r\n0\r\n\r\n", "400 chunk_longer_than_its_size"),
        (b"0\n\n", "400 bad_chunk_size"),
        (b"0\r\n\n", "400 bare_lf"),
        (b"0\r\n\r\r\n", "400 chunk_line_end"),
        (b"0\r\nX: y\n\r\n", "400 bare_lf"),
        (b"0\r\nX: y\r\n\n", "400 bare_lf"),
        (b"0\r\nX: y\rz\r\n\r\n", "400 chunk_line_end"),
    ] {
        check(bytes, expected);
    }
}

/// Table A19 to A21.
#[test]
fn extensions_are_checked_and_forgotten() {
    for extension in
        [&b";a"[..], b";a=b", b";a=\"b\"", b";a=\"\\\"\\\\ \t\xff\"", b";a;b=c;d", b";a=\"\";b"]
    {
        check(&[b"5", extension, b"\r\nhello\r\n0\r\n\r\n"].concat(), "hello||");
        check(&[b"0", extension, b"\r\n\r\n"].concat(), "||");
    }
    for extension in [
        &b";"[..],
        b";;a",
        b";a;",
        b";=b",
        b";a=",
        b";a=b=c",
        b"; a",
        b";a =b",
        b";a= b",
        b";a ",
        b";a=b ",
        b";a=\"b\"c",
        b";a=\"b",
        b";a=\"\\",
        b";a=\"\0\"",
        b";a=\"\\\x01\"",
        b";\0",
        b";a\0",
        b";a\n",
        b";a\nb",
        b";a=\"\n\"",
        b";a=\"\r\n\"",
        b";a(",
        b";\xff",
    ] {
        let bytes = [b"5", extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
        check(&bytes, "400 bad_chunk_extension");
    }
    check(b"5;a\rb\r\nhello\r\n0\r\n\r\n", "400 chunk_line_end");
}

#[test]
fn extensions_and_trailers_have_limits() {
    let name = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(len));
    check(name(EXTENSION_BYTES_MAX as usize - 1).as_bytes(), "x||");
    check(name(EXTENSION_BYTES_MAX as usize).as_bytes(), "400 chunk_extensions_too_long");
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(1023));
    let body = format!("{}0\r\n\r\n", chunk.repeat(16));
    check(body.as_bytes(), "xxxxxxxxxxxxxxxx||");
    check(chunk.repeat(17).as_bytes(), "400 chunk_extensions_too_long");

    let line = |len: usize| format!("0\r\nX:{}\r\n\r\n", "a".repeat(len));
    let fitting = TRAILER_BYTES_MAX - 4;
    check(line(fitting).as_bytes(), &format!("||X:{}\r\n", "a".repeat(fitting)));
    check(line(fitting + 1).as_bytes(), "400 trailers_too_long");
    check(&[&b"0\r\n"[..], &b"A: b\r\n".repeat(10_000)].concat(), "400 trailers_too_long");
    // The limit falls on the end of a line.
    check(&[&b"0\r\n"[..], &b"A: bb.\r\n".repeat(10_000)].concat(), "400 trailers_too_long");
}

#[test]
fn a_response_fault_is_the_endpoints() {
    let mut bytes = *b"x";
    let fault = ChunkDecoder::of_response().decode(&mut bytes).unwrap_err();
    assert_eq!(fault, Fault::because(FaultKind::BodyMalformed, "bad_chunk_size"));
}

#[test]
fn data_of_several_chunks_is_moved_together() {
    let mut decoder = ChunkDecoder::of_request();
    let mut buffer = *b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\nnext";
    let decoded = decoder.decode(&mut buffer).unwrap();
    assert_eq!(decoded, Decoded { data: 3..9, consumed: 21, is_done: true, is_moved: true });
    assert_eq!(&buffer[3..9], b"abcdef");
    assert_eq!(&buffer[21..], b"next");
    assert_eq!(decoder.decode(&mut buffer[21..]).unwrap().consumed, 0);
}

#[test]
fn data_of_one_chunk_stays() {
    let mut decoder = ChunkDecoder::of_request();
    let original = *b"3\r\nabc\r\n0\r\n\r\n";
    let mut buffer = original;
    let decoded = decoder.decode(&mut buffer).unwrap();
    assert_eq!(decoded, Decoded { data: 3..6, consumed: 13, is_done: true, is_moved: false });
    assert_eq!(buffer, original);
}

#[test]
fn chunk_heads_are_hexadecimal() {
    for (size, expected) in [
        (0, "0\r\n"),
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (65_536, "10000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(ChunkHead::new(size).as_bytes(), expected.as_bytes());
    }
}
