//! Floods, and much work that is none.

use super::*;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

fn begun() -> Frames {
    let mut frames = Frames::of_client();
    frames.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0).unwrap();
    frames
}

/// How many of these a client may send.
fn taken(frames: &mut Frames, frame: &[u8]) -> (usize, Option<Flood>) {
    for count in 0..100_000 {
        if let Err(flood) = frames.take(frame, 1) {
            return (count, Some(flood));
        }
    }
    (100_000, None)
}

#[test]
fn each_flood_has_its_end() {
    let others = [2, 5, 7, 77].map(|kind| (frame(kind, 0, &[0; 5]), 1000, Flood::Others));
    let known = [
        (frame(0, 0, b""), 1000, Flood::EmptyData),
        (frame(3, 0, &[0; 4]), 200, Flood::Resets),
        (frame(4, 0, b""), 100, Flood::Settings),
        (frame(6, 0, &[0; 8]), 1000, Flood::Pings),
        (frame(8, 0, &[0, 0, 0, 1]), 1000, Flood::WindowUpdates),
    ];
    for (bytes, count, flood) in known.into_iter().chain(others) {
        assert_eq!(taken(&mut begun(), &bytes), (count, Some(flood)));
    }
    // However they are cut, also within the preface.
    let mut frames = Frames::of_client();
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    (0..101).for_each(|_| all.extend(frame(4, 0, &[0; 6])));
    let mut parts = all.chunks(7);
    assert_eq!(parts.find_map(|part| frames.take(part, 0).err()), Some(Flood::Settings));
    assert!(parts.len() <= 1);
}

#[test]
fn much_work_is_none() {
    let mut frames = begun();
    let whole = frame(1, END_HEADERS | END_STREAM, b"head");
    assert_eq!(taken(&mut frames, &whole), (100_000, None));
    let reset = frame(3, 0, &[0; 4]);
    assert_eq!(taken(&mut frames, &reset), (50_000, Some(Flood::Resets)));
    assert_eq!(taken(&mut begun(), &frame(0, 0, b"data")), (100_000, None));
    let mut frames = begun();
    frames.sent(50 << 20);
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
    assert_eq!(taken(&mut frames, &frame(9, 0, b"")), (8, Some(Flood::Continuations)));
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
