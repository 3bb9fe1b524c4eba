//! How many connections endpoints have, and who gets which.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Over, Proxy, Setup, until};

use super::{
    Messages, answering, ask_all, clients, framed, gated, hear_all, heard, say_all, setup,
};

/// Connections to all endpoints right now.
fn open(proxy: &Proxy) -> u64 {
    proxy.metric("fairwater_endpoint_connections", &[])
}

#[test]
fn many_clients_share_few_connections() {
    for (threads, pipeline) in [(1, 1), (2, 1), (1, 4), (2, 4)] {
        let endpoint = answering("e");
        let mut proxy = setup(&[&endpoint])
            .threads(threads)
            .listener(&format!("pipeline = {pipeline}"))
            .upstream("max_connections = 4")
            .start();
        let mut clients = clients(&proxy, 100);
        for round in 0..10 {
            say_all(&mut clients, &format!("{round}"));
            assert!(open(&proxy) <= 4);
            hear_all(&mut clients, &format!("{round}"));
        }
        // Threads give each other what they have too much of: that of a thousand messages a tenth
        // open a connection at most is what makes it cheap.
        let opened = proxy.metric("fairwater_endpoint_connects_total", &[]);
        let most = if threads == 1 { 4 } else { 100 };
        assert!((1..=most).contains(&opened), "{threads} threads: {opened}");
        assert_eq!(proxy.metric("fairwater_endpoint_unsolicited_total", &[]), 0);
        drop(clients);
        proxy.assert_sound();
    }
}

/// One connection, and clients on both threads: none waits for ever.
#[test]
fn threads_take_turns_with_one_connection() {
    let endpoint = answering("e");
    let proxy = setup(&[&endpoint]).threads(2).upstream("max_connections = 1").start();
    let mut clients = clients(&proxy, 8);
    for round in 0..5 {
        say_all(&mut clients, &format!("{round}"));
        assert!(open(&proxy) <= 1);
        hear_all(&mut clients, &format!("{round}"));
    }
}

/// With so many under way on one connection, no more are sent; the endpoint sees them all at once.
#[test]
fn a_pipeline_has_its_depth() {
    let (go, gate) = channel::<()>();
    let (gate, seen) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
    let of_script = Arc::clone(&seen);
    let endpoint = Endpoint::new(move |caller| {
        let (mut writing, gate) = (caller.socket.try_clone().unwrap(), Arc::clone(&gate));
        let (bodies, replies) = channel();
        std::thread::spawn(move || {
            gate.lock().unwrap().recv().ok();
            replies.iter().try_for_each(|body: Vec<u8>| writing.write_all(&framed(body)))
        });
        while let Some(body) = heard(caller) {
            of_script.fetch_add(1, Ordering::Relaxed);
            bodies.send(body).ok();
        }
    });
    let mut proxy =
        setup(&[&endpoint]).listener("pipeline = 3").upstream("max_connections = 1").start();
    let seen = || seen.load(Ordering::Relaxed);
    let mut clients = clients(&proxy, 7);
    say_all(&mut clients, "x");
    proxy.until_metric("fairwater_endpoint_in_flight", &[], 3);
    proxy.until_metric("fairwater_upstream_waiting", &[], 4);
    until("those that are under way to come", || seen() >= 3);
    assert_eq!(seen(), 3);
    drop(go);
    hear_all(&mut clients, "x");
    assert_eq!((endpoint.accepted(), seen()), (1, 7));
    proxy.assert_sound();
}

#[test]
fn a_limit_for_each_endpoint_holds() {
    let (a, b) = (answering("a"), answering("b"));
    let proxy = setup(&[&a, &b]).upstream("max_connections_per_endpoint = 2").start();
    let mut clients = clients(&proxy, 40);
    (0..5).for_each(|round| drop(ask_all(&mut clients, &format!("{round}"))));
    assert!(a.accepted() <= 2 && b.accepted() <= 2, "{} {}", a.accepted(), b.accepted());
    assert!(a.accepted() > 0 && b.accepted() > 0);
}

