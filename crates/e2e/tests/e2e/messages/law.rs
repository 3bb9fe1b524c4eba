//! The law of messages under everything at once: no client gets a byte that was made for another
//! one's message, whatever endpoints and clients do. Each byte says whose it is.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairwater_e2e::chance::given_seed;
use fairwater_e2e::{Caller, Chance, Client, Endpoint, Over, Proxy, Socket};

use super::{ERRORS, TEXTS, framed, setup};

/// Longer than what is copied, what is stored, and what a socket takes at once.
const BODY_BYTES_MAX: usize = 200_000;

fn pass(chance: &mut Chance, most_us: usize) {
    std::thread::sleep(Duration::from_micros(chance.below(most_us) as u64));
}

/// Of a body: mostly short, and now and then long.
fn len(chance: &mut Chance) -> usize {
    let most = [200, 200, 200, 20_000, 70_000, BODY_BYTES_MAX][chance.below(6)];
    chance.below(most)
}

/// A body that says in each byte whose it is: `is_reply`, the client, and which of his messages.
fn body(tag: (bool, u32, u32), len: usize) -> Vec<u8> {
    let (is_reply, client, number) = tag;
    let mut body = vec![u8::from(is_reply)];
    body.extend(client.to_be_bytes());
    body.extend(number.to_be_bytes());
    body.resize(9 + len, filler(tag));
    body
}

fn filler((is_reply, client, number): (bool, u32, u32)) -> u8 {
    (client.wrapping_mul(37) ^ number.wrapping_mul(11)) as u8 ^ if is_reply { 0x80 } else { 0 }
}

/// Whether this is such a body, or the beginning of one.
fn is_of(tag: (bool, u32, u32), part: &[u8]) -> bool {
    let head = body(tag, 0);
    let seen = part.len().min(head.len());
    part[..seen] == head[..seen] && part[seen..].iter().all(|byte| *byte == filler(tag))
}

/// What has happened to all clients.
#[derive(Default)]
struct Tally {
    replies: AtomicUsize,
    texts: AtomicUsize,
    cut: AtomicUsize,
    /// What must not happen.
    breaches: Mutex<Vec<String>>,
}

impl Tally {
    fn breach(&self, what: String) {
        self.breaches.lock().unwrap().push(what);
    }
}

/// An endpoint that answers each message at most once and in order, and does everything else that
/// it may.
fn unruly(seed: u64, tally: &Arc<Tally>) -> impl Fn(&mut Caller) + Send + Sync + use<> {
    let tally = Arc::clone(tally);
    move |caller| {
        let mut chance = Chance::of(seed, [caller.number as u64, 1]);
        let mut glued = Vec::new();
        while let Some(tag) = hear(caller, &tally, !glued.is_empty()) {
            let Some(tag) = tag else {
                // Nothing more comes now: those that were held back go out.
                if !caller.send(std::mem::take(&mut glued)) {
                    return;
                }
                continue;
            };
            let reply = framed(body((true, tag.0, tag.1), len(&mut chance)));
            let some = chance.below(reply.len());
            match chance.below(40) {
                0 => return,
                1 => return caller.reset(),
                2 => {
                    caller.send([&glued[..], &reply[..some]].concat());
                    return;
                }
                3 => {
                    caller.send([glued, reply].concat());
                    return;
                }
                // Longer than anybody waits.
                4 => std::thread::sleep(Duration::from_millis(300)),
                5..12 => pass(&mut chance, 4000),
                12..18 if glued.len() < 100_000 => {
                    glued.extend(reply);
                    continue;
                }
                18..24 => {
                    caller.send([&glued[..], &reply[..some]].concat());
                    pass(&mut chance, 2000);
                    glued.clear();
                    if !caller.send(&reply[some..]) {
                        return;
                    }
                    continue;
                }
                _ => {}
            }
            glued.extend(reply);
            if !caller.send(std::mem::take(&mut glued)) {
                return;
            }
        }
    }
}

/// The next message at an endpoint. `Some(None)` if there is none soon, and that was asked for.
fn hear(caller: &mut Caller, tally: &Tally, is_soon: bool) -> Option<Option<(u32, u32)>> {
    let mut length = [0; 4];
    let wait = if is_soon { Duration::from_millis(2) } else { Duration::from_secs(60) };
    caller.socket.patience(wait).ok()?;
    let first = caller.socket.read(&mut length[..1]);
    caller.socket.patience(Duration::from_secs(60)).ok()?;
    match first {
        Ok(1) => {}
        Err(error) if is_soon && error.kind() == std::io::ErrorKind::WouldBlock => {
            return Some(None);
        }
        _ => return None,
    }
    caller.socket.read_exact(&mut length[1..]).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    caller.socket.read_exact(&mut body).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let (Some(client), Some(number)) = (number(1), number(5)) else {
        tally.breach(format!("an endpoint has got {} bytes", body.len()));
        return None;
    };
    if !is_of((false, client, number), &body) {
        tally.breach(format!("the message {number} of {client} is not all of it his"));
    }
    Some(Some((client, number)))
}

