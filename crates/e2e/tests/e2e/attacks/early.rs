//! Answers that come in the middle of a large upload: what the client still sends of it is a body,
//! and what follows is a request; neither is ever taken for the other, and both are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairwater_e2e::{Broken, Caller, Client, Directory, Endpoint, Proxy, Setup, until, until_some};

use super::{Gate, read_up_to};

/// Until an upload that nobody takes has come as far as it can. Nothing tells when that is.
const STUCK: Duration = Duration::from_millis(200);
/// For the proxy to read what was sent before the next comes.
const APART: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(3);
const REFUSAL: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";

/// Refuses the first upload in its middle, and reads what came of it only at the end.
fn refusing(gate: &Gate, taken: &Arc<AtomicUsize>) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    let (gate, taken) = (gate.clone(), Arc::clone(taken));
    move |caller| {
        if caller.number > 0 {
            return serve(caller);
        }
        read_up_to(caller, b"\r\n\r\n");
        gate.pass();
        caller.send(REFUSAL);
        gate.pass();
        taken.store(caller.read_to_end().0.len(), Ordering::SeqCst);
    }
}

fn serve(caller: &mut Caller) {
    while let Some(request) = caller.request() {
        caller.reply(request.method(), request.target());
    }
}

/// Sends so much of a body in small pieces, which fill the buffers of Unix sockets soonest.
fn send_pieces(client: &mut Client, len: usize) {
    let body = vec![b'x'; len];
    client.send_segments(&body.chunks(1024).collect::<Vec<_>>());
}

/// The request behind the upload has its own reply, or none because the connection has ended.
#[track_caller]
fn check_second(client: &mut Client, endpoint: &Endpoint, method: &str, name: &str) {
    client.socket.patience(PATIENCE).unwrap();
    match client.response_to(method) {
        Ok(answer) => {
            assert_eq!((answer.status(), answer.text()), (200, "/second".to_owned()), "{name}");
            assert_eq!(endpoint.requests().len(), 1, "{name}");
        }
        Err(Broken::Closed | Broken::Reset) => {}
        Err(broken) => panic!("{name}: the second request got {broken:?}"),
    }
    let requests = endpoint.requests();
    assert!(requests.iter().all(|request| request.target() == "/second"), "{name}: {requests:?}");
    assert_eq!(endpoint.errors(), Vec::<String>::new(), "{name}");
    assert!(endpoint.partial_requests().is_empty(), "{name}");
}

#[track_caller]
fn check_bytes(proxy: &Proxy, taken: usize, name: &str) {
    let line = until_some("the line of the upload", || {
        proxy.log().into_iter().find(|line| line.get("target") == "/upload")
    });
    assert!(line.number("bytes_in") >= taken as u64, "{name}: {taken} were taken, {line:?}");
}

/// An upload of `length` bytes is refused when all but the last thousand are under way. The client
/// finishes it, as a simple one does, and goes on with `second`.
#[track_caller]
fn check(name: &str, length: usize, second: &str) {
    let (directory, gate) = (Directory::new(), Gate::default());
    let taken = Arc::new(AtomicUsize::new(usize::MAX));
    let endpoint = Endpoint::on_unix(&directory.join("e.sock"), refusing(&gate, &taken));
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    send_pieces(&mut client, length - 1000);
    std::thread::sleep(STUCK);
    gate.open();
    assert_eq!(client.response_to("POST").unwrap().status(), 413, "{name}");
    send_pieces(&mut client, 1000);
    std::thread::sleep(APART);
    client.send(second);
    check_second(&mut client, &endpoint, second.split(' ').next().unwrap(), name);
    gate.open();
    drop(client);
    until("the end of the upload", || taken.load(Ordering::SeqCst) != usize::MAX);
    check_bytes(&proxy, taken.load(Ordering::SeqCst), name);
    proxy.assert_sound();
}

/// A request of this size in all, whose body ends with what looks like a request.
fn smuggling(size: usize) -> String {
    let evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    // Three or four digits, and the empty line.
    let body = size + evil.len() - head.len() - 8;
    format!("{head}{body}\r\n\r\n{}{evil}", "y".repeat(body - evil.len()))
}

#[test]
fn a_body_behind_a_refused_upload_is_not_taken_for_a_request() {
    for size in [1024, 2048, 3072, 4096] {
        check(&format!("a body of {size} bytes"), 160_000, &smuggling(size));
    }
}

#[test]
fn a_request_behind_a_refused_upload_is_not_taken_for_its_body() {
    let padding = "p".repeat(3000);
    let second = format!("GET /second HTTP/1.1\r\nHost: a\r\nX-Pad: {padding}\r\n\r\n");
    for length in [100_000, 160_000, 300_000, 1_000_000] {
        check(&format!("an upload of {length} bytes"), length, &second);
    }
}

/// The endpoint resets in the middle instead: the client gets 502 while parts of the upload are on
/// their way through the proxy.
#[test]
fn a_request_behind_a_failed_upload_is_not_taken_for_its_body() {
    let gate = Gate::default();
    let of_script = gate.clone();
    let endpoint = Endpoint::new(move |caller| {
        if caller.number > 0 {
            return serve(caller);
        }
        read_up_to(caller, b"\r\n\r\n");
        of_script.pass();
        caller.reset();
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 120000\r\n\r\n");
    send_pieces(&mut client, 80_000);
    std::thread::sleep(STUCK);
    gate.open();
    endpoint.until_closed(1);
    send_pieces(&mut client, 20_000);
    std::thread::sleep(APART);
    let padding = "p".repeat(15_000);
    let second = format!("GET /second HTTP/1.1\r\nHost: a\r\nX-Pad: {padding}\r\n\r\n");
    client.send("x".repeat(20_000) + &second);
    assert_eq!(client.response_to("PUT").unwrap().status(), 502);
    check_second(&mut client, &endpoint, "GET", "a reset");
    check_bytes(&proxy, 80_000, "a reset");
    proxy.assert_sound();
}
