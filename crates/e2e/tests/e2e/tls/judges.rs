//! What those say whose trade it is: sslyze, a scanner, and curl with the TLS of Chrome.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use fairwater_e2e::peer::judge;
use fairwater_e2e::{Client, Directory, Endpoint, Setup};

use super::hello::{Answer, Hello, ask, extension, long};
use super::{LOCAL, Pki};

/// What is asked of the scan, one word for each finding.
const SUMMARY: &str = r#"
import json, sys
server = json.load(open(sys.argv[1]))["server_scan_results"][0]
assert server["scan_status"] == "COMPLETED", server
found = server["scan_result"]
def result(name):
    assert found[name]["status"] == "COMPLETED", (name, found[name])
    return found[name]["result"]
for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"]:
    suites = result(version + "_cipher_suites")["accepted_cipher_suites"]
    print(version, *sorted(suite["cipher_suite"]["name"] for suite in suites))
print("compression", result("tls_compression")["supports_compression"])
print("early data", result("tls_1_3_early_data")["supports_early_data"])
print("ccs", result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"])
print("heartbleed", result("heartbleed")["is_vulnerable_to_heartbleed"])
print("robot", result("robot")["robot_result"])
print("fallback", result("tls_fallback_scsv")["supports_fallback_scsv"])
print("master secret", result("tls_extended_master_secret")["supports_ems_extension"])
renegotiation = result("session_renegotiation")
print("renegotiations", renegotiation["client_renegotiations_success_count"],
      renegotiation["is_vulnerable_to_client_renegotiation_dos"])
print("curves", *sorted(one["name"] for one in result("elliptic_curves")["supported_curves"]))
"#;

/// By the kind of the key; all other lines are the same.
fn expected(kind: &str) -> String {
    let modern = "AES_128_GCM_SHA256 AES_256_GCM_SHA384 CHACHA20_POLY1305_SHA256";
    let list = |prefix: &str| {
        modern.split(' ').map(|suite| format!(" {prefix}{suite}")).collect::<String>()
    };
    let (old, new) = (list(&format!("TLS_ECDHE_{kind}_WITH_")), list("TLS_"));
    format!(
        "ssl_2_0\nssl_3_0\ntls_1_0\ntls_1_1\ntls_1_2{old}\ntls_1_3{new}\n\
         compression False\nearly data False\nccs False\nheartbleed False\n\
         robot NOT_VULNERABLE_RSA_NOT_SUPPORTED\nfallback True\nmaster secret True\n\
         renegotiations 0 False\ncurves X25519 secp256r1 secp384r1\n"
    )
}

#[test]
fn sslyze_finds_nothing_to_say() {
    let Some(sslyze) = judge("bin/sslyze") else { return };
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL);
    let [key, request, pem, names] =
        ["rsa.key", "rsa.csr", "rsa.pem", "site.ext"].map(|name| pki.file(name));
    let [ca, ca_key] = ["ca.pem", "ca.key"].map(|name| pki.file(name));
    pki.openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN=rsa -keyout {key} -out {request}"));
    pki.openssl(&format!(
        "x509 -req -in {request} -CA {ca} -CAkey {ca_key} -days 30 -CAcreateserial \
         -extfile {names} -out {pem}"
    ));
    for (name, kind) in [("site", "ECDSA"), ("rsa", "RSA")] {
        let tls = format!("tls = {}", pki.table(name));
        let mut proxy = Setup::http(&[&endpoint]).listener(&tls).start();
        let directory = Directory::new();
        let json = directory.join("found.json");
        let mut command = Command::new(&sslyze);
        command.args(["--mozilla_config=intermediate", "--early_data"]);
        command.arg("--json_out").arg(&json).arg(&proxy.address);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = Command::new("python3").args(["-c", SUMMARY]).arg(&json).output().unwrap();
        let found = String::from_utf8_lossy(&summary.stdout).into_owned();
        let errors = String::from_utf8_lossy(&summary.stderr);
        assert_eq!(found, expected(kind), "{errors}\n{said}");
        // Nobody knows an authority that a test has made; all else is as Mozilla wants it.
        let verdict = said.split("COMPLIANCE AGAINST").nth(1).unwrap();
        let complaints: Vec<_> =
            verdict.lines().filter_map(|line| line.trim().strip_prefix("* ")).collect();
        assert!(!complaints.is_empty(), "{verdict}");
        for complaint in complaints {
            assert!(complaint.starts_with("certificate_path_validation:"), "{complaint}");
        }
        assert!(fs::metadata(&json).unwrap().len() > 0);
        proxy.assert_sound();
    }
}

