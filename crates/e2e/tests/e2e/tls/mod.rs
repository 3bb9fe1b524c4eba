//! TLS with clients and endpoints, judged by curl, OpenSSL and Python.

mod clients;
mod endpoints;
pub(crate) mod examples;
mod expiry;
mod floods;
mod hello;
mod hellos;
mod judges;
mod keys;
mod listed;
mod made_up;
mod many;
mod swaps;
mod tickets;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use fairwater_e2e::{Directory, Endpoint, Proxy, Setup, until};

pub(crate) use floods::ticks;

/// Certificates of a test, made by OpenSSL.
pub(crate) struct Pki {
    directory: Directory,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self { directory: Directory::new() };
        pki.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN=authority -keyout {} -out {}",
            pki.file("ca.key"),
            pki.file("ca.pem")
        ));
        pki
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub(crate) fn openssl(&self, words: &str) {
        let output = Command::new("openssl").args(words.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for these names, as `NAME.pem` and `NAME.key`.
    pub(crate) fn pair(&self, name: &str, names: &str) -> &Self {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        fs::write(file("ext"), format!("subjectAltName={names}")).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {} -out {}",
            file("key"),
            file("csr")
        ));
        self.openssl(&format!(
            "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 30 -extfile {} -out {}",
            file("csr"),
            self.file("ca.pem"),
            self.file("ca.key"),
            file("ext"),
            file("pem")
        ));
        self
    }

    /// `{ cert = .., key = .. }`
    pub(crate) fn table(&self, name: &str) -> String {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        format!("{{ cert = {:?}, key = {:?} }}", file("pem"), file("key"))
    }
}

pub(crate) const LOCAL: &str = "DNS:localhost,IP:127.0.0.1";

fn curl(pki: &Pki, proxy: &Proxy, words: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--cacert", &pki.file("ca.pem")]).args(words);
    command.arg(format!("https://{}/", proxy.address)).output().unwrap()
}

#[track_caller]
fn answers(pki: &Pki, proxy: &Proxy, words: &[&str]) -> String {
    let output = curl(pki, proxy, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What OpenSSL's client says of a connection.
fn s_client(pki: &Pki, proxy: &Proxy, words: &str) -> String {
    s_client_at(pki, &proxy.address, words)
}

fn s_client_at(pki: &Pki, address: &str, words: &str) -> String {
    let ca = pki.file("ca.pem");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address, "-CAfile", &ca, "-ign_eof"]);
    command.args(words.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    child.stdin.take().unwrap().write_all(request).ok();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn clients_speak_tls_and_endpoints_hear_of_it() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let mut proxy = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}")).start();
    assert!(answers(&pki, &proxy, &[]).starts_with('e'));
    let twice = [format!("https://{}/2", proxy.address)];
    let counted = answers(&pki, &proxy, &[&twice[0], "-w", "%{num_connects} "]);
    assert!(counted.contains("1 ") && counted.ends_with("0 "), "one connection: {counted}");
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    // 1.2 is spoken, what is older is not.
    for (words, expected) in [("-tls1_2", true), ("-tls1_3", true), ("-tls1_1", false)] {
        let said = s_client(&pki, &proxy, words);
        assert_eq!(said.contains("HTTP/1.1 200 OK"), expected, "{words}: {said}");
        assert!(!expected || said.contains("Verify return code: 0 (ok)"), "{words}: {said}");
    }
    assert_eq!(proxy.metric("fairwater_faults_total", &["tls_handshake_failed"]), 1);
    // The other side is told of the end, so that nobody can cut a reply short unseen.
    assert!(s_client(&pki, &proxy, "-msg").contains("close_notify"));
    proxy.assert_sound();
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("first", LOCAL).pair("second", "DNS:*.second.example");
    let tls = format!("tls = [{}, {}]", pki.table("first"), pki.table("second"));
    let proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    for (words, expected) in [
        ("-noservername", "first"),
        ("-servername localhost", "first"),
        ("-servername www.second.example", "second"),
        ("-servername third.example", "first"),
    ] {
        let said = s_client(&pki, &proxy, words);
        assert!(said.contains(&format!("subject=CN = {expected}")), "{words}: {said}");
    }
}

