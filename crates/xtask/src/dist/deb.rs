//! The Debian package: the binary, its unit, a configuration, and what to read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Target;
use crate::Failure;

/// Files of the repository, where they go, and their modes.
const FILES: &[(&str, &str, u32)] = &[
    ("packaging/fairwater.toml", "etc/fairwater/fairwater.toml", 0o644),
    ("packaging/fairwater.logrotate", "etc/logrotate.d/fairwater", 0o644),
    ("packaging/fairwater.service", "usr/lib/systemd/system/fairwater.service", 0o644),
    ("packaging/debian/postinst", "DEBIAN/postinst", 0o755),
    ("packaging/debian/prerm", "DEBIAN/prerm", 0o755),
    ("packaging/debian/postrm", "DEBIAN/postrm", 0o755),
    ("LICENSE-MIT", "usr/share/doc/fairwater/copyright", 0o644),
    ("README.md", "usr/share/doc/fairwater/README.md", 0o644),
    ("CHANGELOG.md", "usr/share/doc/fairwater/CHANGELOG.md", 0o644),
    ("docs/configuration.md", "usr/share/doc/fairwater/configuration.md", 0o644),
    ("docs/operations.md", "usr/share/doc/fairwater/operations.md", 0o644),
];

/// What is an operator's own: an upgrade leaves it as it is.
const CONFFILES: &str = "/etc/fairwater/fairwater.toml\n/etc/logrotate.d/fairwater\n";

/// Builds the package in `directory`.
pub(super) fn build(binary: &Path, target: &Target, directory: &Path) -> Result<PathBuf, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("fairwater_{version}_{}", target.architecture);
    let root = directory.join(&name);
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    install(binary, &root.join("usr/bin/fairwater"), 0o755)?;
    for (source, place, mode) in FILES {
        install(Path::new(source), &root.join(place), *mode)?;
    }
    let control = control(version, target.architecture, size_kib(&root)?);
    fs::write(root.join("DEBIAN/control"), control)?;
    fs::write(root.join("DEBIAN/conffiles"), CONFFILES)?;
    let package = directory.join(format!("{name}.deb"));
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&root).arg(&package);
    // The same source gives the same package.
    let committed = Command::new("git").args(["log", "-1", "--format=%ct"]).output();
    if let Ok(time) = committed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) {
        command.env("SOURCE_DATE_EPOCH", time.trim());
    }
    // What it says about itself belongs to nobody's results.
    let output = command.output().map_err(|error| format!("cannot run dpkg-deb: {error}"))?;
    fs::remove_dir_all(&root)?;
    match output.status.success() {
        true => Ok(package),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// Copies a file, and makes the directories above it.
fn install(source: &Path, place: &Path, mode: u32) -> Result<(), Failure> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    }
    fs::copy(source, place).map_err(|error| format!("{}: {error}", source.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn size_kib(directory: &Path) -> Result<u64, Failure> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        size += match entry.file_type()?.is_dir() {
            true => size_kib(&entry.path())?,
            false => entry.metadata()?.len().div_ceil(1024),
        };
    }
    Ok(size)
}

/// It needs no other package: `useradd` is of one that every system has.
fn control(version: &str, architecture: &str, size_kib: u64) -> String {
    format!(
        "Package: fairwater\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The Fairwater maintainers <maintainers@fairwater.invalid>\n\
         Installed-Size: {size_kib}\n\
         Section: net\n\
         Priority: optional\n\
         Depends: passwd\n\
         Suggests: logrotate\n\
         Description: load balancer, reverse proxy and connection gateway\n \
         One static binary that balances HTTP/1.1 and TCP over endpoints on TCP and\n \
         Unix sockets, and takes in another configuration without a lost request.\n"
    )
}
