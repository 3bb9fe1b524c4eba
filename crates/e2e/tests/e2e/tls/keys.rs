//! Files of certificates and keys as people get them, good and bad; and that no key gets out.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use fairwater_e2e::proxy::binary;
use fairwater_e2e::{Directory, Endpoint, Setup};
use rustix::process::Signal;

use super::{LOCAL, Pki, answers, s_client};

/// A certificate and a key in the making, as bytes of files.
type Files = (Vec<u8>, Vec<u8>);

fn read(pki: &Pki, name: &str) -> Vec<u8> {
    fs::read(pki.file(name)).unwrap()
}

/// A certificate that has signed itself, with a key of this kind.
fn with_key(pki: &Pki, name: &str, kind: &str) -> Files {
    let [key, pem] = ["key", "pem"].map(|end| pki.file(&format!("{name}.{end}")));
    pki.openssl(&format!(
        "req -x509 -newkey {kind} -nodes -days 300 -subj /CN={name} -keyout {key} -out {pem}"
    ));
    (read(pki, &format!("{name}.pem")), read(pki, &format!("{name}.key")))
}

/// The same key, written otherwise by a command.
fn rewritten(pki: &Pki, files: &Files, command: &str) -> Files {
    fs::write(pki.file("in"), &files.1).unwrap();
    pki.openssl(&format!("{command} -in {} -out {}", pki.file("in"), pki.file("out")));
    (files.0.clone(), read(pki, "out"))
}

fn good(pki: &Pki) -> Vec<(&'static str, Files)> {
    let curve = |name: &str| format!("ec -pkeyopt ec_paramgen_curve:{name}");
    let p256 = with_key(pki, "p256", &curve("P-256"));
    let rsa = with_key(pki, "rsa", "rsa:2048");
    let sec1 = rewritten(pki, &p256, "ec");
    let returns = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\n', "\r\n").into_bytes();
    let told = |bytes: &[u8]| [b"Bag Attributes\n  x: \xc3\xbc\n\n", bytes, b"behind\n"].concat();
    let parameters =
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let both = [&p256.1[..], &p256.0].concat();
    let chain = [&p256.0[..], &read(pki, "ca.pem")].concat();
    vec![
        ("P-384", with_key(pki, "p384", &curve("P-384"))),
        ("Ed25519", with_key(pki, "ed25519", "ed25519")),
        ("RSA, PKCS 1", rewritten(pki, &rsa, "rsa -traditional")),
        ("RSA", rsa),
        ("line ends of Windows", (returns(&p256.0), returns(&p256.1))),
        ("text around", (told(&p256.0), told(&p256.1))),
        ("both in both files", (both.clone(), both)),
        ("with a chain", (chain, p256.1.clone())),
        ("SEC 1, and which curve", (sec1.0.clone(), [&parameters[..], &sec1.1].concat())),
        ("SEC 1", sec1),
        ("two keys, the right one first", (p256.0.clone(), [&p256.1[..], &p256.1].concat())),
    ]
}

const NO_KEY: &str = "there is no private key in it";
const OTHER: &str = "the key belongs to another certificate";
const UNUSABLE: &str = "its key cannot be used";
const NO_CERTIFICATE: &str = "there is no certificate in it";
const BROKEN: &str = "its certificate is broken";

