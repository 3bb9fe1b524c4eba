//! Settings, reasons and metrics: what the code has and what the documents say are the same.

use fairwater_config::Diagnostic;
use fairwater_message::FaultKind;

use crate::endpoint;
use crate::markdown::{names, rows, section};
use crate::program::{Program, get};
use crate::read;
use crate::scratch::Scratch;

/// A file that makes the program list the settings of every table, and the words of every choice.
const ASKING: &str = r#"
zzzzzzzzzzzzzzzz = 1
access_log = { zzzzzzzzzzzzzzzz = 1, format = "zzzzzzzzzzzzzzzz" }
admin = { zzzzzzzzzzzzzzzz = 1 }

[listeners.NAME]
zzzzzzzzzzzzzzzz = 1
protocol = "zzzzzzzzzzzzzzzz"
on_error = { zzzzzzzzzzzzzzzz = 1 }
idle = "zzzzzzzzzzzzzzzz"

[[routes]]
zzzzzzzzzzzzzzzz = 1

[upstreams.NAME]
zzzzzzzzzzzzzzzz = 1
endpoints = [{ zzzzzzzzzzzzzzzz = 1 }]
balance = "zzzzzzzzzzzzzzzz"
"#;

/// The help texts of all diagnostics with this code.
fn helps(code: &str) -> Vec<String> {
    let (_, diagnostics) = fairwater_config::parse("fairwater.toml", ASKING.as_bytes());
    let of_code = |one: &Diagnostic| (one.code.id == code).then(|| one.help.clone());
    diagnostics.iter().filter_map(of_code).collect()
}

/// The words in quotes: "`a`, `b` and `c`".
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn settings_are_documented_and_no_others() {
    let document = read("docs/configuration.md");
    let helps = helps("E0101");
    assert_eq!(helps.len(), 8, "{helps:?}");
    for help in &helps {
        let (title, settings) =
            help.strip_prefix("the settings of ").unwrap().split_once(" are ").unwrap();
        let heading = match title {
            "the top level" => "## The top level".to_owned(),
            "an endpoint" => "### An endpoint".to_owned(),
            "`on_error`" => "### `on_error`".to_owned(),
            table => format!("## `{table}`"),
        };
        assert_eq!(names(section(&document, &heading)), quoted(settings), "{heading}");
    }
}

#[test]
fn choices_are_documented() {
    let document = read("docs/configuration.md");
    let helps = helps("E0203");
    assert_eq!(helps.len(), 4, "{helps:?}");
    for choice in helps.iter().flat_map(|help| quoted(help)) {
        assert!(document.contains(&format!("`{choice}`")), "{choice}");
    }
}

#[test]
fn the_file_with_every_setting_has_every_setting() {
    let document = read("docs/configuration.md");
    let block = &crate::blocks(&document)[0].text;
    for help in helps("E0101") {
        let settings = help.split_once(" are ").unwrap().1;
        for setting in quoted(settings) {
            assert!(block.contains(setting), "{setting} is not in it");
        }
    }
}

#[test]
fn reasons_are_documented_as_they_are() {
    let document = read("docs/faults.md");
    let rows = rows(&document);
    for kind in FaultKind::ALL {
        let reason = format!("`{}`", kind.reason());
        let row = rows.iter().find(|row| row[0] == reason);
        let row = row.unwrap_or_else(|| panic!("{reason} has no row"));
        let status = match kind.status() {
            0 => "none".to_owned(),
            status => status.to_string(),
        };
        assert_eq!(row[1..4], [&*status, kind.party().name(), kind.phase().name()], "{reason}");
        assert!(row[4].len() > 10, "{reason}: what happened, and what to do?");
    }
    assert_eq!(rows.len(), FaultKind::ALL.len(), "a reason that is none, or one twice");
}

#[test]
fn metrics_are_documented_and_no_others() {
    let scratch = Scratch::new();
    let admin = scratch.file("admin.sock").display().to_string();
    let to = endpoint::on_tcp();
    let listen = "127.0.0.1:0";
    let program = Program::start(&["proxy", "--listen", listen, "--to", &to, "--admin", &admin]);
    let answer = get(&format!("unix:{admin}"), "/metrics");
    program.stop();
    let types = answer.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut there: Vec<_> = types.map(|line| line.split_once(' ').unwrap()).collect();
    let document = read("docs/metrics.md");
    let rows = rows(&document);
    let mut told: Vec<_> = rows.iter().map(|row| (row[0].trim_matches('`'), row[1])).collect();
    there.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, there);
}
