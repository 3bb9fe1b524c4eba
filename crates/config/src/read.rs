//! The TOML tree to a [`Config`]: the top level here, and each kind of table in a file of its name.
//!
//! A reference that cannot be read becomes [`UNREAD`], so that the checks of the whole know that
//! something was meant there. The reports keep such a configuration from being given out.

mod access_log;
mod app;
mod auth;
mod bytes;
mod cors;
mod crowd;
mod durations;
mod error_page;
mod filter;
mod frame;
mod framed;
mod header;
mod health;
mod identity;
mod limit;
mod listener;
mod on_error;
mod outlier;
mod overload;
mod pool;
mod process;
mod proxy_protocol;
mod rate_limit;
mod resolver;
mod retry;
mod route;
mod statuses;
mod sticky;
mod swoole;
mod template;
mod test;
mod text;
mod tls;
mod udp;
mod upstream;

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};

use std::path::PathBuf;

use toml::de::DeTable;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{Admin, Config};
use crate::read::access_log::ACCESS_LOG;
use crate::read::app::APP;
use crate::read::limit::DAY_MS;
use crate::read::listener::LISTENER;
use crate::read::overload::OVERLOAD;
use crate::read::process::PROCESS;
use crate::read::rate_limit::RATE_LIMIT;
use crate::read::resolver::RESOLVER;
use crate::read::route::ROUTE;
use crate::read::test::TEST;
pub(crate) use crate::read::udp::OF_CONNECTIONS;
use crate::read::upstream::UPSTREAM;
use crate::reader::{File, Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// No name is empty, so this one cannot be mistaken for one that was written.
pub(crate) const UNREAD: &str = "";

/// More threads than any machine that we know has; a larger number is a slip.
pub const THREADS_MAX: usize = 1024;

pub(crate) static ROOT: declare::Table = declare::Table {
    title: "the top level",
    settings: &[
        Setting {
            name: "include",
            kind: Kind::OneOrMore(&Kind::Text("text")),
            absent: Absent::Otherwise("none"),
            meaning: "further files, relative to this one; `*` stands for any part of a file's \
                      name. All files together are one configuration.",
            example: "include = [\"conf.d/*.toml\"]",
        },
        Setting {
            name: "threads",
            kind: Kind::Integer { min: 1, max: THREADS_MAX as u32 },
            absent: Absent::Otherwise("what the machine grants: affinity and container quota"),
            meaning: "worker threads",
            example: "threads = 2",
        },
        Setting {
            name: "state_dir",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("nowhere"),
            meaning: "a directory, with its whole path, for what is set at run time \
                      [to stay](admin.md#what-stays), and for the secret of `sticky`; made for its \
                      owner alone if it is not there",
            example: "state_dir = \"/var/lib/fairwater\"",
        },
        Setting {
            name: "run_dir",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("none"),
            meaning: "a directory, with its whole path, for the socket of the master \
                      (`master.sock`: `reload`, `upgrade`, `restart` and `status` ask there), for \
                      the admin socket (`admin.sock`), unless [admin] names another, and for the \
                      sockets of apps; made if it is not there, so that others may look into it \
                      and not write",
            example: "run_dir = \"/run/fairwater\"",
        },
        Setting {
            name: "max_connections",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("what the limits of descriptors and memory allow"),
            meaning: "connections of all listeners at a time; what is beyond waits or is rejected, as \
                      `when_full` of its listener says. The limit of descriptors is raised at the \
                      start as far as it may be, and by default half of it is for clients; a number \
                      that it does not allow is an error. In a control group (a container) with a \
                      limit of memory it is by default no more than one for each 64 KiB of that. \
                      Listeners that answer probes (`respond = \"live\"` or `\"ready\"`) have 8 more.",
            example: "max_connections = 100000",
        },
        Setting {
            name: "drain_delay",
            kind: Kind::Duration { min_ms: 0, max_ms: 3_600_000 },
            absent: Absent::Default("\"0s\""),
            meaning: "from TERM until nothing new is accepted. `/ready` says no meanwhile, so that \
                      whoever sends requests here goes elsewhere first.",
            example: "drain_delay = \"5s\"",
        },
        Setting {
            name: "drain_timeout",
            kind: Kind::Duration { min_ms: 0, max_ms: DAY_MS },
            absent: Absent::Default("\"25s\""),
            meaning: "from then on, for what still runs. Kubernetes kills 30 s after TERM.",
            example: "drain_timeout = \"25s\"",
        },
        Setting {
            name: "replaced_timeout",
            kind: Kind::Duration { min_ms: 0, max_ms: 7 * DAY_MS },
            absent: Absent::Default("\"1h\""),
            meaning: "for what runs in a process that another one has replaced: by an upgrade, or a \
                      reload that takes a new process. Requests end long before; this is for \
                      downloads, WebSockets and TCP connections.",
            example: "replaced_timeout = \"1h\"",
        },
        Setting {
            name: "watch",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "look at the configuration files every second, and reload when one is another",
            example: "watch = true",
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
            name: "resolver",
            kind: Kind::Table(&RESOLVER),
            absent: Absent::Otherwise("as /etc/resolv.conf says"),
            meaning: "who is asked for the addresses of host names",
            example: "[resolver]",
        },
        Setting {
            name: "overload",
            kind: Kind::Table(&OVERLOAD),
            absent: Absent::Otherwise("as below"),
            meaning: "when load is shed, before memory or descriptors run out",
            example: "[overload]",
        },
        Setting {
            name: "listeners",
            kind: Kind::Named(&LISTENER),
            absent: Absent::Otherwise("at least one is required"),
            meaning: "where connections come in",
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
        Setting {
            name: "apps",
            kind: Kind::Named(&APP),
            absent: Absent::Otherwise("none"),
            meaning: "programs that are started, watched and replaced",
            example: "[apps.php]",
        },
        Setting {
            name: "rate_limits",
            kind: Kind::Named(&RATE_LIMIT),
            absent: Absent::Otherwise("none"),
            meaning: "how much may come in a time, for listeners and routes to name",
            example: "[rate_limits.per-client]",
        },
        Setting {
            name: "tests",
            kind: Kind::List(&Kind::Table(&TEST)),
            absent: Absent::Otherwise("none"),
            meaning: "requests, and what must become of them",
            example: "[[tests]]",
        },
    ],
    shared: &[&PROCESS],
    notes: include_str!("../reference/top_level.md"),
};

static ADMIN: declare::Table = declare::Table {
    title: "[admin]",
    settings: &[Setting {
        name: "socket",
        kind: Kind::Text("text"),
        absent: Absent::Otherwise("`admin.sock` in `run_dir`, or none"),
        meaning: "the Unix socket for `/metrics` and `/status`, with its whole path; its directory \
                  must exist. Only its owner can open it.",
        example: "socket = \"/run/fairwater/admin.sock\"",
    }],
    shared: &[],
    notes: "",
};

/// What the files before have set, and where: what may be there only once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    settings: HashMap<&'static str, Span>,
    /// By kind of table and name.
    names: HashMap<(&'static str, String), Span>,
}

/// Adds everything that can be read of a file to `config`, and reports the rest.
pub(crate) fn add(
    config: &mut Config,
    seen: &mut Seen,
    root: &DeTable<'_>,
    file: File<'_>,
    report: &mut Report,
) {
    let table = Table::open("the top level".to_owned(), Span::NONE, file, root, &ROOT, report);
    let mut once = |name| table.get(name).filter(|_| is_first(name, &table, seen, report));
    let (threads, log, admin_table) = (once("threads"), once("access_log"), once("admin"));
    let (resolver_table, state_dir) = (once("resolver"), once("state_dir"));
    let overload_table = once("overload");
    let run_dir = once("run_dir");
    let of_process = process::NAMES.map(&mut once);
    let (connections, delay, drain) =
        (once("max_connections"), once("drain_delay"), once("drain_timeout"));
    let (once_replaced, watch) = (once("replaced_timeout"), once("watch"));
    process::read(&mut config.process, of_process, report);
    if let Some(read) = connections.and_then(|node| node.integer(report)) {
        let count = NonZeroU32::new(read.value);
        config.max_connections = count.map(|count| Spanned::new(count, read.span));
    }
    if let Some(delay) = delay.and_then(|node| node.duration(report)) {
        config.shutdown.delay = delay;
    }
    if let Some(drain) = drain.and_then(|node| node.duration(report)) {
        config.shutdown.drain = drain;
    }
    if let Some(replaced) = once_replaced.and_then(|node| node.duration(report)) {
        config.shutdown.replaced = replaced;
    }
    if let Some(watch) = watch.and_then(|node| node.boolean(report)) {
        config.watch = watch;
    }
    if let Some(read) = threads.and_then(|node| node.integer(report)) {
        let count = usize::try_from(read.value).ok().and_then(NonZeroUsize::new);
        config.threads = count.map(|count| Spanned::new(count, read.span));
    }
    if let Some(node) = state_dir {
        config.state_dir = text::directory_path(node, report);
    }
    if let Some(node) = run_dir {
        config.run_dir = text::directory_path(node, report);
    }
    if let Some(node) = log {
        config.access_log = access_log::read(node, report);
    }
    if let Some(node) = admin_table {
        config.admin = admin(node, report);
    }
    if let Some(node) = resolver_table {
        config.resolver = resolver::read(node, report);
    }
    if let Some(node) = overload_table {
        config.overload = overload::read(node, report);
    }
    config.listeners.extend(named(&table, "listeners", seen, report, listener::read));
    config.upstreams.extend(named(&table, "upstreams", seen, report, upstream::read));
    config.apps.extend(named(&table, "apps", seen, report, app::read));
    config.rate_limits.extend(named(&table, "rate_limits", seen, report, rate_limit::read));
    config
        .routes
        .extend(table.get("routes").map_or_else(Vec::new, |node| route::read_all(node, report)));
    let tests = table.get("tests").map(|node| test::read_all(node, report));
    config.tests.extend(tests.unwrap_or_default());
}

/// The elements of `include`.
pub(crate) fn includes(
    root: &DeTable<'_>,
    file: File<'_>,
    report: &mut Report,
) -> Vec<Spanned<String>> {
    let Some(node) = Table::get_of(&ROOT, root, file, "include") else { return Vec::new() };
    let nodes = node.one_or_more(report).unwrap_or_default();
    let texts = nodes.iter().filter_map(|node| node.string(report));
    texts.map(|text| text.map(Cow::into_owned)).collect()
}

/// Whether no file before has this setting too.
fn is_first(name: &'static str, table: &Table<'_>, seen: &mut Seen, report: &mut Report) -> bool {
    let Some(span) = table.key_span(name) else { return true };
    let Some(first) = seen.settings.insert(name, span) else { return true };
    let message = format!("`{name}` is set in two files");
    let label = format!("the first is{}", report.place(first, span));
    report.add(&code::SET_TWICE, span, message, label, "remove one of the two");
    false
}

/// Reads each `[kind.NAME]`; nothing, if what is there is no table.
fn named<T>(
    table: &Table<'_>,
    kind: &'static str,
    seen: &mut Seen,
    report: &mut Report,
    read: fn(Spanned<&str>, Node<'_>, &mut Report) -> T,
) -> Vec<T> {
    let Some(node) = table.get(kind) else { return Vec::new() };
    // Something was meant to be there, even if it cannot be read.
    seen.settings.entry(kind).or_insert(node.span);
    let entries = node.named(report).unwrap_or_default();
    let mut read_all = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        text::check_name(name, report);
        if let Some(first) = seen.names.insert((kind, name.value.to_owned()), name.span) {
            let message = format!("[{kind}.{}] is in two files", name.value);
            let label = format!("the first is{}", report.place(first, name.span));
            let help = "give one of the two another name, or remove it";
            report.add(&code::SET_TWICE, name.span, message, label, help);
        } else {
            read_all.push(read(name, node, report));
        }
    }
    read_all
}

/// Fills in what follows from other settings, once all files are read.
pub(crate) fn complete(config: &mut Config, report: &mut Report) {
    tls::make_up(&mut config.listeners, &config.routes, report);
    udp::complete(config);
    complete_places(config);
}

/// Adds what says where a process is found, and nothing else.
pub(crate) fn add_places(config: &mut Config, root: &DeTable<'_>, file: File<'_>) {
    let mut unheard = Report::default();
    let node = |name| Table::get_of(&ROOT, root, file, name);
    if let Some(node) = node("run_dir").filter(|_| config.run_dir.is_none()) {
        config.run_dir = text::directory_path(node, &mut unheard);
    }
    if let Some(node) = node("admin").filter(|_| config.admin.socket.is_none()) {
        config.admin = admin(node, &mut unheard);
    }
    complete_places(config);
}

fn complete_places(config: &mut Config) {
    let in_dir = |path: &PathBuf| path.join("admin.sock");
    let socket = config.run_dir.as_ref().map(|dir| Spanned::new(in_dir(&dir.value), dir.span));
    config.admin.socket = config.admin.socket.take().or(socket);
}

/// Reports files that have no listener between them.
pub(crate) fn check_listeners(config: &Config, seen: &Seen, report: &mut Report) {
    let is_tried = seen.settings.contains_key("listeners");
    if config.listeners.is_empty() && (!is_tried || !report.has_errors()) {
        let help = "add [listeners.web] with `bind` and `upstream`, and [upstreams.NAME]";
        report.add(&code::NO_LISTENER, Span::start_of(0), "there is no listener", "", help);
    }
}

fn admin(node: Node<'_>, report: &mut Report) -> Admin {
    let Some(table) = node.table("[admin]".to_owned(), &ADMIN, report) else {
        return Admin::default();
    };
    Admin { socket: table.get("socket").and_then(|node| text::socket_path(node, report)) }
}
