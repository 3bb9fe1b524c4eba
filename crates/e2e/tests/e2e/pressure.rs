//! Large bodies: what goes in comes out, byte for byte, whatever way it takes through the proxy;
//! and when one side is slow, the other waits and the memory of the proxy stays flat.

use std::io::Read;
use std::time::Duration;

use fairwater_e2e::{Caller, Client, Directory, Endpoint, Proxy, Setup, until};

/// Bytes that tell their place: a shift or a swap of any length shows.
struct Stream {
    at: u64,
}

impl Stream {
    fn next(&mut self, len: usize) -> Vec<u8> {
        let byte = |at: u64| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) ^ (at >> 8)) as u8;
        let bytes = (self.at..self.at + len as u64).map(byte).collect();
        self.at += len as u64;
        bytes
    }

    #[track_caller]
    fn check(&mut self, bytes: &[u8]) {
        let at = self.at;
        assert!(self.next(bytes.len()) == bytes, "other bytes behind {at}");
    }
}

fn stream() -> Stream {
    Stream { at: 0 }
}

/// Odd sizes around those of buffers and pipes, and several MiB.
const SIZES: [usize; 22] = [
    1, 16_383, 16_384, 16_385, 32_767, 32_769, 65_535, 65_536, 65_537, 81_919, 81_920, 131_072,
    262_143, 262_144, 262_145, 327_680, 1_048_575, 1_048_576, 1_048_577, 3_333_333, 5_000_011,
    8_388_608,
];

#[test]
fn http_bodies_arrive_as_they_were_both_ways() {
    let directory = Directory::new();
    let script = |caller: &mut Caller| {
        while let Some(request) = caller.request() {
            caller
                .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
            for piece in request.body.chunks(77_777) {
                caller.send(piece);
            }
        }
    };
    for endpoint in [Endpoint::new(script), Endpoint::on_unix(&directory.join("e.sock"), script)] {
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        for size in SIZES {
            let body = stream().next(size);
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
            for piece in body.chunks(33_333) {
                client.send(piece);
            }
            let answer = client.response_to("POST").unwrap();
            assert!(answer.body == body, "{size}");
        }
        assert_eq!(endpoint.accepted(), 1);
        let log = proxy.until_log(SIZES.len());
        for (line, size) in log.iter().zip(SIZES) {
            let counted = (line.number("bytes_in"), line.number("bytes_out"));
            assert_eq!(counted, (size as u64, size as u64));
        }
        proxy.assert_sound();
    }
}

#[test]
fn tcp_streams_arrive_as_they_were_both_ways() {
    let directory = Directory::new();
    let script = |caller: &mut Caller| {
        let mut socket = caller.socket.try_clone().unwrap();
        let mut piece = vec![0; 100_000];
        while let Ok(len @ 1..) = socket.read(&mut piece) {
            if !caller.send(&piece[..len]) {
                return;
            }
        }
    };
    for endpoint in [Endpoint::new(script), Endpoint::on_unix(&directory.join("e.sock"), script)] {
        let mut proxy = Setup::tcp(&[&endpoint]).start();
        for size in SIZES {
            let mut client = Client::new(&proxy);
            let mut writer = client.socket.try_clone().unwrap();
            let sender = std::thread::spawn(move || {
                for piece in stream().next(size).chunks(50_021) {
                    std::io::Write::write_all(&mut writer, piece).unwrap();
                }
                writer.shut_down(std::net::Shutdown::Write);
            });
            let (back, _) = client.read_to_end();
            sender.join().unwrap();
            assert_eq!(back.len(), size);
            stream().check(&back);
        }
        let log = proxy.until_log(SIZES.len());
        assert!(log.iter().all(|line| line.get("reason").is_empty()));
        let moved: u64 = log.iter().map(|line| line.number("bytes_in")).sum();
        assert_eq!(moved, SIZES.iter().sum::<usize>() as u64);
        proxy.assert_sound();
    }
}