fn bad(pki: &Pki) -> Vec<(&'static str, Files, &'static str)> {
    let site = (read(pki, "site.pem"), read(pki, "site.key"));
    let rsa = (read(pki, "rsa.pem"), read(pki, "rsa.key"));
    let secret = "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret";
    let older = "rsa -aes256 -traditional -passout pass:secret";
    let der = rewritten(pki, &site, "pkey -outform DER");
    let reversed = [&read(pki, "ca.pem")[..], &site.0].concat();
    let two = [&rsa.1[..], &site.1].concat();
    let with = |key: &[u8]| (site.0.clone(), key.to_vec());
    let of = |certificate: &[u8]| (certificate.to_vec(), site.1.clone());
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let bent = String::from_utf8(site.0.clone()).unwrap().replacen("MII", "MIJ", 1);
    vec![
        ("of another", with(&rsa.1), OTHER),
        ("the chain in the wrong order", of(&reversed), OTHER),
        ("two keys, the wrong one first", with(&two), OTHER),
        ("a password", rewritten(pki, &site, secret), NO_KEY),
        ("a password, as of old", rewritten(pki, &rsa, older), UNUSABLE),
        ("no PEM", der, "it is not UTF-8 text"),
        ("empty", with(b""), NO_KEY),
        ("an empty certificate", of(b""), NO_CERTIFICATE),
        ("nonsense", with(b"nonsense"), NO_KEY),
        ("a key for a certificate", of(&site.1), NO_CERTIFICATE),
        ("a certificate for a key", with(&site.0), NO_KEY),
        ("half a key", with(&half(&site.1)), UNUSABLE),
        ("half a certificate", of(&half(&site.0)), BROKEN),
        ("a bent certificate", of(bent.as_bytes()), BROKEN),
        ("RSA that is too short", with_key(pki, "short", "rsa:1024"), UNUSABLE),
        ("Ed448", with_key(pki, "ed448", "ed448"), UNUSABLE),
        (
            "a curve of others",
            with_key(pki, "k1", "ec -pkeyopt ec_paramgen_curve:secp256k1"),
            UNUSABLE,
        ),
    ]
}

/// D13.
#[test]
fn keys_of_every_kind_are_taken_or_refused_by_name() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL).pair("now", LOCAL);
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {}", pki.table("now")));
    let mut proxy = setup.reloadable().start();
    let put = |files: &Files| {
        fs::write(pki.file("now.pem"), &files.0).unwrap();
        fs::write(pki.file("now.key"), &files.1).unwrap();
    };
    let shown = || {
        let said = s_client(&pki, &proxy, "");
        assert!(said.contains("200 OK"), "{said}");
        let pem = said.split("-----").find(|part| part.starts_with("\nMI"));
        pem.unwrap().trim().to_owned()
    };
    let is_of =
        |pem: &[u8], shown: &str| String::from_utf8_lossy(pem).replace('\r', "").contains(shown);
    for (name, files) in good(&pki) {
        put(&files);
        let (code, said) = proxy.reload();
        assert_eq!(code, 0, "{name}: {said}");
        assert!(is_of(&files.0, &shown()), "{name}");
    }
    let (last, before) = (read(&pki, "now.pem"), shown());
    let config = proxy.directory().join("fairwater.toml");
    for (name, files, words) in bad(&pki) {
        put(&files);
        let check = Command::new(binary()).args(["check", "-c"]).arg(&config).output().unwrap();
        let checked = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.code(), Some(1), "{name}: {checked}");
        let (code, said) = proxy.reload();
        assert_eq!(code, 1, "{name}: {said}");
        for said in [checked, said] {
            assert!(said.contains(words), "{name}: {said}");
            assert!(said.contains("now.pem") || said.contains("now.key"), "{name}: {said}");
        }
        assert!(is_of(&last, &before) && shown() == before, "{name}: the old one serves");
    }
    assert!(answers(&pki, &proxy, &["-k"]).starts_with('e'));
    proxy.assert_sound();
}

/// Everything that a program may have written into files below a directory.
fn written_below(directory: &std::path::Path, out: &mut Vec<u8>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => written_below(&path, out),
            // Sockets cannot be read.
            false => out.extend(fs::read(&path).unwrap_or_default()),
        }
    }
}

/// Pieces of what is secret in a file: its lines, and as a program shows bytes.
fn secrets(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(file).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 20);
    let lines: Vec<_> = lines.map(|line| line[line.len() - 20..].to_owned()).collect();
    let bytes: Vec<_> = lines.iter().map(|line| format!("{:?}", line.as_bytes())).collect();
    [lines, bytes].concat()
}

/// All that a command says.
fn run(words: &[&str]) -> Vec<u8> {
    let output = Command::new(binary()).args(words).output().unwrap();
    [output.stdout, output.stderr].concat()
}

