//! Much work in few bytes (B20 to B28): each kind has its end, and others are served meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairwater_e2e::{Client, Endpoint, until};

use super::{judge, setup};

/// What `floods.py` sends, and the codes that it may end with; none: it is no more work than bytes.
const FLOODS: [(&str, &[u32]); 32] = [
    ("rapid reset", CALM),
    ("rapid reset of uploads", CALM),
    ("made you reset by nothing for a window", CALM),
    ("made you reset by too much for a window", CALM),
    ("made you reset by a short priority", SIZE),
    ("made you reset by a stream that depends on itself", CALM),
    ("made you reset by data behind the end", CALM),
    ("made you reset by a head behind the end", CALM),
    ("made you reset by trailers that do not end", CALM),
    ("made you reset by a wrong length", CALM),
    ("malformed heads", CALM),
    ("empty heads", CALM),
    ("streams too many", CALM),
    ("continuations of 16 KiB", CALM),
    ("continuations of many fields", CALM),
    ("continuations of a byte", CALM),
    ("continuations of nothing", CALM),
    ("HPACK bomb", CALM),
    ("changes of the table", PACKED),
    ("settings", CALM),
    ("settings of 16 KiB", CALM),
    ("acknowledgements", BROKEN),
    ("pings", CALM),
    ("answers to no ping", CALM),
    ("priorities", CALM),
    ("unknown frames", CALM),
    ("windows of a byte", CALM),
    ("empty data", CALM),
    ("padding", CALM),
    ("data of a byte", &[]),
    ("data behind a reset", &[0, 3, 11]),
    ("promises", BROKEN),
];

const BROKEN: &[u32] = &[1];
/// A size may change twice before the first field (RFC 7541, section 4.2).
const PACKED: &[u32] = &[9];
const SIZE: &[u32] = &[6];
const CALM: &[u32] = &[11];

/// An endpoint that never answers to `/wait`, and how many wait at a time at most.
fn waiting() -> (Endpoint, Arc<AtomicUsize>) {
    let (open, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let of_script = Arc::clone(&most);
    let endpoint = Endpoint::new(move |caller| {
        let head = caller.read_until(b"\r\n\r\n");
        if !head.windows(6).any(|part| part == b" /wait") {
            caller.reply("GET", "here");
            return;
        }
        of_script.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        caller.until_closed();
        open.fetch_sub(1, Ordering::SeqCst);
    });
    (endpoint, most)
}

#[test]
fn floods_end_and_others_are_served() {
    let (endpoint, most) = waiting();
    let mut proxy = setup(&endpoint).upstream("keep_alive = false").start();
    let before = proxy.resident();
    let Some(mut script) = judge(include_str!("floods.py"), &proxy.address, &[]) else { return };
    let said = std::thread::scope(|scope| {
        let floods = scope.spawn(|| script.output().unwrap());
        while !floods.is_finished() {
            assert_eq!(Client::new(&proxy).get("/").text(), "here");
        }
        floods.join().unwrap()
    });
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let found: HashMap<&str, Vec<&str>> = said
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .map(|(name, found)| (name, found.split(' ').collect()))
        .collect();
    assert_eq!(found.len(), FLOODS.len(), "{said}");
    let mut cut = 0;
    for (name, codes) in FLOODS {
        let code = found[name][1];
        // A client that still sends may lose the last word to the reset behind it.
        let is_wanted = code.parse().map_or(true, |code| codes.contains(&code));
        assert!(is_wanted, "{name}: {code} in {said}");
        // What may end well may be no fault.
        cut += u64::from(!codes.is_empty() && !codes.contains(&0));
        // So many the library takes before it stops.
        assert!(found[name][2].parse::<u32>().unwrap() <= 1024, "{said}");
    }
    let faults = |reason| proxy.metric("fairwater_faults_total", &[reason]);
    until("all to be counted", || faults("http2_flood") + faults("http2_error") >= cut);
    // Nobody works for streams that are gone.
    assert!(most.load(Ordering::SeqCst) <= 128, "{most:?} requests at a time");
    proxy.until_metric("fairwater_connections_active", &[], 0);
    until("all to be closed", || endpoint.closed() == endpoint.accepted());
    let risen = proxy.resident().saturating_sub(before);
    assert!(risen < 16 << 20, "the memory rose by {risen} bytes");
    proxy.assert_sound();
}
