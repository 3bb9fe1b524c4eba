//! Tunnels over HTTP/2 beside reloads and upgrades: they go on in the process that they began in.

use std::fs;

use fairwater_e2e::{Client, Endpoint, Peer, Proxy, Setup, until};
use rustix::process::Signal;

use super::streams::{ASK, client, data, endpoint, hex, switch};

/// Says something over a stream, and has it back.
#[track_caller]
fn echoes(client: &mut Peer, text: &[u8]) {
    let before = data(client).len();
    client.tell(&format!("send {}", hex(text)));
    until("all back", || data(client).len() - before >= text.len() * 2);
    assert!(data(client)[before..] == hex(text));
}

/// What becomes of a tunnel: `step` is done while it is there and says something over it.
#[track_caller]
fn check(proxy: &Proxy, mut step: impl FnMut()) {
    let first = proxy.worker_id();
    step();
    for _ in 0..3 {
        proxy.reload_well();
        step();
    }
    assert_eq!(proxy.worker_ids(), [first]);
    for _ in 0..2 {
        proxy.upgrade_well();
        step();
    }
    assert!(proxy.worker_ids().contains(&first), "the first worker has the tunnel");
}

#[track_caller]
fn until_gone(worker: u32) {
    until("the first worker to end", || !fs::exists(format!("/proc/{worker}")).unwrap());
}

#[test]
fn a_stream_of_a_client_lasts() {
    let echo = Endpoint::new(|caller| {
        switch(caller);
        while let [byte] = *caller.read_exactly(1) {
            caller.send([byte]);
        }
    });
    let proxy = Setup::http(&[&echo]).listener("http2 = true").upgradable().start();
    let Some(mut one) = client(&proxy) else { return };
    let worker = proxy.worker_id();
    one.tell("open /chat websocket");
    one.word("head ");
    check(&proxy, || echoes(&mut one, b"still here"));
    // The client was told to begin nothing further over its connection.
    one.word("goaway 0");
    let mut other = client(&proxy).unwrap();
    other.tell("open /chat websocket");
    other.word("head ");
    echoes(&mut other, b"anew");
    one.tell("end");
    one.word("end");
    until_gone(worker);
    echoes(&mut other, b"still here");
    let line = &proxy.until_log(1)[0];
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (60, 60));
    assert_eq!(line.get("reason"), "");
}

#[test]
fn a_stream_to_an_endpoint_lasts() {
    let Some((mut streams, address)) = endpoint(&[]) else { return };
    let setup = Setup::of("http", &[&address]).upstream("http2 = true");
    let proxy = setup.upgradable().start();
    let mut one = Client::new(&proxy);
    let worker = proxy.worker_id();
    one.send(ASK);
    streams.word("asked ");
    streams.tell("answer 200");
    let status = one.response().unwrap().status();
    assert!(status == 101, "{status}: {:?}", proxy.until_log(1));
    let mut count = 0;
    check(&proxy, || {
        count += 1;
        one.send(b"still");
        streams.until_said("data ", count);
        streams.tell(&format!("send {}", hex(b"here")));
        assert_eq!(one.read_exactly(4), b"here");
    });
    assert_eq!(data(&streams), hex(b"still").repeat(6));
    drop(one);
    streams.word("end");
    streams.tell("end");
    until_gone(worker);
    let line = &proxy.until_log(1)[0];
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (30, 24));
}

/// Who is told to stop waits for a tunnel no longer than it is said, and for the idle not at all.
#[test]
fn tunnels_end_with_the_time_of_the_drain() {
    let echo = Endpoint::new(|caller| {
        switch(caller);
        caller.until_closed();
    });
    let setup = Setup::http(&[&echo]).listener("http2 = true").top("drain_timeout = \"500ms\"");
    let mut proxy = setup.start();
    let (Some(mut one), Some(idle)) = (client(&proxy), client(&proxy)) else { return };
    one.tell("open /chat websocket");
    one.word("head ");
    proxy.signal(Signal::TERM);
    idle.word("goaway 0");
    idle.word("closed");
    assert!(!one.said().contains("closed"));
    one.word("closed");
    echo.until_closed(1);
    assert!(proxy.until_ended().success());
    assert_eq!(proxy.until_log(1)[0].get("reason"), "stopped");
}