/// G09, for keys: whatever is printed, logged, answered or kept has none of them in it.
#[test]
fn no_key_is_ever_told() {
    let (pki, endpoint, state) = (Pki::new(), Endpoint::echo("e"), Directory::new());
    pki.pair("site", LOCAL).pair("proxy", "DNS:proxy");
    let tickets = pki.file("tickets.key");
    fs::write(&tickets, "0123456789abcdef".repeat(4)).unwrap();
    let of_upstream = format!(
        "{{ ca = {:?}, cert = {:?}, key = {:?} }}",
        pki.file("ca.pem"),
        pki.file("proxy.pem"),
        pki.file("proxy.key")
    );
    let setup = Setup::http(&[&endpoint])
        .listener(&format!("tls = {}", pki.table("site")))
        .listener(&format!("tls_ticket_keys = {tickets:?}"))
        .more(&format!("[upstreams.more]\ntls = {of_upstream}\nendpoints = [\"127.0.0.1:1\"]"))
        .top(&format!("state_dir = {:?}", state.path()));
    let mut proxy = setup.upgradable().start();
    assert!(answers(&pki, &proxy, &[]).starts_with('e'));
    let config = proxy.directory().join("fairwater.toml");
    let config = config.to_str().unwrap().to_owned();
    let mut told = Vec::new();
    let socket = proxy.directory().join("admin.sock").display().to_string();
    for target in ["/config", "/status", "/metrics", "/endpoints", "/endpoints/more"] {
        let answer = proxy.ask(target);
        assert_eq!(answer.status(), 200, "{target}");
        told.extend(answer.raw);
    }
    assert!(String::from_utf8_lossy(&told).contains("site.key"), "/config names the file");
    let form = format!("address={}&persist=true", endpoint.address);
    told.extend(proxy.order("POST", "/endpoints/more", &form).raw);
    for words in [
        &["check", "-c", &config][..],
        &["status", "--admin", &socket],
        &["explain", "-c", &config, "--listener", "web", "https://a/"],
        &["fmt", "--check", "-c", &config],
    ] {
        told.extend(run(words));
    }
    proxy.reload_well();
    proxy.upgrade_well();
    let secret: Vec<_> =
        ["site.key", "proxy.key", "tickets.key"].map(|name| read(&pki, name)).into();
    // What is wrong with a file is said without its text.
    for (name, from, to) in [
        ("site.key", "-----BEGIN", "-----BEGUN"),
        ("site.key", "\n", "!\n"),
        ("proxy.key", "PRIVATE", "SECRET"),
        ("tickets.key", "f", "g"),
    ] {
        let before = fs::read_to_string(pki.file(name)).unwrap();
        fs::write(pki.file(name), before.replace(from, to)).unwrap();
        let (code, said) = proxy.reload();
        assert_eq!(code, 1, "{name}: {said}");
        told.extend(said.into_bytes());
        told.extend(run(&["check", "-c", &config]));
        fs::write(pki.file(name), before).unwrap();
    }
    proxy.until_log(1);
    told.extend(proxy.said().into_bytes());
    let own = proxy.directory().join("fairwater");
    fs::remove_file(own).unwrap();
    written_below(proxy.directory().path(), &mut told);
    written_below(state.path(), &mut told);
    let told = String::from_utf8_lossy(&told);
    assert!(secret.iter().all(|file| !secrets(file).is_empty()));
    for piece in secret.iter().flat_map(|file| secrets(file)) {
        assert!(!told.contains(&piece), "{piece} is in {told}");
    }
    proxy.assert_sound();
}

/// As docs/operations.md says it.
#[test]
fn a_crash_leaves_no_image_of_the_memory() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("site", LOCAL);
    let setup = || {
        let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {}", pki.table("site")));
        setup.top("core_dumps = false")
    };
    let mut single = setup().flag("--single").start();
    assert!(answers(&pki, &single, &[]).starts_with('e'));
    single.signal(Signal::ABORT);
    let status = single.until_ended();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "{status}");
    // Nor does the process that reads the keys: not from before it does so.
    if let Some(strace) = crate::peers::program("strace") {
        let setup = setup();
        setup.write();
        let mut command = Command::new(strace);
        command.args(["-e", "trace=openat,prctl"]).arg(binary()).args(["load", "-c"]);
        let output = command.arg(setup.directory().join("fairwater.toml")).output().unwrap();
        let calls = String::from_utf8_lossy(&output.stderr).into_owned();
        let key = calls.find("site.key").unwrap_or_else(|| panic!("{calls}"));
        let off = calls.find("PR_SET_DUMPABLE, SUID_DUMP_DISABLE");
        assert!(off.is_some_and(|off| off < key), "{calls}");
    }
    // The master holds what that has read.
    if !crate::privileges::is_root() {
        return;
    }
    let proxy = setup().start();
    for process in [proxy.process_id(), proxy.worker_id()] {
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
    }
}
