//! D03: what costs the server more than the client, sent again and again within a session.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

use super::answers;
use super::hellos::Site;

/// Debian's own, for which the library of ciphers and certificates is installed.
const PYTHON: &str = "/usr/bin/python3";

/// Python with a library that makes what OpenSSL's tools do not.
pub(super) fn python() -> Option<Command> {
    if Path::new("/usr/lib/python3/dist-packages/cryptography").exists() {
        return Some(Command::new(PYTHON));
    }
    let must = std::env::var_os("FAIRWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!must, "python3-cryptography is not installed");
    eprintln!("skipped: python3-cryptography is not installed");
    None
}

/// How it ended, and after how many records.
#[track_caller]
fn flood(site: &Site, words: &str) -> Option<(String, usize)> {
    let mut command = python()?;
    command.args(["-c", include_str!("floods.py"), &site.proxy.address, &site.pki.file("ca.pem")]);
    let output = command.args(words.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let end =
        said.trim().split_once(' ').map(|(end, sent)| (end.to_owned(), sent.parse().unwrap()));
    assert!(end.is_some(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    end
}

/// Processor time of the worker so far, in clock ticks of 10 ms.
pub(crate) fn ticks(proxy: &Proxy) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.worker_id())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Others are served while one floods, and what it gets done to us has an end.
#[test]
fn floods_within_a_session_are_cut_off_or_cost_little() {
    let mut site = Site::new("idle_timeout = \"60s\"");
    for (words, expected) in [
        ("1.3 key_update 30 0", "open"),
        ("1.3 key_update 5000 0", "closed"),
        ("1.3 canceled 4 0", "open"),
        ("1.3 canceled 5000 0", "closed"),
        ("1.2 canceled 5000 0", "closed"),
        ("1.2 renegotiate 1 0", "open"),
        ("1.2 renegotiate 100 0", "closed"),
        ("1.3 empty 32 0", "open"),
        ("1.3 empty 20000 0", "closed"),
        ("1.2 empty 32 0", "open"),
        ("1.2 empty 20000 0", "closed"),
    ] {
        let (ticks_before, memory_before) = (ticks(&site.proxy), site.proxy.resident());
        let found = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(&site, words));
            while !flood.is_finished() {
                let begun = Instant::now();
                assert!(answers(&site.pki, &site.proxy, &[]).starts_with('e'));
                assert!(begun.elapsed() < Duration::from_secs(5), "{words}: others wait");
            }
            flood.join().unwrap()
        });
        let Some((end, sent)) = found else { return };
        assert_eq!(end, expected, "{words}: after {sent}");
        let memory = site.proxy.resident().saturating_sub(memory_before);
        assert!(memory < 4 << 20, "{words}: {memory} bytes");
        // The handshakes of the others are in it as well.
        let took = ticks(&site.proxy) - ticks_before;
        assert!(took < 500, "{words}: {took} ticks");
    }
    until("all to be gone", || site.proxy.metric("fairwater_connections_active", &[]) == 0);
    assert_eq!(site.faults("tls_handshake_failed"), 0, "all of them came to shake hands");
    site.proxy.assert_sound();
}

/// Records without a byte are no sign of life.
#[test]
fn empty_records_keep_no_connection_alive() {
    let timeouts = "idle_timeout = \"500ms\"\nrequest_head_timeout = \"500ms\"";
    let mut site = Site::new(timeouts);
    for words in ["1.3 empty 30 0.05", "1.2 empty 30 0.05"] {
        let Some((end, sent)) = flood(&site, words) else { return };
        assert_eq!(end, "closed", "{words}: after {sent}");
        assert!(sent > 3 && sent < 28, "{words}: after {sent}");
    }
    // Nor is a head that comes by bytes.
    let Some((end, sent)) = flood(&site, "1.3 header 200 0.05") else { return };
    assert!(end == "closed" && sent < 150, "{end} after {sent}");
    let lines = site.proxy.until_log(3);
    assert_eq!(lines[2].get("reason"), "request_head_timeout", "{:?}", lines[2]);
    site.proxy.assert_sound();
}

/// Nor are empty lines, which are the same without TLS.
#[test]
fn empty_lines_keep_no_connection_alive() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener("idle_timeout = \"500ms\"").start();
    let (mut client, mut sent) = (Client::new(&proxy), 0);
    assert_eq!(client.get("/").status(), 200);
    client.socket.patience(Duration::from_millis(50)).unwrap();
    while client.read_to_end().1 == End::Open {
        client.send("\r\n");
        sent += 1;
        assert!(sent < 100, "still open");
    }
    assert!(sent > 3, "{sent}");
    proxy.assert_sound();
}
