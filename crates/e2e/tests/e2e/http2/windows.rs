//! Windows that grow for who sends much, and shrink when others come, but are never shut.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairwater_e2e::peer::python_with_h2;
use fairwater_e2e::{Endpoint, Peer, Setup, until};

const SCRIPT: &str = include_str!("windows.py");
/// Of `windows.py`: streams beside the first, and what is sent on all of them.
const OTHERS: usize = 8;
const ALL_BYTES: usize = (8400 + OTHERS * 300) * 1024;

/// Goes on when all that was sent has come, and waits for the rest.
#[track_caller]
fn check(sender: &mut Peer, got: &AtomicUsize, others: impl FnOnce()) {
    let sent: usize = sender.word("sent ").parse().unwrap();
    until("all of that", || got.load(Ordering::Relaxed) >= sent);
    sender.tell("go on");
    others();
    sender.word("done");
    until("all", || got.load(Ordering::Relaxed) >= ALL_BYTES);
    let left: i64 = sender.word("left ").parse().unwrap();
    assert!(left < 1024 * 1024, "the window has shrunk: {left}");
}

#[test]
fn a_client_that_has_sent_much_can_go_on_when_others_come() {
    let got = Arc::new(AtomicUsize::new(0));
    let of_script = Arc::clone(&got);
    let endpoint = Endpoint::new(move |caller| {
        while let len @ 1.. = caller.read_exactly(1024).len() {
            of_script.fetch_add(len, Ordering::Relaxed);
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let Some(mut command) = python_with_h2(SCRIPT) else { return };
    let mut client = Peer::start(command.arg(&proxy.address));
    check(&mut client, &got, || ());
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_has_sent_much_can_go_on_when_others_come() {
    let Some(mut command) = python_with_h2(SCRIPT) else { return };
    let mut endpoint = Peer::start(&mut command);
    let setup = Setup::of("http", &[&endpoint.word("listens on ")]);
    let mut proxy = setup.upstream("http2 = true").start();
    let got = AtomicUsize::new(0);
    let read = || {
        let mut stream = TcpStream::connect(&proxy.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut bytes = vec![0; 64 * 1024];
        while let len @ 1.. = stream.read(&mut bytes).unwrap() {
            got.fetch_add(len, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(read);
        check(&mut endpoint, &got, || {
            for _ in 0..OTHERS {
                scope.spawn(read);
            }
        });
    });
    proxy.assert_sound();
}
