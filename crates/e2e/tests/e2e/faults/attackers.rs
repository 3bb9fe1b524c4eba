//! Clients that hold on to what they have, and clients that are too many: what the others wait.
//! How long that is says something of an optimised program on a quiet machine, which is named by
//! `FAIRWATER_BIN`, as `cargo xtask test --slow` does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;

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