/// One connection of a client: sends some messages, however it likes, and looks at what it gets.
fn visit(address: &str, client: u32, chance: &mut Chance, tally: &Tally) {
    let Ok(socket) = Socket::connect(address) else { return };
    let Ok(mut writing) = socket.try_clone() else { return };
    let count = 1 + chance.below(12) as u32;
    let manner = chance.below(8);
    let mut sending = chance.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..count {
                let message = framed(body((false, client, number), len(&mut sending)));
                let (first, rest) = message.split_at(sending.below(message.len()));
                writing.write_all(first).ok();
                if sending.below(4) == 0 {
                    pass(&mut sending, 3000);
                }
                if number + 1 == count && manner < 2 {
                    // In the middle of a message.
                    if manner == 0 {
                        writing.reset_on_close();
                    }
                    return writing.shut_down(Shutdown::Read);
                }
                writing.write_all(rest).ok();
            }
            match manner {
                2 => writing.shut_down(Shutdown::Write),
                3 => {
                    pass(&mut sending, 20_000);
                    writing.shut_down(Shutdown::Both);
                }
                _ => {}
            }
        });
        let mut reading = Client::of(socket);
        for number in 0..count {
            if !look(&mut reading, (client, number), tally) {
                tally.cut.fetch_add(1, Ordering::Relaxed);
                reading.socket.shut_down(Shutdown::Both);
                return;
            }
        }
    });
}

/// Looks at the next reply. Gives whether there was all of it.
fn look(client: &mut Client, message: (u32, u32), tally: &Tally) -> bool {
    let mut length = [0; 4];
    if client.socket.read_exact(&mut length).is_err() {
        return false;
    }
    let mut reply = vec![0; u32::from_be_bytes(length) as usize];
    let mut come = 0;
    while come < reply.len() {
        match client.socket.read(&mut reply[come..]) {
            Ok(len) if len > 0 => come += len,
            _ => break,
        }
    }
    let part = &reply[..come];
    let is_text =
        TEXTS.iter().any(|text| reply.len() == text.len() && text.as_bytes().starts_with(part));
    if !is_text && !is_of((true, message.0, message.1), part) {
        let got = part[..part.len().min(12)].escape_ascii();
        tally.breach(format!("in place of the reply to {message:?}: {got}, {} bytes", reply.len()));
    }
    if come < reply.len() {
        return false;
    }
    let count = if is_text { &tally.texts } else { &tally.replies };
    count.fetch_add(1, Ordering::Relaxed);
    true
}

/// Lets clients and endpoints do as they like for a while.
fn run(seed: u64, pipeline: u32, in_flight: u32, time: Duration) {
    // Shown if it fails.
    eprintln!("seed {seed}, pipeline {pipeline}, max_inflight {in_flight}");
    let mut chance = Chance::of(seed, [0, 0]);
    let tally = Arc::new(Tally::default());
    let mut endpoints: Vec<_> =
        (0..3).map(|n| Some(Endpoint::new(unruly(seed ^ n, &tally)))).collect();
    let addresses: Vec<_> = endpoints.iter().flatten().map(|one| one.address.clone()).collect();
    let all: Vec<_> = endpoints.iter().flatten().collect();
    let close = ["finish", "abort"][chance.below(2)];
    let mut proxy = setup(&all)
        .threads(2)
        .listener(ERRORS)
        .listener(&format!("pipeline = {pipeline}\nmax_inflight = {in_flight}"))
        .listener(&format!("on_client_close = {close:?}\nframe_timeout = \"1s\""))
        .upstream("max_connections = 6\nresponse_timeout = \"200ms\"\nqueue_timeout = \"2s\"")
        .upstream(&format!("outlier = false\nretry_unsafe = {}", chance.below(2) == 0))
        .start();
    let (is_over, address) = (AtomicBool::new(false), proxy.address.clone());
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for client in 0..12 {
            let (is_over, address, tally) = (&is_over, &address, &tally);
            let mut chance = Chance::of(seed, [u64::from(client), 2]);
            scope.spawn(move || {
                // Each visit is a client of its own.
                let mut number = client;
                while !is_over.load(Ordering::Relaxed) {
                    visit(address, number, &mut chance, tally);
                    number += 12;
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < time {
            let at = chance.below(3);
            pass(&mut chance, 300_000);
            endpoints[at] = None;
            pass(&mut chance, 100_000);
            let script = unruly(seed ^ chance.below(1 << 31) as u64, &tally);
            endpoints[at] = Some(Endpoint::at(&addresses[at], script));
        }
    });
    judge(&mut proxy, &tally);
}

fn judge(proxy: &mut Proxy, tally: &Tally) {
    let breaches = tally.breaches.lock().unwrap();
    assert!(breaches.is_empty(), "{} times: {:?}", breaches.len(), &breaches[..1]);
    let counts = [&tally.replies, &tally.texts, &tally.cut].map(|one| one.load(Ordering::Relaxed));
    eprintln!("{} replies, {} texts, {} connections cut", counts[0], counts[1], counts[2]);
    assert!(counts[0] > 100 && counts[1] > 0 && counts[2] > 0, "{counts:?}");
    // Nobody is forgotten, and no reply was taken for none.
    proxy.until_metric("fairwater_endpoint_in_flight", &[], 0);
    proxy.until_metric("fairwater_upstream_waiting", &[], 0);
    assert_eq!(proxy.metric("fairwater_endpoint_unsolicited_total", &[]), 0);
    proxy.assert_sound();
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    given_seed().unwrap_or(u64::from(now.subsec_nanos()))
}

#[test]
fn nobody_gets_what_is_anothers() {
    for (pipeline, in_flight) in [(1, 1), (1, 4), (8, 1), (8, 4)] {
        run(seed(), pipeline, in_flight, Duration::from_millis(1500));
    }
}

#[test]
#[ignore = "slow: a minute of messages, endpoints and clients that fail"]
fn nobody_gets_what_is_anothers_for_a_minute() {
    for n in 0..5 {
        for (pipeline, in_flight) in [(1, 1), (1, 4), (8, 1), (8, 4)] {
            run(seed() + n, pipeline, in_flight, Duration::from_secs(3));
        }
    }
}
