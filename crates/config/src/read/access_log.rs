//! `[access_log]`.

use fairwater_message::secret::{SECRET_WORD_BYTES_MAX, SecretNames};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{AccessLog, LogFormat, LogTarget};
use crate::read::{template, text};
use crate::reader::{Node, Table, listed};
use crate::report::Report;

pub(super) static ACCESS_LOG: declare::Table = declare::Table {
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
            name: "template",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("`format` says it"),
            meaning: "[a line of your own](access-log.md#template), in place of `format`: text with \
                      fields in braces",
            example: "template = \"{client} {method} {target} {status}\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("the standard output"),
            meaning: "a file to append to, created if missing, its directory is not; or \
                      `unix:/PATH`, [the socket of a log daemon](access-log.md#unix-sockets)",
            example: "path = \"/var/log/fairwater.log\"",
        },
        Setting {
            name: "hide_query",
            kind: Kind::OneOrMore(&Kind::WordOrText(words!["default"], "name")),
            absent: Absent::Default("\"default\""),
            meaning: "parameters whose values are written as `***`, in targets and in `Referer`; \
                      `*token` is every name that ends so, and `default` stands for \
                      [these](access-log.md#secrets)",
            example: "hide_query = [\"default\", \"invite\"]",
        },
    ],
    shared: &[],
    notes: "",
};

const FORMATS: [(&str, LogFormat); 3] =
    [("json", LogFormat::Json), ("combined", LogFormat::Combined), ("off", LogFormat::Off)];

pub(super) fn read(node: Node<'_>, report: &mut Report) -> AccessLog {
    let Some(table) = node.table("[access_log]".to_owned(), &ACCESS_LOG, report) else {
        return AccessLog::default();
    };
    AccessLog {
        format: format(&table, report),
        target: target(&table, report).unwrap_or_default(),
        hide_query: hide_query(&table, report),
    }
}

fn format(table: &Table<'_>, report: &mut Report) -> LogFormat {
    let format = table.get("format").and_then(|node| node.choice(&FORMATS, report));
    let Some(node) = table.get("template") else { return format.unwrap_or_default() };
    let template = template::read(node, report);
    // A log that is switched off may keep its template.
    if format == Some(LogFormat::Off) {
        return LogFormat::Off;
    }
    if let Some(span) = table.key_span("format") {
        let message = "`format` and `template` are both set";
        let help = "remove one of the two";
        report.add(&code::FORMAT_AND_TEMPLATE, span, message, "`template` is the format", help);
    }
    LogFormat::Template(template)
}

fn target(table: &Table<'_>, report: &mut Report) -> Option<LogTarget> {
    let node = table.get("path")?;
    let text = node.string(report)?.value;
    let is_socket = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:"));
    match is_socket {
        true => text::socket_path(node, report).map(|path| LogTarget::Socket(path.value)),
        false => text::file_path(node, report).map(|path| LogTarget::File(path.value)),
    }
}

fn hide_query(table: &Table<'_>, report: &mut Report) -> SecretNames {
    let Some(node) = table.get("hide_query") else { return SecretNames::default() };
    let mut names = SecretNames::none();
    for node in node.one_or_more(report).unwrap_or_default() {
        let Some(name) = node.string(report) else { continue };
        if name.value == "default" {
            names.add_default();
        } else if !names.add(&name.value) {
            let message = format!("`{}` is not the name of a parameter", name.value);
            let help = format!(
                "write one word of it as it is when decoded, as in `token`, or `*token` for every \
                 name that ends so; at most {SECRET_WORD_BYTES_MAX} characters"
            );
            report.add(&code::BAD_PARAMETER, name.span, message, "", help);
        }
    }
    let shown: Vec<_> =
        ["token", "password"].into_iter().filter(|name| !names.is_secret(name)).collect();
    if !shown.is_empty() {
        let message = format!("the values of {} will be in the log", listed(shown));
        let help = "add `\"default\"` to the list, which is what is hidden without it";
        report.add(&code::SHOWS_SECRETS, node.span, message, "", help);
    }
    names
}
