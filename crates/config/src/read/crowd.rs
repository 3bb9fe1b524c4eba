//! How many requests an upstream has at a time, and when it is left alone.

use std::num::NonZeroU32;

use crate::declare::{self, Absent, Kind, Setting, Word};
use crate::model::{CircuitBreaker, Crowd, Priority};
use crate::read::durations;
use crate::read::limit::DAY_MS;
use crate::reader::Table;
use crate::report::Report;

/// Each that waits holds a connection of a client.
const QUEUE_MAX: u32 = 1 << 20;

pub(super) static CROWD: declare::Table = declare::Table {
    title: "Limits",
    settings: &[
        Setting {
            name: "max_connections",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit"),
            meaning: "connections to this upstream over all threads, idle ones included. At the \
                      limit requests wait, for `queue_timeout` at most.",
            example: "max_connections = 1000",
        },
        Setting {
            name: "max_concurrency",
            kind: MAX_CONCURRENCY,
            absent: Absent::Otherwise("no limit"),
            meaning: "requests (on TCP: connections) that are in flight at a time, over all endpoints \
                      and threads; an endpoint may have a limit of its own. Those beyond wait in one \
                      queue, whichever endpoint comes free.",
            example: "max_concurrency = 200",
        },
        Setting {
            name: "max_queue",
            kind: Kind::Integer { min: 0, max: QUEUE_MAX },
            absent: Absent::Default("4096"),
            meaning: "requests that wait for `max_concurrency`, and as many for `max_connections`. \
                      Further ones are answered with 503 at once, and so is the last one that is less \
                      urgent than a new one (`priority` of a route). [Messages](messages.md#pools) wait for any \
                      connection, also without such a limit.",
            example: "max_queue = 100",
        },
        Setting {
            name: "queue_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: 3_600_000 },
            absent: Absent::Default("\"5s\""),
            meaning: "how long they wait. A client that waits longer has often gone.",
            example: "queue_timeout = \"5s\"",
        },
        Setting {
            name: "circuit_breaker",
            kind: Kind::Either(&Kind::Boolean, &Kind::Table(&BREAKER)),
            absent: Absent::Default("false"),
            meaning: "answers with 503 at once while most requests to the upstream fail",
            example: "circuit_breaker = { failures = 50 }",
        },
    ],
    shared: &[],
    notes: "",
};

pub(super) const MAX_CONCURRENCY: Kind = Kind::Integer { min: 1, max: u32::MAX };

static BREAKER: declare::Table = declare::Table {
    title: "[upstreams.NAME.circuit_breaker]",
    settings: &[
        Setting {
            name: "failures",
            kind: Kind::Integer { min: 1, max: 100 },
            absent: Absent::Default("50"),
            meaning: "percent of the requests of a window that fail, retries and all, with which it \
                      opens",
            example: "failures = 50",
        },
        Setting {
            name: "min_requests",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Default("20"),
            meaning: "requests of a window, below which that says nothing",
            example: "min_requests = 20",
        },
        Setting {
            name: "window",
            kind: Kind::Duration { min_ms: 100, max_ms: 3_600_000 },
            absent: Absent::Default("\"10s\""),
            meaning: "how long requests are counted",
            example: "window = \"10s\"",
        },
        Setting {
            name: "open",
            kind: Kind::Duration { min_ms: 100, max_ms: DAY_MS },
            absent: Absent::Default("\"5s\""),
            meaning: "how long it is open at first. Then a request is let through every 100 ms: three \
                      that succeed close it, and one that fails opens it for twice as long, up to \
                      sixteen times.",
            example: "open = \"5s\"",
        },
    ],
    shared: &[],
    notes: "",
};

/// Which requests get room first.
pub(super) const PRIORITY_WORDS: &[Word] = &[
    Word { word: "high", meaning: "before all others" },
    Word { word: "normal", meaning: "in the order in which they came" },
    Word { word: "low", meaning: "when no other waits" },
];

pub(super) const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

pub(super) fn read(table: &Table<'_>, report: &mut Report) -> Crowd {
    let mut crowd = Crowd { max: concurrency(table, report), ..Crowd::default() };
    let queue_max = table.get("max_queue").and_then(|node| node.integer(report));
    crowd.queue_max = queue_max.map_or(crowd.queue_max, |read| read.value);
    crowd
}

/// Of an upstream, or of an endpoint.
pub(super) fn concurrency(table: &Table<'_>, report: &mut Report) -> Option<NonZeroU32> {
    let read = table.get("max_concurrency")?.integer(report)?;
    NonZeroU32::new(read.value)
}

pub(super) fn breaker(table: &Table<'_>, report: &mut Report) -> Option<CircuitBreaker> {
    let node = table.get("circuit_breaker")?;
    let mut breaker = CircuitBreaker::default();
    if node.is_boolean() {
        return node.boolean(report)?.then_some(breaker);
    }
    let title = format!("{}.circuit_breaker]", table.title().trim_end_matches(']'));
    let table = node.table(title, &BREAKER, report)?;
    for (name, count) in
        [("failures", &mut breaker.failed_percent), ("min_requests", &mut breaker.requests_min)]
    {
        let read = table.get(name).and_then(|node| node.integer(report));
        *count = read.map_or(*count, |read| read.value);
    }
    let times = [("window", &mut breaker.window), ("open", &mut breaker.open)];
    durations::read(&table, times, report);
    Some(breaker)
}
