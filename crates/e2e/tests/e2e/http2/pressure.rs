//! What others notice while one floods or holds: how long they wait, and what memory and processor
//! time it takes of the process that serves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Over, Proxy, Socket, until};

use super::{judge, setup};

/// For each flood.
const SECONDS: u64 = 2;
/// Between two requests of who only looks.
const PAUSE: Duration = Duration::from_millis(1);
/// What may be the fault of all else that runs on this machine. Alone it is half a millisecond
/// without a flood, and below six with each of them.
const GOOD: Duration = Duration::from_millis(20);

/// A client of HTTP/2 that asks for one thing after another.
struct Frames {
    socket: Socket,
    stream: u32,
}

impl Frames {
    fn connect(proxy: &Proxy) -> Self {
        let mut socket = Socket::connect(&proxy.address).unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        Self { socket, stream: 1 }
    }

    fn get(&mut self) {
        // GET, http, / and the host `a`, without an entry for the table.
        let head = [0, 0, 6, 1, 5].iter().copied().chain(self.stream.to_be_bytes());
        let block = [0x82, 0x86, 0x84, 1, 1, b'a'];
        self.socket.write_all(&head.chain(block).collect::<Vec<_>>()).unwrap();
        loop {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).unwrap();
            let [a, b, c, kind, flags, stream @ ..] = head;
            let len = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; len as usize];
            self.socket.read_exact(&mut payload).unwrap();
            if kind == 0 && len > 0 {
                let window = [0, 0, 4, 8, 0, 0, 0, 0, 0].iter().copied().chain(len.to_be_bytes());
                self.socket.write_all(&window.collect::<Vec<_>>()).unwrap();
            }
            assert!(kind != 3 && kind != 7, "a reset or the end: {head:?} {payload:?}");
            if kind <= 1 && flags & 1 == 1 && u32::from_be_bytes(stream) == self.stream {
                break;
            }
        }
        self.stream += 2;
    }
}

/// How long it took, of each hundred the one that took longest.
fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    assert!(took.len() > 50, "only {} were answered", took.len());
    took[took.len() * 99 / 100]
}

/// What somebody waits who asks again and again, until it is over.
fn waits(is_over: &AtomicBool, mut ask: impl FnMut()) -> Vec<Duration> {
    let mut took = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        ask();
        took.push(begun.elapsed());
        std::thread::sleep(PAUSE);
    }
    took
}

struct Seen {
    /// Of HTTP/1.1 and of HTTP/2.
    p99: [Duration; 2],
    /// In bytes, over what there was before.
    memory: u64,
    /// Of the process that serves, in parts of one processor.
    processor: f64,
    said: String,
}

/// Looks at the proxy while something runs.
fn seen(proxy: &Proxy, run: impl FnOnce() -> String) -> Seen {
    let (is_over, peak, before) = (AtomicBool::new(false), AtomicU64::new(0), proxy.resident());
    let (begun, ticks) = (Instant::now(), crate::tls::ticks(proxy));
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let mut one = Client::new(proxy);
        let ones = scope.spawn({
            let is_over = &is_over;
            move || waits(is_over, || assert_eq!(one.get("/").status(), 200))
        });
        let mut two = Frames::connect(proxy);
        let twos = scope.spawn({
            let is_over = &is_over;
            move || waits(is_over, || two.get())
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(proxy.resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let said = run();
        drop(over);
        let ticks = (crate::tls::ticks(proxy) - ticks) as f64 / 100.0;
        Seen {
            p99: [ones, twos].map(|took| p99(took.join().unwrap())),
            memory: peak.load(Ordering::Relaxed).saturating_sub(before),
            processor: ticks / begun.elapsed().as_secs_f64(),
            said,
        }
    })
}

/// An endpoint that hears and never answers, and is cheap: what it takes of the processor is not
/// what is looked for.
struct Silent {
    address: String,
    is_over: Arc<AtomicBool>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut held = std::collections::VecDeque::new();
            for connection in listener.incoming() {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                held.push_front(connection);
                // The oldest were given up long ago.
                held.truncate(4096);
            }
        });
        Self { address, is_over }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(Socket::connect(&self.address));
    }
}

