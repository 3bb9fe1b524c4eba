//! Connections from the pool that die under a request or before it: a POST is never delivered
//! twice, whatever the kernels had acknowledged, and what is idempotent is served all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairwater_e2e::{Caller, Client, Directory, Endpoint, Setup};

use super::read_up_to;

/// Enough for the kernel of the endpoint to acknowledge late, together with what it sends.
const WARM: usize = 3;

/// What an endpoint does with the first `/pay` that it sees.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Reads all of it, then resets.
    Read,
    /// Reads its first line, then resets.
    Unread,
    /// Reads its first line, then closes over the rest.
    Closed,
}

const DEATHS: [Death; 3] = [Death::Read, Death::Unread, Death::Closed];

/// Answers everything but the first `/pay` that any of its kind sees, and counts those.
fn dying(
    death: Death,
    body: usize,
    paid: &Arc<AtomicUsize>,
) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    let paid = Arc::clone(paid);
    move |caller| {
        loop {
            let line = String::from_utf8(read_up_to(caller, b"\r\n")).unwrap();
            if line.is_empty() {
                return;
            }
            let is_payment = line.contains(" /pay ");
            let is_first = is_payment && paid.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first && !matches!(death, Death::Read) {
                if matches!(death, Death::Unread) {
                    caller.reset();
                }
                return;
            }
            read_up_to(caller, b"\r\n\r\n");
            if line.starts_with("POST") {
                caller.read_exactly(body);
            }
            if is_first {
                return caller.reset();
            }
            caller.reply("GET", "paid");
        }
    }
}

/// So many endpoints, on TCP or on Unix sockets.
fn endpoints_of<F>(count: usize, unix: Option<&Directory>, script: impl Fn() -> F) -> Vec<Endpoint>
where
    F: Fn(&mut Caller) + Send + Sync + 'static,
{
    let one = |number: usize| match unix {
        Some(directory) => Endpoint::on_unix(&directory.join(&format!("{number}.sock")), script()),
        None => Endpoint::new(script()),
    };
    (0..count).map(one).collect()
}

/// Fills the pool, then sends one `/pay` into it; gives its status and how often it was delivered.
fn pay(method: &str, death: Death, body: usize, count: usize, is_unix: bool) -> (u16, usize) {
    let directory = Directory::new();
    let paid = Arc::new(AtomicUsize::new(0));
    let unix = is_unix.then_some(&directory);
    let endpoints = endpoints_of(count, unix, || dying(death, body, &paid));
    let mut proxy = Setup::http(&endpoints.iter().collect::<Vec<_>>()).start();
    let mut client = Client::new(&proxy);
    for _ in 0..WARM * count {
        assert_eq!(client.get("/warm").status(), 200);
    }
    let length =
        if method == "POST" { format!("Content-Length: {body}\r\n") } else { String::new() };
    let body = if method == "POST" { "x".repeat(body) } else { String::new() };
    client.send(format!("{method} /pay HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}"));
    let status = client.response_to(method).unwrap().status();
    proxy.assert_sound();
    (status, paid.load(Ordering::SeqCst))
}

/// The endpoint has the request, or a part of it, and may have acted on it. That its kernel has not
/// acknowledged it yet proves nothing.
#[test]
fn a_post_is_delivered_once_however_its_connection_ends() {
    for death in DEATHS {
        for (body, count, is_unix) in
            [(4, 1, false), (2000, 1, false), (2000, 3, false), (4, 3, true), (2000, 1, true)]
        {
            let (status, delivered) = pay("POST", death, body, count, is_unix);
            assert_eq!(
                (status, delivered),
                (502, 1),
                "{death:?}, {body} bytes, {count} endpoints, on Unix sockets: {is_unix}"
            );
        }
    }
}

#[test]
fn a_get_whose_connection_ends_is_served_by_another() {
    for death in DEATHS {
        for (count, is_unix) in [(1, false), (3, false), (1, true), (3, true)] {
            let (status, delivered) = pay("GET", death, 0, count, is_unix);
            assert_eq!((status, delivered), (200, 2), "{death:?}, {count} endpoints, {is_unix}");
        }
    }
}

/// Closes or resets the first connection when it has become idle; the others serve.
fn forgetful(is_reset: bool) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    move |caller| {
        let is_first = caller.number == 0;
        let mut answered = 0;
        while !(is_first && answered == WARM) {
            let Some(request) = caller.request() else { return };
            caller.reply(request.method(), request.target());
            answered += 1;
        }
        if is_reset {
            caller.reset();
        }
    }
}

/// Nothing was sent into the dead connection, or nothing of it can have arrived.
#[test]
fn a_connection_that_ended_in_the_pool_costs_no_request() {
    for method in ["POST", "GET"] {
        for (is_reset, is_unix) in [(false, false), (true, false), (false, true)] {
            let directory = Directory::new();
            let unix = is_unix.then_some(&directory);
            let endpoints = endpoints_of(1, unix, || forgetful(is_reset));
            let mut proxy = Setup::http(&[&endpoints[0]]).start();
            let mut client = Client::new(&proxy);
            for _ in 0..WARM {
                client.get("/warm");
            }
            endpoints[0].until_closed(1);
            client
                .send(format!("{method} /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
            let answer = client.response_to(method).unwrap();
            assert_eq!((answer.status(), answer.text()), (200, "/pay".to_owned()), "{method}");
            let requests = endpoints[0].requests();
            assert_eq!(requests.iter().filter(|request| request.target() == "/pay").count(), 1);
            assert_eq!(endpoints[0].accepted(), 2);
            proxy.assert_sound();
        }
    }
}
