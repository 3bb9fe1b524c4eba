//! Flows outlive reloads, upgrades, and sockets outlive workers.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Over, Responder, Sender, Setup, until};
use rustix::process::Signal;

use super::{address_with, name_of, setup};

/// The ports from which an endpoint was sent this.
fn ports(endpoint: &Responder, text: &str) -> HashSet<u16> {
    let seen = endpoint.seen();
    let of_text = seen.iter().filter(|(_, bytes)| bytes == text.as_bytes());
    of_text.map(|(from, _)| from.port()).collect()
}

#[test]
fn a_reload_keeps_flows() {
    let endpoint = Responder::named("a");
    let other = Responder::named("b");
    let mut proxy = setup(&[&endpoint]).threads(2).reloadable().start();
    let clients: Vec<_> = (0..20).map(|_| Sender::new(&proxy)).collect();
    let ask = |text| clients.iter().map(|client| client.ask_text(text)).collect::<Vec<_>>();
    ask("before");
    proxy.edit("[upstreams.app]", "[upstreams.app]\nslow_start = \"0s\"");
    proxy.edit("protocol = \"udp\"", "protocol = \"udp\"\nidle_timeout = \"70s\"");
    proxy.reload_well();
    ask("after");
    assert_eq!(ports(&endpoint, "before"), ports(&endpoint, "after"));
    assert_eq!(proxy.metric("fairwater_connections_total", &[]), 20);
    // Flows of an endpoint that is gone go to another.
    proxy.edit(&endpoint.address, &other.address);
    proxy.reload_well();
    until("the plan to be in force", || name_of(&clients[0].ask_text("x")) == "b");
    assert!(ask("moved").iter().all(|answer| answer == "b moved"));
    assert_eq!(ports(&other, "moved").len(), 20);
    proxy.assert_sound();
}

#[test]
fn an_address_comes_and_goes_with_a_reload() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).reloadable().start();
    let client = Sender::new(&proxy);
    assert_eq!(client.ask(b"x"), b"x");
    let more = "[\"127.0.0.1:0\", \"127.0.0.2:0\"]";
    proxy.edit("\"127.0.0.1:0\"", more);
    proxy.reload_well();
    let address = address_with(&proxy, "127.0.0.2");
    let second = Sender::from("127.0.0.1:0", address);
    assert_eq!((second.ask(b"y"), client.ask(b"y")), (b"y".to_vec(), b"y".to_vec()));
    proxy.edit(more, "\"127.0.0.1:0\"");
    proxy.reload_well();
    until("the address to be free", || UdpSocket::bind(address).is_ok());
    assert_eq!(client.ask(b"z"), b"z");
    proxy.assert_sound();
}

#[test]
fn an_upgrade_hands_flows_over() {
    let endpoint = Responder::named("a");
    let mut proxy = setup(&[&endpoint]).threads(2).upgradable().start();
    let clients: Vec<_> = (0..100).map(|_| Sender::new(&proxy)).collect();
    let ask = |text| clients.iter().for_each(|client| drop(client.ask_text(text)));
    ask("0");
    let before = ports(&endpoint, "0");
    assert_eq!(before.len(), 100);
    for step in ["1", "2"] {
        proxy.install_again();
        proxy.upgrade_whole();
        ask(step);
        assert_eq!(ports(&endpoint, step), before, "the same sockets go on");
        assert_eq!(proxy.metric("fairwater_connections_active", &[]), 100);
    }
    assert!(proxy.log().is_empty(), "they have not ended: {:?}", proxy.log());
    proxy.assert_sound();
}

#[test]
fn flows_that_move_are_none_that_come() {
    let endpoint = Responder::named("a");
    let mut proxy = setup(&[&endpoint])
        .listener("rate_limits = \"new\"")
        .more("[rate_limits.new]\ncounts = \"connections\"\nrate = \"100/h\"\nburst = 100")
        .upgradable()
        .start();
    let clients: Vec<_> = (0..20).map(|_| Sender::new(&proxy)).collect();
    clients.iter().for_each(|client| drop(client.ask_text("before")));
    proxy.edit("100/h\"\nburst = 100", "1/h\"\nburst = 1");
    proxy.install_again();
    proxy.upgrade_whole();
    clients.iter().for_each(|client| drop(client.ask_text("after")));
    assert_eq!(ports(&endpoint, "after"), ports(&endpoint, "before"));
    proxy.assert_sound();
}

