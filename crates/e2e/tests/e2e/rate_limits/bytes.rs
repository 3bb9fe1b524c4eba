//! Budgets of bytes: charged as they pass, both ways.

use std::io::Read;
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Setup, until};

use super::{limited, status};

const RULE: &str = "counts = \"bytes\"\nrate = \"1MiB/h\"\nburst = \"100KB\"";

/// Answers with as many bytes as the path says, or takes what it is sent.
fn endpoint() -> Endpoint {
    Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let len: usize = request.target()[1..].parse().unwrap_or(0);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
            caller.send(head.as_bytes());
            caller.send(vec![b'x'; len]);
        }
    })
}

#[test]
fn bodies_are_charged_both_ways() {
    let endpoint = endpoint();
    let mut proxy = limited(&endpoint, RULE).threads(2).start();
    assert_eq!(status(&proxy, "/60000", ""), 200);
    let mut client = Client::new(&proxy);
    client.send(format!(
        "POST /0 HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n{}",
        "x".repeat(30_000)
    ));
    assert_eq!(client.response_to("POST").unwrap().status(), 200);
    // There is something left, so that one more may begin, however long it gets.
    assert_eq!(client.get("/500000").body.len(), 500_000);
    let reply = client.get("/0");
    assert_eq!(reply.status(), 429);
    // 490 000 bytes are overdrawn, of which 291 come in a second: at most five minutes' worth.
    let after: u64 = reply.field("retry-after").unwrap().parse().unwrap();
    assert!((298..=301).contains(&after), "{after}");
    let policy = reply.field("ratelimit-policy");
    assert_eq!(policy, Some("\"one\";q=1048576;w=3600;qu=\"content-bytes\""));
    assert!(proxy.until_log(4).iter().any(|line| line.get("detail") == "bytes"));
    let other = Client::from_address("127.0.0.9", &proxy).get("/0").status();
    assert_eq!(other, 200);
    proxy.assert_sound();
}

#[test]
fn a_budget_is_used_while_a_body_runs() {
    let endpoint = Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n");
            caller.send(vec![b'x'; 2_000_000]);
            caller.until_closed();
        }
    });
    let mut proxy = limited(&endpoint, RULE).threads(2).start();
    let mut long = Client::new(&proxy);
    long.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut bytes = vec![0; 1_500_000];
    long.socket.read_exact(&mut bytes).unwrap();
    // Its body has not ended, and will not.
    assert_eq!(status(&proxy, "/", ""), 429);
    drop(long);
    proxy.assert_sound();
}

#[test]
fn it_comes_back() {
    let endpoint = endpoint();
    let rule = "counts = \"bytes\"\nrate = \"1MB/s\"\nburst = \"100KB\"";
    let proxy = limited(&endpoint, rule).threads(2).start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    assert_eq!(client.get("/900000").status(), 200);
    assert_eq!(client.get("/0").status(), 429);
    until("it to be made up for", || client.get("/0").status() == 200);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(790), "{took:?}");
}

#[test]
fn raw_connections_are_charged_and_new_ones_refused() {
    let endpoint = Endpoint::mirror();
    let mut proxy = Setup::tcp(&[&endpoint])
        .listener("rate_limits = \"one\"")
        .more(&format!("[rate_limits.one]\n{RULE}\n"))
        .threads(2)
        .start();
    let mut first = Client::new(&proxy);
    let mut second = Client::new(&proxy);
    for client in [&mut first, &mut second] {
        client.send([b'x'; 30_000]);
        client.socket.read_exact(&mut [0; 30_000]).unwrap();
    }
    // 120 000 bytes: those that are open go on.
    until("it to be used up", || {
        let mut client = Client::new(&proxy);
        client.send("x");
        client.socket.read_exact(&mut [0]).is_err()
    });
    first.send("more");
    first.socket.read_exact(&mut [0; 4]).unwrap();
    let mut other = Client::from_address("127.0.0.9", &proxy);
    other.send("x");
    other.socket.read_exact(&mut [0; 1]).unwrap();
    assert!(proxy.metric("fairwater_connections_refused_total", &[]) >= 1);
    drop((first, second, other));
    proxy.assert_sound();
}
