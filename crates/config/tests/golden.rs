//! Each `golden/NAME.toml` is read, and what it is told must be `golden/NAME.txt`.
//! `UPDATE_GOLDEN=1` writes the texts anew: read the difference before committing it.

// The lint knows test functions, and not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fairwater_config::{CODES, Severity, Surroundings, load, render};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The files in `golden/conf.d`, and one variable.
struct Golden;

impl Surroundings for Golden {
    fn expand(&self, pattern: &str, _: &str) -> Result<Vec<String>, String> {
        if pattern.ends_with("/*.none") {
            return Ok(Vec::new());
        }
        if let Some((start, end)) =
            pattern.strip_prefix("pem/").and_then(|last| last.split_once('*'))
            && !end.contains('/')
        {
            let entries = fs::read_dir(golden_dir().join("pem")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let found = names.filter(|name| name.starts_with(start) && name.ends_with(end));
            let mut found: Vec<_> = found.map(|name| format!("pem/{name}")).collect();
            found.sort();
            return Ok(found);
        }
        if pattern.contains('*') {
            return Err("`*` stands in the last part of a path only".to_owned());
        }
        Ok(vec![pattern.to_owned()])
    }

    fn read(&self, name: &str, _: usize) -> Result<Vec<u8>, String> {
        fs::read(golden_dir().join(name)).map_err(|_| "No such file or directory".to_owned())
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "PORT").then(|| "8080".to_owned())
    }
}

fn check(path: &Path, codes_seen: &mut BTreeSet<&'static str>) {
    let text = fs::read(path).unwrap();
    let (config, diagnostics) = load("fairwater.toml", &text, &Golden);
    let has_error = diagnostics.iter().any(|one| one.severity() == Severity::Error);
    assert_eq!(config.is_some(), !has_error, "{}", path.display());
    codes_seen.extend(diagnostics.iter().map(|one| one.code.id));

    let rendered = render(&diagnostics);
    let expected_path = path.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected_path, &rendered).unwrap();
    }
    let expected = fs::read_to_string(&expected_path).unwrap_or_default();
    assert_eq!(rendered, expected, "{}: see UPDATE_GOLDEN in {}", path.display(), file!());
}

#[test]
fn diagnostics_read_as_the_golden_files_do() {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(golden_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();

    let mut codes_seen = BTreeSet::new();
    for path in &paths {
        check(path, &mut codes_seen);
    }
    // These take megabytes or a hundred mistakes, and have tests in limits.rs; E0602 takes a
    // plan, which this crate does not make, and those of certificates a clock and modes of files.
    codes_seen.extend(["E0001", "E0004", "W0001", "E0602", "W0902", "W0903"]);
    let missing: Vec<_> = CODES.iter().filter(|code| !codes_seen.contains(code.id)).collect();
    assert!(missing.is_empty(), "no golden file shows {missing:?}");
}
