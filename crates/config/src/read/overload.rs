//! `[overload]`.

use fairwater_message::address::AddressError;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{MemoryMark, Overload};
use crate::quantity;
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;

/// Less than the process takes when nobody is there.
const MEMORY_MIN: u64 = 16 << 20;

pub(super) static OVERLOAD: declare::Table = declare::Table {
    title: "[overload]",
    settings: &[
        Setting {
            name: "memory",
            kind: Kind::WordOrText(words!["off"], "percent or a size"),
            absent: Absent::Default("\"80%\""),
            meaning: "the watermark of memory: percent of what the control group (a container) may \
                      use, or else of what the machine has, or a size of at least 16 MiB",
            example: "memory = \"80%\"",
        },
        Setting {
            name: "descriptors",
            kind: Kind::WordOrText(words!["off"], "percent"),
            absent: Absent::Default("\"90%\""),
            meaning: "the watermark of open descriptors, in percent of the limit; and of client \
                      connections, in percent of those that there is room for by default",
            example: "descriptors = \"90%\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/overload.md"),
};

pub(super) fn read(node: Node<'_>, report: &mut Report) -> Overload {
    let mut overload = Overload::default();
    let Some(table) = node.table("[overload]".to_owned(), &OVERLOAD, report) else {
        return overload;
    };
    let memory = table.get("memory");
    if let Some(read) =
        memory.and_then(|node| text::parsed(node, &code::BAD_WATERMARK, memory_mark, report))
    {
        overload.memory = read.value;
    }
    let descriptors = table.get("descriptors");
    let parse = |text: &str| match text {
        "off" => Ok(None),
        text => percent(text, "write percent, as in `90%`, or `off`").map(Some),
    };
    if let Some(read) =
        descriptors.and_then(|node| text::parsed(node, &code::BAD_WATERMARK, parse, report))
    {
        overload.descriptors = read.value;
    }
    overload
}

fn memory_mark(text: &str) -> Result<Option<MemoryMark>, AddressError> {
    let remedy = "write percent, as in `80%`, a size, as in `512MiB`, or `off`";
    match text {
        "off" => Ok(None),
        text if text.ends_with('%') => percent(text, remedy).map(MemoryMark::Percent).map(Some),
        text => match quantity::size(text) {
            Ok(bytes) if bytes >= MEMORY_MIN => Ok(Some(MemoryMark::Bytes(bytes))),
            Ok(_) => Err(AddressError::new(
                format!("`{text}` is less than the process takes without any connection"),
                "write at least 16MiB",
            )),
            Err((problem, _)) if !text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(AddressError::new(problem.replace("a size", "a watermark"), remedy))
            }
            // Bytes were hardly meant.
            Err((problem, _)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(AddressError::new(problem, remedy))
            }
            Err((problem, help)) => Err(AddressError::new(problem, &help)),
        },
    }
}

/// 100 % would come too late, and 0 % is always.
fn percent(text: &str, remedy: &str) -> Result<u32, AddressError> {
    let number = text.strip_suffix('%').and_then(|digits| digits.parse().ok());
    match number {
        Some(percent @ 1..=99) => Ok(percent),
        Some(_) => Err(AddressError::new(
            format!("`{text}` cannot be a watermark"),
            "write 1% to 99%, or `off`",
        )),
        None => Err(AddressError::new(format!("`{text}` is not a watermark"), remedy)),
    }
}
