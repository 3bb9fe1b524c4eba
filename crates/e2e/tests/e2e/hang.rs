//! Workers that do not end and do not serve either.

use std::process::Command;
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Client, Endpoint, Setup, until};
use rustix::process::Signal;

/// Sends a thread into an endless loop. Returns whether that is allowed here.
#[cfg(target_arch = "x86_64")]
fn hang(process: u32, thread: &str) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/hang.py");
    let hung = Command::new("python3").arg(script).arg(process.to_string()).arg(thread).output();
    let hung = hung.unwrap();
    let said = String::from_utf8_lossy(&hung.stderr);
    if said.contains("Operation not permitted") {
        eprintln!("skipped: this user may not trace processes");
        return false;
    }
    assert!(hung.status.success(), "{said}");
    true
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_thread_that_hangs_is_replaced_and_the_others_lose_nothing() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
    let mut clients: Vec<_> = (0..8).map(|_| Client::new(&proxy)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    let first = proxy.worker_id();
    if !hang(first, "worker-1") {
        return;
    }
    let begun = Instant::now();
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != first));
    assert!(begun.elapsed() > Duration::from_secs(1), "it had two seconds");
    until("the first one to end", || !proxy.worker_ids().contains(&first));
    let said = proxy.said();
    assert!(said.contains("has a thread that hangs: worker-0 between connections"), "{said}");
    until("its end to be told", || proxy.said().contains("was killed by signal 9"));
    // Those of the other thread have moved.
    let alive = clients.iter_mut().filter_map(|client| {
        client.try_send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        client.response().ok().filter(|answer| answer.status() == 200)
    });
    let alive = alive.count();
    assert!((3..8).contains(&alive), "{alive}");
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_worker_that_hangs_while_it_finishes_what_runs_is_killed() {
    let endpoint = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.read_exactly(1);
    });
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the request to arrive", || endpoint.accepted() == 1);
    let first = proxy.worker_id();
    proxy.edit("threads = 1", "threads = 2");
    proxy.reload_well();
    assert_eq!(proxy.worker_ids().len(), 2, "what runs goes on");
    if !hang(first, "worker-0") {
        return;
    }
    until("the first one to end", || !proxy.worker_ids().contains(&first));
    let end = format!("worker {first} was killed by signal 9");
    until("its end to be told", || proxy.said().contains(&end));
    assert_eq!(proxy.worker_ids().len(), 1, "nobody has to follow it");
}

#[test]
fn a_worker_that_is_stopped_is_told_of_and_left_alone() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    let worker = proxy.worker_id();
    signal_to(worker, Signal::STOP);
    until("the news", || proxy.said().contains("was stopped, and waits"));
    signal_to(worker, Signal::CONT);
    until("the other news", || proxy.said().contains(&format!("worker {worker} goes on")));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(proxy.worker_id(), worker);
    assert!(!proxy.said().contains("hangs") && !proxy.said().contains("held up"));
}
