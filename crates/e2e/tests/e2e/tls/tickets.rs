//! D10: what a ticket opens: the door that it was made at, for who still may.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairwater_e2e::{Client, Endpoint, Setup};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::clients::made_by_script;
use super::{LOCAL, Pki, s_client, s_client_at};

/// Both listeners read each other's tickets, as far as the keys go (CVE-2025-23419).
#[test]
fn a_ticket_from_an_open_door_opens_no_other() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = pki.pair("site", LOCAL).pair("me", "DNS:me").table("site");
    let keys = pki.file("tickets.key");
    fs::write(&keys, "0f".repeat(32)).unwrap();
    let lines = format!("tls = {tls}\ntls_ticket_keys = {keys:?}");
    let closed = |ca: &str| format!("client_auth = {{ ca = {ca:?}, mode = \"require\" }}");
    let ca = pki.file("ca.pem");
    let listener = "bind = \"127.0.0.1:0\"\nupstream = \"app\"";
    let mut proxy = Setup::http(&[&endpoint])
        .listener(&lines)
        .more(&format!("[listeners.twin]\n{listener}\n{lines}"))
        .more(&format!("[listeners.closed]\n{listener}\n{lines}\n{}", closed(&ca)))
        .start();
    let [open, twin, closed] = ["web", "twin", "closed"].map(|name| proxy.address_of(name));
    let me = format!("-cert {} -key {}", pki.file("me.pem"), pki.file("me.key"));
    for version in ["-tls1_2", "-tls1_3"] {
        let [free, mine] = ["free", "mine"].map(|name| pki.file(name));
        let said = s_client_at(&pki, &open, &format!("{version} -sess_out {free}"));
        assert!(said.contains("200 OK"), "{said}");
        let said = s_client_at(&pki, &closed, &format!("{version} -sess_out {mine} {me}"));
        assert!(said.contains("200 OK"), "{said}");
        // Whether it goes on with the ticket, and whether it gets in.
        for (address, words, is_resumed, is_in) in [
            (&open, format!("-sess_in {free}"), true, true),
            (&twin, format!("-sess_in {free}"), true, true),
            (&closed, format!("-sess_in {free}"), false, false),
            (&closed, format!("-sess_in {free} {me}"), false, true),
            (&closed, format!("-sess_in {mine}"), true, true),
            (&open, format!("-sess_in {mine}"), false, true),
        ] {
            let before = endpoint.requests().len();
            let said = s_client_at(&pki, address, &format!("{version} {words}"));
            assert_eq!(said.contains("Reused, "), is_resumed, "{version} {words}: {said}");
            assert_eq!(said.contains("200 OK"), is_in, "{version} {words}: {said}");
            assert_eq!(endpoint.requests().len() > before, is_in, "{version} {words}");
        }
    }
    proxy.assert_sound();
}

/// A host of the same listener is another matter too: the client has seen another certificate.
#[test]
fn a_ticket_is_for_one_host() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("first", "DNS:first.example").pair("second", "DNS:second.example");
    let tls = format!("tls = [{}, {}]", pki.table("first"), pki.table("second"));
    let proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    let session = pki.file("session");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = format!("{version} -servername first.example");
        s_client(&pki, &proxy, &format!("{first} -sess_out {session}"));
        let again = s_client(&pki, &proxy, &format!("{first} -sess_in {session}"));
        assert!(again.contains("Reused, "), "{again}");
        let second = format!("{version} -servername second.example -sess_in {session}");
        let said = s_client(&pki, &proxy, &second);
        // OpenSSL's client refuses itself what comes of another host.
        assert!(said.contains("New, ") || !said.contains("200 OK"), "{version}: {said}");
    }
}

