//! The queue of a full upstream: nobody is forgotten in it, and nobody waits in it twice.

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Directory, Endpoint, Setup, until};

use super::ASK;

/// Long enough for some thousand handovers of the only permit.
const HAMMERING: Duration = Duration::from_secs(3);

/// Asks again and again, each time on a connection of its own, which comes to any thread; gives how
/// often, and the longest time for one.
fn hammer(address: &str) -> (usize, Duration) {
    let (begun, mut count, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < HAMMERING {
        let asked = Instant::now();
        assert_eq!(Client::connect(address).get("/").status(), 200, "after {count}");
        longest = longest.max(asked.elapsed());
        count += 1;
    }
    (count, longest)
}

/// The permit goes from thread to thread with each request: a handover that goes wrong leaves all
/// of them waiting for one that nobody has.
#[test]
fn the_only_permit_is_never_lost_between_threads() {
    let directory = Directory::new();
    let script = fairwater_e2e::endpoint::echo("e");
    let endpoint = Endpoint::on_unix(&directory.join("e.sock"), script);
    let mut proxy = Setup::http(&[&endpoint])
        .threads(2)
        .upstream("max_connections = 1\nkeep_alive = false")
        .start();
    let hammering: Vec<_> = (0..3)
        .map(|_| {
            let address = proxy.address.clone();
            std::thread::spawn(move || hammer(&address))
        })
        .collect();
    for thread in hammering {
        let (count, longest) = thread.join().unwrap();
        assert!(count > 50, "{count} only");
        assert!(longest < Duration::from_secs(2), "one of {count} took {longest:?}");
    }
    proxy.until_metric("fairwater_endpoint_connections", &[], 0);
    let log = proxy.log();
    assert!(log.iter().all(|line| line.number("status") == 200));
    proxy.assert_sound();
}

/// The wait for a permit is for the whole upstream, however many endpoints it has.
#[test]
#[ignore = "slow: 5 s"]
fn a_tcp_connection_waits_once_for_a_full_upstream() {
    let endpoints = [(); 3].map(|()| Endpoint::new(|caller| caller.until_closed()));
    let references: Vec<_> = endpoints.iter().collect();
    let mut proxy = Setup::tcp(&references).upstream("max_connections = 1").start();
    let mut first = Client::new(&proxy);
    first.send("x");
    until("the first to be connected", || endpoints.iter().any(|e| e.accepted() == 1));
    let begun = Instant::now();
    let mut second = Client::new(&proxy);
    second.send("x");
    assert_eq!(second.end(), End::Reset);
    let took = begun.elapsed();
    assert!((4900..7000).contains(&took.as_millis()), "refused after {took:?}");
    assert_eq!(proxy.until_log(1)[0].get("reason"), "upstream_full");
    // The first still has its connection.
    first.send(ASK);
    drop(first);
    proxy.until_log(2);
    proxy.assert_sound();
}
