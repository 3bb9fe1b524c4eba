//! One message, one reply, and in which order.

use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint};

use super::{Messages, answering, framed, heard, setup};

#[test]
fn each_message_of_a_client_goes_to_the_next_endpoint() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let mut proxy = setup(&[&a, &b, &c]).start();
    let mut client = Client::new(&proxy);
    let who: String = (0..9).map(|n| client.ask(format!("{n}")).remove(0)).collect();
    assert!(["abcabcabc", "bcabcabca", "cabcabcab"].contains(&&*who), "{who}");
    client.half_close();
    assert_eq!(client.end(), End::Closed);
    let log = proxy.until_log(9);
    assert_eq!((log[0].get("protocol"), log[0].get("reason")), ("FRAMED", ""));
    assert_eq!((log[0].number("bytes_in"), log[0].number("bytes_out")), (5, 8));
    assert_eq!([a.accepted(), b.accepted(), c.accepted()], [1, 1, 1]);
    proxy.until_metric("fairwater_endpoint_in_flight", &[], 0);
    proxy.assert_sound();
}

#[test]
fn messages_come_whole_however_they_are_cut() {
    let endpoint = answering("e");
    let mut proxy = setup(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    // Byte by byte, and as many as there are in one.
    let bytes: Vec<[u8; 1]> = framed("slow").into_iter().map(|byte| [byte]).collect();
    client.send_segments(&bytes);
    assert_eq!(client.hear(), b"e0 slow");
    let many: Vec<u8> = (0..500).flat_map(|n| framed(format!("m{n}"))).collect();
    client.send(&many);
    for n in 0..500 {
        assert_eq!(client.hear(), format!("e0 m{n}").as_bytes());
    }
    // An empty one, the last one that is stored, the first one that is not, and larger ones.
    for len in [0, 65_531, 65_532, 65_533, 65_536, 200_000, 2_000_000] {
        let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        client.say(&body);
        let reply = client.hear();
        assert!(reply == [b"e0 ", &body[..]].concat(), "{len}: {}", reply.len());
    }
    assert_eq!(client.ask("small again"), "e0 small again");
    assert_eq!(endpoint.accepted(), 1);
    proxy.assert_sound();
}

#[test]
fn replies_come_in_the_order_of_the_messages() {
    // Those that come first take longest.
    let endpoint = || {
        Endpoint::new(|caller| {
            while let Some(body) = heard(caller) {
                let text = String::from_utf8(body.clone()).unwrap();
                let wait = 8 - text.parse::<u64>().unwrap() % 8;
                std::thread::sleep(Duration::from_millis(wait * 5));
                caller.send(framed(body));
            }
        })
    };
    let (a, b) = (endpoint(), endpoint());
    let mut proxy = setup(&[&a, &b]).listener("max_inflight = 8").start();
    let mut client = Client::new(&proxy);
    let many: Vec<u8> = (0..64).flat_map(|n| framed(n.to_string())).collect();
    client.send(&many);
    for n in 0..64 {
        assert_eq!(client.hear(), n.to_string().as_bytes());
    }
    assert!(a.accepted() + b.accepted() > 4, "{} {}", a.accepted(), b.accepted());
    proxy.assert_sound();
}

#[test]
fn a_client_that_closes_gets_its_last_replies() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(body) = heard(caller) {
            std::thread::sleep(Duration::from_millis(20));
            caller.send(framed(body));
        }
    });
    let mut proxy = setup(&[&endpoint]).listener("max_inflight = 4").start();
    let mut client = Client::new(&proxy);
    client.send([framed("a"), framed("b"), framed("c")].concat());
    client.half_close();
    let (bytes, end) = client.read_to_end();
    assert_eq!((bytes, end), ([framed("a"), framed("b"), framed("c")].concat(), End::Closed));
    assert_eq!(proxy.until_log(3).iter().filter(|line| line.get("reason").is_empty()).count(), 3);
    proxy.assert_sound();
}

#[test]
fn heartbeats_are_answered_here_and_in_order() {
    let endpoint = answering("e");
    let ping = "ping = { request = \"ping\", reply = \"pong\" }";
    let mut proxy = setup(&[&endpoint]).listener(ping).listener("max_inflight = 4").start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.ask("ping"), "pong");
    assert_eq!(endpoint.accepted(), 0);
    client.send([framed("x"), framed("ping"), framed("pings")].concat());
    let replies = [client.hear(), client.hear(), client.hear()];
    assert!(replies[0].ends_with(b" x") && replies[2].ends_with(b" pings"), "{replies:?}");
    assert_eq!(replies[1], b"pong");
    proxy.assert_sound();
}

#[test]
fn endpoints_are_told_whose_message_it_is() {
    let endpoint = answering("e");
    let mut proxy = setup(&[&endpoint]).listener("identity = \"address_and_port\"").start();
    let mut client = Client::new(&proxy);
    let port = client.port();
    assert_eq!(client.ask("hello"), format!("e0 127.0.0.1:{port} hello"));
    let body = "x".repeat(300_000);
    assert_eq!(client.ask(&body), format!("e0 127.0.0.1:{port} {body}"));
    proxy.assert_sound();
}

#[test]
fn messages_with_one_key_go_to_one_endpoint() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let proxy = setup(&[&a, &b, &c])
        .listener("key = { offset = 4, length = 3 }")
        .upstream("balance = \"key_hash\"")
        .start();
    let mut seen = std::collections::BTreeSet::new();
    for key in 0..40 {
        let mut client = Client::new(&proxy);
        let who: Vec<String> =
            (0..3).map(|n| client.ask(format!("k{key:02} {n}"))[..1].to_owned()).collect();
        assert!(who.iter().all(|one| *one == who[0]), "{key}: {who:?}");
        seen.insert(who[0].clone());
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn messages_without_replies_are_sent_and_done() {
    let counted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&counted);
    let counting = Endpoint::new(move |caller| {
        while heard(caller).is_some() {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let mut proxy =
        setup(&[&counting]).listener("mode = \"oneway\"").upstream("max_connections = 2").start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients {
        client.send((0..50).flat_map(|n| framed(format!("{n}"))).collect::<Vec<u8>>());
        client.say(vec![b'x'; 100_000]);
    }
    let done = || counted.load(std::sync::atomic::Ordering::Relaxed);
    fairwater_e2e::until("all messages", || done() == 20 * 51);
    assert!(counting.accepted() <= 2);
    for client in &mut clients {
        client.half_close();
        assert_eq!(client.end(), End::Closed);
    }
    assert_eq!(proxy.until_log(20 * 51).len(), 20 * 51);
    proxy.assert_sound();
}
