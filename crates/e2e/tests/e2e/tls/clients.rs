//! Certificates of clients: those that are let in, those that are not, and what they say of
//! themselves.

use std::fs;

use fairwater_e2e::{Directory, Endpoint, Proxy, Setup, until};

use super::floods::{python, ticks};
use super::{LOCAL, Pki, s_client};

/// Certificates and keys that a script makes, and the listener's own.
struct Clients {
    directory: Directory,
    site: Pki,
}

/// Certificates of all kinds, of clients and endpoints.
pub(super) fn made_by_script() -> Option<Directory> {
    let directory = Directory::new();
    let mut command = python()?;
    command.args(["-c", include_str!("certificates.py")]).arg(directory.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(directory)
}

impl Clients {
    fn new() -> Option<Self> {
        let (directory, site) = (made_by_script()?, Pki::new());
        site.pair("site", LOCAL);
        let clients = Self { directory, site };
        clients.with_sha1();
        Some(clients)
    }

    /// What the script's library does not sign any more.
    fn with_sha1(&self) {
        let file = |name: &str| self.file(name);
        fs::write(file("usage"), "extendedKeyUsage=clientAuth").unwrap();
        let [request, key, pem] = ["sha1.csr", "sha1.key", "sha1.pem"].map(file);
        self.site.openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj /CN=sha1 -keyout {key} -out {request}"
        ));
        self.site.openssl(&format!(
            "x509 -req -sha1 -in {request} -CA {} -CAkey {} -set_serial 9 -extfile {} -out {pem}",
            file("ca.pem"),
            file("ca.key"),
            file("usage")
        ));
        self.site.openssl(&format!("verify -auth_level 0 -CAfile {} {pem}", file("ca.pem")));
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// The line of a listener.
    fn rules(&self, more: &str) -> String {
        format!("client_auth = {{ ca = {:?}, mode = \"require\"{more} }}", self.file("ca.pem"))
    }

    fn setup(&self, endpoint: &Endpoint, more: &str) -> Setup {
        let tls = format!("tls = {}", self.site.table("site"));
        Setup::http(&[endpoint]).listener(&tls).listener(&self.rules(more))
    }

    /// What OpenSSL says as one of these clients, and what the other side said to it.
    fn asks(&self, proxy: &Proxy, name: &str, version: &str) -> Said {
        let [chain, key] = [self.file(&format!("{name}.pem")), self.file(&format!("{name}.key"))];
        let shown = format!("-cert {chain} -cert_chain {chain} -key {key}");
        let shown = if name.is_empty() { String::new() } else { shown };
        // Whatever OpenSSL itself thinks of what it shows.
        let words = format!("{version} -cipher DEFAULT:@SECLEVEL=0 {shown}");
        let text = s_client(&self.site, proxy, &words);
        let number = text.split("SSL alert number ").nth(1).unwrap_or_default();
        let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Said { is_in: text.contains("200 OK"), alert: digits.parse().ok(), text }
    }
}

struct Said {
    is_in: bool,
    alert: Option<u8>,
    text: String,
}

/// Numbers of alerts (RFC 8446, section 6).
const HANDSHAKE_FAILURE: Option<u8> = Some(40);
const UNSUPPORTED: Option<u8> = Some(43);
const REVOKED: Option<u8> = Some(44);
const EXPIRED: Option<u8> = Some(45);
const UNKNOWN: Option<u8> = Some(46);
const UNKNOWN_AUTHORITY: Option<u8> = Some(48);
const DECRYPT_ERROR: Option<u8> = Some(51);
const REQUIRED: Option<u8> = Some(116);

