//! Endpoints and clients that fail, and what others notice of it: nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Caller, Client, Directory, Endpoint, Proxy, until, until_some};

use super::{
    ERRORS, Messages, answer, answering, ask_all, clients, framed, hear_all, heard, say_all, setup,
};

fn reason(proxy: &Proxy) -> String {
    proxy.until_log(1)[0].get("reason").to_owned()
}

#[test]
fn a_failed_message_is_answered_and_the_client_goes_on() {
    type Script = fn(&mut Caller);
    let scripts: [(Script, &str, &str); 5] = [
        (|caller| drop(heard(caller)), "gone", "upstream_empty_reply"),
        (
            |caller| {
                heard(caller);
                caller.reset();
            },
            "gone",
            "upstream_reset",
        ),
        (
            |caller| {
                heard(caller);
                caller.send(&framed("torn")[..6]);
            },
            "gone",
            "upstream_body_truncated",
        ),
        (
            |caller| {
                heard(caller);
                caller.send([0xff; 8]);
                caller.until_closed();
            },
            "gone",
            "upstream_bad_reply",
        ),
        (
            |caller| {
                heard(caller);
                caller.until_closed();
            },
            "late",
            "upstream_response_timeout",
        ),
    ];
    for pipeline in [1, 4] {
        for (script, text, reason) in scripts {
            let endpoint = Endpoint::new(script);
            let mut proxy = setup(&[&endpoint])
                .listener(ERRORS)
                .listener(&format!("pipeline = {pipeline}"))
                .upstream("response_timeout = \"200ms\"")
                .upstream("outlier = false")
                .start();
            let mut client = Client::new(&proxy);
            for _ in 0..3 {
                assert_eq!(client.ask("x"), text, "{reason}");
            }
            assert!(proxy.until_log(3).iter().all(|line| line.get("reason") == reason), "{reason}");
            proxy.until_metric("fairwater_endpoint_in_flight", &[], 0);
            proxy.assert_sound();
        }
    }
}

#[test]
fn without_a_text_the_connection_ends() {
    let endpoint = Endpoint::new(|caller| drop(heard(caller)));
    let mut proxy = setup(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.say("x");
    assert_ne!(client.end(), End::Open);
    assert_eq!(reason(&proxy), "upstream_empty_reply");
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_takes_nothing_is_late() {
    let (directory, (over, gate)) = (Directory::new(), std::sync::mpsc::channel::<()>());
    let gate = std::sync::Mutex::new(gate);
    let _endpoint = Endpoint::on_unix(&directory.join("e.sock"), move |_| {
        gate.lock().unwrap().recv().ok();
    });
    let endpoint = format!("\"unix:{}\"", directory.join("e.sock").display());
    let mut proxy = setup(&[])
        .endpoints(&endpoint)
        .listener(ERRORS)
        .upstream("response_timeout = \"100ms\"")
        .start();
    let mut client = Client::new(&proxy);
    client.say(vec![b'x'; 1_900_000]);
    assert_eq!(client.hear(), b"late");
    assert_eq!(reason(&proxy), "upstream_upload_stalled");
    proxy.assert_sound();
    drop(over);
}

#[test]
fn an_endpoint_that_refuses_is_down() {
    let mut proxy = setup(&[]).endpoints("\"127.0.0.1:1\"").listener(ERRORS).start();
    assert_eq!(Client::new(&proxy).ask("x"), "down");
    assert_eq!(reason(&proxy), "upstream_connect_refused");
    proxy.assert_sound();
}

/// The message that it is sending meanwhile has nothing to do with it.
#[test]
fn a_client_learns_of_a_failure_while_it_sends() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(body) = heard(caller) {
            if body == b"die" {
                return;
            }
            caller.send(framed(&body[..4]));
        }
    });
    let proxy = setup(&[&endpoint]).listener(ERRORS).listener("max_inflight = 2").start();
    let mut client = Client::new(&proxy);
    let long = framed([b'x'; 200_000]);
    client.send([&framed("die"), &long[..100_000]].concat());
    assert_eq!(client.hear(), b"gone");
    client.send(&long[100_000..]);
    assert_eq!(client.hear(), b"xxxx");
}

/// What was not delivered goes to another endpoint, and nobody notices.
#[test]
fn what_no_endpoint_has_got_goes_elsewhere() {
    let good = answering("good");
    let mut proxy = setup(&[&good]).endpoints(&format!("\"127.0.0.1:1\", {:?}", good.address));
    proxy = proxy.upstream("outlier = false");
    let mut proxy = proxy.start();
    let mut client = Client::new(&proxy);
    for n in 0..6 {
        assert!(client.ask(n.to_string()).ends_with(&format!(" {n}")));
    }
    assert!(proxy.until_log(6).iter().any(|line| line.number("attempts") == 2));
    proxy.assert_sound();
}

