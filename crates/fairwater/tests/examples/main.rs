//! What the documents show works, and what the code has is documented: examples start and answer,
//! blocks of the documents pass the check, and every setting, limit, metric, reason and log field
//! has its row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapt;
mod endpoint;
mod log_and_limits;
mod markdown;
mod program;
mod reference;
mod scratch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use adapt::{adapted_command, adapted_file};
use markdown::{Block, blocks, documents, links};
use program::{Program, check, get};
use scratch::Scratch;

/// A check ends in milliseconds, and so does a try.
const TRIES: usize = 2000;

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// The files that examples and documents name.
fn write_what_is_named(scratch: &Scratch) {
    for directory in ["conf.d", "errors"] {
        fs::create_dir(scratch.file(directory)).unwrap();
    }
    for file in ["conf.d/site.toml", "errors/404.html", "errors/404.json", "errors/5xx.html"] {
        fs::write(scratch.file(file), "").unwrap();
    }
    fs::write(scratch.file("htpasswd"), "").unwrap();
    for directory in ["tls", "certs"] {
        fs::create_dir(scratch.file(directory)).unwrap();
    }
    let golden = root().join("crates/config/tests/golden/pem");
    for (file, of) in [
        ("site.pem", "site.pem"),
        ("site.key", "site.key"),
        ("certs/site.pem", "site.pem"),
        ("certs/site.key", "site.key"),
        ("proxy.pem", "site.pem"),
        ("proxy.key", "site.key"),
        ("clients.pem", "ca.pem"),
        ("inside.pem", "ca.pem"),
        ("revoked.pem", "revoked.pem"),
        ("tickets.key", "tickets.key"),
    ] {
        fs::copy(golden.join(of), scratch.file(file)).unwrap();
        fs::set_permissions(scratch.file(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for entry in fs::read_dir(root().join("examples/tls")).unwrap() {
        let path = entry.unwrap().path();
        let copy = scratch.file("tls").join(path.file_name().unwrap());
        fs::copy(&path, &copy).unwrap();
        fs::set_permissions(copy, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Whether the programs of its apps are installed; says so if not.
fn can_start(name: &str, text: &str) -> bool {
    let is_there = |program: &str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|path| path.join(program).is_file())
    };
    let programs = ["php", "python3", "node"];
    let wanted = programs.iter().filter(|one| text.contains(&format!("command = [\"{one}\"")));
    let missing: Vec<_> = wanted.filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        eprintln!("{name}: skipped without {missing:?}");
    }
    missing.is_empty()
}

/// Starts a file with addresses of its own and asks each of its listeners.
fn start_and_ask(name: &str, text: &str) -> (Scratch, Program) {
    let scratch = Scratch::new();
    write_what_is_named(&scratch);
    let adapted = adapted_file(text, &scratch);
    let path = scratch.file("fairwater.toml");
    fs::write(&path, &adapted).unwrap();
    let path = path.display().to_string();
    let program = Program::start(&["run", "-c", &path]);
    for address in &program.addresses {
        let ask = || match () {
            () if text.contains("\ntls = { cert") => {
                program::get_by_tls(address, &scratch.file("tls"))
            }
            () if text.contains("\nprotocol = \"framed\"") => program::ask_in_message(address),
            () => get(address, "/"),
        };
        let is_answered = |answer: &str| {
            [program::MESSAGE, "HTTP/1.1 200 ", "HTTP/2 200 "]
                .iter()
                .any(|line| answer.starts_with(line))
        };
        // Where checks are mandatory the first one has to end before there is an endpoint.
        let tries = if text.contains("\nmandatory = true") { TRIES } else { 1 };
        let mut answer = ask();
        for _ in 1..tries {
            if is_answered(&answer) {
                break;
            }
            answer = ask();
        }
        let is_good = is_answered(&answer);
        assert!(is_good, "{name}: {address}: {answer:?}\n{adapted}");
    }
    (scratch, program)
}

#[test]
fn examples_pass_the_check_as_they_are() {
    for path in examples() {
        let (is_good, said) = check(&path);
        // Git keeps no mode that would hide a key.
        let warnings = said.replace("warning[W0903]", "");
        assert!(is_good && !warnings.contains("warning"), "{}:\n{said}", path.display());
    }
}

#[test]
fn examples_start_and_answer() {
    for path in examples() {
        let (name, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        if can_start(&name, &text) {
            let (_scratch, program) = start_and_ask(&name, &text);
            program.stop();
        }
    }
}

#[test]
fn the_example_of_log_and_admin_gives_both() {
    let (scratch, program) = start_and_ask("admin-and-log", &read("examples/admin-and-log.toml"));
    let admin = format!("unix:{}", scratch.file("admin.sock").display());
    for (target, sign) in [("/metrics", "fairwater_uptime_seconds"), ("/status", "\"upstreams\":")]
    {
        let answer = get(&admin, target);
        assert!(
            answer.starts_with("HTTP/1.1 200 ")
                || answer.starts_with("HTTP/2 200 ") && answer.contains(sign),
            "{answer}"
        );
    }
    program.stop();
    let log = fs::read_to_string(scratch.file("fairwater.log")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("\"status\":200"), "{log}");
}

#[test]
fn the_example_of_a_template_gives_such_lines() {
    let (scratch, program) = start_and_ask("log-template", &read("examples/log-template.toml"));
    get(&program.addresses[0], "/?token=x&Invite=x&page=2");
    program.stop();
    let log = fs::read_to_string(scratch.file("fairwater.log")).unwrap();
    // Each thread hands its lines over by itself.
    let line = log.lines().find(|line| line.contains("page=2")).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let expected = ["127.0.0.1", "\"GET", "/?token=***&Invite=***&page=2\"", "200"];
    assert!(words[1..5] == expected && words.len() == 8 && words[7] == "-", "{line}");
}

#[test]
fn blocks_of_the_documents_pass_the_check() {
    let mut count = 0;
    for document in documents() {
        for block in blocks(&read(&document)).iter().filter(|block| block.language == "toml") {
            count += 1;
            let scratch = Scratch::new();
            let path = scratch.file("fairwater.toml");
            fs::write(&path, &block.text).unwrap();
            write_what_is_named(&scratch);
            let (is_good, said) = check(&path);
            assert!(is_good && !said.contains("warning"), "{document}:\n{}{said}", block.text);
        }
    }
    assert!(count > 6, "only {count} blocks were found");
}

#[test]
fn blocks_of_the_readme_start_and_answer() {
    for block in blocks(&read("README.md")).iter().filter(|block| block.language == "toml") {
        if can_start("README.md", &block.text) {
            let (_scratch, program) = start_and_ask("README.md", &block.text);
            program.stop();
        }
    }
}

#[test]
fn commands_of_the_documents_start_and_answer() {
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        let lines = blocks(&text).into_iter().filter(|block| block.language == "sh");
        let lines: Vec<_> = lines.map(|block| block.text).collect();
        let commands = lines.iter().flat_map(|text| text.lines());
        for command in commands.filter(|line| line.starts_with("fairwater proxy ")) {
            count += 1;
            let scratch = Scratch::new();
            let words = adapted_command(command, &scratch);
            let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
            let program = Program::start(&words);
            for address in &program.addresses {
                let answer = get(address, "/");
                assert!(
                    answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/2 200 "),
                    "{command}: {answer:?}"
                );
            }
            program.stop();
        }
    }
    assert!(count >= 8, "only {count} commands were found in both READMEs");
}

#[test]
fn both_readmes_show_the_same() {
    let (english, chinese): (Vec<Block>, Vec<Block>) =
        (blocks(&read("README.md")), blocks(&read("README.zh-CN.md")));
    assert_eq!(english.len(), chinese.len());
    for (english, chinese) in english.iter().zip(&chinese) {
        assert_eq!(english, chinese);
    }
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = root().join(&document).parent().unwrap().to_owned();
        for link in links(&text) {
            let file = link.split('#').next().unwrap();
            assert!(folder.join(file).exists(), "{document}: there is no {link}");
        }
    }
}
