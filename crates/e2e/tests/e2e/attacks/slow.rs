//! Peers that read slowly, but do read: none of them is taken for one that reads nothing, whatever
//! the kernels tell of their buffers.

use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Directory, Endpoint, Proxy, Setup};

use super::client_reads_up_to;

/// More than twice the time after which one that reads nothing is given up.
const SECONDS: usize = 75;

/// Reads one piece each second; gives what it has read in all.
fn read_slowly(client: &mut Client, piece: usize, seconds: usize) -> usize {
    for _ in 0..seconds {
        client.read_exactly(piece);
        std::thread::sleep(Duration::from_secs(1));
    }
    piece * seconds
}

fn serving(len: usize) -> Endpoint {
    Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            caller.reply(request.method(), &"z".repeat(len));
        }
    })
}

/// All of a reply of `len` bytes arrives, however slowly the most of it is taken.
fn check_reader(mut proxy: Proxy, mut client: Client, piece: usize, len: usize) {
    client.send(super::ASK);
    client_reads_up_to(&mut client, b"\r\n\r\n");
    let read = read_slowly(&mut client, piece, SECONDS);
    assert_eq!(client.read_exactly(len - read).len(), len - read);
    let line = proxy.until_log(1).remove(0);
    assert_eq!((line.get("reason"), line.number("bytes_out")), ("", len as u64));
    proxy.assert_sound();
}

#[test]
#[ignore = "slow: 75 s"]
fn a_slow_reader_on_a_unix_socket_is_served() {
    let (directory, endpoint) = (Directory::new(), serving(2_000_000));
    let address = format!("unix:{}", directory.join("web.sock").display());
    let proxy = Setup::http(&[&endpoint]).bind(&address).start();
    let client = Client::new(&proxy);
    check_reader(proxy, client, 4096, 2_000_000);
}

#[test]
#[ignore = "slow: 75 s"]
fn a_very_slow_reader_on_tcp_is_served() {
    let endpoint = serving(16 << 20);
    let proxy = Setup::http(&[&endpoint]).start();
    let client = Client::new(&proxy);
    check_reader(proxy, client, 1024, 16 << 20);
}

#[test]
#[ignore = "slow: 75 s"]
fn a_very_slow_reader_with_small_buffers_is_served() {
    let endpoint = serving(16 << 20);
    let proxy = Setup::http(&[&endpoint]).start();
    let client = Client::new(&proxy);
    client.socket.shrink_buffers(16 << 10);
    check_reader(proxy, client, 1024, 16 << 20);
}

#[test]
#[ignore = "slow: 75 s"]
fn an_endpoint_on_a_unix_socket_that_reads_slowly_gets_all() {
    const LEN: usize = 2_000_000;
    let directory = Directory::new();
    let endpoint = Endpoint::on_unix(&directory.join("e.sock"), |caller| {
        super::read_up_to(caller, b"\r\n\r\n");
        let mut read = 0;
        for _ in 0..SECONDS {
            read += caller.read_exactly(4096).len();
            std::thread::sleep(Duration::from_secs(1));
        }
        read += caller.read_exactly(LEN - read).len();
        caller.reply("PUT", &read.to_string());
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.socket.patience(Duration::from_secs(150)).unwrap();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n"));
    client.send(vec![b'x'; LEN]);
    let answer = client.response_to("PUT").unwrap();
    assert_eq!((answer.status(), answer.text()), (200, LEN.to_string()));
    assert_eq!(proxy.until_log(1)[0].number("bytes_in"), LEN as u64);
    proxy.assert_sound();
}

/// Half a minute is for a direction in which nothing moves.
#[test]
#[ignore = "slow: 40 s"]
fn a_half_closed_tcp_client_that_reads_slowly_gets_all() {
    const LEN: usize = 20_000_000;
    let endpoint = Endpoint::new(|caller| {
        caller.read_to_end();
        caller.send(vec![b'z'; LEN]);
    });
    let mut proxy = Setup::tcp(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("give");
    client.half_close();
    let read = read_slowly(&mut client, 20_000, 40);
    let (rest, end) = client.read_to_end();
    assert_eq!((read + rest.len(), end), (LEN, End::Closed));
    let line = proxy.until_log(1).remove(0);
    assert_eq!((line.get("reason"), line.number("bytes_out")), ("", LEN as u64));
    proxy.assert_sound();
}

/// A client that has closed its direction cannot send anything: what it is sent counts.
#[test]
#[ignore = "slow: 45 s"]
fn a_half_closed_client_whose_own_bytes_count_is_served() {
    const SENT: usize = 45;
    let endpoint = Endpoint::new(|caller| {
        caller.read_to_end();
        for _ in 0..SENT {
            caller.send([b'x'; 100]);
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let mut proxy = Setup::tcp(&[&endpoint]).listener("idle = \"client\"").start();
    let mut client = Client::new(&proxy);
    client.send("get");
    client.half_close();
    let (bytes, end) = client.read_to_end();
    assert_eq!((bytes.len(), end), (SENT * 100, End::Closed));
    assert_eq!(proxy.until_log(1)[0].get("reason"), "");
    proxy.assert_sound();
}