#[test]
fn flows_whose_endpoint_is_gone_end_with_the_worker() {
    let (endpoint, other) = (Responder::named("a"), Responder::named("b"));
    let mut proxy = setup(&[&endpoint]).upgradable().start();
    let clients: Vec<_> = (0..20).map(|_| Sender::new(&proxy)).collect();
    clients.iter().for_each(|client| drop(client.ask_text("before")));
    proxy.edit(&endpoint.address, &other.address);
    proxy.install_again();
    proxy.upgrade_whole();
    let lines = proxy.until_log(20);
    assert!(lines.iter().all(|line| line.get("endpoint") == endpoint.address), "{lines:?}");
    assert!(lines.iter().all(|line| line.number("bytes_in") == 6), "{lines:?}");
    clients.iter().for_each(|client| assert_eq!(client.ask_text("after"), "b after"));
    proxy.assert_sound();
}

#[test]
fn a_listener_that_is_renamed_gives_replies_that_are_owed() {
    let endpoint = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let mut proxy = Setup::of("udp", &[&address]).reloadable().start();
    let client = Sender::new(&proxy);
    let heard = || endpoint.recv_from(&mut [0; 16]).unwrap().1;
    client.send(b"question");
    let before = heard();
    proxy.edit("[listeners.web]", "[listeners.renamed]");
    proxy.reload_well();
    let is_there = "fairwater_connections_active{listener=\"renamed\"}";
    until("the plan to be in force", || proxy.metrics().contains(is_there));
    endpoint.send_to(b"late", before).unwrap();
    assert_eq!(client.receive(), b"late");
    client.send(b"again");
    let after = heard();
    assert_ne!(before, after, "another flow");
    endpoint.send_to(b"soon", after).unwrap();
    assert_eq!(client.receive(), b"soon");
    proxy.assert_sound();
}

#[test]
fn no_datagram_is_lost_to_an_upgrade() {
    let endpoint = Responder::named("a");
    let proxy = setup(&[&endpoint]).threads(2).upgradable().start();
    let clients: Vec<_> = (0..8).map(|_| Sender::new(&proxy)).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, is_over) = (Over(&is_over), &is_over);
        let asking: Vec<_> = clients
            .iter()
            .map(|client| {
                scope.spawn(move || {
                    let mut count = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let text = format!("{count}");
                        assert_eq!(client.ask_text(&text), format!("a {text}"));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..2 {
            proxy.install_again();
            proxy.upgrade_whole();
        }
        drop(over);
        for asking in asking {
            assert!(asking.join().unwrap() > 10);
        }
    });
}

#[test]
fn what_comes_while_no_worker_is_there_waits_for_the_next() {
    let endpoint = Responder::echo();
    let proxy = setup(&[&endpoint]).threads(2).reloadable().start();
    let clients: Vec<_> = (0..10).map(|_| Sender::new(&proxy)).collect();
    clients.iter().for_each(|client| assert_eq!(client.ask(b"x"), b"x"));
    let old = proxy.worker_id();
    fairwater_e2e::proxy::halt(old);
    clients.iter().for_each(|client| client.send(b"while"));
    signal_to(old, Signal::KILL);
    for client in &clients {
        assert_eq!(client.receive(), b"while");
    }
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != old));
}

#[test]
fn a_stop_gives_replies_that_are_on_their_way() {
    let endpoint = Responder::start(|bytes| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        vec![bytes.to_vec()]
    });
    let mut proxy = setup(&[&endpoint]).start();
    let client = Sender::new(&proxy);
    client.send(b"late");
    until("it to have come", || !endpoint.seen().is_empty());
    proxy.signal(Signal::TERM);
    assert_eq!(client.receive(), b"late");
    assert!(proxy.until_ended().success());
}
