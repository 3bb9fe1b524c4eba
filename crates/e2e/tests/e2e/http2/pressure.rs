//! What others notice while one floods or holds: how long they wait, and what memory and processor
//! time it takes of the process that serves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::onlooker::measure;
use fairwater_e2e::{Client, Endpoint, Over, Proxy, Socket, Waits, until};

use super::{has_codec, judge, setup};

/// For each flood.
const SECONDS: u64 = 2;
/// Others may wait for so many times as long.
const WAITS_MAX: f64 = 2.0;

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

struct Seen {
    /// Of HTTP/1.1 and of HTTP/2.
    waits: [Waits; 2],
    /// In bytes, over what there was before.
    memory: u64,
    /// Of the process that serves, in parts of one processor.
    processor: f64,
    said: String,
}

/// Looks at the first proxy while something runs, and at another one beside it.
fn seen(proxies: [&Proxy; 2], run: impl FnOnce() -> String) -> Seen {
    let proxy = proxies[0];
    let (is_over, peak, before) = (AtomicBool::new(false), AtomicU64::new(0), proxy.resident());
    let (begun, ticks) = (Instant::now(), crate::tls::ticks(proxy));
    let (one, two) = (proxies.map(Client::new), proxies.map(Frames::connect));
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let ones = scope.spawn(|| {
            Waits::until(&is_over, one, |client| assert_eq!(client.get("/").status(), 200))
        });
        let twos = scope.spawn(|| Waits::until(&is_over, two, Frames::get));
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
            waits: [ones, twos].map(|waits| waits.join().unwrap()),
            memory: peak.load(Ordering::Relaxed).saturating_sub(before),
            processor: ticks / begun.elapsed().as_secs_f64(),
            said,
        }
    })
}

impl Seen {
    fn judge(&self, quiet: &Self, memory_max: u64) -> Result<(), String> {
        for (waits, quiet) in self.waits.iter().zip(quiet.waits) {
            waits.judge(quiet, WAITS_MAX)?;
        }
        let is_small = self.memory <= memory_max << 20;
        is_small.then_some(()).ok_or_else(|| format!("{} bytes", self.memory))
    }

    fn print(&self, name: &str) {
        let [one, two] = self.waits.map(|waits| {
            let [pressed, free] = [waits.pressed, waits.free].map(|wait| wait.as_secs_f64() * 1e3);
            format!("{pressed:6.2} {free:6.2} ms")
        });
        let memory = self.memory as f64 / f64::from(1 << 20);
        let (processor, said) = (self.processor, &self.said);
        eprintln!("{name:40} {one} {two} {memory:9.1} {processor:5.2}  {said}");
    }
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
    if !has_codec() {
        return;
    }
    let (endpoint, large, silent) = (Endpoint::echo("e"), large(), Silent::start());
    let route = |path: &str, address: &str| {
        format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/{path}\"\nupstream = {path:?}\n\
             [upstreams.{path}]\nendpoints = [{address:?}]\n"
        )
    };
    let routes = route("large", &large.address) + &route("wait", &silent.address);
    let [mut proxy, free] = [(); 2].map(|()| setup(&endpoint).more(&routes).start());
    let worker = proxy.worker_id();
    let quiet = seen([&proxy, &free], || {
        std::thread::sleep(Duration::from_secs(SECONDS));
        String::new()
    });
    eprintln!("\n{:40} HTTP/1.1  unpressed HTTP/2       MiB   CPU", "");
    quiet.print("nobody else");
    for (name, memory_max) in FLOODS {
        measure(|| {
            let seen = seen([&proxy, &free], || flood(&proxy, name));
            seen.print(name);
            until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) == 0);
            seen.judge(&quiet, memory_max)
        });
    }
    assert_eq!(proxy.worker_id(), worker, "another process serves");
    proxy.assert_sound();
}

/// Floods for a while, and gives what came of it.
fn flood(proxy: &Proxy, name: &str) -> String {
    let words = [name, &SECONDS.to_string()];
    let script = judge(include_str!("floods.py"), &proxy.address, &words).unwrap();
    // What they take of the processor is not what is looked for.
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(script.get_program()).args(script.get_args());
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{name}");
    String::from_utf8_lossy(&output.stdout).rsplit(": ").next().unwrap().trim().to_owned()
}
