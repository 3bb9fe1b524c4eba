//! How many TLS handshakes clients may have, and that those beyond wait.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

use crate::tls::{LOCAL, Pki};

fn front(pki: &Pki, endpoint: &Endpoint, limit: &str) -> Proxy {
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    Setup::http(&[endpoint]).listener(&tls).listener(limit).start()
}

fn curl(pki: &Pki, proxy: &Proxy) -> Child {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--cacert", &pki.file("ca.pem"), "-o", "/dev/null"]);
    command.arg(format!("https://{}/", proxy.address)).stderr(Stdio::null()).spawn().unwrap()
}

fn succeeds(pki: &Pki, proxy: &Proxy) -> bool {
    curl(pki, proxy).wait().unwrap().success()
}

/// The start of a first message, which holds a place until it is complete.
const HALF: &[u8] = &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];

#[test]
fn a_handshake_waits_for_one_that_is_under_way() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let proxy = front(&pki, &endpoint, "max_handshakes = 1");
    // Who says nothing has no place.
    let _silent = Client::new(&proxy);
    assert!(succeeds(&pki, &proxy));
    let mut first = Client::new(&proxy);
    first.send(HALF);
    let mut second = curl(&pki, &proxy);
    until("both to be there", || proxy.metric("fairwater_connections_active", &[]) == 3);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(second.try_wait().unwrap(), None);
    assert_eq!(endpoint.accepted(), 1);
    drop(first);
    assert!(second.wait().unwrap().success());
    proxy.until_metric("fairwater_faults_total", &["tls_handshake_failed"], 1);
}

#[test]
fn handshakes_begin_at_their_rate() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let proxy = front(&pki, &endpoint, "max_handshake_rate = 5");
    let begin = Instant::now();
    let mut all: Vec<_> = (0..6).map(|_| curl(&pki, &proxy)).collect();
    assert!(all.iter_mut().all(|one| one.wait().unwrap().success()));
    assert!(begin.elapsed() >= Duration::from_millis(950), "{:?}", begin.elapsed());
}

#[test]
fn who_would_wait_too_long_is_closed_at_once() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let limits = "max_handshake_rate = 1\ntls_handshake_timeout = \"900ms\"";
    let proxy = front(&pki, &endpoint, limits);
    assert!(succeeds(&pki, &proxy));
    // Of so many in a second, only one has a place that it may wait for.
    let busy = || proxy.metric("fairwater_faults_total", &["tls_handshakes_busy"]);
    until("one to be closed at once", || {
        let mut crowd = [(); 4].map(|()| Client::new(&proxy));
        crowd.iter_mut().for_each(|client| client.send(HALF));
        // Who is closed at once was not even read.
        crowd.iter_mut().for_each(|client| assert_ne!(client.end(), End::Open));
        busy() > 0
    });
    until("the next second", || succeeds(&pki, &proxy));
}

/// Prints how long requests take meanwhile; how long they may, only a machine of its own can tell.
#[test]
#[ignore = "slow: four seconds of handshakes, three times"]
fn requests_go_on_in_a_flood_of_handshakes() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let mut proxy = front(&pki, &endpoint, "");
    for burst in ["0", "50", "300"] {
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("flood.py"), &proxy.address, burst, "4"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("bursts of {burst}: {}", String::from_utf8_lossy(&output.stdout));
    }
    proxy.assert_sound();
}
