//! Every package of the lock has a licence that we may ship under.

use std::process::Command;

use super::Problems;
use super::json::Value;
use super::lock::Lock;
use crate::Failure;

const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Zlib",
    "Unicode-3.0",
    "BSL-1.0",
    "CC0-1.0",
];

pub(super) fn check(lock: &Lock, problems: &mut Problems) -> Result<(), Failure> {
    let metadata = metadata()?;
    let packages = metadata.get("packages").map_or(&[][..], Value::items);
    for locked in &lock.packages {
        let word = |package: &Value, key| package.get(key).and_then(Value::text).map(str::to_owned);
        let found = packages.iter().find(|package| {
            word(package, "name").as_ref() == Some(&locked.name)
                && word(package, "version").as_ref() == Some(&locked.version)
        });
        let name = format!("{} {}", locked.name, locked.version);
        match found.map(|package| word(package, "license")) {
            Some(Some(licence)) if is_allowed(&licence) => {}
            Some(Some(licence)) => {
                problems.push(format!("Cargo.lock: {name} has the licence {licence}"));
            }
            Some(None) => problems.push(format!("Cargo.lock: {name} names no licence")),
            None => problems.push(format!("Cargo.lock: cargo metadata does not know {name}")),
        }
    }
    Ok(())
}

/// Without the network where that will do. It will not on a fresh clone: cargo then fetches the
/// packages of other platforms, too.
fn metadata() -> Result<Value, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut errors = String::new();
    for flags in [&["--offline"][..], &[]] {
        let output = Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(flags)
            .output()?;
        if output.status.success() {
            let text = String::from_utf8(output.stdout)?;
            return Value::parse(&text).ok_or_else(|| "cargo metadata is not JSON".into());
        }
        errors = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Err(format!("cargo metadata failed: {errors}").into())
}

/// Evaluates an SPDX expression: one side of an `OR`, all sides of an `AND`. `/` is the old `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = either(&mut words);
    allowed && words.next().is_none()
}

type Words<'w, 'a> = &'w mut std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: Words<'_, '_>) -> bool {
    let mut allowed = both(words);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= both(words);
    }
    allowed
}

fn both(words: Words<'_, '_>) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: Words<'_, '_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = either(words);
        return words.next_if_eq(&")").is_some() && allowed;
    }
    let allowed = words.next().is_some_and(|name| ALLOWED.contains(&name));
    if words.next_if_eq(&"WITH").is_some() {
        words.next(); // an exception only ever permits more
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("Unlicense OR MIT", true),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("MPL-2.0", false),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND MPL-2.0", false),
            ("GPL-3.0 WITH Classpath-exception", false),
            ("", false),
            ("MIT MIT", false),
            ("(MIT", false),
        ] {
            assert_eq!(is_allowed(expression), expected, "{expression}");
        }
    }
}
