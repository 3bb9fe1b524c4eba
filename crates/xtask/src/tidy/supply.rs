//! What may stand in Cargo.lock: no crate that we have banned, none twice, none below the version
//! that closed its known holes, and all from the public registry.

use super::Problems;
use super::lock::{Lock, version};

/// Crates that never come in, a final `*` standing for any rest, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl*", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    ("ring", "the provider of cryptography is chosen once, and it is not this one"),
    ("rustls-pemfile", "unmaintained; rustls-pki-types reads PEM"),
    ("serde_yaml", "unmaintained"),
    ("serde_yml", "unmaintained"),
    ("async-std", "unmaintained, and a second runtime"),
    ("atty", "unmaintained; std::io::IsTerminal does it"),
    ("daemonize", "unmaintained"),
    ("derivative", "unmaintained"),
    ("backoff", "unmaintained"),
    ("bincode", "unmaintained"),
    ("paste", "unmaintained"),
    ("proc-macro-error*", "unmaintained"),
    ("fxhash", "unmaintained"),
    ("instant", "unmaintained"),
    ("users", "unmaintained"),
    ("tui", "unmaintained; ratatui follows it"),
];

/// The lowest version without an advisory that concerns us.
const FLOORS: &[(&str, &str)] = &[
    ("h2", "0.4.20"),
    ("quinn-proto", "0.11.15"),
    ("rustls", "0.23.18"),
    ("rustls-webpki", "0.103.13"),
    ("bytes", "1.11.1"),
    ("http", "1.4.1"),
    ("hickory-proto", "0.26.1"),
    ("tokio", "1.44.2"),
    ("tracing-subscriber", "0.3.20"),
    ("slab", "0.4.11"),
    ("crossbeam-epoch", "0.9.20"),
    ("rand", "0.10.1"),
    ("lru", "0.18.2"),
    ("time", "0.3.47"),
];

/// Crates that may be there in two versions, and why.
const TWICE: &[(&str, &str)] = &[
    ("syn", "for derive macros while they are built; those of clap are ahead"),
    ("untrusted", "AWS-LC has the one before; forty lines"),
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(lock: &Lock, problems: &mut Problems) {
    for package in &lock.packages {
        let name = &package.name;
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| matches(banned, name)) {
            problems.push(format!("Cargo.lock: {name} is banned: {reason}"));
        }
        if let Some((_, floor)) = FLOORS.iter().find(|(crate_name, _)| crate_name == name)
            && version(&package.version) < version(floor)
        {
            problems.push(format!("Cargo.lock: {name} {} is below {floor}", package.version));
        }
        if package.source.as_deref().is_some_and(|source| source != REGISTRY) {
            problems.push(format!("Cargo.lock: {name} is not from the public registry"));
        }
    }
    for pair in lock.packages.windows(2) {
        // Cargo sorts the packages by name.
        let name = &pair[0].name;
        if *name == pair[1].name && !TWICE.iter().any(|(allowed, _)| allowed == name) {
            let versions = [&*pair[0].version, &*pair[1].version].join(" and ");
            problems.push(format!("Cargo.lock: {name} is there as {versions}"));
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packages: &[(&str, &str)], expected: &[&str]) {
        let entry = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
        };
        let text: String = packages.iter().map(entry).collect();
        let mut problems = Vec::new();
        super::check(&Lock::parse(&text), &mut problems);
        assert_eq!(problems, expected);
    }

    #[test]
    fn banned_old_and_doubled_crates_are_found() {
        check(&[("bytes", "1.11.1"), ("ringbuf", "0.1.0")], &[]);
        check(&[("bytes", "1.9.0")], &["Cargo.lock: bytes 1.9.0 is below 1.11.1"]);
        check(&[("openssl-sys", "0.9.0")], &["Cargo.lock: openssl-sys is banned: TLS is rustls"]);
        check(
            &[("http", "1.4.1"), ("http", "3.0.0")],
            &["Cargo.lock: http is there as 1.4.1 and 3.0.0"],
        );
    }

    #[test]
    fn other_sources_are_found() {
        let text = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://x\"\n";
        let mut problems = Vec::new();
        super::check(&Lock::parse(text), &mut problems);
        assert_eq!(problems, ["Cargo.lock: a is not from the public registry"]);
    }
}