/// D08. One that has the name of the authority but another key has a bad signature; so have those
/// whose algorithm is not taken.
const BAD: &[(&str, Option<u8>)] = &[
    ("", REQUIRED),
    ("expired", EXPIRED),
    ("future", EXPIRED),
    ("stranger", DECRYPT_ERROR),
    ("self", UNKNOWN_AUTHORITY),
    ("server", UNSUPPORTED),
    ("sha1", DECRYPT_ERROR),
    ("short", DECRYPT_ERROR),
    ("is_ca", UNKNOWN),
    ("critical", UNKNOWN),
    ("below_a_client", UNKNOWN),
    ("outside", UNKNOWN),
    ("chain7", UNKNOWN),
    ("chain10", UNKNOWN),
    ("candidates", UNKNOWN),
    // Longer than a message of a handshake may be: nobody reads on to find out.
    ("many", None),
];

#[test]
fn only_good_certificates_open_the_door() {
    let Some(clients) = Clients::new() else { return };
    let endpoint = Endpoint::echo("e");
    let mut proxy = clients.setup(&endpoint, "").start();
    let mut refused = 0;
    for version in ["-tls1_2", "-tls1_3"] {
        for (name, alert) in BAD {
            let before = ticks(&proxy);
            let said = clients.asks(&proxy, name, version);
            let text = &said.text;
            assert!(!said.is_in, "{version} {name}: {text}");
            assert!(alert.is_none() || said.alert == *alert, "{version} {name}: {text}");
            refused += 1;
            let faults = || proxy.metric("fairwater_faults_total", &["tls_handshake_failed"]);
            until("it to be counted", || faults() == refused);
            let took = ticks(&proxy) - before;
            assert!(took < 50, "{name}: {took} ticks of 10 ms");
        }
    }
    assert_eq!(endpoint.accepted(), 0);
    assert!(proxy.log().is_empty());
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["good", "any", "rsa", "ed25519", "chain1", "chain6", "constrained"] {
            let said = clients.asks(&proxy, name, version);
            assert!(said.is_in, "{version} {name}: {}", said.text);
        }
    }
    proxy.assert_sound();
}

/// D09: where nobody can tell whether a certificate is revoked, it does not open the door.
#[test]
fn lists_of_the_revoked_fail_closed() {
    let Some(clients) = Clients::new() else { return };
    let endpoint = Endpoint::echo("e");
    let file = clients.file("now.crl");
    let take = |text: &[u8]| {
        fs::write(clients.file("new.crl"), text).unwrap();
        fs::rename(clients.file("new.crl"), &file).unwrap();
    };
    let of = |name: &str| fs::read(clients.file(name)).unwrap();
    take(&of("none.crl"));
    let list = format!(", crl = {file:?}");
    let mut proxy = clients.setup(&endpoint, &list).reloadable().start();
    // The alerts of clients whose certificate is on none of the lists, of one that is on some, and
    // of one that says where its list is.
    let unknown = [UNKNOWN_AUTHORITY; 3];
    for (name, alerts) in [
        ("none.crl", [None, None, None]),
        ("list.crl", [None, REVOKED, None]),
        ("both.crl", [REVOKED, REVOKED, None]),
        ("old.crl", unknown),
        ("other.crl", [HANDSHAKE_FAILURE; 3]),
        ("stranger.crl", unknown),
        // That list is for those who say that theirs is there.
        ("elsewhere.crl", [None, REVOKED, UNKNOWN_AUTHORITY]),
    ] {
        take(&of(name));
        proxy.reload_well();
        for version in ["-tls1_2", "-tls1_3"] {
            for (client, alert) in ["good", "revoked", "pointed"].iter().zip(alerts) {
                let said = clients.asks(&proxy, client, version);
                let found = (said.is_in, said.alert);
                assert_eq!(found, (alert.is_none(), alert), "{name} {client}: {}", said.text);
            }
        }
    }
    // Nor is one let in whose authority, below ours, has no list.
    let below = clients.asks(&proxy, "chain1", "-tls1_3");
    assert_eq!((below.is_in, below.alert), (false, UNKNOWN_AUTHORITY), "{}", below.text);
    // What is no list is not taken in, and the one before holds.
    take(&of("both.crl"));
    proxy.reload_well();
    let pem = of("list.crl");
    let broken = [&pem[..100], &pem[120..]].concat();
    let certificate = of("ca.pem");
    for text in [&b""[..], b"nonsense", &broken, &pem[..200], &certificate] {
        take(text);
        let (code, said) = proxy.reload();
        assert_eq!(code, 1, "{}: {said}", text.escape_ascii());
        assert!(said.contains("now.crl") && said.contains("revocation list"), "{said}");
        assert_eq!(clients.asks(&proxy, "good", "-tls1_3").alert, REVOKED);
    }
    proxy.assert_sound();
}

