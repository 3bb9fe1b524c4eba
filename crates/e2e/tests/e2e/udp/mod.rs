//! Datagrams: flows between clients and endpoints.

mod bounds;
mod endpoints;
mod peers;
mod surviving;

use std::net::SocketAddr;

use fairwater_e2e::datagrams::target;
use fairwater_e2e::{Proxy, Responder, Sender, Setup, until, until_some};

fn setup(endpoints: &[&Responder]) -> Setup {
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
    Setup::of("udp", &addresses)
}

/// Where it listens at this IP address.
fn address_with(proxy: &Proxy, ip: &str) -> SocketAddr {
    let before = format!(" udp:{ip}:");
    let port = until_some("the address", || {
        let said = proxy.said();
        said.lines().find_map(|line| Some(line.split_once(&before)?.1.to_owned()))
    });
    format!("{ip}:{port}").parse().unwrap()
}

fn dropped(proxy: &Proxy, reason: &str) -> u64 {
    let reason = format!("reason=\"{reason}\"");
    proxy.metric("fairwater_datagrams_dropped_total", &[&reason])
}

/// The name that an endpoint answers with.
fn name_of(answer: &str) -> String {
    answer.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn datagrams_of_every_length_go_there_and_back() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).start();
    let longest: Vec<u8> = (0..65_507_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    for client in [Sender::new(&proxy), Sender::new(&proxy)] {
        for length in [0, 1, 64, 1_200, 1_472, 9_000, 65_507, 0] {
            assert!(client.ask(&longest[..length]) == longest[..length], "{length}");
        }
    }
    proxy.until_metric("fairwater_datagrams_sent_total", &[], 16);
    assert_eq!(proxy.metric("fairwater_datagrams_received_total", &[]), 16);
    assert_eq!(proxy.metric("fairwater_datagrams_dropped_total", &[]), 0);
    assert_eq!(proxy.metric("fairwater_connections_active", &[]), 2);
    // All of a client's come from one port, and no other's from there.
    let mut ports: Vec<_> = endpoint.seen().iter().map(|(from, _)| from.port()).collect();
    ports.dedup();
    assert_eq!(ports.len(), 2);
    proxy.assert_sound();
}

#[test]
fn a_flow_has_one_line() {
    let endpoint = Responder::named("e");
    let mut proxy = setup(&[&endpoint]).listener("idle_timeout = \"2s\"").start();
    let client = Sender::new(&proxy);
    for text in ["one", "three"] {
        client.ask_text(text);
    }
    let line = proxy.until_log(1).remove(0);
    let own = client.socket.local_addr().unwrap();
    let shown = ["protocol", "client", "upstream", "endpoint", "listener", "reason", "attempts"];
    let shown = shown.map(|name| line.get(name).to_owned());
    assert_eq!(shown, ["UDP", "127.0.0.1", "app", &endpoint.address, "web", "", "1"]);
    assert_eq!(line.number("client_port"), u64::from(own.port()));
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (8, 12));
    assert!(line.number("response_us") > 0 && line.number("total_us") >= 2_000_000, "{line:?}");
    proxy.until_metric("fairwater_connections_active", &[], 0);
    assert_eq!(proxy.metric("fairwater_received_bytes_total", &[]), 8);
    assert_eq!(proxy.metric("fairwater_sent_bytes_total", &[]), 12);
    // The next datagram begins another.
    assert_eq!(client.ask_text("x"), "e x");
    proxy.until_log(2);
    proxy.assert_sound();
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let endpoint = Responder::echo();
    for (bind, own, asked) in [
        ("0.0.0.0:0", "127.0.0.1:0", &["127.0.0.1", "127.0.0.9", "127.1.2.3"][..]),
        (":0", "127.0.0.1:0", &["127.0.0.7", "127.0.0.8"]),
        (":0", "[::1]:0", &["::1"]),
        ("127.0.0.5:0", "127.0.0.1:0", &["127.0.0.5"]),
    ] {
        if own.starts_with('[') && std::net::UdpSocket::bind(own).is_err() {
            continue;
        }
        let mut proxy = setup(&[&endpoint]).bind(bind).start();
        for ip in asked {
            let target = SocketAddr::new(ip.parse().unwrap(), target(&proxy).port());
            let client = Sender::from(own, target);
            // Whoever sends it back looks where it comes from.
            assert_eq!(client.ask_text("from where"), "from where");
        }
        // The same client at two addresses is two flows.
        let flows = asked.len() as u64;
        assert_eq!(proxy.metric("fairwater_connections_active", &[]), flows);
        proxy.assert_sound();
    }
}

#[test]
fn a_client_stays_with_its_endpoint_and_clients_spread() {
    let names = ["a", "b", "c"].map(Responder::named);
    let all = [&names[0], &names[1], &names[2]];
    let proxy = setup(&all).threads(2).start();
    let mut found = std::collections::HashMap::new();
    for last in 1..60 {
        let ask = || {
            let client = Sender::from(&format!("127.0.0.{last}:0"), target(&proxy));
            name_of(&client.ask_text("x"))
        };
        // Whatever the port, and the thread that it comes to: the address decides.
        let first = ask();
        assert_eq!([first.clone(), first.clone()], [ask(), ask()]);
        *found.entry(first).or_insert(0) += 1;
    }
    assert!(found.len() == 3 && found.values().all(|count| *count > 5), "{found:?}");
}

#[test]
fn flows_are_balanced_as_it_is_written() {
    let names = ["a", "b"].map(Responder::named);
    let proxy = setup(&[&names[0], &names[1]]).upstream("balance = \"round_robin\"").start();
    let clients: Vec<_> = (0..10).map(|_| Sender::new(&proxy)).collect();
    let ask = |client: &Sender| name_of(&client.ask_text("x"));
    let first: Vec<_> = clients.iter().map(ask).collect();
    assert_eq!(first.iter().filter(|name| *name == "a").count(), 5);
    for _ in 0..3 {
        assert_eq!(clients.iter().map(ask).collect::<Vec<_>>(), first);
    }
}

#[test]
fn endpoints_are_told_of_clients_in_each_datagram() {
    let endpoint = Responder::echo();
    let mut proxy = setup(&[&endpoint]).upstream("proxy_protocol = \"v2\"").start();
    let client = Sender::new(&proxy);
    let own = client.socket.local_addr().unwrap();
    let SocketAddr::V4(listener) = target(&proxy) else { panic!("another family") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    header.extend_from_slice(&own.port().to_be_bytes());
    header.extend_from_slice(&listener.port().to_be_bytes());
    for text in ["", "hello", "again"] {
        assert_eq!(client.ask(text.as_bytes()), [&header[..], text.as_bytes()].concat());
    }
    // One that is too long with it goes nowhere.
    client.send(&vec![0; 65_500]);
    until("it to be dropped", || dropped(&proxy, "too_long") == 1);
    assert_eq!(client.ask(b"x").len(), header.len() + 1);
    proxy.assert_sound();
}
