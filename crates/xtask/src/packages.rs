//! Debian packages that a task needs, installed without letting their services start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::Failure;

/// What Debian's service scripts ask before they start anything; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// A file that a task needs, and the package that has it. A bare name is looked for on the PATH:
/// any build of that program will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    pub(crate) file: &'static str,
    pub(crate) package: &'static str,
}

/// Installs the packages of missing files, or says which are missing.
pub(crate) fn ensure(needs: &[Need], may_install: bool) -> Result<(), Failure> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    if !may_install {
        return Err(format!("missing packages: {}", missing.join(" ")).into());
    }
    eprintln!("installing {}", missing.join(" "));
    let _policy = ServicePolicy::forbid_starts()?;
    let status = Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::io::stderr())
        .status()?;
    if !status.success() {
        return Err(format!("apt-get could not install {}", missing.join(" ")).into());
    }
    Ok(())
}

/// The packages of which a file is missing.
pub(crate) fn missing(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !is_there(need.file)).map(|need| need.package).collect()
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(file).exists())
}

/// Whether this user can install packages on this system.
pub(crate) fn may_install() -> bool {
    let user = Command::new("id").arg("-u").output();
    is_there("apt-get") && user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Removes our policy file when done; one that stood there before is left as it is.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid_starts() -> Result<Self, Failure> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(POLICY).is_err() {
            eprintln!("please remove {POLICY}: it keeps services from starting");
        }
    }
}
