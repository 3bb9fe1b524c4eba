//! Programs of others that judge ours and that Debian has not: from PyPI, in a virtual environment
//! below the directory of builds.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;

/// sslyze scans servers that speak TLS; curl_cffi is curl with the TLS of Chrome.
const PACKAGES: &[&str] = &["sslyze==6.3.1", "curl_cffi==0.16.3"];

/// Installs them, if they are not there.
pub(crate) fn ensure() -> Result<(), Failure> {
    let directory = directory()?;
    let done = directory.join("packages.txt");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    println!("the tests need these packages of PyPI: {}", PACKAGES.join(" "));
    // Debian's own Python, whose version fits the package for virtual environments.
    let python = ["-m", "venv", "--clear"];
    run(Command::new("/usr/bin/python3").args(python).arg(&directory))?;
    let pip = ["install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(directory.join("bin/pip")).args(pip).args(PACKAGES))?;
    Ok(fs::write(done, wanted)?)
}

/// `target/judges` for `target/debug/xtask`.
fn directory() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or("there is no directory of builds")?;
    Ok(target.join("judges"))
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
