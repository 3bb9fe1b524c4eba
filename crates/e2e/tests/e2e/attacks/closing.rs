//! Connections that the proxy closes behind a reply: whatever still comes from the client, the
//! reply arrives whole; and a client that has closed its own direction gets all that it asked for.

use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Setup};

use super::{Gate, held};

const CLOSING: [&str; 4] = [
    "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /1 HTTP/1.0\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    "POST /1 HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
];
const STRAY: [&str; 3] = ["\r\n", "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "some more of a body"];

/// A close with unread bytes is a reset, which destroys what is on its way to the client.
#[test]
fn bytes_behind_the_last_request_do_not_cost_its_reply() {
    let gate = Gate::default();
    let endpoint = held(&gate);
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut asked = 0;
    for last in CLOSING {
        for stray in STRAY {
            asked += 1;
            let mut client = Client::new(&proxy);
            client.send(last);
            endpoint.until_requests(asked);
            client.send(stray);
            gate.open();
            // Not before the proxy is done with it.
            proxy.until_log(asked);
            let answer = client.response().unwrap_or_else(|b| panic!("{last:?} {stray:?}: {b:?}"));
            assert_eq!((answer.status(), answer.text()), (200, "/1".to_owned()));
            assert!(answer.closes());
            assert_ne!(client.end(), End::Open, "{last:?} {stray:?}");
        }
    }
    assert_eq!(endpoint.requests().len(), CLOSING.len() * STRAY.len());
    proxy.assert_sound();
}

/// Larger than what the kernels hold for a client that reads less than they could send.
const LARGE: usize = 3_000_000;

/// Most of the reply still waits in the proxy's kernel when the proxy is done with it.
#[test]
fn a_large_last_reply_arrives_whole_at_a_slow_reader() {
    let gate = Gate::default();
    let of_script = gate.clone();
    let endpoint = Endpoint::new(move |caller| {
        caller.request();
        of_script.pass();
        caller.reply("GET", &"h".repeat(LARGE));
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    for (number, (last, stray)) in
        [(CLOSING[0], STRAY[0]), (CLOSING[1], STRAY[1])].into_iter().enumerate()
    {
        let mut client = Client::new(&proxy);
        client.socket.shrink_buffers(32 << 10);
        client.send(last);
        endpoint.until_requests(number + 1);
        client.send(stray);
        gate.open();
        let head = super::client_reads_up_to(&mut client, b"\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", head.escape_ascii());
        let mut read = 0;
        while read < LARGE {
            // Slow is the subject: in all, longer than the proxy lingers.
            std::thread::sleep(Duration::from_millis(30));
            read += client.read_exactly((64 << 10).min(LARGE - read)).len();
        }
        assert_ne!(client.end(), End::Open);
    }
    proxy.assert_sound();
}

/// A client that says all that it has to say and closes its direction still waits for the replies,
/// also where the endpoint takes its time.
#[test]
fn a_half_close_behind_pipelined_requests_costs_no_reply() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            std::thread::sleep(Duration::from_millis(300));
            caller.reply(request.method(), request.target());
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    let requests = (0..3).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.send(requests.collect::<String>());
    client.half_close();
    for n in 0..3 {
        let answer = client.response().unwrap_or_else(|broken| panic!("reply {n}: {broken:?}"));
        assert_eq!((answer.status(), answer.text()), (200, format!("/{n}")));
    }
    assert_eq!(client.end(), End::Closed);
    let log = proxy.until_log(3);
    assert!(log.iter().all(|line| line.get("reason").is_empty()), "{log:?}");
    proxy.assert_sound();
}
