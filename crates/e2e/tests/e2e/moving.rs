//! Connections that go from one process to the next: whoever uses them notices nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::wait::PATIENCE;
use fairwater_e2e::{Caller, Client, Endpoint, Over, Proxy, Setup, until};

use crate::names::Load;

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const ASK: &str =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Sends back what it gets, as it comes.
fn sends_back(caller: &mut Caller) {
    loop {
        let bytes = caller.read_exactly(1);
        if bytes.is_empty() || !caller.send(&bytes) {
            return;
        }
    }
}

fn switches(caller: &mut Caller) {
    caller.read_until(b"\r\n\r\n");
    caller.send(SWITCH);
    sends_back(caller);
}

fn stream(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

/// A tunnel through the proxy.
fn tunnel(proxy: &Proxy) -> TcpStream {
    let mut stream = stream(&proxy.address);
    stream.write_all(ASK.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn idle_clients_stay_connected() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upgradable().threads(2).start();
    let unix = proxy.directory().join("in.sock");
    let addresses = format!("bind = [\"127.0.0.1:0\", \"unix:{}\"]", unix.display());
    proxy.edit("bind = \"127.0.0.1:0\"", &addresses);
    proxy.reload_well();
    let mut clients: Vec<_> = (0..30).map(|_| Client::new(&proxy)).collect();
    clients.push(Client::connect(&format!("unix:{}", unix.display())));
    for client in clients.iter_mut().skip(3) {
        assert_eq!(client.get("/").status(), 200);
    }
    for _ in 0..3 {
        proxy.upgrade_whole();
        // The first three have not said a word yet.
        for client in &mut clients {
            let answer = client.get("/");
            assert!(answer.status() == 200 && !answer.closes());
        }
    }
    assert_eq!(proxy.metric("fairwater_connections_active", &["listener=\"web\""]), 31);
    let lines = proxy.until_log(28 + 3 * 31);
    assert!(lines.iter().filter(|line| line.get("client") == "127.0.0.1").count() >= 117);
    proxy.assert_sound();
}

#[test]
fn a_relay_moves_with_all_that_is_known_of_it() {
    let endpoint = Endpoint::new(sends_back);
    let proxy = Setup::tcp(&[&endpoint]).upgradable().start();
    let mut client = stream(&proxy.address);
    let port = client.local_addr().unwrap().port();
    echoes(&mut client, b"before");
    for _ in 0..3 {
        proxy.upgrade_whole();
        echoes(&mut client, b"after");
    }
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 1);
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 1);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let line = &proxy.until_log(1)[0];
    assert_eq!(line.number("client_port"), u64::from(port));
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (21, 21));
    assert_eq!((line.get("endpoint"), line.get("reason")), (endpoint.address.as_str(), ""));
    assert_eq!(endpoint.accepted(), 1);
}

#[test]
fn a_tunnel_moves_with_its_line() {
    let endpoint = Endpoint::new(switches);
    let proxy = Setup::http(&[&endpoint]).upgradable().threads(2).start();
    let mut clients: Vec<_> = (0..8).map(|_| tunnel(&proxy)).collect();
    for step in 0..3 {
        proxy.upgrade_whole();
        for client in &mut clients {
            echoes(client, format!("step {step}").as_bytes());
        }
    }
    drop(clients);
    let lines = proxy.until_log(8);
    for line in &lines {
        assert_eq!((line.number("status"), line.get("target")), (101, "/chat"), "{line:?}");
        assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (18, 18), "{line:?}");
        assert_eq!(line.get("endpoint"), endpoint.address, "{line:?}");
    }
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
}

#[test]
fn a_half_closed_relay_moves() {
    let endpoint = Endpoint::new(|caller| {
        caller.send("bye");
        caller.half_close();
        assert_eq!(caller.read_to_end().0, b"last words");
    });
    let proxy = Setup::tcp(&[&endpoint]).upgradable().start();
    let mut client = stream(&proxy.address);
    let mut said = Vec::new();
    client.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"bye");
    proxy.upgrade_whole();
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    endpoint.until_closed(1);
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    assert_eq!(proxy.until_log(1)[0].get("reason"), "");
}

/// Sends numbers and checks that they come back as they were, for as long as it lasts.
fn exchange_numbers(address: &str, is_over: &AtomicBool, pause: Duration) -> u64 {
    let (mut sender, mut receiver) = {
        let stream = stream(address);
        (stream.try_clone().unwrap(), stream)
    };
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || {
            let mut next = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let block: Vec<u8> = (next..next + 1024).flat_map(u64::to_le_bytes).collect();
                sender.write_all(&block).unwrap();
                next += 1024;
            }
            sender.shutdown(Shutdown::Write).unwrap();
            next
        });
        let mut expected = 0_u64;
        let mut block = [0; 8];
        while receiver.read_exact(&mut block).is_ok() {
            assert_eq!(u64::from_le_bytes(block), expected);
            expected += 1;
            if expected.is_multiple_of(4096) {
                std::thread::sleep(pause);
            }
        }
        assert_eq!(sent.join().unwrap(), expected, "all that was sent came back");
        expected
    })
}

#[test]
fn a_stream_moves_without_a_byte_lost_or_doubled() {
    // In pieces so large that pipes are used on the way back.
    let endpoint = Endpoint::mirror();
    let proxy = Setup::tcp(&[&endpoint]).upgradable().threads(2).start();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let pauses = [0, 0, 1, 5].map(Duration::from_millis);
        let all = pauses.map(|pause| {
            scope.spawn({
                let (address, is_over) = (&proxy.address, &is_over);
                move || exchange_numbers(address, is_over, pause)
            })
        });
        for _ in 0..8 {
            proxy.upgrade_whole();
        }
        drop(over);
        let moved: u64 = all.into_iter().map(|one| one.join().unwrap()).sum();
        assert!(moved > 100_000, "{moved}");
    });
}

#[test]
fn what_has_no_place_there_stays() {
    let [kept, gone] = [Endpoint::new(sends_back), Endpoint::new(sends_back)];
    let more = format!(
        "[listeners.other]\nbind = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nupstream = \"other\"\n\
         [upstreams.other]\nendpoints = [{:?}]\n",
        gone.address
    );
    let proxy = Setup::tcp(&[&kept]).upgradable().more(&more).start();
    let (mut moves, mut stays) = (stream(&proxy.address), stream(&proxy.address_of("other")));
    echoes(&mut moves, b"1");
    echoes(&mut stays, b"1");
    proxy.edit(&more, "");
    proxy.upgrade_well();
    until("one to move", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    for _ in 0..3 {
        echoes(&mut moves, b"2");
        echoes(&mut stays, b"2");
    }
    assert_eq!(proxy.worker_ids().len(), 2);
    drop(stays);
    proxy.until_one_worker();
    echoes(&mut moves, b"3");
}

#[test]
fn no_request_is_lost_in_upgrades() {
    let endpoints = ["1", "2"].map(Endpoint::echo);
    let proxy = Setup::http(&[&endpoints[0], &endpoints[1]]).upgradable().threads(2).start();
    let load = Load::on(&proxy, 4);
    let begun = Instant::now();
    for step in 0..10 {
        match step % 2 {
            0 => drop(proxy.upgrade_well()),
            _ => drop(proxy.reload_well()),
        }
    }
    let count = load.end();
    assert!(count > 100, "{count} in {:?}", begun.elapsed());
    proxy.until_one_worker();
}
