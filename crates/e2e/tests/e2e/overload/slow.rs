//! Thousands who do next to nothing, and what others notice of them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::onlooker::measure;
use fairwater_e2e::{Client, Endpoint, Over, Proxy, Setup, Waits, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::peers::program;
use crate::tls::{LOCAL, Pki};

/// Slow clients at a time.
const CLIENTS: usize = 5_000;
/// How long is looked, each time.
const LOOK: Duration = Duration::from_secs(4);
/// Others may wait for half as long again.
const WAITS_MAX: f64 = 1.5;

fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// What others wait while `run` goes on, of the first proxy and of another.
fn while_running(proxies: [&Proxy; 2], run: impl FnOnce()) -> Waits {
    let (is_over, clients) = (AtomicBool::new(false), proxies.map(Client::new));
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let looking = scope.spawn(|| {
            Waits::until(&is_over, clients, |client| assert_eq!(client.get("/").status(), 200))
        });
        run();
        drop(over);
        looking.join().unwrap()
    })
}

fn connect(proxy: &Proxy) -> TcpStream {
    let socket = TcpStream::connect(&proxy.address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// One whose head never ends.
struct SlowHead {
    socket: TcpStream,
    sent: usize,
}

impl SlowHead {
    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ";

    fn new(proxy: &Proxy) -> Self {
        let mut client = Self { socket: connect(proxy), sent: 0 };
        client.send();
        client
    }

    fn send(&mut self) {
        let byte = *Self::HEAD.get(self.sent).unwrap_or(&b'x');
        self.sent += self.socket.write(&[byte]).unwrap_or(0);
    }

    /// Whether it was not answered, nor closed.
    fn is_waiting(&mut self) -> bool {
        let read = self.socket.read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Heads of which a byte comes now and then. They are given up after `request_head_timeout`, and
/// come again.
#[test]
#[ignore = "slow: 25 s"]
fn others_do_not_notice_thousands_of_slow_heads() {
    raise_descriptors();
    measure(slow_heads);
}

fn slow_heads() -> Result<(), String> {
    let endpoint = Endpoint::echo("e");
    let [mut proxy, free] = [(); 2].map(|()| Setup::http(&[&endpoint]).threads(2).start());
    let quiet = while_running([&proxy, &free], || std::thread::sleep(LOOK));
    let mut clients = Vec::new();
    for index in 1..=CLIENTS {
        clients.push(SlowHead::new(&proxy));
        if index % 100 == 0 {
            // The backlog is no subject here.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    until("all to be there", || {
        proxy.metric("fairwater_connections_active", &[]) >= CLIENTS as u64 * 9 / 10
    });
    let slow = while_running([&proxy, &free], || {
        let begun = Instant::now();
        // Longer than a head may take.
        while begun.elapsed() < 3 * LOOK {
            for (index, client) in clients.iter_mut().enumerate() {
                if client.is_waiting() {
                    client.send();
                } else {
                    *client = SlowHead::new(&proxy);
                }
                if index % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    });
    eprintln!("slow heads: others wait {slow:?}, and {quiet:?} without");
    assert!(proxy.metric("fairwater_faults_total", &["reason=\"request_head_timeout\""]) > 0);
    let open = proxy.metric("fairwater_connections_active", &[]);
    assert!(open > CLIENTS as u64 / 2, "{open}");
    drop(clients);
    until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) <= 1);
    proxy.assert_sound();
    slow.judge(quiet, WAITS_MAX)
}

/// Replies of megabytes of which a little is read now and then.
#[test]
#[ignore = "slow: 20 s"]
fn others_do_not_notice_many_slow_readers() {
    raise_descriptors();
    measure(slow_readers);
}

fn slow_readers() -> Result<(), String> {
    const READERS: usize = 500;
    let endpoint = Endpoint::echo("e");
    let large = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while caller.send([b'x'; 65_536]) {}
    });
    let route = format!(
        "[[routes]]\nlistener = \"web\"\npath = \"/large\"\nupstream = \"large\"\n\
         [upstreams.large]\nendpoints = [{:?}]\n",
        large.address
    );
    let setup = || Setup::http(&[&endpoint]).threads(2).more(&route);
    let [mut proxy, free] = [(); 2].map(|()| setup().start());
    let quiet = while_running([&proxy, &free], || std::thread::sleep(LOOK));
    let before = proxy.resident();
    let mut clients: Vec<_> = (0..READERS).map(|_| connect(&proxy)).collect();
    for client in &mut clients {
        client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    until("all to have begun", || large.accepted() == READERS);
    // Until the buffers of all kernels are full.
    std::thread::sleep(Duration::from_secs(2));
    let mut piece = [0; 1024];
    let slow = while_running([&proxy, &free], || {
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            for client in &mut clients {
                drop(client.read(&mut piece));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    eprintln!("slow readers: others wait {slow:?}, and {quiet:?} without");
    let taken = proxy.resident().saturating_sub(before) / READERS as u64;
    assert!(taken < 64 << 10, "{taken} bytes for each");
    drop(clients);
    until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) <= 1);
    proxy.assert_sound();
    slow.judge(quiet, WAITS_MAX)
}

/// What they do not take stays with their endpoints, but for a piece.
#[test]
fn slow_readers_over_tls_hold_little() {
    const READERS: usize = 20;
    let Some(curl) = program("curl") else { return };
    let (pki, sent) = (Pki::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sent);
    let large = Endpoint::new(move |caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while caller.send([b'x'; 65_536]) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    for version in ["--http1.1", "--http2"] {
        let proxy = Setup::http(&[&large]).listener(&tls).start();
        let before = proxy.resident();
        let mut command = Command::new(&curl);
        command.args(["-sS", version, "--limit-rate", "1k", "--cacert", &pki.file("ca.pem"), "-o"]);
        command.args(["/dev/null", &format!("https://{}/", proxy.address)]);
        let mut readers: Vec<_> = (0..READERS).map(|_| command.spawn().unwrap()).collect();
        proxy.until_metric("fairwater_endpoint_in_flight", &[], READERS as u64);
        let mut seen = (0, 0);
        until("all buffers of the kernel to be full", || {
            let now = sent.load(Ordering::Relaxed);
            seen = (now, if now == seen.0 { seen.1 + 1 } else { 0 });
            seen.1 > 50
        });
        let held = proxy.resident().saturating_sub(before) / READERS as u64;
        for reader in &mut readers {
            reader.kill().unwrap();
            reader.wait().unwrap();
        }
        println!("{version}: {held} bytes");
        assert!(held < 256 << 10, "{version}: {held} bytes for each");
    }
}