/// Asks with one group for the key exchange alone, and prints the status or that it failed.
const GROUPS: &str = r#"
import sys
from curl_cffi import Curl, CurlError, CurlOpt, CurlInfo
for group in sys.argv[3:]:
    curl = Curl()
    curl.setopt(CurlOpt.URL, sys.argv[1].encode())
    curl.setopt(CurlOpt.CAINFO, sys.argv[2].encode())
    curl.setopt(CurlOpt.SSL_EC_CURVES, group.encode())
    curl.setopt(CurlOpt.WRITEFUNCTION, [].append)
    try:
        curl.perform()
        print(group, curl.getinfo(CurlInfo.RESPONSE_CODE))
    except CurlError as error:
        print(group, "failed" if "HANDSHAKE_FAILURE" in str(error) else error)
"#;

/// The TLS of Chrome is another than ours, and than OpenSSL's.
#[test]
fn chrome_agrees_on_keys_that_last() {
    let (Some(python), Some(_)) = (judge("bin/python"), judge("bin/curl-cffi")) else { return };
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let mut proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    let mut command = Command::new(python);
    command.args(["-c", GROUPS, &format!("https://{}/", proxy.address), &pki.file("ca.pem")]);
    let output = command.args(["X25519MLKEM768", "X25519", "P-256", "P-521"]).output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(found, "X25519MLKEM768 200\nX25519 200\nP-256 200\nP-521 failed\n", "{errors}");
    assert_eq!(endpoint.requests().len(), 3);
    proxy.assert_sound();
}

/// OpenSSL speaks it from 3.5 on.
#[test]
fn openssl_agrees_on_keys_that_last() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let mut proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    let said = super::s_client(&pki, &proxy, "-groups X25519MLKEM768");
    if said.contains("Call to SSL_CONF_cmd(-groups, X25519MLKEM768) failed") {
        return eprintln!("skipped: this OpenSSL does not know X25519MLKEM768");
    }
    assert!(said.contains("200 OK") && said.contains("X25519MLKEM768"), "{said}");
    proxy.assert_sound();
}

/// X25519, and the same with ML-KEM-768 before it.
const X25519: [u8; 2] = [0, 29];
const WITH_ML_KEM: [u8; 2] = [0x11, 0xec];

/// With these groups, and a key for some of them.
fn hello(groups: &[[u8; 2]], shares: &[[u8; 2]]) -> Hello {
    let mut hello = Hello::tls13();
    hello.extensions.retain(|(kind, _)| ![extension::GROUPS, extension::KEY_SHARE].contains(kind));
    // Zeros are a key of ML-KEM, if not a good one.
    let share = |group: &[u8; 2]| match *group == X25519 {
        true => [&group[..], &long(&[9; 32])].concat(),
        false => [&group[..], &long(&[vec![0; 1184], vec![9; 32]].concat())].concat(),
    };
    let shares: Vec<u8> = shares.iter().flat_map(share).collect();
    hello.with(extension::GROUPS, long(&groups.concat())).with(extension::KEY_SHARE, long(&shares))
}

/// Clients that prefer it, as browsers do, get it; and to endpoints it is what we offer first.
#[test]
fn keys_that_last_are_taken_and_offered() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    let (both, reverse) = ([WITH_ML_KEM, X25519], [X25519, WITH_ML_KEM]);
    for (groups, shares, expected) in [
        (&both[..], &both[..], WITH_ML_KEM),
        (&both[..1], &both[..1], WITH_ML_KEM),
        // Whoever has guessed another is asked to come again.
        (&both, &both[1..], WITH_ML_KEM),
        (&both[..1], &[], WITH_ML_KEM),
        (&both[1..], &both[1..], X25519),
        // The order is the client's.
        (&reverse, &reverse, X25519),
    ] {
        let answer = ask(&proxy, &[hello(groups, shares).bytes()]);
        let Answer::Hello(bytes) = &answer else { panic!("{groups:x?} {shares:x?}: {answer:?}") };
        // The extension, its length, and the group.
        let is_share = |bytes: &[u8]| bytes[..2] == [0, 51] && bytes[4..] == expected;
        let is_it = bytes.windows(6).any(is_share);
        assert!(is_it, "{groups:x?} {shares:x?}: {}", bytes.escape_ascii());
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let of_script = Arc::clone(&heard);
    let listening = Endpoint::new(move |caller| {
        let head = caller.read_exactly(5);
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        *of_script.lock().unwrap() = caller.read_exactly(len);
    });
    let tls = format!("tls = {{ ca = {:?} }}", pki.file("ca.pem"));
    let proxy = Setup::http(&[&listening]).upstream(&tls).start();
    assert_eq!(Client::new(&proxy).get("/").status(), 502);
    let heard = heard.lock().unwrap();
    // The first share, and how long it is.
    let share = [&WITH_ML_KEM[..], &1216_u16.to_be_bytes()].concat();
    assert!(heard.windows(4).any(|bytes| bytes == share), "{}", heard.escape_ascii());
}
