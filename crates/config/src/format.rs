//! TOML text in the one format that all files share. Comments, the order of everything and the
//! meaning of every value stay; blanks, line ends and quotes around keys do not.
//!
//! Of how a text was laid out, only what the output has as well makes a difference: blank lines,
//! the lines of comments and inline tables of several lines. So what is formatted stays as it is.

mod print;
mod tree;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::include::{self, Surroundings};
use crate::report::Report;
use crate::source::Source;
use crate::span::Span;
use crate::syntax::{self, FILE_BYTES_MAX};

use tree::Item;

/// A file that is not formatted, and what it should hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Unformatted {
    pub file: String,
    pub text: String,
}

/// Formats a text that stands alone. Whether its settings exist does not matter:
///
/// ```
/// let text = fairwater_config::format("fairwater.toml", b"[ a ]\n'b'=[1,2,] # why\r\n");
/// assert_eq!(text.unwrap(), "[a]\nb = [1, 2]  # why\n");
/// ```
///
/// # Errors
/// Why it is not TOML.
pub fn format(file_name: &str, bytes: &[u8]) -> Result<String, Vec<Diagnostic>> {
    let mut report = Report::default();
    let text = syntax::open(file_name, bytes, &mut report).and_then(|(source, number)| {
        syntax::parse(&source, number, &mut report)?;
        formatted(&source, number, &mut report)
    });
    text.ok_or_else(|| report.finish())
}

/// Formats a file and those that it includes, and gives those that change. The diagnostics are
/// about files that are not TOML or cannot be found, and about nothing else.
pub fn format_files(
    file_name: &str,
    bytes: &[u8],
    around: &dyn Surroundings,
) -> (Vec<Unformatted>, Vec<Diagnostic>) {
    let mut report = Report::default();
    let mut unformatted = Vec::new();
    include::walk(file_name, bytes, around, &mut report, &mut |opened, report| {
        let text = formatted(opened.source, opened.file.number, report);
        if let Some(text) = text.filter(|text| text.as_bytes() != opened.bytes) {
            unformatted.push(Unformatted { file: opened.name.to_owned(), text });
        }
    });
    (unformatted, report.finish())
}

/// Formats a text that is TOML, and reports one that would not be read again.
fn formatted(source: &Source, number: u16, report: &mut Report) -> Option<String> {
    let items = part_tables(tree::read(source.text()));
    let text = print::print(&items);
    if text.is_none() {
        report.add(
            &code::FILE_TOO_LARGE,
            Span::start_of(number),
            format!("formatted, the file would have more than {FILE_BYTES_MAX} bytes"),
            "",
            "move a part of it to another file, and name that in `include`",
        );
    }
    text
}

/// Has a blank line before every header and the comments right above it, but for the first line.
fn part_tables(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let mut parted = Vec::with_capacity(items.len());
    for item in items {
        if matches!(item, Item::Header { .. }) {
            let is_comment = |item: &&Item<'_>| matches!(item, Item::Comment(_));
            let above = parted.iter().rev().take_while(is_comment).count();
            let at = parted.len() - above;
            if at > 0 && !matches!(parted[at - 1], Item::Blank) {
                parted.insert(at, Item::Blank);
            }
        }
        parted.push(item);
    }
    parted
}