#[test]
fn who_speaks_no_tls_or_nothing_is_closed() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let listener = format!("tls = {tls}\ntls_handshake_timeout = \"300ms\"");
    let mut proxy = Setup::http(&[&endpoint]).listener(&listener).start();
    let mut client = fairwater_e2e::Client::new(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (said, _) = client.read_to_end();
    assert!(said.starts_with(&[0x15, 3]), "an alert: {said:?}");
    let silent = fairwater_e2e::Client::new(&proxy).read_to_end().0;
    assert_eq!(silent, b"");
    let counted = |reason: &str| proxy.metric("fairwater_faults_total", &[reason]);
    until("both to be counted", || {
        counted("tls_handshake_failed") == 1 && counted("tls_handshake_timeout") == 1
    });
    assert!(answers(&pki, &proxy, &[]).starts_with('e'));
    proxy.assert_sound();
}

#[test]
fn clients_show_their_certificates() {
    let (pki, other, endpoint) = (Pki::new(), Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL).pair("me", "DNS:me");
    other.pair("me", "DNS:me");
    let listener = |mode: &str| {
        let (tls, ca) = (pki.table("site"), pki.file("ca.pem"));
        format!("tls = {tls}\nclient_auth = {{ ca = {ca:?}, mode = \"{mode}\" }}")
    };
    let with = |pki: &Pki| [pki.file("me.pem"), pki.file("me.key")];
    // Whoever has no certificate cannot say that he has one.
    let told =
        "request_headers.set = { x-subject = \"{client_subject}\", x-names = \"{client_names}\" }";
    for (mode, alone) in [("require", false), ("request", true)] {
        let listener = format!("{}\n{told}", listener(mode));
        let proxy = Setup::http(&[&endpoint]).listener(&listener).start();
        assert_eq!(curl(&pki, &proxy, &[]).status.success(), alone, "{mode}");
        let [cert, key] = with(&pki);
        let words = ["--cert", &cert, "--key", &key, "-H", "X-Subject: CN=root"];
        assert!(answers(&pki, &proxy, &words).starts_with('e'));
        let request = endpoint.requests().pop().unwrap();
        let told = [request.field("x-subject"), request.field("x-names")];
        assert_eq!(told, [Some("CN=me"), Some("me")]);
        if alone {
            answers(&pki, &proxy, &["-H", "X-Subject: CN=root"]);
            assert_eq!(endpoint.requests().pop().unwrap().field("x-subject"), Some(""));
        }
        let line = &proxy.until_log(if alone { 3 } else { 1 })[usize::from(alone)];
        assert_eq!((line.get("tls_version"), line.get("client_subject")), ("TLSv1.3", "CN=me"));
        let [cert, key] = with(&other);
        assert!(!curl(&pki, &proxy, &["--cert", &cert, "--key", &key]).status.success(), "{mode}");
    }
    let listener = format!("{}\n{told}", listener("off"));
    let proxy = Setup::http(&[&endpoint]).listener(&listener).start();
    let [cert, key] = with(&other);
    answers(&pki, &proxy, &["--cert", &cert, "--key", &key]);
    assert_eq!(endpoint.requests().pop().unwrap().field("x-subject"), Some(""));
}

#[test]
fn endpoints_are_who_they_should_be() {
    let (pki, other, endpoint) = (Pki::new(), Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL).pair("named", "DNS:app.inside");
    let behind = |name: &str| {
        let tls = format!("tls = {}", pki.table(name));
        Setup::http(&[&endpoint]).listener(&tls).start()
    };
    let (site, named) = (behind("site"), behind("named"));
    let (ca, other_ca) = (pki.file("ca.pem"), other.file("ca.pem"));
    for (proxy, tls, expected) in [
        (&site, format!("{{ ca = {ca:?} }}"), 200),
        (&site, format!("{{ ca = {other_ca:?} }}"), 502),
        (&site, "true".to_owned(), 502),
        (&site, "{ insecure_skip_verify = true }".to_owned(), 200),
        (&named, format!("{{ ca = {ca:?} }}"), 502),
        (&named, format!("{{ ca = {ca:?}, server_name = \"app.inside\" }}"), 200),
    ] {
        let front = Setup::of("http", &[&proxy.address]).upstream(&format!("tls = {tls}")).start();
        let mut client = fairwater_e2e::Client::new(&front);
        for _ in 0..2 {
            assert_eq!(client.get("/").status(), expected, "{tls}");
        }
        let line = &front.until_log(2)[1];
        match expected {
            200 => assert_eq!(line.get("reused"), "true", "{line:?}"),
            _ => assert_eq!(line.get("reason"), "upstream_tls_handshake_failed", "{line:?}"),
        }
    }
}

