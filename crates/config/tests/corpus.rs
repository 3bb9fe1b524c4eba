//! The fuzz target of the configuration, run with a stable compiler over its corpus.

#[path = "../../../fuzz/checks/config.rs"]
mod check;
#[path = "../../../fuzz/replay.rs"]
mod replay;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fairwater_config::CODES;

/// Pieces of configurations.
const WORDS: &[&str] = &[
    "\n",
    "\n# ---\n",
    "# c\n",
    "\r\n",
    "\r",
    "\t",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "#",
    "[listeners.web]\n",
    "[upstreams.app]\n",
    "[[routes]]\n",
    "[admin]\n",
    "[access_log]\n",
    "include = \"*.toml\"\n",
    "include = [\"1.toml\", \"2.toml\"]\n",
    "${PORT}",
    "${EMPTY:-a}",
    "${MISSING}",
    "bind = \":8080\"\n",
    "upstream = \"app\"\n",
    "listener = \"web\"\n",
    "path = \"/v1/*\"\n",
    "host = \"a.example\"\n",
    "endpoints = [\"127.0.0.1:9001\"]\n",
    "protocol = \"tcp\"\n",
    "on_error = { connect = \"no\" }\n",
    "headers = { x = \"1\", y = false }\n",
    "connect_timeout = \"250ms\"\n",
    "{id}",
    "weight = 3",
    "address = \"unix:/a.sock\"",
    "[access_log]\n",
    "template = \"{client} {request.x} {{",
    "hide_query = [\"*token\"]\n",
    "true",
    "1979-05-27T07:32:00Z",
    "0x7fffffffffffffff",
    "-1",
    "1e400",
    "nan",
    "\\u0000",
    "\\U0010FFFF",
    "\u{feff}",
    "é",
    "\u{202e}",
    "\u{1b}[31m",
];

#[test]
fn config() {
    replay::replay("config", WORDS, check::check);
}

#[test]
fn the_golden_files_are_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (directory, prefix) in [("golden", ""), ("format", "format_")] {
        for entry in fs::read_dir(root.join("tests").join(directory)).expect("they are committed") {
            let path = entry.expect("the directory can be listed").path();
            if path.extension().is_none_or(|end| end != "toml") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let seed = root.join(format!("../../fuzz/corpus/config/{prefix}{name}"));
            let is_same = fs::read(&path).ok() == fs::read(seed).ok();
            assert!(is_same, "{name}: run `cargo xtask fuzz --write-seeds`");
        }
    }
}

#[test]
fn the_seeds_get_every_diagnostic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/config");
    // As in golden.rs.
    let mut seen = BTreeSet::from(["E0001", "E0004", "W0001", "E0602", "W0902", "W0903"]);
    for entry in fs::read_dir(corpus).expect("it is committed") {
        let path = entry.expect("the directory can be listed").path();
        let (_, diagnostics) = check::read(&fs::read(path).expect("it can be read"));
        seen.extend(diagnostics.iter().map(|one| one.code.id));
    }
    let missing: Vec<_> = CODES.iter().filter(|code| !seen.contains(code.id)).collect();
    assert!(missing.is_empty(), "no seed gets {missing:?}");
}
