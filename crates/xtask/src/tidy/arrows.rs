//! Which crate may depend on which. What is not in the table is not allowed: a new arrow is a
//! decision, and is made here.

use std::collections::BTreeSet;

use super::Problems;
use super::lock::Lock;
use super::manifest::Manifest;

/// What one of our crates may use. Ours are named without their prefix.
struct Crate {
    name: &'static str,
    ours: &'static [&'static str],
    others: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate { name: "message", ours: &[], others: &[], in_tests: &[] },
    Crate { name: "sys", ours: &[], others: &["libc", "libmimalloc-sys"], in_tests: &["mimalloc"] },
    Crate {
        name: "proto",
        ours: &["message"],
        others: &["base64", "itoa", "memchr"],
        in_tests: &["httparse", "proptest"],
    },
    // Its own crate, so that cryptography is in one place and `plan` and `config` hold none.
    Crate { name: "password", ours: &[], others: &["bcrypt", "sha-crypt"], in_tests: &[] },
    // The only one that names a type of the library that speaks TLS.
    Crate {
        name: "tls",
        ours: &[],
        others: &["aws-lc-rs", "rustls", "rustls-pki-types", "rustls-webpki", "x509-cert"],
        in_tests: &["rcgen"],
    },
    Crate {
        name: "plan",
        ours: &["message", "tls"],
        others: &["xxhash-rust"],
        in_tests: &["proptest"],
    },
    Crate {
        name: "config",
        ours: &["message", "password", "tls"],
        others: &["toml", "toml_parser"],
        in_tests: &[],
    },
    Crate {
        name: "net",
        ours: &["message", "sys", "tls"],
        others: &["libc", "rustix", "socket2", "tokio"],
        in_tests: &[],
    },
    Crate {
        name: "telemetry",
        ours: &["message", "sys"],
        others: &["itoa", "socket2"],
        in_tests: &["proptest"],
    },
    Crate {
        name: "supervisor",
        ours: &["message", "sys"],
        others: &["libc", "socket2"],
        in_tests: &[],
    },
    Crate {
        name: "worker",
        ours: &["message", "net", "password", "plan", "proto", "sys", "telemetry", "tls"],
        others: &["itoa", "memchr", "socket2", "tokio"],
        in_tests: &[],
    },
    Crate {
        name: "control",
        ours: &["config", "message", "net", "plan", "proto", "telemetry", "tls"],
        others: &["bytes", "http-body-util", "hyper", "hyper-util", "tokio", "toml"],
        in_tests: &[],
    },
    Crate {
        name: "fairwater",
        ours: &[
            "config",
            "control",
            "message",
            "net",
            "password",
            "plan",
            "supervisor",
            "sys",
            "telemetry",
            "worker",
        ],
        others: &["bytes", "clap", "http-body-util", "hyper", "hyper-util", "mimalloc", "tokio"],
        in_tests: &[],
    },
    Crate { name: "load", ours: &[], others: &["memchr", "rustix", "rustls"], in_tests: &[] },
    Crate { name: "e2e", ours: &[], others: &["rcgen", "rustix", "socket2"], in_tests: &[] },
    Crate { name: "xtask", ours: &[], others: &[], in_tests: &[] },
];

/// What a crate must not reach, however many arrows it takes.
const OUT_OF_REACH: &[(&str, &[&str])] = &[
    ("message", &["serde", "serde_core", "tokio", "libc"]),
    ("proto", &["serde", "serde_core", "tokio", "libc"]),
    // It holds what speaks TLS, and never calls it.
    ("plan", &["serde", "serde_core", "tokio", "mio", "socket2"]),
    ("config", &["tokio", "mio", "socket2"]),
    ("worker", &["fairwater-config", "fairwater-control", "serde", "serde_core", "toml", "hyper"]),
    ("control", &["fairwater-worker", "fairwater-supervisor"]),
    (
        "supervisor",
        &["fairwater-plan", "fairwater-proto", "fairwater-config", "tokio", "toml", "hyper"],
    ),
    ("net", &["fairwater-plan", "fairwater-config", "serde", "serde_core"]),
    ("telemetry", &["fairwater-plan", "fairwater-net", "tokio"]),
];

