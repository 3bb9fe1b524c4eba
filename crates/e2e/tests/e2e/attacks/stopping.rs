//! Processes that are told to stop: what is under way is told so, accounted for, and holds nobody
//! up; and nothing is taken from the process that comes next.

use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Directory, Endpoint, Line, Proxy, Setup, Socket, until};
use rustix::process::Signal;

use super::process::Process;
use super::{ASK, Gate, client_reads_up_to, held, read_up_to};

const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_draining_process_leaves_the_socket_of_its_successor() {
    let (directory, gate) = (Directory::new(), Gate::default());
    let endpoint = held(&gate);
    let path = directory.join("web.sock");
    let address = format!("unix:{}", path.display());
    let mut old = Setup::http(&[&endpoint]).bind(&address).start();
    let mut running = Client::connect(&address);
    running.send(ASK);
    endpoint.until_requests(1);
    old.signal(Signal::TERM);
    until("the old one to listen no more", || Socket::connect(&address).is_err());

    let mut new = Setup::http(&[&endpoint]).bind(&address).start();
    gate.open();
    assert_eq!(running.response().unwrap().status(), 200);
    assert!(old.until_ended().success());
    assert!(path.exists(), "the old one has removed the file of the new one");
    gate.open();
    assert_eq!(Client::connect(&address).get("/").status(), 200);
    new.signal(Signal::INT);
    assert!(new.until_ended().success());
    assert!(!path.exists());
}

/// More than the pipe and every batch on its way hold.
#[test]
fn a_log_that_nobody_reads_holds_up_no_end() {
    let endpoint = Endpoint::echo("e");
    let arguments = ["proxy", "--listen", "127.0.0.1:0", "--to", &endpoint.address];
    let arguments = [&arguments[..], &["--threads", "1", "--access-log", "json"]].concat();
    let mut process = Process::start(&arguments, Stdio::piped(), Stdio::piped());
    let mut client = Client::connect(&process.until_said("listens on "));
    let target = format!("/{}", "x".repeat(7000));
    for _ in 0..40 {
        assert_eq!(client.get(&target).status(), 200, "traffic goes on");
    }
    until("the pipe to be full", || {
        rustix::io::ioctl_fionread(process.stdout()).unwrap() >= 60_000
    });
    process.signal(Signal::INT);
    let (code, said) = process.ends_within(AT_ONCE);
    assert_eq!(code, 0, "{said}");
}

/// A body that ends with the connection must not look complete.
#[test]
fn a_stop_in_a_body_that_ends_with_the_connection_is_a_reset() {
    let endpoint = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
        caller.until_closed();
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET / HTTP/1.0\r\n\r\n");
    client_reads_up_to(&mut client, b"\r\n\r\nhalf");
    proxy.signal(Signal::INT);
    assert_eq!(client.end(), End::Reset);
    assert!(proxy.until_ended().success());
    assert_eq!(proxy.until_log(1)[0].get("reason"), "stopped");
}

/// The reply tells the client not to use the connection again; what it has sent behind its request
/// does no harm.
#[test]
fn a_reply_while_draining_says_that_the_connection_closes() {
    for behind in ["", ASK] {
        let gate = Gate::default();
        let endpoint = held(&gate);
        let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
        let mut client = Client::new(&proxy);
        client.send(ASK);
        endpoint.until_requests(1);
        proxy.signal(Signal::TERM);
        until("the port to be closed", || TcpStream::connect(&proxy.address).is_err());
        client.send(behind);
        gate.open();
        let answer = client.response().unwrap();
        assert_eq!((answer.status(), answer.closes()), (200, true), "{behind:?}: {answer:?}");
        assert_ne!(client.end(), End::Open);
        assert!(proxy.until_ended().success());
        assert_eq!(endpoint.requests().len(), 1);
        proxy.until_log(1);
    }
}

/// The line of what an interrupt cuts off.
fn line_after_int(mut proxy: Proxy) -> Line {
    proxy.signal(Signal::INT);
    assert!(proxy.until_ended().success());
    let line = proxy.until_log(1).remove(0);
    assert_eq!((line.get("reason"), line.get("party")), ("stopped", "proxy"), "{line:?}");
    line
}

fn exchange_hundred(client: &mut Client) {
    client.send([b'x'; 100]);
    assert_eq!(client.read_exactly(100), [b'x'; 100]);
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Switches protocols where that is asked for, then sends back what it gets.
fn echoing(is_tunnel: bool) -> Endpoint {
    Endpoint::new(move |caller| {
        if is_tunnel {
            read_up_to(caller, b"\r\n\r\n");
            caller.send(SWITCH);
        }
        loop {
            let bytes = caller.read_exactly(100);
            if bytes.is_empty() || !caller.send(&bytes) {
                return;
            }
        }
    })
}

#[test]
fn what_a_stop_cuts_off_is_accounted_for() {
    let endpoint = echoing(false);
    let proxy = Setup::tcp(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    exchange_hundred(&mut client);
    let line = line_after_int(proxy);
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (100, 100), "{line:?}");

    let endpoint = echoing(true);
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("GET /t HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    client_reads_up_to(&mut client, b"\r\n\r\n");
    exchange_hundred(&mut client);
    let line = line_after_int(proxy);
    assert_eq!((line.number("status"), line.get("target")), (101, "/t"), "{line:?}");
    assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (100, 100), "{line:?}");

    let endpoint = held(&Gate::default());
    let proxy = Setup::http(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send(ASK);
    endpoint.until_requests(1);
    assert_eq!(line_after_int(proxy).number("status"), 0, "there was no reply");
}
