//! `tls = "dev"`: a certificate that is made up.

use std::process::Command;
use std::{fs, io};

use fairwater_e2e::{Endpoint, Proxy, Setup};

use super::{Pki, s_client};

/// The certificate that a listener shows, as PEM.
fn shown(pki: &Pki, proxy: &Proxy) -> String {
    let said = s_client(pki, proxy, "");
    let start = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said}"));
    let end = said.find("-----END CERTIFICATE-----").unwrap();
    format!("{}-----END CERTIFICATE-----\n", &said[start..end])
}

fn curl(proxy: &Proxy, host: &str, words: &[&str]) -> io::Result<(bool, String)> {
    let mut command = Command::new("curl");
    let (_, port) = proxy.address.rsplit_once(':').unwrap();
    command.args(["-sS", "--max-time", "20", "--connect-to"]);
    command.arg(format!("::127.0.0.1:{port}")).args(words);
    let output = command.arg(format!("https://{host}:{port}/")).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn a_listener_shows_a_certificate_that_is_made_up() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let route = |host: &str| {
        format!("[[routes]]\nlistener = \"web\"\nhost = {host:?}\nupstream = \"app\"\n")
    };
    let routes = format!("{}{}", route("a.example"), route("*.b.example"));
    let setup = Setup::http(&[&endpoint]).listener("tls = \"dev\"").more(&routes);
    let proxy = setup.reloadable().start();
    let said = proxy.said();
    assert!(said.contains("[W0904]: [listeners.web] shows a certificate that nobody"), "{said}");
    assert!(said.contains("curl -k"), "{said}");
    // Nobody trusts it, but whoever is told to does.
    assert!(!curl(&proxy, "localhost", &[]).unwrap().0);
    let (is_good, answer) = curl(&proxy, "localhost", &["-k"]).unwrap();
    assert!(is_good && answer.starts_with("e: GET /"), "{answer}");
    let first = shown(&pki, &proxy);
    let file = pki.file("dev.pem");
    fs::write(&file, &first).unwrap();
    let is_trusted = |proxy: &Proxy, host: &str| curl(proxy, host, &["--cacert", &file]).unwrap().0;
    for (host, expected) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("a.example", true),
        ("x.b.example", true),
        ("c.example", false),
    ] {
        assert_eq!(is_trusted(&proxy, host), expected, "{host}");
    }
    // It stays what it is, and so do sessions, unless there are other names.
    let session = pki.file("session");
    s_client(&pki, &proxy, &format!("-sess_out {session}"));
    proxy.edit("[upstreams.app]", "[upstreams.app]\nmax_requests = 1000");
    assert!(proxy.reload_well().contains("[W0904]"));
    assert_eq!(shown(&pki, &proxy), first);
    assert!(s_client(&pki, &proxy, &format!("-sess_in {session}")).contains("Reused, TLSv1.3"));
    proxy.edit("a.example", "c.example");
    proxy.reload_well();
    assert_ne!(shown(&pki, &proxy), first);
    // Another process has another one.
    let other = Setup::http(&[&endpoint]).listener("tls = \"dev\"").start();
    assert!(!is_trusted(&other, "localhost"));
}