/// Sends bytes over TLS as fast as they go, reads them back slowly at first, and compares.
const ECHO: &str = r#"
import socket, ssl, sys, threading, time
host, port = sys.argv[1].rsplit(":", 1)
context = ssl.create_default_context(cafile=sys.argv[2])
stream = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
block = bytes(range(251)) * 4000
def send():
    for _ in range(20):
        stream.sendall(block)
    stream.sendall(b"the end")
threading.Thread(target=send).start()
got = bytearray()
while not got.endswith(b"the end"):
    if len(got) < 500_000:
        time.sleep(0.002)
    part = stream.recv(16384)
    assert part, "cut off"
    got += part
assert got == block * 20 + b"the end", len(got)
print("same", stream.version())
"#;

#[test]
fn streams_pass_through_tls_unharmed() {
    let pki = Pki::new();
    let tls = pki.pair("site", LOCAL).table("site");
    let endpoint = Endpoint::mirror();
    let proxy = Setup::tcp(&[&endpoint]).listener(&format!("tls = {tls}")).start();
    // And once more, with TLS on both sides.
    let ca = pki.file("ca.pem");
    let over = Setup::of("tcp", &[&proxy.address])
        .listener(&format!("tls = {tls}"))
        .upstream(&format!("tls = {{ ca = {ca:?} }}"))
        .start();
    for address in [&proxy.address, &over.address] {
        let output = Command::new("python3").args(["-c", ECHO, address, &ca]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "same TLSv1.3\n", "{said}");
    }
}

/// Requests over one connection after the other, each as long as the server keeps it; none may be
/// lost. Ends when its standard input does.
const LOAD: &str = r#"
import http.client, ssl, sys, threading
host, port = sys.argv[1].rsplit(":", 1)
context = ssl.create_default_context(cafile=sys.argv[2])
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
requests = connections = 0
while not over.is_set():
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
    connections += 1
    while not over.is_set():
        connection.request("POST", "/", b"hi")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        requests += 1
        if answer.will_close:
            break
    connection.close()
print(requests, connections)
"#;

fn load(pki: &Pki, proxy: &Proxy) -> std::process::Child {
    let mut command = Command::new("python3");
    command.args(["-c", LOAD, &proxy.address, &pki.file("ca.pem")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn end(load: std::process::Child) -> (usize, usize) {
    // Its standard input is closed by this.
    let output = load.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts = said.trim().split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
    counts.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn no_request_over_tls_is_lost_in_reloads_and_upgrades() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}")).threads(2);
    let proxy = setup.upgradable().start();
    let all: Vec<_> = (0..3).map(|_| load(&pki, &proxy)).collect();
    until("some requests", || endpoint.requests().len() > 50);
    for step in 0..6 {
        match step % 2 {
            0 => drop(proxy.upgrade_well()),
            _ => drop(proxy.reload_well()),
        }
    }
    for one in all {
        let (requests, connections) = end(one);
        assert!(requests > 20 && connections <= 10, "{requests} over {connections}");
    }
    until("one worker to be left", || proxy.worker_ids().len() == 1);
}

#[test]
fn another_certificate_is_taken_in_and_a_broken_one_is_not() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}"));
    let proxy = setup.reloadable().top("watch = true").start();
    let serial = || {
        let said = s_client(&pki, &proxy, "-showcerts");
        said.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_default()[..80].to_owned()
    };
    let first = serial();
    pki.pair("site", LOCAL);
    until("the new certificate", || serial() != first);
    let second = serial();
    fs::write(PathBuf::from(pki.file("site.key")), "nonsense").unwrap();
    until("the refusal", || proxy.said().contains("there is no private key in it"));
    assert_eq!(serial(), second);
    // Sessions are resumed over a reload that changes something else.
    pki.pair("site", LOCAL);
    until("the third certificate", || serial() != second);
    let session = pki.file("session");
    assert!(s_client(&pki, &proxy, &format!("-sess_out {session}")).contains("New, TLSv1.3"));
    proxy.edit("[upstreams.app]", "[upstreams.app]\nmax_requests = 1000");
    proxy.reload_well();
    let again = s_client(&pki, &proxy, &format!("-sess_in {session}"));
    assert!(again.contains("Reused, TLSv1.3"), "{again}");
}

