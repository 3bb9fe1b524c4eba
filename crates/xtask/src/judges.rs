//! Programs of others that judge ours and that Debian has not: from PyPI and npm, below the
//! directory of builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// sslyze scans servers that speak TLS; curl_cffi is curl with the TLS of Chrome; grpcio and
/// websockets are clients and servers.
const OF_PYPI: &[&str] =
    &["sslyze==6.3.1", "curl_cffi==0.16.3", "grpcio==1.85.1", "websockets==17.4"];
/// Needs no other package.
const OF_NPM: &[&str] = &["ws@8.23.0"];

/// Installs those that are not there.
pub(crate) fn ensure() -> Result<(), Failure> {
    let directory = directory()?;
    // In a virtual environment, which is made anew and takes the others with it.
    once(&directory, "PyPI", OF_PYPI, || {
        // Debian's own Python, whose version fits the package for virtual environments.
        let python = ["-m", "venv", "--clear"];
        run(Command::new("/usr/bin/python3").args(python).arg(&directory))?;
        let pip = ["install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(directory.join("bin/pip")).args(pip).args(OF_PYPI))
    })?;
    let directory = directory.join("node");
    once(&directory, "npm", OF_NPM, || {
        fs::create_dir_all(&directory)?;
        let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(npm).arg("--prefix").arg(&directory).args(OF_NPM))
    })
}

/// Installs packages into a directory, unless it has them, just these.
fn once(
    directory: &Path,
    source: &str,
    packages: &[&str],
    install: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let done = directory.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    println!("the tests need these packages of {source}: {}", packages.join(" "));
    install()?;
    Ok(fs::write(done, wanted)?)
}

/// `target/judges` for `target/debug/xtask`.
fn directory() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or("there is no directory of builds")?;
    Ok(target.join("judges"))
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
