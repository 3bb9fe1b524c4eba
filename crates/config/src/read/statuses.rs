//! Sets of statuses: `503`, `"503"`, or `"500-599"`.

use crate::code::Code;
use crate::declare::Kind;
use crate::reader::Node;
use crate::report::Report;

const NUMBER: Kind = Kind::Integer { min: 100, max: 599 };
static NUMBER_ALONE: Kind = NUMBER;
static TEXT: Kind = Kind::Text("status or range");
/// One of a set.
pub(super) static STATUS: Kind = Kind::Either(&NUMBER_ALONE, &TEXT);

/// Reads a set as ranges, none of whose statuses is below `min`.
pub(super) fn read(
    node: Node<'_>,
    min: u16,
    code: &'static Code,
    report: &mut Report,
) -> Vec<(u16, u16)> {
    let nodes = node.one_or_more(report).unwrap_or_default();
    nodes.into_iter().filter_map(|node| range(node, min, code, report)).collect()
}

fn range(node: Node<'_>, min: u16, code: &'static Code, report: &mut Report) -> Option<(u16, u16)> {
    let is_good = |status: &u16| (min..600).contains(status);
    let (text, range) = if node.is_text() {
        let text = node.of_kind(&TEXT).string(report)?;
        let status = |text: &str| {
            let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|status| is_number && is_good(status))
        };
        let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
        (text.value.to_string(), status(first).zip(status(last)))
    } else {
        let number = node.of_kind(&NUMBER_ALONE).integer(report)?.value;
        let status = u16::try_from(number).ok().filter(is_good);
        (number.to_string(), status.zip(status))
    };
    if let Some((first, last)) = range.filter(|(first, last)| first <= last) {
        return Some((first, last));
    }
    let message = format!("`{text}` is neither a status nor a range");
    let help = format!("write statuses from {min} to 599, as in `503` or `\"500-599\"`");
    report.add(code, node.span, message, "", help);
    None
}
