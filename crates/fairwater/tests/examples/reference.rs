//! Settings, reasons and metrics: what the code has and what the documents say are the same.

use fairwater_message::FaultKind;

use crate::endpoint;
use crate::markdown::rows;
use crate::program::{Program, get};
use crate::scratch::Scratch;
use crate::{read, root};

/// `UPDATE_REFERENCE=1` writes the document anew.
#[test]
fn the_reference_is_what_the_settings_are_declared_as() {
    let path = root().join("docs/configuration.md");
    let reference = fairwater_config::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    assert!(read("docs/configuration.md") == reference, "run this test with UPDATE_REFERENCE=1");
}

#[test]
fn the_file_with_every_setting_has_every_setting() {
    let document = read("docs/configuration.md");
    let block = &crate::blocks(&document)[0].text;
    let settings = rows(&document).into_iter().filter(|row| row.len() == 4);
    for name in settings.map(|row| row[0].trim_matches('`').to_owned()) {
        assert!(block.contains(&name), "{name} is not in it");
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
