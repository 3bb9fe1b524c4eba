//! Endpoints of datagrams that are not there, or not well.

use std::net::UdpSocket;

use fairwater_e2e::datagrams::target;
use fairwater_e2e::proxy::{halt, signal_to};
use fairwater_e2e::{Endpoint, Line, Proxy, Responder, Sender, Setup, until};
use rustix::process::Signal;

use super::{dropped, name_of, setup};

/// An address where nobody takes datagrams.
fn nobody() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Waits until new flows go to this one alone: the threads look for a plan twenty times a second.
#[track_caller]
fn until_all_are(name: &str, proxy: &Proxy) {
    until(&format!("all to go to {name}"), || {
        (0..6).all(|_| name_of(&Sender::new(proxy).ask_text("x")) == name)
    });
}

#[test]
fn a_client_goes_on_at_another_endpoint_when_its_own_is_gone() {
    let (gone, there) = (nobody(), Responder::named("there"));
    let mut proxy = Setup::of("udp", &[&gone, &there.address])
        .upstream("balance = \"round_robin\"\noutlier = false")
        .listener("idle_timeout = \"3s\"")
        .start();
    let endpoint = format!("endpoint=\"{gone}\"");
    for round in 1..=4 {
        // Of two one goes where nobody is: its datagram is lost, and the next one is not.
        let pair = [Sender::new(&proxy), Sender::new(&proxy)];
        pair.iter().for_each(|client| client.send(b"first"));
        proxy.until_metric("fairwater_endpoint_failures_total", &[&endpoint], round);
        for client in &pair {
            client.send(b"second");
            until("the second one to be answered", || client.receive() == b"there second");
        }
    }
    let lines = proxy.until_log(8);
    let moved = lines.iter().filter(|line| line.get("attempts") == "2");
    assert_eq!(moved.count(), 4);
    let is_well =
        |line: &Line| line.get("endpoint") == there.address && line.get("reason").is_empty();
    assert!(lines.iter().all(is_well), "{lines:#?}");
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_refuses_in_a_row_is_left_alone() {
    let (gone, there) = (nobody(), Responder::named("there"));
    let mut proxy = Setup::of("udp", &[&gone, &there.address])
        .upstream(
            "balance = \"round_robin\"\noutlier = { consecutive_failures = 3, ejection = \"60s\" }",
        )
        .start();
    let endpoint = format!("endpoint=\"{gone}\"");
    until("it to be ejected", || {
        Sender::new(&proxy).send(b"x");
        proxy.metric("fairwater_endpoint_ejections_total", &[&endpoint]) == 1
    });
    // The threads look for a plan twenty times a second.
    let received = || proxy.metric("fairwater_datagrams_received_total", &[]);
    until("nothing to go there", || {
        let attempts = || proxy.metric("fairwater_endpoint_attempts_total", &[&endpoint]);
        let (before, come) = (attempts(), received());
        let clients = [(); 4].map(|()| Sender::new(&proxy));
        clients.iter().for_each(|client| client.send(b"x"));
        until("them to come", || received() == come + 4);
        attempts() == before && clients.iter().all(|client| client.receive() == b"there x")
    });
    proxy.assert_sound();
}

#[test]
fn a_client_turns_from_an_endpoint_that_is_gone_without_retries_as_well() {
    let (gone, there) = (nobody(), Responder::named("there"));
    let mut proxy = Setup::of("udp", &[&gone, &there.address])
        .upstream("balance = \"source_hash\"\nretries = 0\noutlier = false")
        .start();
    let clients = (1..=8).map(|n| Sender::from(&format!("127.0.0.{n}:0"), target(&proxy)));
    let clients: Vec<_> = clients.collect();
    let endpoint = format!("endpoint=\"{gone}\"");
    let attempts = || proxy.metric("fairwater_endpoint_attempts_total", &[&endpoint]);
    let failures = || proxy.metric("fairwater_endpoint_failures_total", &[&endpoint]);
    clients.iter().for_each(|client| client.send(b"first"));
    until("all that went nowhere to be told so", || attempts() > 0 && failures() == attempts());
    for client in &clients {
        client.send(b"second");
        until("the second one to be answered", || client.receive() == b"there second");
    }
    proxy.assert_sound();
}

#[test]
fn a_flow_that_turns_needs_no_room_beside_its_own() {
    let (gone, there) = (nobody(), Responder::named("there"));
    let mut proxy = Setup::of("udp", &[&gone, &there.address])
        .upstream("balance = \"round_robin\"\nmax_connections = 1\noutlier = false")
        .listener("idle_timeout = \"200ms\"")
        .start();
    for flow in 1..=4 {
        let client = Sender::new(&proxy);
        client.send(b"x");
        until("it to have a reply, or its endpoint to be gone", || {
            proxy.metric("fairwater_endpoint_failures_total", &[]) > 0 || !client.has_nothing()
        });
        assert_eq!(dropped(&proxy, "upstream_full"), 0);
        client.send(b"y");
        until("the second one to be answered", || client.receive() == b"there y");
        proxy.until_log(flow);
    }
    proxy.assert_sound();
}

/// Unless something has come, or gone elsewhere, since.
#[test]
fn a_flow_that_has_failed_in_the_end_says_why() {
    let (gone, silent) = (nobody(), Responder::start(|_| Vec::new()));
    let also_gone = nobody();
    for (endpoints, reason, count) in [
        (&[&gone][..], "upstream_connect_refused", 2),
        (&[&gone, &also_gone], "upstream_connect_refused", 2),
        // What was sent there in the end may be all that was wanted.
        (&[&gone, &silent.address], "", 0),
    ] {
        let addresses: Vec<_> = endpoints.iter().map(|address| address.as_str()).collect();
        let mut proxy = Setup::of("udp", &addresses)
            .upstream("balance = \"round_robin\"\noutlier = false")
            .listener("idle_timeout = \"1s\"")
            .start();
        // Of two one goes to each endpoint.
        let pair = [Sender::new(&proxy), Sender::new(&proxy)];
        pair.iter().for_each(|client| client.send(b"first"));
        let failed = if count > 0 { 2 } else { 1 };
        proxy.until_metric("fairwater_endpoint_failures_total", &[], failed);
        pair.iter().for_each(|client| client.send(b"second"));
        for line in proxy.until_log(2) {
            let phase = if reason.is_empty() { "" } else { "connect" };
            assert_eq!((line.get("reason"), line.get("phase")), (reason, phase), "{line:?}");
        }
        let label = "reason=\"upstream_connect_refused\"";
        assert_eq!(proxy.metric("fairwater_faults_total", &[label]), count);
        proxy.assert_sound();
    }
}

/// What came before is not left lying behind the news that the endpoint is gone.
#[test]
fn the_last_reply_of_an_endpoint_that_is_gone_passes() {
    let endpoint = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let mut proxy = Setup::of("udp", &[&address]).upstream("outlier = false").start();
    let client = Sender::new(&proxy);
    client.send(b"question");
    let (_, flow) = endpoint.recv_from(&mut [0; 16]).unwrap();
    let worker = proxy.worker_id();
    halt(worker);
    endpoint.send_to(b"answer", flow).unwrap();
    drop(endpoint);
    client.send(b"another");
    signal_to(worker, Signal::CONT);
    assert_eq!(client.receive(), b"answer");
    proxy.until_metric("fairwater_endpoint_failures_total", &[], 1);
    proxy.assert_sound();
}

#[test]
fn one_that_comes_back_is_found_again() {
    let address = nobody();
    let mut proxy = Setup::of("udp", &[&address]).upstream("outlier = false").start();
    let client = Sender::new(&proxy);
    for round in 1..=3 {
        client.send(b"lost");
        proxy.until_metric("fairwater_endpoint_failures_total", &[], round);
    }
    let _back = Responder::at(&address, |bytes| vec![bytes.to_vec()]);
    assert_eq!(client.ask_text("found"), "found");
    assert_eq!(proxy.metric("fairwater_connections_active", &[]), 1);
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_owes_replies_is_to_blame() {
    let silent = Responder::start(|_| Vec::new());
    let mut proxy = setup(&[&silent])
        .listener("max_replies = 1\nidle_timeout = \"100ms\"")
        .upstream("outlier = false")
        .start();
    Sender::new(&proxy).send(b"x");
    let line = proxy.until_log(1).remove(0);
    assert_eq!(line.get("reason"), "upstream_response_timeout");
    assert_eq!(proxy.metric("fairwater_endpoint_failures_total", &[]), 1);
    proxy.assert_sound();
}

/// Waits until checks have told who is well and who is not.
#[track_caller]
fn until_found_out(proxy: &Proxy, well: &Responder, ill: &Responder) {
    for (endpoint, is_up) in [(well, 1), (ill, 0)] {
        let label = format!("endpoint=\"{}\"", endpoint.address);
        proxy.until_metric("fairwater_endpoint_up", &[&label], is_up);
    }
}

#[test]
fn checks_keep_traffic_from_who_is_not_well() {
    let well = Responder::named("well");
    let ill = Responder::start(|bytes| match bytes {
        b"how are you" => vec![b"ill".to_vec()],
        bytes => vec![[b"ill ", bytes].concat()],
    });
    let health = "health = { type = \"udp\", send = \"how are you\", expect = \"how are you\", \
                  interval = \"50ms\", fast_interval = \"50ms\" }\nbalance = \"round_robin\"";
    let mut proxy = setup(&[&well, &ill]).upstream(health).start();
    until_found_out(&proxy, &well, &ill);
    until_all_are("well", &proxy);
    proxy.assert_sound();
}

#[test]
fn checks_may_go_over_tcp() {
    let (datagrams, gone) = (Responder::named("datagrams"), Responder::named("gone"));
    let checked = Endpoint::echo("e");
    let endpoints = format!(
        "{{ address = {:?}, check = {:?} }}, {{ address = {:?}, check = \"127.0.0.1:1\" }}",
        datagrams.address, checked.address, gone.address
    );
    let mut proxy = setup(&[])
        .endpoints(&endpoints)
        .upstream("health = { type = \"tcp\", interval = \"50ms\", fast_interval = \"50ms\" }")
        .upstream("balance = \"round_robin\"")
        .start();
    until_found_out(&proxy, &datagrams, &gone);
    until_all_are("datagrams", &proxy);
    proxy.assert_sound();
}

#[test]
fn where_endpoints_are_full_nothing_is_answered() {
    let endpoint = Responder::echo();
    let endpoints = format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address);
    let mut proxy = setup(&[]).endpoints(&endpoints).start();
    let clients = [Sender::new(&proxy), Sender::new(&proxy)];
    assert_eq!(clients[0].ask(b"x"), b"x");
    clients[1].send(b"x");
    until("it to be dropped", || dropped(&proxy, "upstream_full") == 1);
    assert_eq!(clients[0].ask(b"x"), b"x");
    assert!(clients[1].has_nothing());
    proxy.assert_sound();
}
