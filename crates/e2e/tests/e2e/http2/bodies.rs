//! Bodies of requests that come piece by piece, and have to be sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairwater_e2e::{Endpoint, Setup};

use super::judged;

const SCRIPT: &str = r#"
judge = Judge(sys.argv[1])
judge.ask([(":method", "PUT")] + GET[1:], ends=False)
for number in range(int(sys.argv[2])):
    judge.data(f"{number:09};".encode() * int(sys.argv[3]))
    judge.settle()
judge.data(b"the end", ends=True)
judge.until(lambda name, _: name == ("end", 1))
print(judge.seen["status", 1])
"#;

/// What a second endpoint gets of so many pieces of so many words, and what the client is told,
/// when the first goes away with all of it.
fn second_gets(pieces: usize, words: usize) -> Option<(Option<String>, String)> {
    let is_first = Arc::new(AtomicBool::new(true));
    let endpoints = [(); 2].map(|()| {
        let is_first = Arc::clone(&is_first);
        Endpoint::new(move |caller| {
            if is_first.swap(false, Ordering::Relaxed) {
                caller.read_until(b"the end");
            } else if let Some(request) = caller.request() {
                caller.reply(request.method(), "good");
            }
        })
    });
    let proxy = Setup::http(&endpoints.each_ref()).listener("http2 = true").start();
    let counts = [&pieces.to_string()[..], &words.to_string()];
    let said = judged(SCRIPT, &proxy, &counts)?;
    let mut requests = endpoints.iter().flat_map(Endpoint::requests);
    Some((requests.next().map(|request| request.text()), said.trim().to_owned()))
}

#[test]
fn what_is_no_longer_than_a_buffer_is_sent_again_whole() {
    for (pieces, words) in [(1, 1), (3, 10), (100, 16)] {
        let Some((body, said)) = second_gets(pieces, words) else { return };
        let all: String = (0..pieces).map(|number| format!("{number:09};").repeat(words)).collect();
        assert!(body == Some(all + "the end") && said == "200", "{said} after {pieces} x {words}");
    }
}

#[test]
fn of_more_than_a_piece_nothing_is_sent_again() {
    for (pieces, words) in [(10, 1_000), (400, 25)] {
        let Some((body, said)) = second_gets(pieces, words) else { return };
        assert!(body.is_none() && said == "502", "{said} after {pieces} x {words}");
    }
}
