//! A fast way that is long: what may be sent ahead is what limits the speed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fairwater_e2e::{Directory, Endpoint, Setup};

use crate::peers::{Server, free_address, program};

/// One way; with 256 KiB ahead nobody gets more than 5 MiB a second over it.
const DELAY: Duration = Duration::from_millis(25);
const BODY_BYTES: usize = 48 * 1024 * 1024;
/// With 256 KiB ahead it would take 9.6 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// Passes bytes on as they come, and each of them later by the delay.
fn long_way_to(address: &str) -> String {
    let (address, listener) = (address.to_owned(), TcpListener::bind("127.0.0.1:0").unwrap());
    let own = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(&address).unwrap();
            delay(near.try_clone().unwrap(), far.try_clone().unwrap());
            delay(far, near);
        }
    });
    own
}

fn delay(mut from: TcpStream, mut to: TcpStream) {
    to.set_nodelay(true).unwrap();
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(len) = from.read(&mut bytes) {
            let is_over = len == 0;
            let sent = sender.send((Instant::now() + DELAY, bytes[..len].to_vec()));
            if is_over || sent.is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                to.shutdown(Shutdown::Write).ok();
                return;
            }
        }
    });
}

fn curl(words: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "30"]).args(words).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_large_body_of_a_client_is_not_held_back() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener("http2 = true").start();
    let directory = Directory::new();
    let file = directory.join("large").display().to_string();
    std::fs::write(&file, vec![b'x'; BODY_BYTES]).unwrap();
    let url = format!("http://{}/", long_way_to(&proxy.address));
    let begun = Instant::now();
    let said = curl(&["--http2-prior-knowledge", "-T", &file, &url]);
    assert!(said.trim_end().ends_with(&format!("PUT /large {BODY_BYTES}")), "{said}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn a_large_body_of_an_endpoint_is_not_held_back() {
    let Some(nghttpd) = program("nghttpd") else { return };
    let directory = Directory::new();
    std::fs::write(directory.join("large"), vec![b'x'; BODY_BYTES]).unwrap();
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let mut command = Command::new(nghttpd);
    command.args(["--no-tls", "-a", "127.0.0.1", "-d"]).arg(directory.path()).arg(port);
    let server = Server::start(address, &mut command);
    let far = long_way_to(&server.address);
    let proxy = Setup::of("http", &[&far]).upstream("http2 = true").start();
    let url = format!("http://{}/large", proxy.address);
    let begun = Instant::now();
    let said = curl(&["-o", "/dev/null", "-w", "%{size_download}", &url]);
    assert_eq!(said, BODY_BYTES.to_string());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
