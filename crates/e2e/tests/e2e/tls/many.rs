//! Directories of certificates.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::binary;
use fairwater_e2e::{Directory, Endpoint, Proxy, Setup, until};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::{Pki, s_client};

/// Far above what a busy machine takes for the work of seconds.
const BOUND: Duration = Duration::from_secs(60);

/// A directory of certificates for `NAME.example`, and their keys.
struct Certificates {
    directory: Directory,
    key: KeyPair,
}

impl Certificates {
    fn new(names: &[&str]) -> Self {
        let all = Self { directory: Directory::new(), key: KeyPair::generate().unwrap() };
        names.iter().for_each(|name| all.add(name));
        all
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn pem(&self, name: &str) -> String {
        let mut params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&self.key).unwrap().pem()
    }

    fn add(&self, name: &str) {
        // Whoever looks at the directory in between finds no certificate without its key.
        fs::write(self.file(&format!("{name}.key")), self.key.serialize_pem()).unwrap();
        fs::write(self.file(&format!("{name}.pem")), self.pem(name)).unwrap();
    }

    fn lines(&self) -> String {
        let (cert, key) = (self.file("*.pem"), self.file("*.key"));
        format!("tls = {{ cert = {cert:?}, key = {key:?} }}")
    }
}

/// Whose certificate a client gets that asks for `NAME.example`.
fn shown(pki: &Pki, proxy: &Proxy, name: &str) -> String {
    let said = s_client(pki, proxy, &format!("-servername {name}.example"));
    let (_, subject) = said.split_once("subject=CN = ").unwrap_or_else(|| panic!("{said}"));
    subject.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_directory_of_certificates_is_one_line() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let certificates = Certificates::new(&["b", "a", "c"]);
    let setup = Setup::http(&[&endpoint]).listener(&certificates.lines());
    let proxy = setup.reloadable().top("watch = true").start();
    // The first by its name is for those who ask for none of them.
    for (name, expected) in [("a", "a"), ("b", "b"), ("c", "c"), ("d", "a")] {
        assert_eq!(shown(&pki, &proxy, name), expected, "{name}");
    }
    certificates.add("d");
    until("the new file", || shown(&pki, &proxy, "d") == "d");
    fs::remove_file(certificates.file("a.pem")).unwrap();
    until("the removed file", || shown(&pki, &proxy, "a") == "b");
    fs::write(certificates.file("c.pem"), "nonsense").unwrap();
    until("the refusal", || proxy.said().contains("c.pem`: there is no certificate in it"));
    assert_eq!(shown(&pki, &proxy, "c"), "c");
    fs::write(certificates.file("c.pem"), certificates.pem("other")).unwrap();
    until("the changed file", || shown(&pki, &proxy, "other") == "other");
}

#[test]
fn keys_may_be_in_the_files_of_their_certificates() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let certificates = Certificates::new(&[]);
    for name in ["a", "b"] {
        let both = format!("{}{}", certificates.key.serialize_pem(), certificates.pem(name));
        fs::write(certificates.file(&format!("{name}.both")), both).unwrap();
    }
    let tls = format!("tls = {{ cert = {:?} }}", certificates.file("*.both"));
    let proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    assert_eq!(["a", "b"].map(|name| shown(&pki, &proxy, name)), ["a", "b"]);
    let error = Setup::http(&[&endpoint])
        .listener(&format!("tls = {{ cert = {:?} }}", certificates.file("*.none")))
        .try_start();
    let said = error.map(drop).unwrap_err();
    assert!(said.contains("[E0219]: no file matches `"), "{said}");
}

#[test]
#[ignore = "slow: makes ten thousand certificates, and reads them nine times"]
fn ten_thousand_certificates_are_taken_in_within_seconds() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let certificates = Certificates::new(&[]);
    for index in 0..10_000 {
        certificates.add(&format!("h{index}"));
    }
    let setup = Setup::http(&[&endpoint]).listener(&certificates.lines());
    let setup = setup.upgradable().top("watch = true").threads(2);
    setup.write();
    let mut check = Command::new(binary());
    check.arg("check").arg("-c").arg(setup.directory().join("fairwater.toml"));
    let took = |what: &str, act: &mut dyn FnMut()| {
        let begun = Instant::now();
        act();
        println!("{what}: {} ms", begun.elapsed().as_millis());
        assert!(begun.elapsed() < BOUND, "{what}");
    };
    took("check", &mut || assert!(check.output().unwrap().status.success()));
    let mut proxy = None;
    let mut setup = Some(setup);
    took("start", &mut || proxy = setup.take().map(Setup::start));
    let proxy = proxy.unwrap();
    let resident = proxy.resident();
    println!("resident: {} MiB", resident >> 20);
    assert_eq!(shown(&pki, &proxy, "h9999"), "h9999");
    took("reload", &mut || drop(proxy.reload_well()));
    took("upgrade", &mut || drop(proxy.upgrade_well()));
    took("a new one", &mut || {
        certificates.add("new");
        let begun = Instant::now();
        while shown(&pki, &proxy, "new") != "new" {
            assert!(begun.elapsed() < BOUND, "waited in vain");
        }
    });
    assert_eq!(shown(&pki, &proxy, "h5000"), "h5000");
}
