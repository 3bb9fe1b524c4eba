//! `proxy_protocol` of a listener and of an upstream.

use fairwater_message::network::IpNet;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word, words};
use crate::model::{ProxyProtocol, ProxyVersion};
use crate::read::text;
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

pub(super) static PROXY_PROTOCOL: declare::Table = declare::Table {
    title: "proxy_protocol",
    settings: &[
        Setting {
            name: "from",
            kind: Kind::OneOrMore(&Kind::WordOrText(words!["unix"], "network")),
            absent: Absent::Required,
            meaning: "peers that are believed: networks such as `10.0.0.0/8`, single addresses, and \
                      with `unix` all peers on Unix sockets",
            example: "from = [\"10.0.0.0/8\"]",
        },
        Setting {
            name: "mode",
            kind: Kind::Choice(MODE_WORDS),
            absent: Absent::Default("\"required\""),
            meaning: "what becomes of connections without a header",
            example: "mode = \"required\"",
        },
    ],
    shared: &[],
    notes: "",
};

const MODE_WORDS: &[Word] = &[
    Word {
        word: "required",
        meaning: "they are closed, and so are those of peers that are not in `from`",
    },
    Word {
        word: "optional",
        meaning: "they are served, and so are peers that are not in `from`, whose headers nobody \
                  reads. Only where clients speak first: one that is in `from` and says nothing is \
                  waited for until the time for a header is over.",
    },
];

pub(super) const VERSION_WORDS: &[Word] = &[
    Word { word: "v1", meaning: "a line of text: the addresses" },
    Word { word: "v2", meaning: "binary, and with it the request id and what is known of TLS" },
];

const IS_REQUIRED: [(&str, bool); 2] = [("required", true), ("optional", false)];

const VERSIONS: [(&str, ProxyVersion); 2] = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

pub(super) fn of_listener(table: &Table<'_>, report: &mut Report) -> Option<ProxyProtocol> {
    let table = table.get("proxy_protocol")?.table(
        "`proxy_protocol`".to_owned(),
        &PROXY_PROTOCOL,
        report,
    )?;
    let mut rules = ProxyProtocol { from: Vec::new(), from_unix: false, is_required: true };
    let nodes = table.require("from", report).and_then(|node| node.one_or_more(report));
    for node in nodes.unwrap_or_default() {
        read_from(node, &mut rules, report);
    }
    let mode = table.get("mode").and_then(|node| node.choice(&IS_REQUIRED, report));
    rules.is_required = mode.unwrap_or(true);
    Some(rules)
}

fn read_from(node: Node<'_>, rules: &mut ProxyProtocol, report: &mut Report) {
    let parse = |text: &str| match text {
        "unix" => Ok(None),
        network => IpNet::parse(network).map(Some),
    };
    let Some(read) = text::parsed(node, &code::BAD_NETWORK, parse, report) else { return };
    match read.value {
        Some(network) => rules.from.push(Spanned::new(network, read.span)),
        None => rules.from_unix = true,
    }
}

pub(super) fn of_upstream(table: &Table<'_>, report: &mut Report) -> Option<ProxyVersion> {
    let version = table.get("proxy_protocol")?.choice(&VERSIONS, report)?;
    let kept = table.get("keep_alive");
    if let Some(node) = kept.filter(|node| node.boolean(&mut Report::default()) == Some(true)) {
        let message = format!("{} keeps no connection alive", table.title());
        let label = "a connection that was announced is of one client, and of one request";
        let help = "remove the line, or write `keep_alive = false`";
        report.add(&code::NOT_KEPT_ALIVE, node.span, message, label, help);
    }
    Some(version)
}