/// Sends without an end, to whoever comes.
fn large() -> Endpoint {
    Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while caller.send([b'x'; 65_536]) {}
    })
}

/// Which floods, and how many MiB they may take.
const FLOODS: [(&str, u64); 19] = [
    ("rapid reset", 16),
    ("rapid reset of uploads", 16),
    ("made you reset by too much for a window", 16),
    ("made you reset by a wrong length", 16),
    ("streams too many", 16),
    ("continuations of 16 KiB", 8),
    ("continuations of nothing", 8),
    ("HPACK bomb", 16),
    ("changes of the table", 16),
    ("settings", 8),
    ("pings", 8),
    ("empty data", 8),
    ("priorities", 8),
    ("windows of a byte", 8),
    ("streams without a window", 64),
    ("replies that nobody reads", 128),
    ("uploads that are stuck", 64),
    ("heads of 28 KiB in a few bytes", 128),
    ("slow heads", 8),
];

#[test]
#[ignore = "slow: 50 s"]
fn others_do_not_notice_a_flood() {
    let (endpoint, large, silent) = (Endpoint::echo("e"), large(), Silent::start());
    let route = |path: &str, address: &str| {
        format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/{path}\"\nupstream = {path:?}\n\
             [upstreams.{path}]\nendpoints = [{address:?}]\n"
        )
    };
    let routes = route("large", &large.address) + &route("wait", &silent.address);
    let mut proxy = setup(&endpoint).more(&routes).start();
    let worker = proxy.worker_id();
    let quiet = seen(&proxy, || {
        std::thread::sleep(Duration::from_secs(SECONDS));
        String::new()
    });
    println!("{:40} {:>9} {:>9} {:>9} {:>5}", "", "HTTP/1.1", "HTTP/2", "MiB", "CPU");
    let row = |name: &str, seen: &Seen| {
        let [one, two] = seen.p99.map(|p99| p99.as_secs_f64() * 1000.0);
        let memory = seen.memory as f64 / f64::from(1 << 20);
        let (processor, said) = (seen.processor, &seen.said);
        println!("{name:40} {one:6.2} ms {two:6.2} ms {memory:9.1} {processor:5.2}  {said}");
    };
    row("nobody else", &quiet);
    let mut wrong = Vec::new();
    for (name, memory_max) in FLOODS {
        let words = [name, &SECONDS.to_string()];
        let Some(script) = judge(include_str!("floods.py"), &proxy.address, &words) else { return };
        // What they take of the processor is not what is looked for.
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(script.get_program()).args(script.get_args());
        let seen = seen(&proxy, || {
            let output = command.stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success(), "{name}");
            String::from_utf8_lossy(&output.stdout).rsplit(": ").next().unwrap().trim().to_owned()
        });
        row(name, &seen);
        for (p99, quiet) in seen.p99.into_iter().zip(quiet.p99) {
            if p99 > GOOD && p99 > quiet * 4 {
                wrong.push(format!("{name}: others wait {p99:?}, and {quiet:?} without"));
            }
        }
        if seen.memory > memory_max << 20 {
            wrong.push(format!("{name}: {} bytes", seen.memory));
        }
        until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) == 0);
    }
    assert_eq!(proxy.worker_id(), worker, "another process serves");
    // How long others wait says something of a program that is optimised, on a machine that does
    // nothing else: then it is named by `FAIRWATER_BIN`, as `cargo xtask test --slow` does.
    let is_measured = std::env::var_os("FAIRWATER_BIN").is_some();
    assert!(wrong.is_empty() || !is_measured, "{wrong:#?}");
    proxy.assert_sound();
}