pub(super) fn check(manifests: &[Manifest], lock: &Lock, problems: &mut Problems) {
    for manifest in manifests {
        let short = short(&manifest.name);
        let Some(entry) = CRATES.iter().find(|entry| entry.name == short) else {
            problems.push(format!("crates/{short}: is not in the table of arrows"));
            continue;
        };
        for name in &manifest.dependencies {
            if !is_allowed(entry, name) {
                problems.push(format!("crates/{short}: may not depend on {name}"));
            }
        }
        for name in &manifest.dev_dependencies {
            if !is_allowed(entry, name) && !entry.in_tests.contains(&&**name) {
                problems.push(format!("crates/{short}: may not depend on {name} in tests"));
            }
        }
    }
    for (from, forbidden) in OUT_OF_REACH {
        let reached = reached(from, manifests, lock);
        for name in forbidden.iter().filter(|name| reached.contains(**name)) {
            problems.push(format!("crates/{from}: reaches {name}"));
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("fairwater-").unwrap_or(name)
}

fn is_allowed(entry: &Crate, name: &str) -> bool {
    match name.strip_prefix("fairwater-") {
        Some(ours) => entry.ours.contains(&ours),
        None => entry.others.contains(&name),
    }
}

/// Everything that a crate depends on, directly or not, tests left out. Of our crates the manifests
/// count, since the lock does not tell dependencies of tests apart.
fn reached(from: &str, manifests: &[Manifest], lock: &Lock) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let start = manifests.iter().find(|manifest| short(&manifest.name) == from);
    let mut open: Vec<String> = start.map(|m| m.dependencies.clone()).unwrap_or_default();
    while let Some(name) = open.pop() {
        if !reached.insert(name.clone()) {
            continue;
        }
        match manifests.iter().find(|manifest| manifest.name == name) {
            Some(manifest) => open.extend(manifest.dependencies.iter().cloned()),
            None => open.extend(lock.named(&name).flat_map(|p| p.dependencies.iter().cloned())),
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, dependencies: &[&str], dev_dependencies: &[&str]) -> Manifest {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Manifest {
            name: name.to_owned(),
            dependencies: owned(dependencies),
            dev_dependencies: owned(dev_dependencies),
        }
    }

    fn check(manifests: &[Manifest], lock: &str, expected: &[&str]) {
        let mut problems = Vec::new();
        super::check(manifests, &Lock::parse(lock), &mut problems);
        assert_eq!(problems, expected);
    }

    #[test]
    fn arrows_that_are_not_in_the_table_are_found() {
        let plan = manifest("fairwater-plan", &["fairwater-message", "xxhash-rust"], &["proptest"]);
        check(&[plan], "", &[]);
        let plan = manifest("fairwater-plan", &["fairwater-net", "proptest"], &["httparse"]);
        check(
            &[plan],
            "",
            &[
                "crates/plan: may not depend on fairwater-net",
                "crates/plan: may not depend on proptest",
                "crates/plan: may not depend on httparse in tests",
            ],
        );
        let new = manifest("fairwater-new", &[], &[]);
        check(&[new], "", &["crates/new: is not in the table of arrows"]);
    }

    #[test]
    fn what_is_out_of_reach_is_so_over_others_too() {
        let manifests = [
            manifest("fairwater-message", &[], &["tokio"]),
            manifest("fairwater-plan", &["fairwater-message", "xxhash-rust"], &[]),
        ];
        let lock = "[[package]]\nname = \"xxhash-rust\"\ndependencies = [\n \"mio 1.0.0\",\n]\n";
        check(
            &manifests,
            lock,
            &["crates/message: may not depend on tokio in tests", "crates/plan: reaches mio"],
        );
    }
}