#[test]
fn connections_are_opened_ahead_and_kept() {
    let (a, b, clock) = (answering("a"), answering("b"), answering("clock"));
    let other = format!(
        "[listeners.other]\nprotocol = \"framed\"\nframe = \"swoole\"\nbind = \"127.0.0.1:0\"\n\
         upstream = \"other\"\n\
         [upstreams.other]\nendpoints = [{:?}]\nidle_timeout = \"100ms\"\n",
        clock.address
    );
    let proxy = setup(&[&a, &b])
        .upstream("min_connections = 3")
        .upstream("idle_timeout = \"100ms\"")
        .more(&other)
        .start();
    until("connections", || a.accepted() >= 3 && b.accepted() >= 3);
    // They outlive the idle timeout, by which another one that was used later has been closed.
    let mut client = Client::connect(&proxy.address_of("other"));
    for closed in 1..=2 {
        client.ask("x");
        clock.until_closed(closed);
    }
    assert_eq!((a.accepted(), a.closed(), b.accepted(), b.closed()), (3, 0, 3, 0));
    let mut client = Client::new(&proxy);
    client.ask("x");
    assert_eq!(a.accepted() + b.accepted(), 6);
}

#[test]
fn idle_connections_grow_old() {
    let endpoint = answering("e");
    let proxy = setup(&[&endpoint]).upstream("idle_timeout = \"100ms\"").start();
    let mut client = Client::new(&proxy);
    client.ask("x");
    endpoint.until_closed(1);
    assert_eq!(client.ask("y"), "e1 y");
    proxy.until_metric("fairwater_endpoint_connections", &[], 0);
}

#[test]
fn a_connection_has_so_many_messages() {
    let endpoint = answering("e");
    for pipeline in [1, 4] {
        let before = endpoint.accepted();
        let proxy = setup(&[&endpoint])
            .listener(&format!("pipeline = {pipeline}"))
            .upstream("max_requests = 3")
            .start();
        let mut client = Client::new(&proxy);
        (0..9).for_each(|n| assert!(client.ask(n.to_string()).ends_with(&n.to_string())));
        assert_eq!(endpoint.accepted() - before, 3);
    }
}

#[test]
fn a_connection_begins_with_a_greeting() {
    let endpoint = Endpoint::new(|caller| {
        if caller.read_exactly(5) == b"LOGIN" {
            caller.send("WELCOME");
            super::answer("e")(caller);
        }
    });
    let proxy = setup(&[&endpoint])
        .upstream("on_connect = { send = \"LOGIN\", expect = \"WELCOME\" }")
        .start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.ask("x"), "e0 x");
    assert_eq!(client.ask("y"), "e0 y");

    let refusing = Endpoint::new(|caller| {
        caller.read_exactly(5);
        caller.send("GO AWAY");
        caller.until_closed();
    });
    let proxy = setup(&[&refusing])
        .listener("on_error = \"Backend Error\"")
        .upstream("on_connect = { send = \"LOGIN\", expect = \"WELCOME\" }")
        .start();
    assert_eq!(Client::new(&proxy).ask("x"), "Backend Error");
    let log = proxy.until_log(1);
    assert_eq!((log[0].get("reason"), log[0].get("detail")), ("upstream_bad_reply", "greeting"));
}

