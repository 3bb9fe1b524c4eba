//! The TOML tree to a [`Config`]: the top level here, and each kind of table in a file of its name.
//!
//! A reference that cannot be read becomes [`UNREAD`], so that the checks of the whole know that
//! something was meant there. The reports keep such a configuration from being given out.

mod listener;
mod route;
mod text;
mod upstream;

use std::num::NonZeroUsize;

use toml::de::DeTable;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{AccessLog, Admin, Config, Listener, LogFormat};
use crate::read::listener::LISTENER;
use crate::read::route::ROUTE;
use crate::read::upstream::UPSTREAM;
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// No name is empty, so this one cannot be mistaken for one that was written.
pub(crate) const UNREAD: &str = "";

/// More threads than any machine that we know has; a larger number is a slip.
const THREADS_MAX: u32 = 1024;

pub(crate) static ROOT: declare::Table = declare::Table {
    title: "the top level",
    settings: &[
        Setting {
            name: "threads",
            kind: Kind::Integer { min: 1, max: THREADS_MAX },
            absent: Absent::Otherwise("what the machine grants: affinity and container quota"),
            meaning: "worker threads",
            example: "threads = 2",
        },
        Setting {
            name: "access_log",
            kind: Kind::Table(&ACCESS_LOG),
            absent: Absent::Otherwise("JSON to the standard output"),
            meaning: "a line for each exchange",
            example: "[access_log]",
        },
        Setting {
            name: "admin",
            kind: Kind::Table(&ADMIN),
            absent: Absent::Otherwise("none"),
            meaning: "metrics and state, for those who run it",
            example: "[admin]",
        },
        Setting {
            name: "listeners",
            kind: Kind::Named(&LISTENER),
            absent: Absent::Required,
            meaning: "where connections come in; at least one",
            example: "[listeners.web]",
        },
        Setting {
            name: "routes",
            kind: Kind::List(&Kind::Table(&ROUTE)),
            absent: Absent::Otherwise("none"),
            meaning: "which requests go elsewhere than to the `upstream` of their listener",
            example: "[[routes]]",
        },
        Setting {
            name: "upstreams",
            kind: Kind::Named(&UPSTREAM),
            absent: Absent::Otherwise("none"),
            meaning: "where they go",
            example: "[upstreams.app]",
        },
    ],
    notes: include_str!("../reference/top_level.md"),
};

static ACCESS_LOG: declare::Table = declare::Table {
    title: "[access_log]",
    settings: &[
        Setting {
            name: "format",
            kind: Kind::Choice(words!["json", "combined", "off"]),
            absent: Absent::Default("\"json\""),
            meaning: "[how a line looks](access-log.md)",
            example: "format = \"json\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("the standard output"),
            meaning: "a file to append to; created if missing, its directory is not",
            example: "path = \"/var/log/fairwater.log\"",
        },
    ],
    notes: "",
};

const LOG_FORMATS: [(&str, LogFormat); 3] =
    [("json", LogFormat::Json), ("combined", LogFormat::Combined), ("off", LogFormat::Off)];

static ADMIN: declare::Table = declare::Table {
    title: "[admin]",
    settings: &[Setting {
        name: "socket",
        kind: Kind::Text("text"),
        absent: Absent::Otherwise("no admin socket"),
        meaning: "the Unix socket for `/metrics` and `/status`, with its whole path; its directory \
                  must exist. Only its owner can open it.",
        example: "socket = \"/run/fairwater/admin.sock\"",
    }],
    notes: "",
};

/// Reads everything that can be read, and reports the rest.
pub(crate) fn config(root: &DeTable<'_>, report: &mut Report<'_>) -> Config {
    let table = Table::open("the top level".to_owned(), Span::NONE, root, &ROOT, report);
    let threads = table.get("threads").and_then(|node| node.integer(report));
    Config {
        threads: threads.and_then(|read| {
            let count = usize::try_from(read.value).ok().and_then(NonZeroUsize::new)?;
            Some(Spanned::new(count, read.span))
        }),
        access_log: table
            .get("access_log")
            .map_or_else(AccessLog::default, |node| access_log(node, report)),
        admin: table.get("admin").map_or_else(Admin::default, |node| admin(node, report)),
        listeners: listeners(&table, report),
        routes: table.get("routes").map_or_else(Vec::new, |node| route::read_all(node, report)),
        upstreams: named(&table, "upstreams", report, upstream::read).unwrap_or_default(),
    }
}

fn listeners(table: &Table<'_>, report: &mut Report<'_>) -> Vec<Listener> {
    let Some(listeners) = named(table, "listeners", report, listener::read) else {
        return Vec::new();
    };
    if listeners.is_empty() {
        let help = "add [listeners.web] with `bind` and `upstream`, and [upstreams.NAME]";
        let start = Span { start: 0, end: 0 };
        report.add(&code::NO_LISTENER, start, "there is no listener", "", help);
    }
    listeners
}

/// Reads each `[kind.NAME]`; nothing, if what is there is no table.
fn named<T>(
    table: &Table<'_>,
    kind: &str,
    report: &mut Report<'_>,
    read: fn(Spanned<&str>, Node<'_>, &mut Report<'_>) -> T,
) -> Option<Vec<T>> {
    let entries = match table.get(kind) {
        Some(node) => node.named(report)?,
        None => Vec::new(),
    };
    let mut read_all = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        text::check_name(name, report);
        read_all.push(read(name, node, report));
    }
    Some(read_all)
}

fn access_log(node: Node<'_>, report: &mut Report<'_>) -> AccessLog {
    let Some(table) = node.table("[access_log]".to_owned(), &ACCESS_LOG, report) else {
        return AccessLog::default();
    };
    let format = table.get("format").and_then(|node| node.choice(&LOG_FORMATS, report));
    AccessLog {
        format: format.unwrap_or_default(),
        path: table.get("path").and_then(|node| text::file_path(node, report)),
    }
}

fn admin(node: Node<'_>, report: &mut Report<'_>) -> Admin {
    let Some(table) = node.table("[admin]".to_owned(), &ADMIN, report) else {
        return Admin::default();
    };
    Admin { socket: table.get("socket").and_then(|node| text::socket_path(node, report)) }
}
