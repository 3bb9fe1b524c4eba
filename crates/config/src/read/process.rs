//! What the process is on its system: who it is, and the files that it is known by.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::declare::{self, Absent, Kind, Setting};
use crate::model::Process;
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;
use crate::span::Spanned;

/// The longest name of a user that any system takes.
const ACCOUNT_BYTES_MAX: usize = 256;

pub(super) static PROCESS: declare::Table = declare::Table {
    title: "The process",
    settings: &[
        Setting {
            name: "user",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("who starts it"),
            meaning: "the user that traffic is served as, by name or by number as text. Addresses are \
                      bound and files of the configuration are read before, by who starts it.",
            example: "user = \"fairwater\"",
        },
        Setting {
            name: "group",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("the groups of `user`"),
            meaning: "its group, by name or by number as text, in place of its first one",
            example: "group = \"fairwater\"",
        },
        Setting {
            name: "core_dumps",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "whether a crash leaves an image of the memory, with all that is secret in it; \
                      without it other processes of its user cannot look into it, either",
            example: "core_dumps = false",
        },
        Setting {
            name: "pid_file",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("none"),
            meaning: "a file for the number of the process, locked while it runs, so that it runs \
                      once; `--pid-file` goes before it",
            example: "pid_file = \"/run/fairwater/fairwater.pid\"",
        },
        Setting {
            name: "log_file",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("none; required for `--daemon`"),
            meaning: "what takes the standard output and error of `run --daemon`, each line with its time; `--log-file` goes before it. The lines of requests are [access_log].",
            example: "log_file = \"/var/log/fairwater/fairwater.log\"",
        },
    ],
    shared: &[],
    notes: "",
};

/// The nodes of the settings above, in their order.
pub(super) type Nodes<'t> = [Option<Node<'t>>; 5];

pub(super) const NAMES: [&str; 5] = ["user", "group", "core_dumps", "pid_file", "log_file"];

/// Takes over what is there: each may be in another file.
pub(super) fn read(process: &mut Process, nodes: Nodes<'_>, report: &mut Report) {
    let [user, group, core_dumps, pid_file, log_file] = nodes;
    let mut account = |node: Option<Node<'_>>| -> Option<Spanned<String>> {
        let node = node?;
        let text = text::bounded(node, ACCOUNT_BYTES_MAX, report);
        Some(text.map_or(text::unread(node.span), |text| text.map(Cow::into_owned)))
    };
    process.user = account(user).or_else(|| process.user.take());
    process.group = account(group).or_else(|| process.group.take());
    let dumps = core_dumps.and_then(|node| node.boolean(report));
    process.core_dumps = dumps.unwrap_or(process.core_dumps);
    let mut file = |node: Option<Node<'_>>| -> Option<PathBuf> {
        text::file_path(node?, report).map(|path| path.value)
    };
    process.pid_file = file(pid_file).or_else(|| process.pid_file.take());
    process.log_file = file(log_file).or_else(|| process.log_file.take());
}
