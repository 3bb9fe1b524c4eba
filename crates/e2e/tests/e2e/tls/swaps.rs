//! Certificates that are replaced while clients shake hands.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairwater_e2e::{Endpoint, Proxy, Setup, until};

use super::{LOCAL, Pki};

/// Full handshakes one after the other, a request in each, until standard input ends. Prints how
/// many there were, and how many certificates they have shown.
const HANDSHAKES: &str = r#"
import socket, ssl, sys, threading
host, port = sys.argv[1].rsplit(":", 1)
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
count, shown = 0, set()
while not over.is_set():
    # A context of its own for each has no session to take up.
    context = ssl.create_default_context(cafile=sys.argv[2])
    if count % 2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port)), 20) as plain:
        with context.wrap_socket(plain, server_hostname=host) as stream:
            assert not stream.session_reused
            shown.add(stream.getpeercert()["serialNumber"])
            stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := stream.recv(65536):
                answer += data
            assert answer.startswith(b"HTTP/1.1 200 "), answer
    count += 1
print(count, len(shown))
"#;

fn handshakes(pki: &Pki, proxy: &Proxy) -> Child {
    let mut command = Command::new("python3");
    command.args(["-c", HANDSHAKES, &proxy.address, &pki.file("ca.pem")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The serial number of the certificate that is shown now.
fn shown(pki: &Pki, proxy: &Proxy) -> String {
    let said = super::s_client(pki, proxy, "");
    let pem = said.split("-----").find(|part| part.starts_with("\nMI"));
    pem.unwrap_or_else(|| panic!("{said}")).trim().to_owned()
}

/// A site that reads `now.pem` and `now.key`, and pairs to put there.
struct Swapped {
    pki: Pki,
    proxy: Proxy,
    endpoint: Endpoint,
}

impl Swapped {
    fn new(top: &str) -> Self {
        let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
        for name in ["now", "first", "second", "third"] {
            pki.pair(name, LOCAL);
        }
        let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {}", pki.table("now")));
        let proxy = setup.threads(2).top(top).reloadable().start();
        Self { pki, proxy, endpoint }
    }

    /// As ACME clients do it: each file at once, but not both.
    fn put(&self, name: &str) {
        for end in ["pem", "key"] {
            self.put_file(&fs::read(self.pki.file(&format!("{name}.{end}"))).unwrap(), end);
        }
    }

    fn put_file(&self, bytes: &[u8], end: &str) {
        let [new, now] = ["new", "now"].map(|name| self.pki.file(&format!("{name}.{end}")));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, now).unwrap();
    }

    fn is_shown(&self, name: &str) -> bool {
        let pem = fs::read_to_string(self.pki.file(&format!("{name}.pem"))).unwrap();
        pem.contains(&shown(&self.pki, &self.proxy))
    }

    /// Swaps so often, while clients shake hands all the time.
    fn swap(&mut self, times: usize, clients: usize) {
        let clients: Vec<_> = (0..clients).map(|_| handshakes(&self.pki, &self.proxy)).collect();
        until("some handshakes", || self.endpoint.requests().len() > 20);
        for number in 0..times {
            self.put(["first", "second", "third"][number % 3]);
            self.proxy.reload_well();
        }
        let counts: Vec<_> = clients.into_iter().map(super::end).collect();
        assert!(counts.iter().all(|(all, _)| all * 2 > times / 2), "{counts:?}");
        assert!(counts.iter().all(|(_, different)| *different >= 3), "{counts:?}");
        let failed = self.proxy.metric("fairwater_faults_total", &["tls_handshake"]);
        assert_eq!(failed, 0);
        assert!(self.is_shown(["first", "second", "third"][(times - 1) % 3]));
        self.proxy.assert_sound();
    }
}

#[test]
fn certificates_are_swapped_without_a_failed_handshake() {
    Swapped::new("").swap(20, 3);
}

#[test]
#[ignore = "slow: four minutes"]
fn a_thousand_swaps_fail_no_handshake_and_keep_no_memory() {
    let mut swapped = Swapped::new("");
    swapped.swap(100, 1);
    let before = swapped.proxy.resident();
    swapped.swap(900, 1);
    let more = swapped.proxy.resident().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes");
}

/// X33: what an ACME client may leave behind, and for how long.
#[test]
fn a_renewed_certificate_is_shown_within_seconds_and_a_bad_pair_never() {
    let mut site = Swapped::new("watch = true");
    let client = handshakes(&site.pki, &site.proxy);
    until("some handshakes", || site.endpoint.requests().len() > 5);
    let soon = |site: &Swapped, name: &str| {
        let begun = Instant::now();
        until(name, || site.is_shown(name));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{name} after {took:?}");
    };
    site.put("first");
    soon(&site, "first");
    // The certificate alone; half of it; a key of another; and then what belongs to it.
    let second = fs::read(site.pki.file("second.pem")).unwrap();
    for (bytes, end, words) in [
        (&second[..], "pem", "the key belongs to another certificate"),
        (&second[..second.len() / 2], "pem", "its certificate is broken"),
        (&second[..], "pem", "the key belongs to another certificate"),
        (&fs::read(site.pki.file("third.key")).unwrap(), "key", "the key belongs to another"),
    ] {
        let count = |site: &Swapped| site.proxy.said().matches(words).count();
        let before = count(&site);
        site.put_file(bytes, end);
        until("the refusal", || count(&site) > before);
        assert!(site.is_shown("first"), "the old one is kept: {words}");
    }
    site.put_file(&fs::read(site.pki.file("second.key")).unwrap(), "key");
    soon(&site, "second");
    // Written in place by a slow hand: the file is half there for longer than it is waited for.
    let third = fs::read(site.pki.file("third.pem")).unwrap();
    let before = site.proxy.said().matches("its certificate is broken").count();
    fs::write(site.pki.file("now.pem"), &third[..third.len() / 2]).unwrap();
    until("the refusal", || {
        site.proxy.said().matches("its certificate is broken").count() > before
    });
    assert!(site.is_shown("second"));
    fs::write(site.pki.file("now.pem"), &third).unwrap();
    fs::copy(site.pki.file("third.key"), site.pki.file("now.key")).unwrap();
    soon(&site, "third");
    let (count, different) = super::end(client);
    assert!(count > 20 && different == 4, "{count} handshakes, {different} certificates");
    assert_eq!(site.proxy.metric("fairwater_faults_total", &["tls_handshake"]), 0);
    site.proxy.assert_sound();
}
