//! Strings with a form: names, hosts and paths.

use std::borrow::Cow;
use std::path::PathBuf;

use fairwater_message::address::{AddressError, Endpoint, parse_host};

use crate::code::{self, Code};
use crate::model::HostMatch;
use crate::quantity;
use crate::read::UNREAD;
use crate::reader::Node;
use crate::report::Report;
use crate::span::{Span, Spanned};

/// Names are labels of metrics and parts of log lines.
const NAME_BYTES_MAX: usize = 128;

/// `PATH_MAX` of Linux, with its final NUL.
const FILE_PATH_BYTES_MAX: usize = 4095;

/// Reads a string through `parse`, whose error is reported under `code`.
pub(super) fn parsed<T>(
    node: Node<'_>,
    code: &'static Code,
    parse: impl FnOnce(&str) -> Result<T, AddressError>,
    report: &mut Report,
) -> Option<Spanned<T>> {
    let text = node.string(report)?;
    match parse(&text.value) {
        Ok(value) => Some(Spanned::new(value, text.span)),
        Err(error) => {
            report.add(code, text.span, error.problem(), "", error.remedy());
            None
        }
    }
}

pub(super) fn bounded<'t>(
    node: Node<'t>,
    bytes_max: usize,
    report: &mut Report,
) -> Option<Spanned<Cow<'t, str>>> {
    let text = node.string(report)?;
    let bytes = text.value.len();
    if bytes <= bytes_max {
        return Some(text);
    }
    let message = format!("the text has {bytes} bytes, and at most {bytes_max} are allowed");
    report.add(&code::OUT_OF_RANGE, text.span, message, "", "write a shorter one");
    None
}

/// Reports a name that could not be shown in logs and metrics.
pub(super) fn check_name(name: Spanned<&str>, report: &mut Report) {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let message = if name.value.is_empty() {
        "the name is empty".to_owned()
    } else if let Some(wrong) = name.value.chars().find(|c| !is_known(*c)) {
        format!("{wrong:?} cannot be in a name")
    } else if name.value.len() > NAME_BYTES_MAX {
        format!(
            "the name has {} characters, and at most {NAME_BYTES_MAX} are allowed",
            name.value.len()
        )
    } else {
        return;
    };
    let help = "names consist of ASCII letters, digits, `_`, `-` and `.`";
    report.add(&code::BAD_NAME, name.span, message, "", help);
}

/// The name of a listener or upstream; whether there is one of this name is checked later.
pub(super) fn reference(node: Node<'_>, report: &mut Report) -> Spanned<String> {
    let Some(name) = node.string(report) else {
        return unread(node.span);
    };
    if name.value.is_empty() {
        check_name(Spanned::new("", name.span), report);
    }
    name.map(Cow::into_owned)
}

pub(super) fn unread(span: Span) -> Spanned<String> {
    Spanned::new(UNREAD.to_owned(), span)
}

pub(super) fn route_host(text: &str) -> Result<HostMatch, AddressError> {
    refuse_urls(text)?;
    match text.strip_prefix("*.") {
        Some(end) if !end.contains('*') => {
            exact_host(end).map(|end| HostMatch::Wildcard(format!(".{end}")))
        }
        _ if text.contains('*') => Err(AddressError::new(
            format!("`{text}` has a `*` that is not the whole first label"),
            "write `*.example.com` for every host below it, or leave `host` away for all hosts",
        )),
        _ => exact_host(text).map(HostMatch::Exact),
    }
}

fn exact_host(text: &str) -> Result<String, AddressError> {
    if let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']'))
        && parse_host(host).is_ok()
    {
        return Err(AddressError::new(
            format!("`{text}` has the port `{port}`, and routes match the host alone"),
            format!("write `{host}`"),
        ));
    }
    parse_host(text)
}

pub(super) fn host_and_port(text: &str) -> Result<String, AddressError> {
    refuse_urls(text)?;
    if text.contains(':') && !text.ends_with(']') {
        return Endpoint::parse(text).map(|address| address.to_string());
    }
    parse_host(text)
}

fn refuse_urls(text: &str) -> Result<(), AddressError> {
    if !text.contains('/') {
        return Ok(());
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    let remedy = match host_and_port(host) {
        Ok(host) => format!("write `{host}`"),
        Err(_) => "write a host name".to_owned(),
    };
    Err(AddressError::new(format!("`{text}` has more than a host name"), remedy))
}

/// What is in the file that a setting names.
pub(super) fn file(
    node: Node<'_>,
    bytes_max: usize,
    report: &mut Report,
) -> Option<Spanned<String>> {
    let path = file_path(node, report)?;
    let shown = path.value.display().to_string();
    let text = checked(&shown, node.read(&shown, bytes_max), bytes_max, path.span, report)?;
    Some(Spanned::new(text, path.span))
}

/// The text that these bytes of a file are.
pub(super) fn checked(
    shown: &str,
    read: Result<Vec<u8>, String>,
    bytes_max: usize,
    span: Span,
    report: &mut Report,
) -> Option<String> {
    let problem = match read {
        Ok(bytes) if bytes.len() > bytes_max => {
            format!("it has more than {}", quantity::shown_bytes(bytes_max as u64))
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => "it is not UTF-8 text".to_owned(),
        },
        Err(problem) => problem,
    };
    let message = format!("`{shown}` cannot be read: {problem}");
    let help = "correct the path; it is relative to this file";
    report.add(&code::CANNOT_READ, span, message, "", help);
    None
}

pub(super) fn file_path(node: Node<'_>, report: &mut Report) -> Option<Spanned<PathBuf>> {
    let text = bounded(node, FILE_PATH_BYTES_MAX, report)?;
    let message = if text.value.is_empty() {
        "the path is empty"
    } else if text.value.chars().any(char::is_control) {
        "the path has a control character"
    } else if text.value.ends_with('/') {
        "the path names a directory"
    } else {
        return Some(text.map(|text| PathBuf::from(text.into_owned())));
    };
    report.add(&code::BAD_FILE_PATH, text.span, message, "", "write the path of a file");
    None
}

/// The path of a directory, from the root: where a process is started says nothing about it.
pub(super) fn directory_path(node: Node<'_>, report: &mut Report) -> Option<Spanned<PathBuf>> {
    let text = bounded(node, FILE_PATH_BYTES_MAX, report)?;
    if text.value.starts_with('/') && !text.value.chars().any(char::is_control) {
        return Some(text.map(|text| PathBuf::from(text.into_owned())));
    }
    let message = format!("`{}` is not the whole path of a directory", text.value);
    let help = "write it from the root, as in `/var/lib/fairwater`";
    report.add(&code::BAD_FILE_PATH, text.span, message, "", help);
    None
}

/// The path of a Unix socket, with or without `unix:`.
pub(super) fn socket_path(node: Node<'_>, report: &mut Report) -> Option<Spanned<PathBuf>> {
    let parse = |text: &str| match Endpoint::parse(text) {
        Ok(Endpoint::Unix(path)) => Ok(path),
        Err(error) if text.starts_with('/') || text.starts_with("unix:") => Err(error),
        Ok(_) | Err(_) => Err(AddressError::new(
            format!("`{text}` is not the path of a Unix socket"),
            "write the whole path from the root, as in `/run/fairwater/admin.sock`",
        )),
    };
    parsed(node, &code::BAD_FILE_PATH, parse, report)
}
