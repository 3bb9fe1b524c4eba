//! Floods, and much work that is none.

use super::*;

use super::head::{END_HEADERS, END_STREAM};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    on(1, kind, flags, payload)
}

fn on(stream: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A client that has said how it begins.
fn begun() -> Frames {
    let mut frames = Frames::of_client();
    frames.take(&[PREFACE, &frame(4, 0, b"")].concat(), 0).unwrap();
    frames.counts = [0; _];
    frames
}

/// How many of these a client may send.
fn taken(frames: &mut Frames, frame: &[u8]) -> (usize, Option<Offence>) {
    for count in 0..100_000 {
        if let Err((good, offence)) = frames.take(frame, 1) {
            assert_eq!(good, 0);
            return (count, Some(offence));
        }
    }
    (100_000, None)
}

fn flood(flood: Flood) -> Option<Offence> {
    Some(Offence::Flood(flood))
}

#[test]
fn each_flood_has_its_end() {
    let others = [(2, 5), (5, 5), (7, 8), (77, 0)]
        .map(|(kind, len)| (frame(kind, 0, &vec![0; len]), 1000, Flood::Others));
    let known = [
        (frame(0, 0, b""), 1000, Flood::EmptyData),
        (frame(3, 0, &[0; 4]), 200, Flood::Resets),
        (frame(4, 0, b""), 100, Flood::Settings),
        (frame(6, 0, &[0; 8]), 1000, Flood::Pings),
        (frame(8, 0, &[0, 0, 0, 1]), 1000, Flood::WindowUpdates),
    ];
    for (bytes, count, of) in known.into_iter().chain(others) {
        assert_eq!(taken(&mut begun(), &bytes), (count, flood(of)));
    }
    // However they are cut, also within the preface.
    let mut frames = Frames::of_client();
    let mut all = PREFACE.to_vec();
    (0..101).for_each(|_| all.extend(frame(4, 0, &[0; 6])));
    let mut parts = all.chunks(7);
    let found = parts.find_map(|part| frames.take(part, 0).err());
    assert_eq!(found.map(|(_, offence)| offence), flood(Flood::Settings));
    assert!(parts.len() <= 1);
}

#[test]
fn much_work_is_none() {
    let mut frames = begun();
    let whole = frame(1, END_HEADERS | END_STREAM, b"head");
    assert_eq!(taken(&mut frames, &whole), (100_000, None));
    let reset = frame(3, 0, &[0; 4]);
    assert_eq!(taken(&mut frames, &reset), (50_000, flood(Flood::Resets)));
    assert_eq!(taken(&mut begun(), &frame(0, 0, b"data")), (100_000, None));
    let mut frames = begun();
    frames.sent(&vec![0; 50 << 20]).unwrap();
    let update = frame(8, 0, &[0, 0, 64, 0]);
    assert_eq!(taken(&mut frames, &update), (100_000, None));
    // What was long ago is forgotten.
    let mut frames = begun();
    for span in 0..50 {
        for _ in 0..100 {
            frames.take(&frame(4, 0, b""), span * SPAN_MS).unwrap();
        }
    }
}

#[test]
fn heads_have_few_pieces_and_an_end() {
    let mut frames = begun();
    frames.take(&frame(1, 0, b"head"), 0).unwrap();
    assert!(frames.is_within_head());
    assert_eq!(taken(&mut frames, &frame(9, 0, b"")), (8, flood(Flood::Continuations)));
    let mut frames = begun();
    for span in 0..9 {
        frames.take(&frame(1, 0, b"head"), span * SPAN_MS).unwrap();
        for _ in 0..7 {
            frames.take(&frame(9, 0, b"more"), span * SPAN_MS).unwrap();
        }
        assert!(frames.is_within_head());
        frames.take(&frame(9, END_HEADERS, b"end"), span * SPAN_MS + 1).unwrap();
        assert!(!frames.is_within_head());
    }
}

/// Slow ones are those whose frames come slowly as well.
#[test]
fn a_head_ends_with_its_last_byte() {
    let mut frames = begun();
    let head = frame(1, END_HEADERS | END_STREAM, b"head");
    for head in [head, frame(1, END_HEADERS | head::HAS_PRIORITY, &[0, 0, 0, 3, 1])] {
        for (at, byte) in head.iter().enumerate() {
            assert_eq!(frames.is_within_head(), at >= 9, "{at}");
            frames.take(&[*byte], 0).unwrap();
        }
        assert!(!frames.is_within_head());
    }
    frames.take(&frame(0, 0, b"data")[..10], 0).unwrap();
    assert!(!frames.is_within_head());
}

#[test]
fn frames_have_the_size_of_their_kind() {
    for (kind, flags, bad, good) in [
        (0, head::PADDED, &[0][..], &[1, 9][..]),
        (1, END_HEADERS, &[], &[0, 9]),
        (1, END_HEADERS | head::PADDED, &[0], &[1, 9]),
        (1, END_HEADERS | head::HAS_PRIORITY, &[4], &[5, 9]),
        (1, END_HEADERS | head::PADDED | head::HAS_PRIORITY, &[5], &[6]),
        (2, 0, &[0, 4, 6], &[5]),
        (3, 0, &[0, 3, 5], &[4]),
        (4, 0, &[1, 5, 7], &[0, 6, 12]),
        (4, head::ACK, &[1, 6], &[0]),
        (5, 0, &[3], &[4]),
        (6, 0, &[0, 7, 9], &[8]),
        (7, 0, &[7], &[8, 9]),
        (8, 0, &[0, 3, 5], &[4]),
        (99, 0, &[], &[0, 1]),
    ] {
        let take = |len: usize| {
            let mut frames = begun();
            let before = frame(6, 0, &[0; 8]);
            frames.take(&[before, frame(kind, flags, &vec![0; len])].concat(), 0)
        };
        for &len in bad {
            assert_eq!(take(len), Err((17, Offence::FrameSize)), "{kind} {len}");
        }
        for &len in good {
            assert_eq!(take(len), Ok(()), "{kind} {len}");
        }
    }
}

/// However they are cut.
#[test]
fn no_stream_depends_on_itself() {
    for (flags, payload, is_bad) in [
        (head::HAS_PRIORITY, &[0, 0, 0, 1, 9][..], true),
        (head::HAS_PRIORITY, &[0x80, 0, 0, 1, 9, 1, 2], true),
        (head::HAS_PRIORITY, &[0, 0, 0, 3, 9, 1], false),
        (head::HAS_PRIORITY | head::PADDED, &[0, 0, 0, 0, 1, 9, 1], true),
        (head::HAS_PRIORITY | head::PADDED, &[1, 0, 0, 0, 3, 9, 1], false),
        (0, &[0, 0, 0, 1, 9], false),
    ] {
        for step in [1, 4, 100] {
            let mut frames = begun();
            let bytes = frame(1, END_HEADERS | flags, payload);
            let mut parts = bytes.chunks(step);
            let found = parts.find_map(|part| frames.take(part, 0).err());
            assert_eq!(found.is_some(), is_bad, "{flags} {payload:?} {step}");
            assert!(frames.take(&frame(6, 0, &[0; 8]), 0).is_ok() || is_bad);
        }
    }
}

#[test]
fn settings_come_first() {
    for (mut frames, preface) in [(Frames::of_client(), PREFACE), (Frames::of_endpoint(), &b""[..])]
    {
        let bytes = [preface, &frame(6, 0, &[0; 8])].concat();
        assert_eq!(frames.take(&bytes, 0), Err((preface.len(), Offence::NoSettings)));
    }
    let mut frames = Frames::of_endpoint();
    assert_eq!(frames.take(&frame(4, head::ACK, b""), 0), Err((0, Offence::NoSettings)));
}

fn reset(stream: u8, code: u8) -> Vec<u8> {
    on(stream, 3, 0, &[0, 0, 0, code])
}

/// However they are cut.
#[test]
fn requests_that_nobody_saw_are_known() {
    let heads = [1, 3, 5, 7, 9].map(|stream| on(stream, 1, END_HEADERS, b"head"));
    let replies = [
        on(1, 1, END_HEADERS, b"head"),
        on(1, 0, END_STREAM, &[0; 20]),
        reset(3, 1),
        on(5, 1, END_HEADERS | END_STREAM, b"431"),
        reset(5, 1),
        reset(7, 7),
        on(0, 6, 1, &[0; 8]),
    ];
    for step in [1, 2, 5, 1000] {
        let mut frames = begun();
        frames.take(&heads.concat(), 0).unwrap();
        assert!(frames.take_stream(1));
        for part in replies.concat().chunks(step) {
            frames.sent(part).unwrap();
        }
        // It was in the queue of those that are given away when it was reset.
        assert!(!frames.take_stream(3));
        let mut refused: Vec<_> = std::iter::from_fn(|| frames.next_refused()).collect();
        refused.reverse();
        assert_eq!(refused, [Refusal::Reset, Refusal::Answered, Refusal::Busy], "{step}");
        assert_eq!(frames.begun, [9]);
        assert_eq!(frames.data_bytes(), 20);
        // Trailers are no request.
        frames.take(&heads[0], 0).unwrap();
        assert_eq!(frames.begun, [9]);
    }
    let mut frames = begun();
    for stream in 0..2000_u32 {
        let mut head = heads[0].clone();
        head[5..9].copy_from_slice(&(2 * stream + 1).to_be_bytes());
        frames.take(&head, 0).unwrap();
    }
    assert_eq!(frames.begun.len(), BEGUN_MAX);
}

/// A client that makes us reset streams does what one does that resets them.
#[test]
fn resets_of_both_sides_count() {
    let cut_off = |mut frames: Frames, code: u8| {
        let resets = (0..100_000).take_while(|_| frames.sent(&reset(1, code)).is_ok());
        (resets.count(), frames.is_worn())
    };
    for code in [1, 3, 6] {
        assert_eq!(cut_off(begun(), code), (200, false));
    }
    for (code, is_worn) in [(0, false), (2, false), (5, true), (7, true), (8, false)] {
        assert_eq!(cut_off(begun(), code), (100_000, is_worn), "{code}");
    }
    let mut frames = begun();
    for _ in 0..150 {
        frames.take(&reset(1, 8), 0).unwrap();
    }
    assert_eq!(cut_off(frames, 1), (50, false));
    let mut frames = begun();
    assert_eq!(taken(&mut frames, &frame(1, END_HEADERS, b"head")), (100_000, None));
    // The first of them is that of a request, which is none then.
    assert_eq!(cut_off(frames, 1), (49_999, true));
    assert_eq!(cut_off(Frames::of_endpoint(), 1), (100_000, false));
}

/// What the library counts for as long as a connection lives.
#[test]
fn a_connection_wears_out_before_the_library_ends_it() {
    let mut frames = begun();
    for span in 0..10 {
        assert!(!frames.is_worn(), "{span}");
        for _ in 0..80 {
            frames.sent(&reset(1, 1)).unwrap();
        }
        frames.take(&frame(4, 1, b""), (span + 1) * SPAN_MS).unwrap();
    }
    assert!(frames.is_worn());
    let mut frames = begun();
    for _ in 0..EMPTY_MAX {
        assert!(!frames.is_worn());
        frames.take(&frame(0, 0, b""), 0).unwrap();
    }
    assert!(frames.is_worn());
}
