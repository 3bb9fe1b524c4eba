//! `cargo xtask dist`: the program as others install it: one static binary, and a Debian package
//! with it, its unit and a configuration that works.

mod deb;
mod elf;
mod trial;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::ci::cargo_command;

/// What this machine builds for.
struct Target {
    /// As Rust says it: `x86_64-unknown-linux-gnu`.
    triple: String,
    /// As Debian says it.
    architecture: &'static str,
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut with_trial = false;
    for argument in arguments {
        match argument.as_str() {
            "--try" => with_trial = true,
            other => return Err(format!("dist takes --try, not {other}").into()),
        }
    }
    let target = target()?;
    let binary = build(&target)?;
    let packages = binary.ancestors().nth(3).ok_or("no target directory")?.join("packages");
    std::fs::create_dir_all(&packages)?;
    let package = deb::build(&binary, &target, &packages)?;
    println!("{}\n{}", binary.display(), package.display());
    if with_trial { trial::run(&package) } else { Ok(()) }
}

fn target() -> Result<Target, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    let triple = triple.ok_or("rustc does not say what it builds for")?.to_owned();
    let architecture = match triple.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => return Err(format!("there is no package for {triple}").into()),
    };
    Ok(Target { triple, architecture })
}

/// Builds the binary with all that it needs in it.
fn build(target: &Target) -> Result<PathBuf, Failure> {
    let words = ["build", "--locked", "--profile", "dist", "--package", "fairwater", "--target"];
    // With a target of its own, the flags are not those of build scripts, which cannot be static.
    let status = cargo_command(&words)
        .arg(&target.triple)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()?;
    if !status.success() {
        return Err("the build failed".into());
    }
    // We are target/debug/xtask ourselves.
    let own = std::env::current_exe()?;
    let directory = own.parent().and_then(Path::parent).ok_or("xtask runs outside of target/")?;
    let binary = directory.join(&target.triple).join("dist").join("fairwater");
    match elf::is_static(&std::fs::read(&binary)?) {
        Some(true) => Ok(binary),
        Some(false) => Err(format!("{} needs libraries", binary.display()).into()),
        None => Err(format!("{} is no program", binary.display()).into()),
    }
}