#[test]
fn too_many_that_wait_are_told() {
    let (go, endpoint) = gated(|_| true);
    let proxy = setup(&[&endpoint])
        .listener("on_error = { full = \"busy\" }")
        .upstream("max_connections = 1")
        .upstream("max_queue = 1")
        .start();
    let mut clients = clients(&proxy, 3);
    clients[0].say("first");
    until("the first", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    clients[1].say("second");
    until("the second", || proxy.metric("fairwater_upstream_waiting", &[]) == 1);
    assert_eq!(clients[2].ask("third"), "busy");
    drop(go);
    assert_eq!(clients[0].hear(), b"first");
    assert_eq!(clients[1].hear(), b"second");
    assert_eq!(proxy.until_log(3)[0].get("detail"), "queue_full");
}

#[test]
fn who_waits_too_long_is_told() {
    let endpoint = Endpoint::new(|caller| {
        heard(caller);
        caller.until_closed();
    });
    let proxy = setup(&[&endpoint])
        .listener("on_error = { full = \"busy\" }")
        .upstream("max_connections = 1")
        .upstream("queue_timeout = \"200ms\"")
        .start();
    let mut first = Client::new(&proxy);
    first.say("first");
    until("the first", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    assert_eq!(Client::new(&proxy).ask("second"), "busy");
    let line = proxy.until_log(1).remove(0);
    assert_eq!((line.get("reason"), line.get("detail")), ("upstream_full", ""));
    assert!(line.number("total_us") >= 190_000, "{line:?}");
}

/// HTTP/1.1 is a protocol of messages, too.
#[test]
fn keep_alive_clients_share_few_connections() {
    for threads in [1, 2] {
        let endpoint = Endpoint::new(|caller| {
            while let Some(request) = caller.request() {
                std::thread::sleep(Duration::from_millis(1));
                caller.reply(request.method(), request.target());
            }
        });
        let mut proxy =
            Setup::http(&[&endpoint]).threads(threads).upstream("max_connections = 8").start();
        let clients = (0..16).map(|thread| {
            let mut clients = clients(&proxy, 12);
            std::thread::spawn(move || {
                for round in 0..5 {
                    for (n, client) in clients.iter_mut().enumerate() {
                        client
                            .send(format!("GET /{thread}/{n}/{round} HTTP/1.1\r\nhost: a\r\n\r\n"));
                    }
                    for (n, client) in clients.iter_mut().enumerate() {
                        let reply = client.response().unwrap();
                        assert_eq!(reply.text(), format!("/{thread}/{n}/{round}"));
                    }
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert!(open(&proxy) <= 8);
        // 960 requests: who waits takes over what comes free.
        let most = if threads == 1 { 8 } else { 100 };
        assert!(endpoint.accepted() <= most, "{threads} threads: {}", endpoint.accepted());
        proxy.assert_sound();
    }
}

/// Limits of messages under way, beside those of connections, over two threads.
#[test]
fn a_limit_of_messages_under_way_holds() {
    for threads in [1, 2] {
        let most = Arc::new(AtomicUsize::new(0));
        let (now, seen) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
        let endpoint = Endpoint::new(move |caller| {
            while let Some(body) = heard(caller) {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                caller.send(framed(body));
            }
        });
        let mut proxy = setup(&[&endpoint])
            .threads(threads)
            .upstream("max_concurrency = 3")
            .upstream("max_connections = 8")
            .start();
        let mut clients = clients(&proxy, 30);
        for round in 0..10 {
            say_all(&mut clients, &format!("{round}"));
            assert!(open(&proxy) <= 8);
            hear_all(&mut clients, &format!("{round}"));
        }
        assert_eq!(most.load(Ordering::SeqCst), 3);
        proxy.until_metric("fairwater_endpoint_in_flight", &[], 0);
        proxy.assert_sound();
    }
}

/// Fifty turns of the threads, which have the connection for 20 ms each.
const TURNS: Duration = Duration::from_secs(1);

/// Whichever thread has the connection: no client is kept from having it.
#[test]
fn a_busy_pipeline_gives_way_to_the_other_thread() {
    let endpoint = answering("e");
    let proxy = setup(&[&endpoint])
        .threads(2)
        .listener("pipeline = 8")
        .upstream("max_connections = 1")
        .start();
    let (is_over, counts) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 20]);
    let asked = || counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    let mut clients = clients(&proxy, counts.len());
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for (client, count) in clients.iter_mut().zip(&counts) {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    client.ask("x");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let begun = Instant::now();
        let is_enough = || begun.elapsed() > TURNS && asked().iter().sum::<usize>() >= 5000;
        until("many messages in many turns", is_enough);
    });
    // A tenth of what would be fair.
    let (counts, sum) = (asked(), asked().iter().sum::<usize>());
    assert!(counts.iter().all(|count| *count > sum / 200), "{counts:?}");
}
