//! `outlier` of an upstream: when endpoints are left alone for what became of requests.

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::Outlier;
use crate::read::durations;
use crate::read::limit::DAY_MS;
use crate::reader::Table;
use crate::report::Report;

pub(super) static OUTLIER: declare::Table = declare::Table {
    title: "[upstreams.NAME.outlier]",
    settings: &[
        Setting {
            name: "consecutive_failures",
            kind: Kind::Integer { min: 0, max: 1_000_000 },
            absent: Absent::Default("5"),
            meaning: "failures in a row with which an endpoint is ejected: no connection, no reply or \
                      a bad one, or a status of 5xx (501 and 505 apart); 0 is never",
            example: "consecutive_failures = 5",
        },
        Setting {
            name: "success_rate",
            kind: Kind::Integer { min: 0, max: 99 },
            absent: Absent::Default("30"),
            meaning: "points of percent that the rate of success of an endpoint may be below that of \
                      all others together; one that is further below is ejected. 0 is never.",
            example: "success_rate = 30",
        },
        Setting {
            name: "window",
            kind: Kind::Duration { min_ms: 100, max_ms: 3_600_000 },
            absent: Absent::Default("\"10s\""),
            meaning: "how long requests are counted for `success_rate`",
            example: "window = \"10s\"",
        },
        Setting {
            name: "min_requests",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Default("100"),
            meaning: "requests of an endpoint in a window, below which its rate says nothing",
            example: "min_requests = 100",
        },
        Setting {
            name: "ejection",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"10s\""),
            meaning: "how long an ejection lasts. The next one takes twice as long, unless the \
                      endpoint was good meanwhile: each time of that length takes one back.",
            example: "ejection = \"10s\"",
        },
        Setting {
            name: "max_ejection",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"5m\""),
            meaning: "the longest it becomes",
            example: "max_ejection = \"5m\"",
        },
        Setting {
            name: "max_ejected",
            kind: Kind::Integer { min: 0, max: 100 },
            absent: Absent::Default("50"),
            meaning: "percent of the endpoints of a priority that may be ejected at a time, and never all, \
                      unless one of a later priority is good. More would make the others fail for \
                      want of room. 0 is none.",
            example: "max_ejected = 50",
        },
    ],
    shared: &[],
    notes: "",
};

/// Nothing, if endpoints are never ejected.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Option<Outlier> {
    let mut outlier = Outlier::default();
    let Some(node) = table.get("outlier") else { return Some(outlier) };
    if node.is_boolean() {
        return node.boolean(report)?.then_some(outlier);
    }
    let title = format!("{}.outlier]", table.title().trim_end_matches(']'));
    let table = node.table(title, &OUTLIER, report)?;
    for (name, count) in [
        ("consecutive_failures", &mut outlier.consecutive),
        ("success_rate", &mut outlier.success_points),
        ("min_requests", &mut outlier.requests_min),
        ("max_ejected", &mut outlier.ejected_max),
    ] {
        let read = table.get(name).and_then(|node| node.integer(report));
        *count = read.map_or(*count, |read| read.value);
    }
    let times = [
        ("window", &mut outlier.window),
        ("ejection", &mut outlier.ejection),
        ("max_ejection", &mut outlier.ejection_max),
    ];
    durations::read(&table, times, report);
    let (short, long) = (&mut outlier.ejection, &mut outlier.ejection_max);
    let (short, long) = (("ejection", short), ("max_ejection", long));
    durations::order(&table, short, long, &code::BAD_CHECK, report);
    Some(outlier)
}
