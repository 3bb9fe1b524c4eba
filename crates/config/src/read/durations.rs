//! Durations that belong together: how several are read, and that one is no longer than another.

use std::time::Duration;

use crate::code::Code;
use crate::reader::Table;
use crate::report::Report;

/// Reads each that is written; the others stay as they are.
pub(super) fn read<const N: usize>(
    table: &Table<'_>,
    durations: [(&str, &mut Duration); N],
    report: &mut Report,
) {
    for (name, duration) in durations {
        let read = table.get(name).and_then(|node| node.duration(report));
        *duration = read.unwrap_or(*duration);
    }
}

/// Sees to it that the first is no longer than the second: what one of them was left at follows the
/// other.
pub(super) fn order(
    table: &Table<'_>,
    (short_name, short): (&str, &mut Duration),
    (long_name, long): (&str, &mut Duration),
    code: &'static Code,
    report: &mut Report,
) {
    if *short <= *long {
        return;
    }
    match (table.key_span(short_name), table.key_span(long_name)) {
        (Some(_), None) => *long = *short,
        (None, _) => *short = *long,
        (Some(span), Some(_)) => {
            let message = format!("`{short_name}` is longer than `{long_name}`");
            let help = format!("write at most as much as in `{long_name}`");
            report.add(code, span, message, "", help);
        }
    }
}