/// The most that the memory may rise by, for what is always far more data.
const RISE: u64 = 4 << 20;

/// Watches the memory of the proxy while something runs.
fn watched<T>(proxy: &Proxy, run: impl FnOnce() -> T) -> T {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let before = proxy.resident();
    std::thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                peak = peak.max(proxy.resident());
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let result = run();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let risen = peak.join().unwrap().saturating_sub(before);
        assert!(risen < RISE, "the memory rose by {risen} bytes");
        result
    })
}

/// Reads everything, a little slower than it comes; checks all of it.
fn slow_sink(caller: &mut Caller, len: u64) {
    let head = caller.read_until(b"\r\n\r\n");
    let at = head.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut expected = stream();
    expected.check(&head[at..]);
    while expected.at < len {
        let bytes = caller.read_exactly(1_000_000.min((len - expected.at) as usize));
        assert!(!bytes.is_empty(), "the upload ended at {}", expected.at);
        expected.check(&bytes);
    }
    caller.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

fn upload(len: u64) {
    let endpoint = Endpoint::new(move |caller| slow_sink(caller, len));
    let mut proxy = Setup::http(&[&endpoint]).start();
    watched(&proxy, || {
        let mut client = Client::new(&proxy);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
        let mut bytes = stream();
        while bytes.at < len {
            let piece = bytes.next(1_000_000.min((len - bytes.at) as usize));
            client.try_send(&piece).unwrap();
        }
        assert_eq!(client.response_to("POST").unwrap().text(), "ok");
    });
    assert_eq!(proxy.until_log(1)[0].number("bytes_in"), len);
    proxy.assert_sound();
}

fn download(len: u64, framing: &'static str) {
    let endpoint = Endpoint::new(move |caller| {
        caller.request();
        let length =
            if framing.is_empty() { format!("content-length: {len}\r\n") } else { String::new() };
        caller.send(format!("HTTP/1.1 200 OK\r\n{length}{framing}\r\n"));
        let mut bytes = stream();
        while bytes.at < len {
            let piece = bytes.next(1_000_000.min((len - bytes.at) as usize));
            if !framing.is_empty() {
                caller.send(format!("{:x}\r\n", piece.len()));
            }
            caller.send(piece);
            if !framing.is_empty() {
                caller.send("\r\n");
            }
        }
        if !framing.is_empty() {
            caller.send("0\r\n\r\n");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    watched(&proxy, || {
        let mut client = Client::new(&proxy);
        client.socket.shrink_buffers(64 << 10);
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let head = client.read_exactly(17);
        assert_eq!(head, b"HTTP/1.1 200 OK\r\n");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.extend(client.read_exactly(1));
        }
        let mut expected = stream();
        while expected.at < len {
            let bytes = client.read_exactly(500_000.min((len - expected.at) as usize));
            expected.check(&bytes);
        }
    });
    assert_eq!(proxy.until_log(1)[0].number("bytes_out"), len);
    proxy.assert_sound();
}

#[test]
fn a_large_upload_takes_no_memory() {
    upload(64 << 20);
}

#[test]
fn a_large_download_takes_no_memory() {
    download(64 << 20, "");
    download(16 << 20, "transfer-encoding: chunked\r\n");
}

#[test]
#[ignore = "slow: a minute for 2 GiB"]
fn an_upload_of_a_gigabyte_takes_no_memory() {
    upload(1 << 30);
    download(1 << 30, "");
}

#[test]
#[ignore = "slow: minutes for 10 GiB"]
fn an_upload_of_ten_gigabytes_takes_no_memory() {
    upload(10 << 30);
}

/// Nobody reads on the other side: the sender is stopped after what the kernels hold.
#[test]
fn who_does_not_read_stops_the_sender() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let deaf = Endpoint::new(move |caller| {
        gate.lock().unwrap().recv().ok();
        drop(caller.read_to_end());
    });
    for (setup, head) in [
        (Setup::http(&[&deaf]), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"),
        (
            Setup::http(&[&deaf]),
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3b9aca00\r\n",
        ),
        (Setup::tcp(&[&deaf]), ""),
    ] {
        let mut proxy = setup.start();
        watched(&proxy, || {
            let mut client = Client::new(&proxy);
            client.send(head);
            client.socket.patience(Duration::from_millis(300)).unwrap();
            let mut sent = 0;
            while sent < 1 << 30 && client.try_send(&[b'x'; 65_536]).is_ok() {
                sent += 65_536;
            }
            assert!(sent < 64 << 20, "{sent} bytes went nowhere");
        });
        go.send(()).unwrap();
        until("the end of the exchange", || proxy.metric("fairwater_connections_active", &[]) == 0);
        proxy.assert_sound();
    }
}

/// The kernel says that there is room only when a third of its buffer is free, which a slow reader
/// takes minutes for; it must not be taken for one that reads nothing.
fn slow_reader(framing: &'static str) {
    let is_chunked = framing.starts_with("transfer");
    let endpoint = Endpoint::new(move |caller| {
        caller.request();
        caller.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
        if is_chunked {
            caller.send("1000000\r\n");
        }
        caller.send(vec![b'x'; 16 << 20]);
        caller.send(if is_chunked { "\r\n0\r\n\r\n" } else { "" });
    });
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut read = 0;
    for _ in 0..45 {
        // On loopback the window opens by 64 KiB at a time.
        read += client.read_exactly(16 << 10).len();
        std::thread::sleep(Duration::from_secs(1));
    }
    let rest = client.read_exactly((16 << 20) - read);
    assert_eq!(rest.len() + read, 16 << 20, "{framing}");
}

#[test]
#[ignore = "slow: 45 s"]
fn a_slow_reader_of_a_spliced_body_is_not_stalled() {
    slow_reader("content-length: 16777216\r\n");
}

#[test]
#[ignore = "slow: 45 s"]
fn a_slow_reader_of_a_chunked_body_is_not_stalled() {
    slow_reader("transfer-encoding: chunked\r\n");
}

#[test]
#[ignore = "slow: 35 s"]
fn a_reader_far_away_that_reads_nothing_is_given_up() {
    given_up(Client::from_afar, 28..48);
}

/// Of a peer on loopback is only seen when it has taken 64 KiB: it has two minutes.
#[test]
#[ignore = "slow: 125 s"]
fn a_reader_nearby_that_reads_nothing_is_given_up() {
    given_up(Client::new, 118..140);
}

fn given_up(connect: fn(&Proxy) -> Client, seconds: std::ops::Range<u64>) {
    let endpoint = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
        while caller.send([b'x'; 65_536]) {}
    });
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = connect(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = std::time::Instant::now();
    while proxy.log().is_empty() && begun.elapsed() < Duration::from_secs(180) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(seconds.contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(proxy.log()[0].get("reason"), "client_stalled");
    assert_eq!(client.read_to_end().1, fairwater_e2e::client::End::Reset);
}

/// A thousand clients that read slowly, or hold half a request: the memory is that of their
/// buffers, and goes back.
#[test]
fn many_slow_clients_take_bounded_memory() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            caller.reply(request.method(), &"x".repeat(1 << 20));
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let before = (proxy.resident(), proxy.descriptors());
    let mut clients: Vec<_> = (0..150).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients[..50] {
        client.socket.shrink_buffers(4096);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients[50..] {
        client.send(format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(31 << 10)));
    }
    endpoint.until_requests(50);
    let each = proxy.resident().saturating_sub(before.0) / 150;
    assert!(each < 110 << 10, "{each} bytes for each client");
    drop(clients);
    proxy.until_metric("fairwater_connections_active", &[], 0);
    until("the descriptors to be closed", || {
        proxy.descriptors() <= before.1 + 70 // pipes that are kept
    });
    proxy.assert_sound();
}