/// Who was let in yesterday may be revoked today.
#[test]
fn a_ticket_says_who_it_is_for_and_ends_with_his_rights() {
    let Some(made) = made_by_script() else { return };
    let file = |name: &str| made.join(name).display().to_string();
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let (tls, keys, list) = (pki.pair("site", LOCAL).table("site"), file("keys"), file("now.crl"));
    fs::write(&keys, "0f".repeat(32)).unwrap();
    fs::copy(file("none.crl"), &list).unwrap();
    let rules = format!("ca = {:?}, mode = \"require\", crl = {list:?}", file("ca.pem"));
    let mut proxy = Setup::http(&[&endpoint])
        .listener(&format!("tls = {tls}\ntls_ticket_keys = {keys:?}"))
        .listener(&format!("client_auth = {{ {rules} }}"))
        .listener("request_headers.set = { x-subject = \"{client_subject}\" }")
        .reloadable()
        .start();
    let me = format!("-cert {} -key {}", file("revoked.pem"), file("revoked.key"));
    for version in ["-tls1_2", "-tls1_3"] {
        fs::copy(file("none.crl"), &list).unwrap();
        proxy.reload_well();
        let session = file("session");
        s_client(&pki, &proxy, &format!("{version} -sess_out {session} {me}"));
        let words = format!("{version} -sess_in {session} {me}");
        let said = s_client(&pki, &proxy, &words);
        assert!(said.contains("Reused, ") && said.contains("200 OK"), "{said}");
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.field("x-subject"), Some("CN=revoked"), "also of who goes on");
        fs::copy(file("list.crl"), &list).unwrap();
        proxy.reload_well();
        let before = endpoint.requests().len();
        let said = s_client(&pki, &proxy, &words);
        assert!(said.contains("SSL alert number 44"), "{version}: {said}");
        assert_eq!(endpoint.requests().len(), before);
    }
    proxy.assert_sound();
}

/// A certificate that ends in seconds, `brief.pem`: when, and its fingerprint as OpenSSL says it.
fn brief(pki: &Pki) -> (Duration, String) {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(4);
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
    let pem = pki.file("brief.pem");
    fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(pki.file("brief.key"), key.serialize_pem()).unwrap();
    let words = ["x509", "-in", &pem, "-noout", "-fingerprint", "-sha256"];
    let printed = Command::new("openssl").args(words).output().unwrap().stdout;
    (end, String::from_utf8(printed).unwrap().trim().to_owned())
}

/// Dates of certificates have whole seconds.
fn until_past(end: Duration) {
    let past = UNIX_EPOCH + end + Duration::from_secs(2);
    std::thread::sleep(past.duration_since(SystemTime::now()).unwrap_or_default());
}

/// The library does not look at it again when a session goes on.
#[test]
fn a_ticket_ends_with_the_certificate_of_its_client() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let (end, printed) = brief(&pki);
    let [pem, own_key, site] = ["brief.pem", "brief.key", "site"].map(|name| pki.file(name));
    let tls = pki.pair("site", LOCAL).table("site");
    let rules = format!("client_auth = {{ fingerprints = [{printed:?}] }}");
    let mut proxy = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}\n{rules}")).start();
    for version in ["-tls1_2", "-tls1_3"] {
        let words = format!("{version} -sess_out {site}{version} -cert {pem} -key {own_key}");
        let said = s_client(&pki, &proxy, &words);
        assert!(said.contains("200 OK"), "{said}");
    }
    until_past(end);
    for version in ["-tls1_2", "-tls1_3"] {
        let said = s_client(&pki, &proxy, &format!("{version} -sess_in {site}{version}"));
        assert!(!said.contains("200 OK"), "{said}");
    }
    assert_eq!(endpoint.requests().len(), 2);
    assert_eq!(proxy.metric("fairwater_faults_total", &["tls_handshake_failed"]), 2);
    proxy.assert_sound();
}

/// The same of an endpoint: each ticket of it is used once and brings its old certificate back.
#[test]
fn a_ticket_ends_with_the_certificate_of_its_endpoint() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let (end, printed) = brief(&pki);
    let behind =
        Setup::http(&[&endpoint]).listener(&format!("tls = {}", pki.table("brief"))).start();
    let mut front = Setup::of("http", &[&behind.address])
        .upstream(&format!("tls = {{ fingerprints = [{printed:?}] }}\nkeep_alive = false"))
        .start();
    for _ in 0..3 {
        assert_eq!(Client::new(&front).get("/").status(), 200);
    }
    until_past(end);
    for _ in 0..6 {
        assert_eq!(Client::new(&front).get("/").status(), 502);
    }
    let lines = front.until_log(9);
    assert!(lines[3..].iter().all(|line| line.get("detail") == "certificate_expired"));
    assert_eq!(endpoint.requests().len(), 3);
    front.assert_sound();
}
