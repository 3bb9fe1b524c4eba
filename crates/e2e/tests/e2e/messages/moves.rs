//! Reloads, upgrades and stops, while clients stay connected.

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, until};
use rustix::process::Signal;

use super::{Messages, answering, clients, framed, gated, heard, setup};

#[test]
fn a_reload_changes_where_the_next_message_goes() {
    let (before, after) = (answering("before"), answering("after"));
    let mut proxy = setup(&[&before]).reloadable().start();
    let mut client = Client::new(&proxy);
    assert_eq!(client.ask("x"), "before0 x");
    proxy.edit(&before.address, &after.address);
    proxy.reload_well();
    assert_eq!(client.ask("y"), "after0 y");
    before.until_closed(1);
    // With a form of their own, once nothing is under way.
    proxy.edit(
        "frame = \"swoole\"",
        "frame = \"swoole\"\nping = { request = \"p\", reply = \"q\" }",
    );
    proxy.reload_well();
    assert_eq!(client.ask("p"), "q");
    proxy.assert_sound();
}

#[test]
fn a_message_under_way_ends_where_it_began() {
    let (go, before) = gated(|_| true);
    let after = answering("after");
    let proxy = setup(&[&before]).reloadable().start();
    let mut client = Client::new(&proxy);
    client.say("x");
    until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    proxy.edit(&before.address, &after.address);
    proxy.reload_well();
    go.send(()).unwrap();
    assert_eq!(client.hear(), b"x");
    assert_eq!(client.ask("y"), "after0 y");
}

#[test]
fn clients_outlive_an_upgrade() {
    let endpoint = answering("e");
    let mut proxy = setup(&[&endpoint]).upgradable().threads(2).start();
    let mut clients = clients(&proxy, 20);
    for client in &mut clients {
        client.ask("before");
    }
    // One of them is in the middle of a message: what stands before it has come with it.
    let message = framed("half here, half there");
    clients[0].send([&framed("whole")[..], &message[..10]].concat());
    assert!(clients[0].hear().ends_with(b" whole"));
    proxy.upgrade_whole();
    clients[0].send(&message[10..]);
    assert!(clients[0].hear().ends_with(b" half here, half there"));
    for client in &mut clients {
        assert!(client.ask("after").ends_with(" after"));
    }
    proxy.assert_sound();
}

#[test]
fn an_upgrade_waits_for_the_reply() {
    let (go, endpoint) = gated(|body| body == b"slow");
    let proxy = setup(&[&endpoint]).upgradable().start();
    let mut client = Client::new(&proxy);
    client.say("slow");
    until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    proxy.upgrade_well();
    go.send(()).unwrap();
    assert_eq!(client.hear(), b"slow");
    proxy.until_one_worker();
    assert_eq!(client.ask("next"), "next");
}

#[test]
fn a_stop_ends_connections_between_messages() {
    let (go, endpoint) = gated(|_| true);
    let mut proxy = setup(&[&endpoint]).start();
    let [mut idle, mut busy] = [(); 2].map(|()| Client::new(&proxy));
    busy.say("x");
    until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    proxy.signal(Signal::TERM);
    assert_eq!(idle.end(), End::Closed);
    go.send(()).unwrap();
    assert_eq!(busy.read_to_end(), (framed("x"), End::Closed));
    assert!(proxy.until_ended().success());
}

/// Whatever is under way has its line, and nothing is in the way of the last ones.
#[test]
fn a_stop_at_once_leaves_nothing_out() {
    let silent = Endpoint::new(|caller| {
        while let Some(body) = heard(caller) {
            if body != b"never" {
                caller.send(framed(body));
            }
        }
    });
    let mut proxy =
        setup(&[&silent]).upstream("max_connections = 1").upstream("min_connections = 1").start();
    let [mut first, mut second] = [(); 2].map(|()| Client::new(&proxy));
    assert_eq!(first.ask("x"), "x");
    first.say("never");
    until("the message", || proxy.metric("fairwater_endpoint_in_flight", &[]) == 1);
    second.say("waits");
    until("another", || proxy.metric("fairwater_upstream_waiting", &[]) == 1);
    proxy.signal(Signal::INT);
    assert!(proxy.until_ended().success());
    assert!(!proxy.said().contains("lost"), "{}", proxy.said());
    let log = proxy.log();
    let reasons: Vec<_> = log.iter().map(|line| line.get("reason")).collect();
    assert_eq!(reasons, ["", "stopped", "stopped"]);
}
