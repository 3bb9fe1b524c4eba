//! A configuration or command of the documents with free ports and paths, and endpoints that are
//! there.

use std::path::Path;

use crate::endpoint;
use crate::scratch::Scratch;

/// The text with every address and file of its own; the rest, comments too, as it was.
pub(crate) fn adapted_file(text: &str, scratch: &Scratch) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut word = String::new();
    let mut key = String::new();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => rest[1..].find('"').unwrap() + 2,
            _ => first.len_utf8(),
        };
        let (token, tail) = rest.split_at(len);
        rest = tail;
        match first {
            '"' => {
                let value = &token[1..token.len() - 1];
                out.push_str(&format!("\"{}\"", adapted_value(&key, value, scratch)));
                continue;
            }
            '=' => key = std::mem::take(&mut word),
            'a'..='z' | '_' | '.' => word.push(first),
            '\n' | '{' | ',' => word.clear(),
            _ => {}
        }
        out.push_str(token);
    }
    out
}

fn adapted_value(key: &str, value: &str, scratch: &Scratch) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    match last {
        "bind" => listening(value, scratch),
        // Where the processes of an app are.
        "address" if ["socket", "shared", "port"].contains(&value) => value.to_owned(),
        "directory" => crate::root().join("examples/apps").display().to_string(),
        "endpoints" | "address" => answering(value, scratch),
        "socket" | "state_dir" | "run_dir" => own_file(value, scratch),
        "path" if value.starts_with("/var/") => own_file(value, scratch),
        "path" if value.starts_with("unix:") => receiving(value, scratch),
        _ => value.to_owned(),
    }
}

/// The words of a command with addresses of its own.
pub(crate) fn adapted_command(command: &str, scratch: &Scratch) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in command.split_whitespace() {
        let adapted = match words.last().map_or("", String::as_str) {
            "--listen" => listening(word, scratch),
            "--to" => answering(word, scratch),
            "--admin" => own_file(word, scratch),
            _ => word.to_owned(),
        };
        words.push(adapted);
    }
    words
}

fn listening(address: &str, scratch: &Scratch) -> String {
    match address.strip_prefix("unix:") {
        Some(path) => format!("unix:{}", own_file(path, scratch)),
        None => "127.0.0.1:0".to_owned(),
    }
}

fn answering(address: &str, scratch: &Scratch) -> String {
    let Some(path) = address.strip_prefix("unix:") else { return endpoint::on_tcp_and_udp() };
    let path = own_file(path, scratch);
    endpoint::on_unix(Path::new(&path));
    format!("unix:{path}")
}

/// A log daemon, which takes lines for as long as the test runs.
fn receiving(address: &str, scratch: &Scratch) -> String {
    let path = own_file(address.trim_start_matches("unix:"), scratch);
    endpoint::on_datagrams(Path::new(&path));
    format!("unix:{path}")
}

fn own_file(path: &str, scratch: &Scratch) -> String {
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    scratch.file(name).display().to_string()
}
