//! Bodies of requests that come piece by piece, and have to be sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairwater_e2e::{Endpoint, Setup};

use super::judged;

const SCRIPT: &str = r#"
judge = Judge(sys.argv[1])
judge.settle()
judge.ask([(":method", "PUT")] + GET[1:], ends=False)
for number in range(int(sys.argv[2])):
    judge.h2.send_data(1, f"{number:09};".encode() * int(sys.argv[3]))
    if sys.argv[4] == "slowly":
        judge.settle()
judge.data(b"the end", ends=True)
judge.until(lambda name, _: name == ("end", 1))
print(judge.seen["status", 1])
"#;

/// What the last of three endpoints gets of so many pieces of so many words, and how the log has
/// it, when the others go away with all of it.
fn last_gets(pieces: usize, words: usize, pace: &str) -> Option<(Option<String>, String)> {
    let failed = Arc::new(AtomicUsize::new(0));
    let endpoints = [(); 3].map(|()| {
        let failed = Arc::clone(&failed);
        Endpoint::new(move |caller| {
            if failed.fetch_add(1, Ordering::Relaxed) < 2 {
                caller.read_until(b"\r\n0\r\n\r\n");
            } else if let Some(request) = caller.request() {
                caller.reply(request.method(), "good");
            }
        })
    });
    let setup = Setup::http(&endpoints.each_ref()).listener("http2 = true");
    let proxy = setup.upstream("retries = 2").start();
    let said = judged(SCRIPT, &proxy, &[&pieces.to_string(), &words.to_string(), pace])?;
    let line = &proxy.until_log(1)[0];
    assert_eq!(said.trim(), line.get("status"));
    let mut requests = endpoints.iter().flat_map(Endpoint::requests);
    let body = requests.next().map(|request| request.text());
    Some((body, format!("{} after {}", line.get("status"), line.get("attempts"))))
}

/// Whether they come one by one or all at once.
fn check(all: &[(usize, usize)], status: &str) {
    for (pieces, words) in all.iter().copied() {
        for pace in ["slowly", "at once"] {
            let Some((body, said)) = last_gets(pieces, words, pace) else { return };
            let all = (0..pieces).map(|number| format!("{number:09};").repeat(words));
            let all = all.chain(["the end".to_owned()]).collect::<String>();
            assert_eq!(said, status, "{pieces} x {words} {pace}");
            assert!(body.is_none_or(|body| body == all), "{pieces} x {words} {pace}");
        }
    }
}

#[test]
fn what_is_no_longer_than_a_buffer_is_sent_again_whole() {
    check(&[(1, 1), (3, 10), (100, 16), (1, 1_637)], "200 after 3");
}

#[test]
fn of_more_than_a_buffer_nothing_is_sent_again() {
    // The first is three bytes too long, with its end.
    check(&[(1, 1_638), (2, 1_000), (4, 1_500), (400, 25)], "502 after 1");
}
