//! The master and its worker: who is replaced, who holds the sockets, and how it all ends.

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

fn is_running(process: u32) -> bool {
    // A zombie is a process that has ended.
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

fn status_of(proxy: &Proxy) -> u16 {
    Client::new(proxy).get("/").status()
}

/// A worker that is killed is replaced at once: nobody is refused meanwhile.
#[test]
fn a_worker_that_dies_is_replaced_on_the_same_sockets() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
    assert_eq!(status_of(&proxy), 200);
    let mut open = Client::new(&proxy);
    assert_eq!(open.get("/").status(), 200);
    let first = proxy.worker_id();
    signal_to(first, Signal::KILL);
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(status_of(&proxy), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_ne!(open.read_to_end().1, End::Open, "its connections die with it");
    let second = proxy.worker_id();
    assert_ne!(first, second);
    assert!(proxy.said().contains(&format!("worker {first} was killed by signal 9")));
    assert_eq!(proxy.said().matches("listens on").count(), 1, "{}", proxy.said());
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!is_running(second));
}

/// One that dies again and again is started at longer and longer intervals; the port stays open.
#[test]
fn a_worker_that_keeps_dying_is_started_less_and_less_often() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    for _ in 0..4 {
        let worker = proxy.worker_id();
        signal_to(worker, Signal::KILL);
        until("it to be gone", || !is_running(worker));
    }
    let begun = Instant::now();
    assert_eq!(status_of(&proxy), 200);
    assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
    assert!(proxy.said().contains("the next worker starts in 400ms"), "{}", proxy.said());
    proxy.signal(Signal::INT);
    assert!(proxy.until_ended().success());
}

/// What changed in the files since they were read changes nothing.
#[test]
fn a_new_worker_has_the_configuration_of_before() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let file = proxy.directory().join("fairwater.toml");
    std::fs::write(file, "this is no configuration").unwrap();
    signal_to(proxy.worker_id(), Signal::KILL);
    assert_eq!(status_of(&proxy), 200);
}

/// A service manager that tells all processes of a service to end does not cut off what runs.
#[test]
fn all_processes_may_be_told_to_end() {
    let endpoint = Endpoint::new(|caller| {
        if caller.request().is_some() {
            std::thread::sleep(Duration::from_millis(700));
            caller.reply("GET", "late");
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut running = Client::new(&proxy);
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    endpoint.until_requests(1);
    signal_to(proxy.worker_id(), Signal::TERM);
    proxy.signal(Signal::TERM);
    signal_to(proxy.worker_id(), Signal::TERM);
    assert_eq!(running.response().unwrap().text(), "late");
    assert!(proxy.until_ended().success());
}

/// Without its master a worker serves on, and ends when it is told to.
#[test]
fn a_worker_serves_on_without_its_master() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let worker = proxy.worker_id();
    proxy.signal(Signal::KILL);
    proxy.until_ended();
    for _ in 0..10 {
        assert_eq!(status_of(&proxy), 200);
    }
    // Who starts another one is told what is in its way.
    let said = Setup::http(&[&endpoint]).bind(&proxy.address).try_start().err().unwrap();
    let holder = format!("{} is in use by process {worker} (fairwater worker)", proxy.address);
    assert!(said.contains(&holder), "{said}");
    signal_to(worker, Signal::TERM);
    until("the worker to end", || !is_running(worker));
}

/// A first worker that cannot serve is told of once, and the master ends with it.
#[test]
fn what_can_never_serve_is_not_tried_again() {
    let endpoint = Endpoint::echo("e");
    let said = Setup::http(&[&endpoint]).top("max_connections = 4000000000").try_start();
    let said = said.err().unwrap();
    assert_eq!(said.matches("needs 4000000").count(), 1, "{said}");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let said = Setup::http(&[&endpoint]).bind(&address).try_start().err().unwrap();
    assert!(said.contains("is in use by process"), "{said}");
}

/// Somebody has taken it for the master.
#[test]
fn a_worker_that_is_told_to_end_finishes_while_another_serves() {
    let endpoint = Endpoint::new(|caller| {
        let head = caller.read_until(b"\r\n\r\n");
        if head.starts_with(b"GET /wait") {
            caller.read_exactly(1);
        }
        caller.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the request to arrive", || endpoint.accepted() == 1);
    let first = proxy.worker_id();
    signal_to(first, Signal::TERM);
    until("another worker", || proxy.worker_ids().len() == 2);
    assert!(proxy.said().contains("was told to end; another one takes its place"));
    let begun = Instant::now();
    assert_eq!(status_of(&proxy), 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(proxy.worker_ids().contains(&first), "it has not finished");
    proxy.signal(Signal::INT);
    assert!(proxy.until_ended().success());
}

/// As many as a large machine has: one for each thread at each address.
#[test]
fn more_sockets_than_descriptors_are_granted_at_first() {
    let endpoint = Endpoint::echo("e");
    let addresses = ["127.0.0.1:0"; 30].join("\", \"");
    let mut setup = Setup::http(&[&endpoint]).reloadable().threads(40);
    setup = setup.more(&format!("[listeners.many]\nbind = [\"{addresses}\"]\nupstream = \"app\""));
    let proxy = setup.start();
    assert_eq!(status_of(&proxy), 200);
    signal_to(proxy.worker_id(), Signal::KILL);
    assert_eq!(status_of(&proxy), 200);
    proxy.edit("threads = 40", "threads = 41");
    proxy.reload_well();
    assert_eq!(status_of(&proxy), 200);
}
