//! What datagrams cannot do: fill the process, or have it send more than it was sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fairwater_e2e::datagrams::target;
use fairwater_e2e::{Responder, Sender, until};
use socket2::{Domain, Protocol, Socket, Type};

use super::{address_with, dropped, setup};

/// So many, of as many addresses.
const SPOOFED: u32 = 20_000;
const FLOWS_MAX: u64 = 500;

fn spoofed(number: u32) -> IpAddr {
    Ipv4Addr::from(0x7f10_0000 + number).into()
}

#[test]
fn a_flood_of_clients_fills_no_more_than_the_table() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint])
        .listener(&format!("max_flows = {FLOWS_MAX}"))
        .log("format = \"off\"")
        .threads(2)
        .start();
    let before = proxy.descriptors();
    let steady = Sender::new(&proxy);
    assert_eq!(steady.ask(b"first"), b"first");
    let active = || proxy.metric("fairwater_connections_active", &[]);
    for number in 0..SPOOFED {
        let client = Sender::from(&SocketAddr::new(spoofed(number), 0).to_string(), target(&proxy));
        client.send(b"flood");
        if number % 1_000 == 999 {
            // Each of its clients is gone by now; who stays is served all along.
            steady.ask_until_echoed(format!("steady {number}").as_bytes());
            assert!(active() <= 2 * FLOWS_MAX, "{}", active());
            assert!(proxy.descriptors() <= before + 2 * FLOWS_MAX as usize + 16);
        }
    }
    let count = |name| proxy.metric(name, &[]);
    until("most of it to be taken", || {
        // What the kernel has dropped before nobody has counted.
        count("fairwater_datagrams_received_total") > u64::from(SPOOFED) / 2
    });
    let evicted = || proxy.metric("fairwater_faults_total", &["reason=\"flow_evicted\""]);
    until("each flow to be there, or evicted", || {
        evicted() > 0 && evicted() + active() == count("fairwater_connections_total")
    });
    steady.ask_until_echoed(b"last");
    let sent = count("fairwater_datagrams_sent_total") as usize;
    assert!(sent <= endpoint.sent(), "{sent} replies of {}", endpoint.sent());
    proxy.assert_sound();
}

#[test]
fn flows_of_all_addresses_leave_half_of_the_process_to_others() {
    const PROCESS_MAX: u64 = 64;
    let endpoint = Responder::echo();
    let more = "[listeners.more]\nprotocol = \"udp\"\nbind = [\"127.0.0.2:0\", \"127.0.0.3:0\"]\n\
                upstream = \"app\"";
    let mut proxy = setup(&[&endpoint])
        .top(&format!("max_connections = {PROCESS_MAX}"))
        .log("format = \"off\"")
        .more(more)
        .start();
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|ip| address_with(&proxy, ip));
    let active = || proxy.metric("fairwater_connections_active", &[]);
    for (round, address) in addresses.iter().cycle().take(6).enumerate() {
        for number in 0..100 {
            let from = SocketAddr::new(spoofed(round as u32 * 100 + number), 0).to_string();
            Sender::from(&from, *address).send(b"flood");
        }
        // Whoever floods, others find room.
        for address in &addresses {
            Sender::from("127.0.0.1:0", *address).ask_until_echoed(b"steady");
        }
        assert!(active() <= PROCESS_MAX / 2, "{} in round {round}", active());
    }
    assert!(active() > PROCESS_MAX / 4, "{}", active());
    proxy.assert_sound();
}

#[test]
fn a_client_has_no_more_flows_than_it_may() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).listener("max_connections_per_client = 2").start();
    let clients = [(); 3].map(|()| Sender::new(&proxy));
    assert_eq!(clients[0].ask(b"x"), b"x");
    assert_eq!(clients[1].ask(b"x"), b"x");
    clients[2].send(b"x");
    until("it to be dropped", || dropped(&proxy, "rate_limited") == 1);
    assert_eq!(clients[0].ask(b"y"), b"y");
    let other = Sender::from("127.0.0.2:0", target(&proxy));
    assert_eq!(other.ask(b"x"), b"x");
    assert!(clients[2].has_nothing());
    proxy.assert_sound();
}

#[test]
fn replies_beyond_those_that_are_due_go_nowhere() {
    let endpoint = Responder::start(|bytes| vec![bytes.to_vec(); 4]);
    let mut proxy = setup(&[&endpoint]).listener("max_replies = 2").start();
    let client = Sender::new(&proxy);
    for text in [b"a", b"b", b"c"] {
        assert_eq!((client.ask(text), client.receive()), (text.to_vec(), text.to_vec()));
    }
    until("all replies to be made", || endpoint.sent() == 12);
    // A flow ends with the last one that it owes, and so does what comes behind.
    let lines = proxy.until_log(3);
    assert!(lines.iter().all(|line| line.number("bytes_out") == 2), "{lines:?}");
    proxy.until_metric("fairwater_connections_active", &[], 0);
    assert_eq!(proxy.metric("fairwater_datagrams_sent_total", &[]), 6);
    assert!(client.has_nothing());
    proxy.assert_sound();
}

#[test]
fn many_questions_on_one_flow_get_their_answers() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).listener("max_replies = 1").start();
    let client = Sender::new(&proxy);
    for round in 0..20_u8 {
        (0..50).for_each(|number| client.send(&[round, number]));
        let mut answers: Vec<_> = (0..50).map(|_| client.receive()).collect();
        answers.sort();
        assert!(answers.iter().enumerate().all(|(at, bytes)| **bytes == [round, at as u8]));
    }
    proxy.until_metric("fairwater_connections_active", &[], 0);
    assert_eq!(proxy.metric("fairwater_datagrams_sent_total", &[]), 1_000);
    proxy.assert_sound();
}

#[test]
fn what_comes_from_port_0_goes_nowhere() {
    // Only root may say where a datagram is from.
    let Ok(raw) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else { return };
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).start();
    let to = target(&proxy);
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&to.port().to_be_bytes());
    // Length, and no checksum.
    bytes.extend_from_slice(&[0, 12, 0, 0]);
    bytes.extend_from_slice(b"zero");
    raw.send_to(&bytes, &to.into()).unwrap();
    until("it to be dropped", || dropped(&proxy, "bad_source") == 1);
    assert!(endpoint.seen().is_empty());
    assert_eq!(Sender::new(&proxy).ask(b"x"), b"x");
    proxy.assert_sound();
}