/// A template of headers, and what is in them of certificates with names that nobody should have.
const TOLD: &str = "request_headers.set = { x-subject = \"{client_subject}\", \
    x-names = \"{client_names}\", x-issuer = \"{client_issuer}\" }";
const NAMES: &[(&str, &str)] = &[
    ("CN=a\\0d\\0ax-admin: yes", "b%0D%0Ax-admin: yes"),
    ("CN=a\\00b", "good.example%00.evil.example"),
    ("CN=b%C3%BCcher %E2%80%AE%E4%B9%A6", "spiffe://a/%1B[31m\"\\"),
    ("CN=100%250d%250a {user} {client_names}", "x:%2CDNS:root,a@example.org"),
    ("CN=root\\,O=admins\\+CN=x", "b%2Croot"),
    ("CN=llllllllll", "mmmmmmmmmm"),
    ("CN=\\00\\00\\00\\00", ""),
];

/// D15: what a certificate says of its holder, in headers and in the log.
#[test]
fn names_in_certificates_write_no_headers_and_no_lines() {
    let Some(clients) = Clients::new() else { return };
    let endpoint = Endpoint::echo("e");
    for log in ["", "template = \"{status} [{client_subject}]\""] {
        let mut proxy = clients.setup(&endpoint, "").listener(TOLD).log_as(log).start();
        for (number, (subject, names)) in NAMES.iter().enumerate() {
            let said = clients.asks(&proxy, &format!("name{number}"), "-tls1_3");
            assert!(said.is_in, "{number}: {}", said.text);
            let request = endpoint.requests().pop().unwrap();
            let told = |name: &str| request.field(name).unwrap().to_owned();
            let [own_subject, own_names] = [told("x-subject"), told("x-names")];
            let is_long = own_subject.len() > 1000;
            assert!(
                own_subject == *subject || is_long && own_subject.starts_with(subject),
                "{own_subject}"
            );
            assert!(own_names == *names || is_long && own_names.starts_with(names), "{own_names}");
            assert_eq!(told("x-issuer"), "CN=authority");
            assert_eq!(request.field("x-admin"), None);
            until("its line", || proxy.log_text().lines().count() == number + 1);
            let log_text = proxy.log_text();
            let line = log_text.lines().last().unwrap();
            assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
            match log {
                "" => {
                    // Long ones are cut.
                    let own = proxy.log()[number].get("client_subject").to_owned();
                    assert!(own == own_subject || is_long && own_subject.starts_with(&own));
                }
                _ => assert!(line.starts_with("200 [CN=") && line.ends_with(']'), "{line}"),
            }
        }
        proxy.assert_sound();
    }
    assert_eq!(endpoint.errors(), Vec::<String>::new());
}

/// D15, where the name goes on in a header of the PROXY protocol.
#[test]
fn names_in_certificates_fit_into_what_endpoints_are_told() {
    let Some(clients) = Clients::new() else { return };
    let endpoint = Endpoint::new(|caller| {
        let prefix = caller.read_exactly(16);
        let len = usize::from(u16::from_be_bytes([prefix[14], prefix[15]]));
        caller.read_exactly(len);
        while let Some(request) = caller.request() {
            caller.reply(request.method(), "fine\n");
        }
    });
    let mut proxy = clients.setup(&endpoint, "").upstream("proxy_protocol = \"v2\"").start();
    for number in 0..NAMES.len() {
        let said = clients.asks(&proxy, &format!("name{number}"), "-tls1_3");
        assert!(said.is_in, "{number}: {}", said.text);
    }
    assert_eq!(endpoint.requests().len(), NAMES.len());
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    proxy.assert_sound();
}
