//! Certificates that are their own authority: nobody's, unless they are listed.

use std::process::Command;

use fairwater_e2e::{Client, Endpoint, Proxy, Setup};

use super::{LOCAL, Pki, curl, s_client};

impl Pki {
    /// A certificate that is its own authority, as `NAME.pem` and `NAME.key`.
    fn own(&self, name: &str, names: &str) -> &Self {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} \
             -addext subjectAltName={names} -keyout {} -out {}",
            self.file(&format!("{name}.key")),
            self.file(&format!("{name}.pem"))
        ));
        self
    }

    /// As OpenSSL prints it.
    fn fingerprint(&self, name: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
        let output = command.arg(self.file(&format!("{name}.pem"))).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        said.split_once('=').unwrap().1.to_owned()
    }
}

#[test]
fn clients_that_are_their_own_authority_are_let_in_where_they_are_listed() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL).pair("issued", "DNS:issued");
    pki.own("me", "DNS:me").own("other", "DNS:other");
    let (ca, me) = (pki.file("ca.pem"), pki.file("me.pem"));
    let printed = pki.fingerprint("me");
    let bare = printed.replace(':', "").to_lowercase();
    for (rules, own, issued) in [
        (format!("ca = {ca:?}"), false, true),
        (format!("ca = {me:?}"), true, false),
        (format!("fingerprints = {printed:?}"), true, false),
        (format!("ca = {ca:?}, fingerprints = [{bare:?}]"), true, true),
    ] {
        let tls = pki.table("site");
        let listener = format!("tls = {tls}\nclient_auth = {{ {rules} }}");
        let proxy = Setup::http(&[&endpoint]).listener(&listener).start();
        let is_let_in = |name: &str| {
            let file = |end: &str| pki.file(&format!("{name}.{end}"));
            let output = curl(&pki, &proxy, &["--cert", &file("pem"), "--key", &file("key")]);
            output.status.success()
        };
        let all = ["me", "issued", "other"].map(is_let_in);
        assert_eq!(all, [own, issued, false], "{rules}");
        assert!(!curl(&pki, &proxy, &[]).status.success(), "{rules}");
    }
}

#[test]
fn endpoints_that_are_their_own_authority_are_spoken_to_where_they_are_listed() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.own("site", LOCAL).own("named", "DNS:app.inside").own("other", LOCAL);
    let behind = |name: &str| {
        let tls = format!("tls = {}", pki.table(name));
        Setup::http(&[&endpoint]).listener(&tls).start()
    };
    let (site, named) = (behind("site"), behind("named"));
    let file = |name: &str| format!("ca = {:?}", pki.file(&format!("{name}.pem")));
    let printed = |name: &str| format!("fingerprints = [{:?}]", pki.fingerprint(name));
    for (proxy, tls, expected) in [
        (&site, file("ca"), 502),
        (&site, file("site"), 200),
        (&site, file("other"), 502),
        (&site, printed("site"), 200),
        (&site, printed("other"), 502),
        // A file does not say that the name does not matter, a fingerprint does.
        (&named, file("named"), 502),
        (&named, format!("{}, server_name = \"app.inside\"", file("named")), 200),
        (&named, printed("named"), 200),
        (&named, format!("{}, {}", file("site"), printed("named")), 200),
    ] {
        let upstream = format!("tls = {{ {tls} }}");
        let front = Setup::of("http", &[&proxy.address]).upstream(&upstream).start();
        assert_eq!(Client::new(&front).get("/").status(), expected, "{tls}");
    }
}

/// Nobody comes in by a ticket from where other certificates were listed.
#[test]
fn tickets_are_good_under_the_same_list_alone() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL).own("me", "DNS:me").own("other", "DNS:other");
    let keys = pki.file("tickets.key");
    std::fs::write(&keys, "0f".repeat(32)).unwrap();
    let start = |name: &str| {
        let (tls, listed) = (pki.table("site"), pki.fingerprint(name));
        let auth = format!("client_auth = {{ fingerprints = {listed:?} }}");
        let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}\n{auth}"));
        setup.listener(&format!("tls_ticket_keys = {keys:?}")).start()
    };
    let session = pki.file("session");
    let words = format!("-cert {} -key {}", pki.file("me.pem"), pki.file("me.key"));
    let proxy = start("me");
    s_client(&pki, &proxy, &format!("{words} -sess_out {session}"));
    // With its session and without its certificate.
    let goes_on =
        |proxy: &Proxy| s_client(&pki, proxy, &format!("-sess_in {session}")).contains(" 200 OK");
    assert!(goes_on(&proxy));
    assert!(goes_on(&start("me")), "with another process");
    assert!(!goes_on(&start("other")), "under another list");
}
