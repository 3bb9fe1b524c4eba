//! `cargo xtask test`: all tests, after installing the servers and clients that they run against.

use std::path::PathBuf;

use crate::ci::cargo_command;
use crate::packages::{self, Need};
use crate::{Failure, judges};

/// What the tests of the real binary talk to.
const NEEDS: &[Need] = &[
    Need { file: "curl", package: "curl" },
    Need { file: "openssl", package: "openssl" },
    Need { file: "ab", package: "apache2-utils" },
    Need { file: "/usr/sbin/nginx", package: "nginx-light" },
    Need { file: "/usr/lib/nginx/modules/ngx_stream_module.so", package: "libnginx-mod-stream" },
    Need { file: "/usr/sbin/haproxy", package: "haproxy" },
    Need { file: "php", package: "php-cli" },
    Need { file: "redis-server", package: "redis-server" },
    Need { file: "memcached", package: "memcached" },
    Need { file: "python3", package: "python3" },
    Need { file: "node", package: "nodejs" },
    Need { file: "dig", package: "bind9-dnsutils" },
    Need { file: "/usr/sbin/dnsmasq", package: "dnsmasq-base" },
    Need { file: "/usr/sbin/pdns_recursor", package: "pdns-recursor" },
    Need { file: "socat", package: "socat" },
    Need { file: "logger", package: "bsdutils" },
    Need { file: "strace", package: "strace" },
    Need { file: "npm", package: "npm" },
    Need { file: "h2load", package: "nghttp2-client" },
    Need { file: "/usr/sbin/nghttpd", package: "nghttp2-server" },
    Need { file: "chromium", package: "chromium" },
    Need { file: "/usr/sbin/nft", package: "nftables" },
    Need { file: "ip", package: "iproute2" },
    Need { file: "/usr/share/doc/python3-venv", package: "python3-venv" },
    Need { file: "/usr/lib/python3/dist-packages/jsonschema", package: "python3-jsonschema" },
    Need { file: "/usr/lib/python3/dist-packages/cryptography", package: "python3-cryptography" },
    Need { file: "/usr/lib/python3/dist-packages/hpack", package: "python3-h2" },
];

/// The tests that are measured, below.
const WAITS: &str = "do_not_notice_";

const BUILD: &[&str] = &["build", "--quiet", "--locked"];
const ALL: &[&str] = &["test", "--locked", "--workspace", "--no-fail-fast"];
/// The tests that are marked as slow: whole timeouts, and gigabytes. They mostly wait, so that many
/// run at once.
const SLOW: &[&str] = &[
    "test",
    "--locked",
    "--package",
    "fairwater-e2e",
    "--test",
    "e2e",
    "--",
    "--ignored",
    "--test-threads",
    "12",
    "--skip",
    WAITS,
];

/// What is measured in an optimised program alone, with nothing beside it.
const OPTIMISED: &[&str] = &["build", "--quiet", "--locked", "--release", "--package", "fairwater"];
const MEASURED: &[&str] = &[
    "test",
    "--locked",
    "--package",
    "fairwater-e2e",
    "--test",
    "e2e",
    "--",
    "--ignored",
    "--nocapture",
    "--test-threads",
    "1",
    WAITS,
];

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    run_with(&arguments.collect::<Vec<_>>(), &[])
}

/// Runs the tests with further settings in their environment.
pub(crate) fn run_with(arguments: &[String], settings: &[(&str, &str)]) -> Result<(), Failure> {
    let (mut may_install, mut is_slow_too) = (true, false);
    for argument in arguments {
        match &**argument {
            "--no-install" => may_install = false,
            "--slow" => is_slow_too = true,
            other => {
                let flags = "there are --no-install and --slow";
                return Err(format!("unknown flag {other}; {flags}").into());
            }
        }
    }
    let skipped = install(may_install);
    if may_install && let Err(failure) = judges::ensure() {
        println!("skipping what they judge: {failure}");
    }
    let of_slow = [SLOW, OPTIMISED].into_iter().filter(|_| is_slow_too);
    for words in [BUILD, ALL].into_iter().chain(of_slow) {
        cargo_with(words, settings)?;
    }
    if is_slow_too {
        let program = std::env::current_dir()?.join(release_folder()).join("fairwater");
        let program = program.to_string_lossy();
        cargo_with(MEASURED, &[("FAIRWATER_BIN", &*program)])?;
    }
    if !skipped.is_empty() {
        println!("skipped what needs these packages: {}", skipped.join(" "));
    }
    Ok(())
}

fn cargo_with(words: &[&str], settings: &[(&str, &str)]) -> Result<(), Failure> {
    let status = cargo_command(words).envs(settings.iter().copied()).status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", words.join(" ")).into()) }
}

/// Where cargo puts optimised programs.
fn release_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    PathBuf::from(target).join("release")
}

/// Installs what is missing; gives what is missing still, whose tests are then skipped.
fn install(may_install: bool) -> Vec<&'static str> {
    let missing = packages::missing(NEEDS);
    if missing.is_empty() {
        return missing;
    }
    println!("the tests need these Debian packages: {}", missing.join(" "));
    if !may_install {
        return missing;
    }
    if !packages::may_install() {
        println!("not installing them: that takes root and apt-get");
        return missing;
    }
    if let Err(failure) = packages::ensure(NEEDS, true) {
        println!("{failure}");
    }
    packages::missing(NEEDS)
}