#[test]
fn certificates_that_end_and_keys_that_are_open_are_told_of() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}"));
    let proxy = setup.reloadable().start();
    let said = proxy.said();
    assert!(said.contains("[W0902]: the certificate of `CN=site` ends in "), "{said}");
    assert!(said.contains("fairwater.toml:") && !said.contains("W0903"), "{said}");
    let end = proxy.metric("fairwater_certificate_not_after_seconds", &["subject=\"CN=site\""]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 29 * 86_400..=now + 30 * 86_400).contains(&end), "{end}");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(pki.file("site.key"), mode).unwrap();
    let said = proxy.reload_well();
    assert!(said.contains("[W0903]: every user can read the private key in "), "{said}");
}

#[test]
fn an_open_key_is_looked_for_beside_the_configuration() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL);
    let tls = "tls = { cert = \"site.pem\", key = \"site.key\" }";
    let setup = Setup::http(&[&endpoint]).listener(tls);
    for name in ["site.pem", "site.key"] {
        let own = setup.directory().join(name);
        fs::copy(pki.file(name), &own).unwrap();
        fs::set_permissions(own, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let said = setup.start().said();
    assert!(said.contains("[W0903]: every user can read the private key in /"), "{said}");
}

/// As docs/tls.md shows it.
#[test]
fn clients_in_clear_are_sent_over_and_stay() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let clear = pki.file("clear.sock");
    let proxy = Setup::http(&[&endpoint])
        .listener(&format!("tls = {tls}"))
        .listener("response_headers = { set = { strict-transport-security = \"max-age=9\" } }")
        .more(&format!("[listeners.clear]\nbind = \"unix:{clear}\""))
        .more("redirect = { to = \"https://{host}{target}\", status = 308 }")
        .start();
    let said = answers(&pki, &proxy, &["-D", "-"]);
    assert!(said.contains("strict-transport-security: max-age=9\r\n"), "{said}");
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "-D", "-", "--unix-socket", &clear]);
    let output = command.arg("http://site.example:8080/a?b").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
    assert!(said.starts_with("http/1.1 308 "), "{said}");
    assert!(said.contains("location: https://site.example/a?b\r\n"), "{said}");
    assert!(!said.contains("strict-transport-security"), "{said}");
}

/// One client's session goes on with another process of the same keys, and with nobody else.
#[test]
fn tickets_are_good_wherever_their_keys_and_the_rules_are() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).table("site");
    let keys = pki.file("tickets.key");
    let (old, new) = ("0f".repeat(32), "f0".repeat(32));
    fs::write(&keys, &old).unwrap();
    let start = |more: &str| {
        let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}"));
        setup.listener(more).reloadable().start()
    };
    let with_keys = format!("tls_ticket_keys = {keys:?}");
    let proxy = start(&with_keys);
    let session = pki.file("session");
    s_client(&pki, &proxy, &format!("-sess_out {session}"));
    let goes_on = |proxy: &Proxy| {
        let said = s_client(&pki, proxy, &format!("-sess_in {session}"));
        assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
        said.contains("Reused, TLSv1.3")
    };
    assert!(goes_on(&proxy));
    proxy.upgrade_well();
    assert!(goes_on(&proxy), "after an upgrade");
    assert!(goes_on(&start(&with_keys)), "with another node");
    assert!(!goes_on(&start("")), "with one that has other keys");
    let ca = pki.file("ca.pem");
    let rules = format!("client_auth = {{ ca = {ca:?}, mode = \"request\" }}");
    assert!(!goes_on(&start(&format!("{with_keys}\n{rules}"))), "under other rules");
    // A key is changed while tickets of the one before are about.
    fs::write(&keys, format!("{new}\n{old}\n")).unwrap();
    proxy.reload_well();
    assert!(goes_on(&proxy), "by the second key");
    fs::write(&keys, &new).unwrap();
    proxy.reload_well();
    assert!(!goes_on(&proxy), "without the key");
}
