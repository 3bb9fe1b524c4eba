//! Connections that come too fast are reset.

use std::io::Read;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

const RULE: &str = "[rate_limits.new]\ncounts = \"connections\"\nrate = \"3/h\"\n";

fn ends_at_once(mut client: Client) -> bool {
    client.end() == End::Reset
}

fn denied(proxy: &Proxy) -> u64 {
    proxy.metric("fairwater_rate_limit_denied_total", &["limit=\"new\""])
}

#[test]
fn those_of_http_are_counted_by_their_peer() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener("rate_limits = \"new\"\nmax_connections_per_client = 4")
        .more(RULE)
        .threads(2)
        .start();
    let mut open: Vec<_> = (0..3).map(|_| Client::new(&proxy)).collect();
    for client in &mut open {
        // However many requests there are on each.
        assert!((0..5).all(|_| client.get("/").status() == 200));
    }
    for _ in 0..10 {
        assert!(ends_at_once(Client::new(&proxy)));
    }
    assert_eq!(Client::from_address("127.0.0.9", &proxy).get("/").status(), 200);
    assert_eq!(denied(&proxy), 10);
    assert_eq!(proxy.metric("fairwater_connections_refused_total", &[]), 10);
    assert_eq!(proxy.metric("fairwater_connections_total", &[]), 4);
    // Those that were denied are not open.
    drop(open);
    proxy.until_metric("fairwater_connections_active", &[], 0);
    proxy.assert_sound();
}

#[test]
fn those_of_tcp_too() {
    let endpoint = Endpoint::mirror();
    let mut proxy =
        Setup::tcp(&[&endpoint]).listener("rate_limits = \"new\"").more(RULE).threads(2).start();
    for _ in 0..3 {
        let mut client = Client::new(&proxy);
        client.send("x");
        client.socket.read_exact(&mut [0]).unwrap();
    }
    assert!((0..5).all(|_| ends_at_once(Client::new(&proxy))));
    assert_eq!(endpoint.accepted(), 3);
    proxy.assert_sound();
}

#[test]
fn behind_a_balancer_clients_are_those_that_are_announced() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener("rate_limits = \"new\"\nproxy_protocol = { from = [\"127.0.0.1\"] }")
        .more(RULE)
        .threads(2)
        .start();
    let from = |address: &str| {
        let mut client = Client::new(&proxy);
        client.send(format!(
            "PROXY TCP4 {address} 192.0.2.200 1000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        client.response().map(|reply| reply.status()).ok()
    };
    for _ in 0..3 {
        assert_eq!((from("192.0.2.1"), from("192.0.2.2")), (Some(200), Some(200)));
    }
    assert_eq!((from("192.0.2.1"), from("192.0.2.3")), (None, Some(200)));
    until("it to be counted", || denied(&proxy) == 1);
    proxy.assert_sound();
}
