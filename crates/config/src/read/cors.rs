//! `cors`: what pages of other origins may do.

use std::time::Duration;

use fairwater_message::address::parse_host;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{Cors, Origin, Origins, Overlay};
use crate::read::limit::DAY_MS;
use crate::read::{filter, header};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

pub(super) static CORS: declare::Table = declare::Table {
    title: "cors",
    settings: &[
        Setting {
            name: "origins",
            kind: Kind::OneOrMore(&Kind::Text("origin")),
            absent: Absent::Required,
            meaning: "whose pages: `https://app.example.com`, `https://*.example.com` for every host \
                      below, or `*` for all",
            example: "origins = [\"https://app.example.com\"]",
        },
        Setting {
            name: "methods",
            kind: Kind::OneOrMore(&Kind::Text("method")),
            absent: Absent::Default("[\"GET\", \"HEAD\", \"POST\"]"),
            meaning: "what they may send; these three need no permission anyway. `*` is every method.",
            example: "methods = [\"GET\", \"PUT\", \"DELETE\"]",
        },
        Setting {
            name: "headers",
            kind: Kind::OneOrMore(&Kind::Text("header")),
            absent: Absent::Otherwise("those that need no permission"),
            meaning: "headers that they may set. `*` is every one but `authorization`.",
            example: "headers = [\"authorization\", \"content-type\"]",
        },
        Setting {
            name: "expose",
            kind: Kind::OneOrMore(&Kind::Text("header")),
            absent: Absent::Otherwise("those that need no permission"),
            meaning: "headers of replies that they may read",
            example: "expose = [\"x-total\"]",
        },
        Setting {
            name: "credentials",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "whether cookies and passwords go along",
            example: "credentials = true",
        },
        Setting {
            name: "max_age",
            kind: Kind::Duration { min_ms: 0, max_ms: DAY_MS },
            absent: Absent::Default("\"10m\""),
            meaning: "how long browsers may remember the answer; some remember it for less",
            example: "max_age = \"10m\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/cors.md"),
};

pub(super) fn cors(table: &Table<'_>, report: &mut Report) -> Overlay<Cors> {
    let Some(node) = table.get("cors") else { return Overlay::Inherit };
    if node.is_boolean() {
        return filter::off(node, report);
    }
    let Some(table) = node.table("`cors`".to_owned(), &CORS, report) else {
        return Overlay::Inherit;
    };
    let credentials = table.get("credentials").and_then(|node| node.boolean(report));
    let credentials = credentials.unwrap_or(false);
    let nodes = table.require("origins", report).and_then(|node| node.one_or_more(report));
    let origins = origins(nodes.unwrap_or_default(), credentials, report);
    let mut names = |name| {
        let nodes = table.get(name)?.one_or_more(report)?;
        let read = |node| token(node, name, credentials, report);
        Some(nodes.into_iter().filter_map(read).collect::<Vec<_>>())
    };
    let methods = names("methods");
    let methods = methods.unwrap_or_else(|| ["GET", "HEAD", "POST"].map(str::to_owned).to_vec());
    let headers = names("headers").unwrap_or_default();
    let expose = names("expose").unwrap_or_default();
    let max_age = table.get("max_age").and_then(|node| node.duration(report));
    let max_age = max_age.unwrap_or(Duration::from_secs(600));
    Overlay::On(Cors { origins, credentials, methods, headers, expose, max_age })
}

fn origins(nodes: Vec<Node<'_>>, credentials: bool, report: &mut Report) -> Origins {
    let is_alone = nodes.len() == 1;
    let mut these = Vec::new();
    for node in nodes {
        let Some(text) = node.string(report) else { continue };
        let result = match &*text.value {
            "*" if credentials => Err((
                "with credentials, `*` would let every page act for its visitor".to_owned(),
                "list the origins that you know, or remove `credentials`".to_owned(),
            )),
            "*" if !is_alone => Err((
                "`*` is every origin, and others stand beside it".to_owned(),
                "remove it, or the others".to_owned(),
            )),
            "*" => return Origins::Any,
            text => origin(text),
        };
        match result {
            Ok(origin) => these.push(origin),
            Err((message, help)) => report.add(&code::BAD_ORIGIN, text.span, message, "", help),
        }
    }
    Origins::These(these)
}

/// Reads an origin, or says what is wrong and what to write.
fn origin(text: &str) -> Result<Origin, (String, String)> {
    let wrong = |problem: &str, help: String| Err((format!("`{text}` {problem}"), help));
    let known = "write it as in `https://app.example.com`".to_owned();
    if text == "null" {
        let help = "give such pages an origin: serve them, or leave the sandbox away";
        return wrong("is what any page can make itself", help.to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let is_host = parse_host(text.trim_start_matches("*.")).is_ok();
        let help = if is_host { format!("write `https://{text}`") } else { known };
        return wrong("has no scheme", help);
    };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return wrong("has no proper scheme", known);
    }
    if let Some((origin, _)) = rest.split_once('/') {
        return wrong("has a path", format!("write `{scheme}://{origin}`"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let below = host.strip_prefix("*.");
    let name = parse_host(below.unwrap_or(host)).map_err(|error| {
        (format!("`{text}` has no proper host: {}", error.problem()), known.clone())
    })?;
    let usual = match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port);
    if port.is_some_and(|port| !is_port(port)) {
        return wrong("has no proper port", known);
    }
    if port.is_some() && port == usual {
        return wrong("has the usual port, which browsers leave out", {
            format!("write `{scheme}://{host}`")
        });
    }
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let star = if below.is_some() { "*." } else { "" };
    let spelt = format!("{scheme}://{star}{name}{port}").to_ascii_lowercase();
    if spelt != text {
        return wrong("is not as browsers write it", format!("write `{spelt}`"));
    }
    Ok(match below {
        Some(_) => Origin::Below { start: format!("{scheme}://"), end: format!(".{name}{port}") },
        None => Origin::Exact(spelt),
    })
}

/// The name of a method or a header, or `*`.
fn token(node: Node<'_>, setting: &str, credentials: bool, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    if text.value == "*" && credentials {
        let message = "with credentials, browsers take `*` for a name".to_owned();
        report.add(&code::BAD_ORIGIN, text.span, message, "", "list the names");
        return None;
    }
    let name = Spanned::new(&*text.value, text.span);
    if setting == "methods" && !header::is_token(name.value) {
        let message = format!("`{}` is not a method", name.value);
        report.add(&code::BAD_METHOD, text.span, message, "", "write a method such as `PUT`");
        return None;
    }
    (setting == "methods" || header::is_name(&name, report)).then(|| text.value.into_owned())
}