/// An endpoint closes each connection behind its third reply.
#[test]
fn connections_that_were_closed_meanwhile_cost_nothing() {
    let endpoint = Endpoint::new(|caller| {
        for _ in 0..3 {
            let Some(body) = heard(caller) else { return };
            caller.send(framed(body));
        }
    });
    let mut proxy = setup(&[&endpoint]).listener(ERRORS).start();
    let mut client = Client::new(&proxy);
    for n in 0..60 {
        let reply = client.ask(n.to_string());
        assert_eq!(reply, n.to_string(), "{:?}", proxy.until_log(n + 1).last());
        endpoint.until_closed((n + 1) / 3);
    }
    assert_eq!(endpoint.accepted(), 20);
    proxy.assert_sound();
}

/// A message that an endpoint may have seen is sent again only if that is allowed.
#[test]
fn what_may_be_sent_twice_is_sent_again() {
    for is_allowed in [false, true] {
        let count = AtomicUsize::new(0);
        let failing = Endpoint::new(move |caller| {
            while let Some(body) = heard(caller) {
                if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                    return;
                }
                caller.send(framed(body));
            }
        });
        let good = answering("good");
        let proxy = setup(&[&failing, &good])
            .listener(ERRORS)
            .upstream(&format!("retry_unsafe = {is_allowed}"))
            .start();
        let mut client = Client::new(&proxy);
        let mut failed = 0;
        for n in 0..8 {
            let reply = client.ask(n.to_string());
            let is_own = reply == n.to_string() || reply == format!("good0 {n}");
            assert!(is_own || reply == "gone", "{reply}");
            failed += usize::from(!is_own);
        }
        assert_eq!(failed > 0, !is_allowed, "{failed}");
    }
}

/// A late reply, or one that nobody has asked for, reaches nobody.
#[test]
fn what_comes_late_is_nobodys() {
    for pipeline in [1, 4] {
        let endpoint = Endpoint::new(|caller| {
            while let Some(body) = heard(caller) {
                if body.starts_with(b"slow") {
                    std::thread::sleep(Duration::from_millis(500));
                }
                caller.send(framed(&body));
            }
        });
        let mut proxy = setup(&[&endpoint])
            .listener(ERRORS)
            .listener(&format!("pipeline = {pipeline}"))
            .upstream("response_timeout = \"250ms\"")
            .upstream("outlier = false")
            .upstream("max_connections = 2")
            .start();
        let mut clients = clients(&proxy, 6);
        let (mut own, mut late) = (0, 0);
        for round in 0..4 {
            for (n, client) in clients.iter_mut().enumerate() {
                let kind = if (n + round) % 3 == 0 { "slow" } else { "fast" };
                client.say(format!("{kind} {round} of {n}"));
            }
            for (n, client) in clients.iter_mut().enumerate() {
                let reply = String::from_utf8(client.hear()).unwrap();
                let is_own = reply.ends_with(&format!(" {round} of {n}"));
                assert!(is_own || reply == "late" || reply == "busy", "{reply}");
                own += usize::from(is_own);
                late += usize::from(reply == "late");
            }
        }
        assert!(own > 0 && late > 0, "{pipeline}: {own} own, {late} late");
        proxy.assert_sound();
    }
}

/// Right behind a reply, and some time later.
#[test]
fn what_nobody_has_asked_for_closes_the_connection() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(body) = heard(caller) {
            match &body[..] {
                b"glued" => {
                    caller.send([framed(&body), framed("secret")].concat());
                }
                b"later" => {
                    caller.send(framed(&body));
                    gate.lock().unwrap().recv().ok();
                    caller.send(framed("secret"));
                }
                _ => {
                    caller.send(framed(&body));
                }
            }
        }
    });
    let mut proxy = setup(&[&endpoint]).upstream("max_connections = 1").start();
    let [mut first, mut second] = [(); 2].map(|()| Client::new(&proxy));
    for (n, kind) in ["glued", "later"].into_iter().enumerate() {
        assert_eq!(first.ask(kind), kind);
        if kind == "later" {
            go.send(()).unwrap();
        }
        proxy.until_metric("fairwater_endpoint_unsolicited_total", &[], n as u64 + 1);
        endpoint.until_closed(n + 1);
        assert_eq!(second.ask("mine"), "mine");
    }
    assert_eq!(endpoint.accepted(), 3);
    proxy.assert_sound();
}

