//! `[apps.NAME]`.

use std::borrow::Cow;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word, words};
use crate::model::{App, AppAddress, AppReady, AppSignal, AppTimeouts};
use crate::read::limit::DAY_MS;
use crate::read::text;
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

/// More processes of one app than any machine that we know has use for.
const INSTANCES_MAX: u32 = 256;

/// With less no interpreter comes up.
const MEMORY_BYTES_MIN: u64 = 1 << 20;

pub(super) static APP: declare::Table = declare::Table {
    title: "[apps.NAME]",
    settings: &[
        Setting {
            name: "command",
            kind: Kind::List(&Kind::Text("text")),
            absent: Absent::Required,
            meaning: "the program and its arguments, each as it is: no shell reads them. It stays in \
                      the foreground. `{socket}`, `{port}` and `{index}` stand for what each process \
                      has of its own; other braces mean nothing.",
            example: "command = [\"php\", \"server.php\", \"{socket}\"]",
        },
        Setting {
            name: "instances",
            kind: Kind::Integer { min: 1, max: INSTANCES_MAX },
            absent: Absent::Default("1"),
            meaning: "processes",
            example: "instances = 4",
        },
        Setting {
            name: "address",
            kind: Kind::Choice(ADDRESS_WORDS),
            absent: Absent::Default("\"socket\""),
            meaning: "where each process has to listen",
            example: "address = \"socket\"",
        },
        Setting {
            name: "env",
            kind: Kind::Map(&Kind::Secret("text")),
            absent: Absent::Otherwise("none"),
            meaning: "variables of the environment, beside those that Fairwater was started with; \
                      with the same words in braces",
            example: "env = { PORT = \"{port}\" }",
        },
        Setting {
            name: "directory",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("where Fairwater was started"),
            meaning: "the working directory, with its whole path",
            example: "directory = \"/srv/app\"",
        },
        Setting {
            name: "user",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("the `user` of the top level, or who starts Fairwater"),
            meaning: "whose rights the processes have, with all groups of that user; only root can \
                      give them those of another",
            example: "user = \"www-data\"",
        },
        Setting {
            name: "ready",
            kind: Kind::Either(
                &Kind::WordOrText(words!["connect"], "the path of a request"),
                &Kind::Table(&READY),
            ),
            absent: Absent::Default("\"connect\""),
            meaning: "when a process gets traffic: when it accepts a connection, when it answers this \
                      path with 2xx, or when it writes a line",
            example: "ready = \"/healthz\"",
        },
        Setting {
            name: "preset",
            kind: Kind::Choice(PRESET_WORDS),
            absent: Absent::Otherwise("none"),
            meaning: "`stop_signal` and `reload_signal` of a server that is well known",
            example: "preset = \"workerman\"",
        },
        Setting {
            name: "stop_signal",
            kind: Kind::Choice(SIGNAL_WORDS),
            absent: Absent::Otherwise("that of `preset`, or else `TERM`"),
            meaning: "has a process finish what it does and end",
            example: "stop_signal = \"TERM\"",
        },
        Setting {
            name: "reload_signal",
            kind: Kind::Choice(SIGNAL_WORDS),
            absent: Absent::Otherwise("that of `preset`, or none"),
            meaning: "has a process load its code anew without ending",
            example: "reload_signal = \"HUP\"",
        },
        Setting {
            name: "start_timeout",
            kind: Kind::Duration { min_ms: 1, max_ms: DAY_MS },
            absent: Absent::Default("\"30s\""),
            meaning: "until a process is ready; one that is not is stopped, and started again",
            example: "start_timeout = \"30s\"",
        },
        Setting {
            name: "drain_timeout",
            kind: Kind::Duration { min_ms: 0, max_ms: DAY_MS },
            absent: Absent::Default("\"25s\""),
            meaning: "for what a process still does when another one takes its place; it is told to \
                      stop then, or as soon as nothing is left",
            example: "drain_timeout = \"25s\"",
        },
        Setting {
            name: "stop_timeout",
            kind: Kind::Duration { min_ms: 0, max_ms: DAY_MS },
            absent: Absent::Default("\"10s\""),
            meaning: "from `stop_signal` until a process is killed, with all that it has started",
            example: "stop_timeout = \"10s\"",
        },
        Setting {
            name: "max_requests",
            kind: Kind::Integer { min: 1, max: u32::MAX },
            absent: Absent::Otherwise("no limit"),
            meaning: "requests after which a process is replaced; up to half as many more, by \
                      chance, so that not all are replaced at once",
            example: "max_requests = 10000",
        },
        Setting {
            name: "max_memory",
            kind: Kind::Size { min: MEMORY_BYTES_MIN, max: 1 << 50 },
            absent: Absent::Otherwise("no limit"),
            meaning: "memory of a process and all that it has started; with more it is replaced. \
                      Looked at once a second.",
            example: "max_memory = \"512MiB\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/apps.md"),
};

static READY: declare::Table = declare::Table {
    title: "a `ready` that is a table",
    settings: &[Setting {
        name: "line",
        kind: Kind::Text("text"),
        absent: Absent::Required,
        meaning: "a part of the line, on the standard output",
        example: "line = \"listening\"",
    }],
    shared: &[],
    notes: "",
};

const ADDRESS_WORDS: &[Word] = &[
    Word { word: "socket", meaning: "a Unix socket of its own, below `run_dir`" },
    Word {
        word: "shared",
        meaning: "one Unix socket for all, which Fairwater opens: each finds it as its descriptor 3",
    },
    Word { word: "port", meaning: "a free port of 127.0.0.1 of its own" },
];

const ADDRESSES: [(&str, AppAddress); 3] =
    [("socket", AppAddress::Socket), ("shared", AppAddress::Shared), ("port", AppAddress::Port)];

const SIGNAL_WORDS: &[Word] = words!["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"];

const SIGNALS: [(&str, AppSignal); 7] = [
    ("TERM", AppSignal::Term),
    ("INT", AppSignal::Int),
    ("QUIT", AppSignal::Quit),
    ("HUP", AppSignal::Hup),
    ("USR1", AppSignal::Usr1),
    ("USR2", AppSignal::Usr2),
    ("WINCH", AppSignal::Winch),
];

const PRESET_WORDS: &[Word] = &[
    Word {
        word: "workerman",
        meaning: "`QUIT`, since `TERM` cuts off what runs; `USR2` to reload",
    },
    Word { word: "swoole", meaning: "`TERM`; `USR1` to reload" },
    Word { word: "php_fpm", meaning: "`QUIT`, since `TERM` cuts off what runs; `USR2` to reload" },
    Word { word: "gunicorn", meaning: "`TERM`; `HUP` to reload" },
];

/// To stop and to reload.
const PRESETS: [(&str, (AppSignal, AppSignal)); 4] = [
    ("workerman", (AppSignal::Quit, AppSignal::Usr2)),
    ("swoole", (AppSignal::Term, AppSignal::Usr1)),
    ("php_fpm", (AppSignal::Quit, AppSignal::Usr2)),
    ("gunicorn", (AppSignal::Term, AppSignal::Hup)),
];

pub(super) fn read(name: Spanned<&str>, node: Node<'_>, report: &mut Report) -> App {
    let mut app = App::new(name.map(str::to_owned));
    let Some(table) = node.table(format!("[apps.{}]", name.value), &APP, report) else {
        return app;
    };
    let address = table.get("address").and_then(|node| node.choice(&ADDRESSES, report));
    app.address = address.unwrap_or_default();
    app.command = command(&table, app.address, report);
    let instances = table.get("instances").and_then(|node| node.integer(report));
    app.instances = instances.map_or(app.instances, |read| read.value);
    app.env = env(&table, app.address, report);
    let directory = table.get("directory").and_then(|node| text::directory_path(node, report));
    app.directory = directory.map(|path| path.value);
    app.user = table.get("user").and_then(|node| user(node, report));
    app.ready = table.get("ready").and_then(|node| ready(node, report)).unwrap_or_default();
    let preset = table.get("preset").and_then(|node| node.choice(&PRESETS, report));
    let mut signal = |name| table.get(name).and_then(|node| node.choice(&SIGNALS, report));
    let stop = signal("stop_signal").or(preset.map(|(stop, _)| stop));
    app.stop_signal = stop.unwrap_or_default();
    app.reload_signal = signal("reload_signal").or(preset.map(|(_, reload)| reload));
    for (name, timeout) in [
        ("start_timeout", &mut app.timeouts.start),
        ("drain_timeout", &mut app.timeouts.drain),
        ("stop_timeout", &mut app.timeouts.stop),
    ] {
        let read = table.get(name).and_then(|node| node.duration(report));
        *timeout = read.unwrap_or(*timeout);
    }
    let requests = table.get("max_requests").and_then(|node| node.integer(report));
    if let (Some(read), AppAddress::Shared) = (&requests, app.address) {
        let message = "requests are not counted for each process of a shared socket";
        let help = "remove the line, or set `address = \"socket\"`";
        report.add(&code::BAD_COMMAND, read.span, message, "", help);
    }
    app.max_requests = requests.map(|read| read.value);
    app.max_memory = table.get("max_memory").and_then(|node| node.size(report));
    app
}

impl App {
    fn new(name: Spanned<String>) -> Self {
        Self {
            name,
            command: Vec::new(),
            instances: 1,
            address: AppAddress::default(),
            env: Vec::new(),
            directory: None,
            user: None,
            ready: AppReady::default(),
            stop_signal: AppSignal::default(),
            reload_signal: None,
            timeouts: AppTimeouts::default(),
            max_requests: None,
            max_memory: None,
        }
    }
}

fn command(table: &Table<'_>, address: AppAddress, report: &mut Report) -> Vec<String> {
    let list = table.require("command", report);
    let nodes = list.and_then(|list| list.elements(report)).unwrap_or_default();
    let words = nodes.iter().filter_map(|node| word(*node, address, report));
    let words: Vec<_> = words.collect();
    if let (Some(node), Some("")) = (nodes.first(), words.first().map(String::as_str)) {
        let help = "name a program, as in `[\"php\", \"server.php\"]`";
        report.add(&code::BAD_COMMAND, node.span, "the command has no program", "", help);
    }
    words
}

/// A text in which the words in braces are those that stand for something.
fn word(node: Node<'_>, address: AppAddress, report: &mut Report) -> Option<String> {
    let text = without_nul(node, report)?;
    let (other, set) = match address {
        AppAddress::Socket | AppAddress::Shared => ("{port}", "port"),
        AppAddress::Port => ("{socket}", "socket"),
    };
    if text.value.contains(other) {
        let message = format!("`{other}` stands for nothing here");
        let help = format!("set `address = \"{set}\"`, which gives each process one");
        report.add(&code::BAD_COMMAND, text.span, message, "", help);
    }
    Some(text.value)
}

fn without_nul(node: Node<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let text = node.string(report)?;
    if text.value.contains('\0') {
        let help = "remove it: the kernel takes it for the end";
        report.add(&code::BAD_COMMAND, text.span, "the text has a NUL character", "", help);
        return None;
    }
    Some(text.map(Cow::into_owned))
}

fn env(table: &Table<'_>, address: AppAddress, report: &mut Report) -> Vec<(String, String)> {
    let entries = table.get("env").and_then(|node| node.named(report)).unwrap_or_default();
    let mut env = Vec::new();
    for (name, node) in entries {
        let is_char = |c: char| !c.is_control() && !c.is_whitespace() && c != '=';
        if name.value.is_empty() || !name.value.chars().all(is_char) {
            let message = format!("{:?} cannot be the name of a variable", name.value);
            let help = "names have letters, digits and `_`";
            report.add(&code::BAD_COMMAND, name.span, message, "", help);
        } else if let Some(value) = word(node, address, report) {
            env.push((name.value.to_owned(), value));
        }
    }
    env
}

fn user(node: Node<'_>, report: &mut Report) -> Option<String> {
    let name = without_nul(node, report)?;
    if name.value.is_empty() {
        let help = "write the name of a user, or leave the line away";
        report.add(&code::BAD_COMMAND, name.span, "the user has no name", "", help);
    }
    Some(name.value)
}

fn ready(node: Node<'_>, report: &mut Report) -> Option<AppReady> {
    if node.is_table() {
        let table = node.table("`ready`".to_owned(), &READY, report)?;
        let line = without_nul(table.require("line", report)?, report)?;
        if line.value.trim().is_empty() {
            let help = "write a part of the line that the app writes when it is ready";
            report.add(&code::BAD_COMMAND, line.span, "every line would do", "", help);
        }
        return Some(AppReady::Line(line.value));
    }
    let text = node.string(report)?;
    match &*text.value {
        "connect" => Some(AppReady::Connect),
        path if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some(AppReady::Http(path.to_owned()))
        }
        other => {
            let message = format!("`{other}` is neither `connect` nor the path of a request");
            let help = "write `connect`, a path such as `/healthz`, or `{ line = \"listening\" }`";
            report.add(&code::UNKNOWN_CHOICE, text.span, message, "", help);
            None
        }
    }
}
