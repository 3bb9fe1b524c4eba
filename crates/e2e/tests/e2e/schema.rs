//! The JSON schema, as an independent validator reads it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use fairwater_e2e::Directory;
use fairwater_e2e::proxy::binary;

/// Debian's own, for which the validator is installed.
const PYTHON: &str = "/usr/bin/python3";

const VALIDATE: &str = r#"
import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.Draft7Validator(schema)
validator.check_schema(schema)
for name in sys.argv[2:]:
    errors = list(validator.iter_errors(tomllib.load(open(name, "rb"))))
    print(name, "bad" if errors else "good")
"#;

/// The verdict of the validator on each file.
fn validate(files: &[String]) -> Vec<bool> {
    let directory = Directory::new();
    let schema = directory.path().join("schema.json");
    let printed = Command::new(binary()).arg("schema").output().unwrap();
    assert!(printed.status.success());
    fs::write(&schema, &printed.stdout).unwrap();
    let output = Command::new(PYTHON)
        .args(["-c", VALIDATE])
        .arg(&schema)
        .args(files)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), files.len());
    said.lines().map(|line| line.ends_with(" good")).collect()
}

fn is_there() -> bool {
    let is_there = Path::new("/usr/lib/python3/dist-packages/jsonschema").exists();
    if !is_there {
        eprintln!("skipped: python3-jsonschema is not installed");
    }
    is_there
}

#[test]
fn every_example_is_valid() {
    if !is_there() {
        return;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files: Vec<_> = fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    assert!(files.len() > 5);
    for (file, is_valid) in files.iter().zip(validate(&files)) {
        assert!(is_valid, "{file}");
    }
}

#[test]
fn mistakes_are_seen_by_an_editor() {
    if !is_there() {
        return;
    }
    let directory = Directory::new();
    let files: Vec<_> = [
        "thread = 2",
        "threads = 0",
        "threads = \"two\"",
        "access_log.format = \"jsn\"",
        "listeners.web = {}",
        "listeners.web.bind = []",
        "listeners.web.bind = 80",
        "listeners.web = { bind = \":80\", protocol = \"sctp\" }",
        "routes = [{ upstream = \"app\" }]",
        "listeners.web = { bind = \":80\", max_body = \"10m\" }",
        "upstreams.app.endpoints = \"a:1\"",
        "upstreams.app.endpoints = [{ weight = 1 }]",
        "upstreams.app.endpoints = [{ address = \"a:1\", weight = 1001 }]",
        "upstreams.app = { endpoints = [\"a:1\"], balance = \"roundrobin\" }",
    ]
    .iter()
    .enumerate()
    .map(|(number, text)| {
        let path = directory.path().join(format!("{number}.toml"));
        let rest = "\n[listeners.other]\nbind = \":1\"\n[upstreams.other]\nendpoints = [\"a:1\"]\n";
        fs::write(&path, format!("{text}{rest}")).unwrap();
        path.display().to_string()
    })
    .collect();
    for (file, is_valid) in files.iter().zip(validate(&files)) {
        assert!(!is_valid, "{}", fs::read_to_string(file).unwrap());
    }
}
