//! Reloads and upgrades beside requests and tunnels of HTTP/2: no request is lost, and what is long
//! goes on where it is.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairwater_e2e::peer::node;
use fairwater_e2e::{Endpoint, Peer, Proxy, Setup, Socket, until};
use rustix::process::Signal;

use crate::names;
use crate::tls::{LOCAL, Pki};

/// Requests over HTTP/2 for as long as it lasts.
struct Load(Peer);

impl Load {
    fn on(proxy: &Proxy, trust: Option<&Pki>) -> Option<Self> {
        let trust = trust.map(|pki| pki.file("ca.pem")).unwrap_or_default();
        let mut command = node(include_str!("load.js"))?;
        Some(Self(Peer::start(command.args([&proxy.address, &trust]))))
    }

    /// How many requests there were, and over how many connections.
    #[track_caller]
    fn end(self) -> (u64, u64) {
        let said = self.0.finish();
        let words: Vec<_> = said.trim().splitn(3, ' ').collect();
        assert_eq!(words[2], "[]", "{said}");
        (words[0].parse().unwrap(), words[1].parse().unwrap())
    }
}

fn is_asked(proxy: &Proxy, count: u64) -> bool {
    proxy.metric("fairwater_requests_total", &["\"2xx\""]) > count
}

/// Ten reloads and three upgrades.
fn change_much(proxy: &Proxy) {
    for step in 0..13 {
        match step % 4 {
            3 => drop(proxy.upgrade_well()),
            _ => drop(proxy.reload_well()),
        }
    }
}

#[test]
fn no_request_of_http2_is_lost() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL);
    let tls = format!("tls = {}", pki.table("site"));
    for trust in [None, Some(&pki)] {
        let before = endpoint.requests().len() as u64;
        let setup = Setup::http(&[&endpoint]).listener("http2 = true").threads(2);
        let setup = if trust.is_some() { setup.listener(&tls) } else { setup };
        let proxy = setup.upgradable().start();
        let Some(load) = Load::on(&proxy, trust) else { return };
        until("some requests", || is_asked(&proxy, 50));
        change_much(&proxy);
        let (requests, connections) = load.end();
        assert!(requests > 100, "{requests}");
        // Reloads leave connections alone; with an upgrade clients come anew.
        assert!((4..=20).contains(&connections), "{connections}");
        // None was asked twice.
        assert_eq!(endpoint.requests().len() as u64, before + requests);
        until("one worker to be left", || proxy.worker_ids().len() == 1);
    }
}

#[test]
fn no_request_to_endpoints_of_http2_is_lost() {
    let back_end = Endpoint::echo("e");
    let back = Setup::http(&[&back_end]).listener("http2 = true").start();
    let front = Setup::of("http", &[&back.address]).listener("http2 = true").threads(2);
    let front = front.upstream("http2 = true").upgradable().start();
    let Some(load) = Load::on(&front, None) else { return };
    let other_load = names::Load::on(&front, 2);
    until("some requests", || is_asked(&front, 50));
    change_much(&front);
    let (requests, others) = (load.end().0, other_load.end());
    assert!(requests > 100 && others > 100, "{requests} and {others}");
    assert!(back.log().iter().all(|line| line.get("protocol") == "HTTP/2"));
    until("one worker to be left", || front.worker_ids().len() == 1);
}

/// The endpoint speaks both, and hears the one that is said.
#[test]
fn endpoints_are_spoken_to_otherwise_after_a_reload() {
    let back_end = Endpoint::echo("e");
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let tls = format!("tls = {}", pki.table("site"));
    let own = format!("tls = {{ ca = {:?} }}\n", pki.file("ca.pem"));
    // What the upstream says in turn, other than its listener does, and what its endpoint hears.
    let in_clear = [("http2=true", "HTTP/2"), ("http2=false", "HTTP/1.1")];
    let over_tls = [("max_requests=999999", "HTTP/2"), ("http2=false", "HTTP/1.1")];
    for (is_secured, words) in [(false, in_clear), (true, over_tls)] {
        let back = Setup::http(&[&back_end]).listener("http2 = true");
        let back = if is_secured { back.listener(&tls) } else { back }.start();
        let front = Setup::of("http", &[&back.address]).listener("http2 = true").threads(2);
        let front = if is_secured { front.upstream(&own) } else { front };
        let front = front.upstream(words[0].0).reloadable().start();
        let Some(load) = Load::on(&front, None) else { return };
        let other_load = names::Load::on(&front, 2);
        for step in 0..8 {
            let (now, next) = (words[step % 2], words[(step + 1) % 2]);
            let heard = |protocol: &str| {
                let log = back.log_text();
                log.lines().filter(|line| line.contains(&format!("\"{protocol}\""))).count()
            };
            let before = heard(now.1);
            until("requests of this version", || heard(now.1) > before + 20);
            front.edit(now.0, next.0);
            front.reload_well();
        }
        assert!(load.end().0 > 100 && other_load.end() > 100);
        let lines = front.log();
        assert!(lines.iter().all(|line| line.get("reason").is_empty()));
    }
}

/// What runs when the process is told to stop comes to its end, on either side.
#[test]
fn what_runs_at_the_end_is_finished() {
    let is_leaving = Arc::new(AtomicBool::new(false));
    let of_script = Arc::clone(&is_leaving);
    let endpoint = Endpoint::new(move |caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
        until("the end to begin", || of_script.load(Ordering::Relaxed));
        caller.send("half");
    });
    let back = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let front = Setup::of("http", &[&back.address]).listener("http2 = true");
    let front = front.upstream("http2 = true").start();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--http2-prior-knowledge"]);
    let client = Peer::start(curl.arg(format!("http://{}/", front.address)));
    until("the request to come", || endpoint.accepted() == 1);
    let mut proxies = [back, front];
    for proxy in &proxies {
        proxy.signal(Signal::TERM);
        until("nobody to be let in", || Socket::connect(&proxy.address).is_err());
    }
    is_leaving.store(true, Ordering::Relaxed);
    assert_eq!(client.finish().trim(), "halfhalf");
    assert!(proxies.iter_mut().all(|proxy| proxy.until_ended().success()));
}
