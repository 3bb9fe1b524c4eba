//! Any bytes as frames of a peer, of a client and of an endpoint: no panic; bytes one by one give
//! what they give at once; what is to be said stays small, and a head is one head.

use fairwater_proto::http2::{Bounds, Connection, PREFACE, Refusal, Requested, Role, Scratch};

const STREAMS_MAX: u32 = 8;
const BOUNDS: Bounds = Bounds {
    head_bytes: 4096,
    head_fields: 32,
    streams: STREAMS_MAX,
    stream_window: 20_000,
    connection_window: 100_000,
    unsent_bytes: 64 * 1024,
    phrase: |_| "",
};
/// `GET /` of `a`, compressed.
const BLOCK: &[u8] = b"\x82\x86\x84\x01\x01a";
/// Streams of our own, where the peer is an endpoint.
const OWN: [u32; 2] = [1, 3];

/// What has come of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    out: Vec<u8>,
    /// Requests, replies, bodies and trailers.
    texts: Vec<Vec<u8>>,
    refusals: Vec<Refusal>,
    end: Option<u32>,
}

/// The first byte says in which pieces the others come.
pub(crate) fn check(data: &[u8]) {
    let Some((&step, frames)) = data.split_first() else { return };
    for role in [Role::Server, Role::Client] {
        let bytes = match role {
            Role::Server => [PREFACE, frames].concat(),
            Role::Client => frames.to_vec(),
        };
        let whole = run(role, &bytes, bytes.len().max(1));
        let pieces = run(role, &bytes, usize::from(step) + 1);
        assert_eq!(whole, pieces, "{role:?}");
        assert!(whole.out.len() <= 512 + 2 * bytes.len(), "{} to {}", bytes.len(), whole.out.len());
    }
}

fn run(role: Role, bytes: &[u8], step: usize) -> Outcome {
    let (mut engine, mut scratch) = (Connection::<()>::new(role, BOUNDS), Scratch::default());
    if role == Role::Client {
        for id in OWN {
            let is_last = id == OWN[0];
            let append = |out: &mut Vec<u8>| out.extend_from_slice(BLOCK);
            assert_eq!(engine.send_request(Requested::default(), is_last, append), Some(id));
        }
    }
    bytes.chunks(step).for_each(|piece| engine.receive(piece, 1, &mut scratch));
    let mut outcome = Outcome { out: engine.out().to_vec(), ..Outcome::default() };
    outcome.end = engine.end().map(|(code, _)| code.0);
    let mut streams = OWN.to_vec();
    while let Some(opened) = engine.next_opened() {
        match opened {
            Ok(opened) => {
                let is_whole = opened.problem.is_none() && opened.tunnel.is_none();
                if is_whole {
                    check_head(&opened.text);
                }
                streams.push(opened.stream);
                outcome.texts.push(opened.text);
            }
            Err(refusal) => outcome.refusals.push(refusal),
        }
    }
    assert!(engine.streams_open() <= 2 * STREAMS_MAX as usize, "{} streams", engine.streams_open());
    for id in streams {
        while let Some(head) = engine.next_head(id) {
            if !head.text.is_empty() {
                check_head(&head.text);
            }
            outcome.texts.push(head.text);
        }
        let (data, _) = engine.read_all(id);
        assert!(data.len() <= BOUNDS.stream_window as usize, "more than the window");
        engine.give_back(id, data.len());
        outcome.texts.push(data);
        outcome.texts.push(engine.trailers(id).lines);
        engine.release(id);
    }
    outcome
}

/// One head, which ends where its text does.
fn check_head(text: &[u8]) {
    let ends = text.windows(4).filter(|bytes| *bytes == b"\r\n\r\n").count();
    assert!(ends == 1 && text.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(text));
}
