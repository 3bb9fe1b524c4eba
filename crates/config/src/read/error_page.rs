//! `error_pages`: files that are shown instead of bare statuses.

use std::path::Path;

use crate::code;
use crate::declare::Kind;
use crate::model::{ErrorEntry, ErrorPage, Overlay, PageFormat, Statuses};
use crate::read::{filter, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

/// Statuses with files; a list where there are several formats.
pub(super) static ERROR_PAGES: Kind = Kind::Map(&Kind::OneOrMore(&Kind::Text("file")));

/// A page with its style, not a site: it is sent in one piece.
const ERROR_PAGE_BYTES_MAX: usize = 64 * 1024;

const FORMATS: [(&str, PageFormat); 4] = [
    ("html", PageFormat::Html),
    ("htm", PageFormat::Html),
    ("json", PageFormat::Json),
    ("txt", PageFormat::Text),
];

pub(super) fn error_pages(table: &Table<'_>, report: &mut Report) -> Overlay<Vec<ErrorEntry>> {
    let Some(node) = table.get("error_pages") else { return Overlay::Inherit };
    if node.is_boolean() {
        return filter::off(node, report);
    }
    let mut entries = Vec::new();
    for (key, node) in node.of_kind(&ERROR_PAGES).named(report).unwrap_or_default() {
        let statuses = statuses(key, report);
        let mut pages = Vec::new();
        for node in node.one_or_more(report).unwrap_or_default() {
            let Some(page) = page(node, report) else { continue };
            if pages.iter().any(|other: &ErrorPage| other.format == page.format) {
                let message = format!("`{}` has two pages of one format", key.value);
                let help = "give it one page of each format";
                report.add(&code::BAD_ERROR_PAGE, node.span, message, "", help);
            }
            pages.push(page);
        }
        entries.extend(statuses.map(|statuses| ErrorEntry { statuses, pages }));
    }
    // One status before all of its class.
    entries.sort_by_key(|entry| matches!(entry.statuses, Statuses::Class(_)));
    Overlay::On(entries)
}

fn statuses(key: Spanned<&str>, report: &mut Report) -> Option<Statuses> {
    let statuses = match key.value {
        "4xx" => Some(Statuses::Class(4)),
        "5xx" => Some(Statuses::Class(5)),
        text if text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().filter(|status| (400..600).contains(status)).map(Statuses::One)
        }
        _ => None,
    };
    if statuses.is_none() {
        let message = format!("`{}` is not an error", key.value);
        let help = "write a status from 400 to 599, or `4xx` or `5xx` for all that begin so";
        report.add(&code::BAD_ERROR_PAGE, key.span, message, "", help);
    }
    statuses
}

fn page(node: Node<'_>, report: &mut Report) -> Option<ErrorPage> {
    let path = text::file_path(node, report)?;
    let extension = path.value.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let format = FORMATS.iter().find(|(end, _)| extension.eq_ignore_ascii_case(end));
    let Some((_, format)) = format else {
        let shown = Path::new(path.value.file_name().unwrap_or_default()).display().to_string();
        let message = format!("`{shown}` does not say what it is");
        let help = "give it a name that ends with `.html`, `.json` or `.txt`";
        report.add(&code::BAD_ERROR_PAGE, path.span, message, "", help);
        return None;
    };
    let file = text::file(node, ERROR_PAGE_BYTES_MAX, report)?;
    Some(ErrorPage { format: *format, text: file.value })
}
