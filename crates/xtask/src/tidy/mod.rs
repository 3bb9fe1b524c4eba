//! `cargo xtask tidy`: the rules of the house that no compiler knows, each held as data beside the
//! code that checks it.

mod arrows;
mod files;
mod json;
mod licences;
mod lock;
mod manifest;
mod supply;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use self::lock::Lock;
use self::manifest::Manifest;
use crate::Failure;

/// What is wrong, a sentence each, with the file in front.
type Problems = Vec<String>;

pub(crate) fn run() -> Result<(), Failure> {
    let mut lock = Lock::parse(&read(Path::new("Cargo.lock"))?);
    lock.keep(&built()?);
    let manifests = manifests()?;
    let mut problems = Problems::new();
    arrows::check(&manifests, &lock, &mut problems);
    supply::check(&lock, &mut problems);
    licences::check(&lock, &mut problems)?;
    let names = tracked_files()?;
    for name in &names {
        files::check(name, &std::fs::read(name)?, &mut problems);
    }
    if problems.is_empty() {
        println!(
            "tidy: {} crates, {} packages, {} files",
            manifests.len(),
            lock.packages.len(),
            names.len()
        );
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    Err(format!("{} things are untidy", problems.len()).into())
}

/// What is built of the lock, as `name vVERSION`: it has packages as well that no feature of ours
/// asks for, and those of other systems.
fn built() -> Result<BTreeSet<String>, Failure> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["tree", "--quiet", "--locked", "--workspace", "--edges", "normal,build,dev"]);
    let output = command.args(["--prefix", "none", "--format", "{p}"]).output()?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(text.lines().map(name).collect())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn manifests() -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for entry in std::fs::read_dir("crates")? {
        let path = entry?.path().join("Cargo.toml");
        if path.exists() {
            manifests.push(Manifest::parse(&read(&path)?));
        }
    }
    manifests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(manifests)
}

/// Every file that is committed or about to be.
fn tracked_files() -> Result<Vec<String>, Failure> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()?;
    if !output.status.success() {
        return Err("git ls-files failed: tidy runs in a clone".into());
    }
    let names = String::from_utf8(output.stdout)?;
    let exists = |name: &&str| !name.is_empty() && Path::new(name).is_file();
    Ok(names.split('\0').filter(exists).map(str::to_owned).collect())
}
