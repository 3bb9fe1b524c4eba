//! Clients that hold on to what they have, and clients that are too many: what the others wait.
//! How long that is says something of an optimised program on a quiet machine, which is named by
//! `FAIRWATER_BIN`, as `cargo xtask test --slow` does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fairwater_e2e::Proxy;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::*;

const HEADS: usize = 5_000;
const READERS: usize = 500;
/// Others wait at most so many times as long as without them, or less than what is good anyway.
const WAITS_MAX: f64 = 1.5;
const GOOD: Duration = Duration::from_millis(5);
/// What is measured without and with them.
const MEASURED: usize = 4_000;

fn is_measured() -> bool {
    std::env::var_os("FAIRWATER_BIN").is_some()
}

fn many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn asked(proxy: &Proxy) -> Duration {
    let clients = Clients::with(proxy, 2, Duration::from_millis(1));
    clients.until_asked(MEASURED);
    let seen = clients.end();
    seen.assert_none_failed();
    seen.p99()
}

/// What others wait while `hold` keeps its connections, each of which has its turn in five seconds.
fn check(held: usize, open: impl Fn(&Proxy) -> TcpStream, turn: impl Fn(&mut TcpStream) + Sync) {
    many_descriptors();
    let good = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let len = if request.target() == "/large" { 4 << 20 } else { 2 };
            caller.reply(request.method(), &"x".repeat(len));
        }
    });
    let mut proxy = Setup::http(&[&good]).threads(2).start();
    let quiet = asked(&proxy);
    let mut all: Vec<_> = (0..held).map(|_| open(&proxy)).collect();
    let is_over = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        scope.spawn(|| {
            for slot in (0..held).cycle() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                turn(&mut all[slot]);
                std::thread::sleep(Duration::from_secs(5) / held as u32);
            }
        });
        let busy = asked(&proxy);
        is_over.store(true, Ordering::Release);
        busy
    });
    eprintln!("others wait {busy:?}, and {quiet:?} without");
    assert!(
        !is_measured() || busy <= quiet.mul_f64(WAITS_MAX) || busy < GOOD,
        "others wait {busy:?}, and {quiet:?} without"
    );
    drop(all);
    proxy.assert_sound();
}

#[test]
#[ignore = "slow: 15 s"]
fn others_do_not_notice_five_thousand_slow_heads() {
    let open = |proxy: &Proxy| {
        let mut stream = TcpStream::connect(&proxy.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-").unwrap();
        stream
    };
    // Those that came too late are cut off.
    check(HEADS, open, |stream| drop(stream.write(b"a")));
}

#[test]
#[ignore = "slow: 15 s"]
fn others_do_not_notice_slow_readers() {
    let open = |proxy: &Proxy| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let address: std::net::SocketAddr = proxy.address.parse().unwrap();
        socket.connect(&address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    check(READERS, open, |stream| drop(stream.read(&mut [0; 256])));
}

/// Endpoints of so many slots and so much time.
const SLOTS: usize = 10;
const SERVICE: Duration = Duration::from_millis(20);
/// Of the most that both together do, which is less than a thousand a second by what it takes until
/// a slot has its next request.
const GOODPUT_MIN: f64 = 0.95;
/// Clients that each ask twenty times a second, if they are answered: 70 %, and twice as much.
const CLIENTS_QUIET: usize = 35;
const CLIENTS_TOO_MANY: usize = 100;
const EVERY: Duration = Duration::from_millis(50);
const LASTING: Duration = Duration::from_secs(5);
/// Who waits for a slot waits two times [`SERVICE`] with the queue full: what the machine adds to
/// both is not the proxy's.
const JITTER_MAX: Duration = Duration::from_millis(5);

/// Good answers in a second, and what those waited who got them.
fn goodput(proxy: &Proxy, (clients, every): (usize, Duration)) -> (f64, Duration) {
    let begun = Instant::now();
    let clients = Clients::every(proxy, clients, every);
    until("the time to be over", || begun.elapsed() > LASTING);
    let mut seen = clients.end();
    let time = begun.elapsed();
    assert!(seen.failed().keys().all(|word| *word == "503"), "{:?}", seen.failed());
    seen.0.retain(|call| call.word == "200");
    (seen.0.len() as f64 / time.as_secs_f64(), seen.p99())
}

/// Endpoints never have more than they can do at a time, and those who are served are served as if
/// there were no others.
#[test]
#[ignore = "slow: 15 s"]
fn those_who_are_served_do_not_notice_that_there_are_too_many() {
    let inside = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let most = Arc::new(AtomicU64::new(0));
    let endpoints = inside.map(|inside| {
        let most = Arc::clone(&most);
        Endpoint::new(move |caller| {
            while let Some(request) = caller.request() {
                most.fetch_max(inside.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                std::thread::sleep(SERVICE);
                inside.fetch_sub(1, Ordering::AcqRel);
                caller.reply(request.method(), "good");
            }
        })
    });
    let list = endpoints.each_ref().map(|endpoint| {
        let address = &endpoint.address;
        format!("{{ address = {address:?}, max_concurrency = {SLOTS} }}")
    });
    let setup = Setup::http(&endpoints.each_ref()).endpoints(&list.join(", ")).threads(2);
    let mut proxy = setup.upstream("max_queue = 20").start();
    let (_, quiet) = goodput(&proxy, (CLIENTS_QUIET, EVERY));
    // One for each slot, which asks again at once.
    let (peak, _) = goodput(&proxy, (2 * SLOTS, Duration::ZERO));
    let (good, busy) = goodput(&proxy, (CLIENTS_TOO_MANY, EVERY));
    eprintln!("{good:.0} of {peak:.0} a second, waiting {busy:?}, and {quiet:?} at 70 %");
    assert!(most.load(Ordering::Acquire) <= SLOTS as u64, "{most:?} at a time");
    let is_good = good >= peak * GOODPUT_MIN && busy <= quiet * 2 + JITTER_MAX;
    assert!(is_good || !is_measured(), "{good:.0} a second, waiting {busy:?}, before {quiet:?}");
    proxy.assert_sound();
}