/// The reply comes before the message is there: it is given out, and nothing else that was on the
/// way is mixed up.
#[test]
fn an_early_reply_ends_both_connections() {
    let endpoint = Endpoint::new(|caller| {
        let length = caller.read_exactly(1000);
        assert_eq!(length.len(), 1000);
        caller.send(framed("enough"));
        caller.until_closed();
    });
    let mut proxy = setup(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send(1_000_000_u32.to_be_bytes());
    client.send(vec![b'x'; 100_000]);
    assert_eq!(client.hear(), b"enough");
    // However much of the rest it sends.
    client.send(vec![b'x'; 900_000]);
    assert_ne!(client.end(), End::Open);
    until("no connection to be left", || proxy.metric("fairwater_endpoint_connections", &[]) == 0);
    proxy.assert_sound();
}

/// A client goes in the middle of its message, and of its reply.
#[test]
fn clients_that_go_take_nothing_along() {
    for pipeline in [1, 4] {
        let endpoint = Endpoint::new(|caller| {
            while let Some(body) = heard(caller) {
                std::thread::sleep(Duration::from_millis(2));
                let len = if body.starts_with(b"much") { 500_000 } else { body.len() };
                let mut reply = body;
                reply.resize(len, b'.');
                if !caller.send(framed(reply)) {
                    return;
                }
            }
        });
        let mut proxy = setup(&[&endpoint])
            .listener(&format!("pipeline = {pipeline}"))
            .upstream("max_connections = 2")
            .start();
        let mut steady = clients(&proxy, 4);
        for round in 0..40 {
            say_all(&mut steady, &format!("{round}"));
            let mut going = Client::new(&proxy);
            match round % 4 {
                0 => going.send(&framed("half a message")[..9]),
                1 => {
                    going.send(500_000_u32.to_be_bytes());
                    going.send(vec![b'y'; 200_000]);
                }
                2 => going.say("whole"),
                _ => {
                    going.say("much");
                    going.read_exactly(10);
                }
            }
            if round % 8 < 4 {
                going.reset()
            } else {
                drop(going)
            }
            hear_all(&mut steady, &format!("{round}"));
        }
        drop(steady);
        proxy.assert_sound();
    }
}

/// An endpoint dies with messages under way, and comes back.
#[test]
fn an_endpoint_that_dies_is_not_missed() {
    let (steady, dying) = (answering("steady"), answering("dying"));
    let address = dying.address.clone();
    let proxy = setup(&[&steady, &dying])
        .listener(ERRORS)
        .upstream("retry_unsafe = true")
        .upstream("max_connections = 4")
        .start();
    let mut clients = clients(&proxy, 20);
    let mut is_asked = |round: usize| {
        let replies = ask_all(&mut clients, &format!("{round}"));
        replies.iter().any(|reply| reply.starts_with("dying"))
    };
    assert!((0..5).any(&mut is_asked));
    drop(dying);
    (5..15).for_each(|round| assert!(!is_asked(round)));
    let back = Endpoint::at(&address, answer("dying"));
    let mut round = 15;
    until("the endpoint to be asked again", || {
        round += 1;
        is_asked(round)
    });
    drop(back);
}

#[test]
fn slow_clients_are_given_up() {
    let endpoint = answering("e");
    let proxy = setup(&[&endpoint])
        .listener("frame_timeout = \"200ms\"")
        .listener("idle_timeout = \"600ms\"")
        .start();
    let [mut half, mut idle, mut busy] = [(); 3].map(|()| Client::new(&proxy));
    half.send(&framed("half")[..6]);
    // One that goes on asking is there when the others have gone.
    let mut until_given_up = |client: &mut Client, reason: &str| {
        let line = until_some(reason, || {
            busy.ask("x");
            let port = u64::from(client.port());
            proxy.log().into_iter().find(|line| line.number("client_port") == port)
        });
        assert_eq!(line.get("reason"), reason);
        assert_eq!(client.end(), End::Closed);
        line.number("bytes_in")
    };
    assert_eq!(until_given_up(&mut half, "frame_timeout"), 6);
    assert_eq!(until_given_up(&mut idle, "idle_timeout"), 0);
    assert_eq!(busy.ask("y"), "e0 y");
}

/// What the endpoint has sent is not taken.
#[test]
fn a_client_that_reads_nothing_holds_up_nobody() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(body) = heard(caller) {
            let reply = if body == b"much" { vec![b'.'; 20_000_000] } else { body };
            if !caller.send(framed(reply)) {
                return;
            }
        }
    });
    let proxy = setup(&[&endpoint])
        .listener("body_timeout = \"300ms\"")
        .listener("reply_frame = { length = \"u32be\", max = \"32MiB\" }")
        .upstream("max_connections = 2")
        .start();
    let [mut lazy, mut other] = [(); 2].map(|()| Client::new(&proxy));
    let mut ask_some = || (0..20).for_each(|n| assert_eq!(other.ask(n.to_string()), n.to_string()));
    ask_some();
    assert_eq!(lazy.ask("little"), "little");
    let before = proxy.resident();
    lazy.say("much");
    until("the lazy one to be given up", || {
        ask_some();
        let risen = proxy.resident().saturating_sub(before);
        assert!(risen < 2 * 1024 * 1024, "{risen}");
        proxy.log().iter().any(|line| line.get("reason") == "client_stalled")
    });
    ask_some();
}

/// What goes elsewhere goes at once.
#[test]
fn a_second_try_does_not_wait() {
    let closing = Endpoint::new(|caller| drop(heard(caller)));
    let good = answering("good");
    let proxy = setup(&[&closing, &good])
        .listener(ERRORS)
        .upstream("retry_unsafe = true")
        .upstream("outlier = false")
        .start();
    let begun = std::time::Instant::now();
    let mut client = Client::new(&proxy);
    for n in 0..20 {
        assert!(client.ask(n.to_string()).ends_with(&format!(" {n}")));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(proxy.until_log(20).iter().any(|line| line.number("attempts") == 2));
}
