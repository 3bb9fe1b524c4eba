//! TLS with endpoints that are not who they should be, and with authorities that change.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

use super::clients::made_by_script;
use super::{LOCAL, Pki};
use crate::peers::{Server, free_address};

const FAILED: &str = "upstream_tls_handshake_failed";

/// A server of OpenSSL's that answers requests, with these files.
fn server(certificate: &str, key: &str, more: &str) -> Server {
    let address = free_address();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &address, "-cert", certificate]);
    command.args(["-cert_chain", certificate, "-key", key]);
    command.args(["-cipher", "DEFAULT:@SECLEVEL=0"]).args(more.split_whitespace());
    Server::start(address, &mut command)
}

fn in_front_of(address: &str, ca: &str) -> Proxy {
    Setup::of("http", &[address])
        .upstream(&format!("tls = {{ ca = {ca:?} }}\nconnect_timeout = \"1s\""))
        .start()
}

#[track_caller]
fn get(proxy: &Proxy) -> u16 {
    Client::new(proxy).get("/secret").status()
}

/// D12, by certificates.
#[test]
fn endpoints_with_bad_certificates_get_no_request() {
    let Some(made) = made_by_script() else { return };
    let file = |name: &str| made.join(name).display().to_string();
    for (name, detail) in [
        ("site", ""),
        ("site_chain", ""),
        ("site_expired", "certificate_expired"),
        ("site_future", "certificate_not_valid_yet"),
        ("site_elsewhere", "certificate_of_another_name"),
        ("site_unnamed", "certificate_of_another_name"),
        ("site_stranger", "certificate_not_trusted"),
        ("site_self", "certificate_not_trusted"),
        ("site_client", "bad_certificate"),
        ("site_outside", "bad_certificate"),
    ] {
        let expected = if detail.is_empty() { 200 } else { 502 };
        let [pem, key] = ["pem", "key"].map(|end| file(&format!("{name}.{end}")));
        for version in ["", "-tls1_2"] {
            let server = server(&pem, &key, version);
            let mut proxy = in_front_of(&server.address, &file("ca.pem"));
            assert_eq!(get(&proxy), expected, "{name} {version}");
            let line = &proxy.until_log(1)[0];
            let reason = if expected == 200 { "" } else { FAILED };
            assert_eq!((line.get("reason"), line.get("detail")), (reason, detail), "{name}");
            proxy.assert_sound();
        }
    }
}

/// D12, by bytes: nothing of a request goes to who has not shown who he is.
#[test]
fn endpoints_that_speak_no_tls_get_no_request() {
    let pki = Pki::new();
    for (name, script) in [
        ("speaks first", Some(&b"220 ready\r\n"[..])),
        ("answers in clear", Some(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
        ("has an alert", Some(b"\x15\x03\x03\0\x02\x02\x28")),
        ("speaks of an old version", Some(b"\x16\x03\x01\0\x2d\x02\0\0\x29\x03\x01")),
        ("sends zeros", Some(&[0; 100_000])),
        ("closes at once", Some(b"")),
        ("says nothing", None),
    ] {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let of_script = std::sync::Arc::clone(&seen);
        let endpoint = Endpoint::new(move |caller| {
            if let Some(bytes) = script {
                caller.send(bytes);
                caller.half_close();
            }
            let bytes = caller.read_to_end().0;
            of_script.lock().unwrap().extend(bytes);
        });
        let mut proxy = in_front_of(&endpoint.address, &pki.file("ca.pem"));
        let begun = Instant::now();
        let status = get(&proxy);
        let line = &proxy.until_log(1)[0];
        assert_eq!((status, line.get("reason")), (502, FAILED), "{name}: {line:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        endpoint.until_closed(1);
        let seen = seen.lock().unwrap();
        assert!(!seen.windows(6).any(|bytes| bytes == b"secret"), "{name}");
        proxy.assert_sound();
    }
}

/// X34: both authorities are trusted while the certificates change, and nothing is lost.
#[test]
fn an_authority_of_endpoints_is_replaced_without_a_failed_request() {
    let (old, new, endpoint) = (Pki::new(), Pki::new(), Endpoint::echo("e"));
    old.pair("site", LOCAL);
    new.pair("site", LOCAL);
    let behind = Setup::http(&[&endpoint]).listener(&format!("tls = {}", old.table("site")));
    let behind = behind.reloadable().start();
    let (plain, ca) = (Endpoint::echo("p"), old.file("trusted.pem"));
    let [old_ca, new_ca] = [&old, &new].map(|pki| fs::read(pki.file("ca.pem")).unwrap());
    let trust = |text: &[u8]| fs::write(&ca, text).unwrap();
    trust(&old_ca);
    let front = Setup::of("http", &[&behind.address])
        .upstream(&format!("tls = {{ ca = {ca:?} }}"))
        .more(&format!("[upstreams.plain]\nendpoints = [{:?}]", plain.address))
        .more("[[routes]]\nlistener = \"web\"\npath = \"/plain\"\nupstream = \"plain\"");
    let mut front = front.reloadable().start();
    let check = |expected: u16, step: &str| {
        // A new connection each, so that each shakes hands.
        for _ in 0..5 {
            let mut client = Client::new(&front);
            assert_eq!(client.get("/").status(), expected, "{step}");
            assert_eq!(client.get("/plain").status(), 200, "{step}: others go on");
        }
    };
    let show = |pki: &Pki| {
        for name in ["site.pem", "site.key"] {
            fs::copy(pki.file(name), old.file(name)).unwrap();
        }
        behind.reload_well();
    };
    let kept = ["site.pem", "site.key"].map(|name| fs::read(old.file(name)).unwrap());
    check(200, "the old one");
    trust(&[&old_ca[..], &new_ca].concat());
    front.reload_well();
    check(200, "both, and the old certificate");
    show(&new);
    check(200, "both, and the new certificate");
    trust(&new_ca);
    front.reload_well();
    check(200, "the new one");
    fs::write(old.file("site.pem"), &kept[0]).unwrap();
    fs::write(old.file("site.key"), &kept[1]).unwrap();
    behind.reload_well();
    // Connections that were opened before are as good as they were: they are asked to end.
    front.edit("[upstreams.app]", "[upstreams.app]\nmax_requests = 1");
    front.reload_well();
    until("the old certificate to be refused", || Client::new(&front).get("/").status() == 502);
    check(502, "the old certificate");
    until("its line", || front.log().iter().any(|line| line.get("reason") == FAILED));
    front.assert_sound();
}
