//! What was found by somebody who wanted to break it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::wait::PATIENCE;
use fairwater_e2e::{Client, Endpoint, until, until_some};
use rustix::process::Signal;

use super::{Messages, answering, ask_all, clients, framed, gated, heard, setup};

/// Messages that wait for a connection, with nothing to wait for at the limit of messages.
#[test]
fn a_limit_of_messages_alone_lets_them_through() {
    for limit in ["max_concurrency = 10", "max_concurrency = 1"] {
        let endpoint = answering("e");
        let mut proxy = setup(&[&endpoint]).upstream(limit).start();
        ask_all(&mut clients(&proxy, 4), "x");
        proxy.assert_sound();
    }
}

/// The rest of a reply is missing, while its client has not taken the beginning.
#[test]
fn a_reply_that_is_lost_behind_a_slow_reader_holds_up_nobody() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(body) = heard(caller) {
            if body == b"torn" {
                caller.send(20_000_000_u32.to_be_bytes());
                caller.send(vec![b'.'; 6_000_000]);
                return;
            }
            caller.send(framed(body));
        }
    });
    let mut proxy = setup(&[&endpoint])
        .listener("reply_frame = { length = \"u32be\", max = \"32MiB\" }")
        .listener("body_timeout = \"1s\"")
        .start();
    let [mut slow, mut other] = [(); 2].map(|()| Client::new(&proxy));
    slow.say("torn");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        slow.read_exactly(10_000);
        assert_eq!(other.ask("x"), "x");
        std::thread::sleep(Duration::from_millis(50));
    }
    // An end in order would pass for that of the reply.
    assert_eq!(slow.read_to_end().1, End::Reset);
    let port = u64::from(slow.port());
    let line = until_some("its line", || {
        proxy.log().into_iter().find(|line| line.number("client_port") == port)
    });
    assert_eq!(line.get("reason"), "upstream_body_truncated", "{line:?}");
    assert_eq!(other.ask("y"), "y");
    proxy.assert_sound();
}

/// What is answered here takes turns with what others do.
#[test]
fn a_flood_of_heartbeats_holds_up_nobody() {
    let endpoint = answering("e");
    let proxy = setup(&[&endpoint])
        .listener("ping = { request = { hex = \"00000000\" }, reply = { hex = \"00000000\" } }")
        .start();
    let mut other = Client::new(&proxy);
    other.ask("x");
    let piece = [0; 64 * 1024];
    let counts = [const { AtomicUsize::new(0) }; 4];
    let sent = || counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    let mut floods = clients(&proxy, counts.len());
    std::thread::scope(|scope| {
        for (client, count) in floods.iter_mut().zip(&counts) {
            // It reads nothing, and goes when it is given up.
            scope.spawn(move || {
                while count.fetch_add(1, Ordering::Relaxed) < 64 && client.try_send(&piece).is_ok()
                {
                }
            });
        }
        until("each to have sent some", || sent().iter().all(|count| *count > 1));
        let (mut before, mut asked) = ([0; 4], 0);
        while asked < 20 || before != sent() {
            before = sent();
            let begun = Instant::now();
            other.ask("x");
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            asked += 1;
        }
        proxy.signal(Signal::INT);
    });
}

#[test]
fn messages_without_replies_need_one_connection() {
    let endpoint = Endpoint::new(|caller| while heard(caller).is_some() {});
    let proxy = setup(&[&endpoint]).listener("mode = \"oneway\"").start();
    let mut client = Client::new(&proxy);
    for n in 0..400 {
        client.say(n.to_string());
        if n % 50 == 0 {
            proxy.until_log(n + 1);
        }
    }
    proxy.until_log(400);
    assert_eq!(endpoint.accepted(), 1);
}

#[test]
fn a_lower_limit_is_kept_to() {
    let endpoint = answering("e");
    let proxy =
        setup(&[&endpoint]).reloadable().upstream("max_connections = 8 # the limit").start();
    let mut clients = clients(&proxy, 16);
    ask_all(&mut clients, "x");
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 8);
    for (before, after) in [(8, 2), (2, 1)] {
        let line = |limit: u64| format!("max_connections = {limit} # the limit");
        proxy.edit(&line(before), &line(after));
        proxy.reload_well();
        until("connections to be closed", || {
            ask_all(&mut clients, "x");
            proxy.metric("fairwater_endpoint_connections", &[]) <= after
        });
    }
}

/// However many messages a client may have under way.
#[test]
fn a_stop_is_noticed_behind_the_last_reply() {
    for in_flight in [1, 4] {
        let (go, endpoint) = gated(|_| true);
        let mut proxy =
            setup(&[&endpoint]).listener(&format!("max_inflight = {in_flight}")).start();
        let [mut client, mut idle] = [(); 2].map(|()| Client::new(&proxy));
        client.say("x");
        until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
        proxy.signal(Signal::TERM);
        assert_eq!(idle.end(), End::Closed);
        let begun = Instant::now();
        go.send(()).unwrap();
        assert_eq!(client.read_to_end(), (framed("x"), End::Closed));
        assert!(proxy.until_ended().success());
        // Not only since all have to go some time.
        assert!(begun.elapsed() < PATIENCE, "{in_flight}");
    }
}

/// Messages that are bound to an endpoint do not wait behind those that are bound to another.
#[test]
fn an_endpoint_that_is_free_is_asked() {
    let (go, a) = gated(|body| body.ends_with(b"waits"));
    let b = answering("b");
    let proxy = setup(&[&a, &b])
        .listener("key = { offset = 4, length = 2 }")
        .upstream("balance = \"key_hash\"")
        .upstream("max_connections_per_endpoint = 1")
        .start();
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for (n, mut client) in clients(&proxy, 20).into_iter().enumerate() {
        let reply = client.ask(format!("{n:02} goes"));
        if reply.starts_with('b') { &mut of_b } else { &mut of_a }.push((n, client));
    }
    of_a.iter_mut().for_each(|(n, client)| client.say(format!("{n:02} waits")));
    let others = of_a.len() as u64 - 1;
    proxy.until_metric("fairwater_upstream_waiting", &[], others);
    for (n, client) in &mut of_b {
        assert_eq!(client.ask(format!("{n:02} waits")), format!("b0 {n:02} waits"));
    }
    assert_eq!(proxy.metric("fairwater_upstream_waiting", &[]), others);
    assert!(others > 0 && !of_b.is_empty(), "{others} {}", of_b.len());
    drop(go);
    for (n, client) in &mut of_a {
        assert_eq!(client.hear(), format!("{n:02} waits").as_bytes());
    }
    assert_eq!((a.accepted(), b.accepted()), (1, 1));
}

/// With `abort` an endpoint notices that nobody waits any more.
#[test]
fn endpoints_notice_clients_that_give_up() {
    for (in_flight, resets) in [(1, false), (1, true), (4, false), (4, true)] {
        let (gone, went) = std::sync::mpsc::channel();
        let gone = std::sync::Mutex::new(gone);
        let endpoint = Endpoint::new(move |caller| {
            heard(caller);
            caller.until_closed();
            gone.lock().unwrap().send(()).unwrap();
        });
        let proxy = setup(&[&endpoint])
            .listener("on_client_close = \"abort\"")
            .listener(&format!("max_inflight = {in_flight}"))
            .start();
        let mut client = Client::new(&proxy);
        client.say("x");
        until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
        if resets {
            client.reset()
        } else {
            drop(client)
        }
        went.recv_timeout(PATIENCE).unwrap();
        assert_eq!(proxy.until_log(1)[0].get("reason"), "client_aborted");
    }
}
