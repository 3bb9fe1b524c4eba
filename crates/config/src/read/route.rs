//! `[[routes]]`.

use fairwater_message::network::IpNet;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{
    Condition, Destination, Filters, HostMatch, PathRule, PathSegment, Route, RouteTimeouts,
    ValueMatch,
};
use crate::read::filter::{self, FILTERS, PATH_EDITS};
use crate::read::limit::{self, ROUTE_TIMEOUTS};
use crate::read::rate_limit::{self, RATE_LIMITS};
use crate::read::{header, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

pub(super) static ROUTE: declare::Table = declare::Table {
    title: "[[routes]]",
    settings: &[
        Setting {
            name: "listener",
            kind: Kind::Text("name"),
            absent: Absent::Required,
            meaning: "which listener it belongs to. A route of a `tcp` listener has `host` and \
                      `upstream` alone.",
            example: "listener = \"web\"",
        },
        Setting {
            name: "host",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("every host"),
            meaning: "the host that the request asks for, without port; `*.example.com` is every \
                      host below it. On a `tcp` listener the host that a TLS client asks for (SNI): \
                      see [passing TLS through](tls.md#passing-it-through).",
            example: "host = \"api.example.com\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("every path"),
            meaning: "`/x` is exact; `/x/*` takes `/x` and all below it; `{name}` stands for any one \
                      segment",
            example: "path = \"/v1/*\"",
        },
        Setting {
            name: "method",
            kind: Kind::OneOrMore(&Kind::Text("method")),
            absent: Absent::Otherwise("every method"),
            meaning: "a route for `GET` takes `HEAD` too",
            example: "method = [\"GET\", \"POST\"]",
        },
        Setting {
            name: "headers",
            kind: Kind::Map(&Kind::Either(&Kind::Text("text"), &Kind::Boolean)),
            absent: Absent::Otherwise("none"),
            meaning: "headers that a request must have, with their values; `true` for any value, \
                      `false` for none at all",
            example: "headers = { x-beta = \"1\", cookie = false }",
        },
        Setting {
            name: "query",
            kind: Kind::Map(&Kind::Either(&Kind::Text("text"), &Kind::Boolean)),
            absent: Absent::Otherwise("none"),
            meaning: "parameters of the query, in the same way, compared in their decoded form",
            example: "query = { version = \"2\" }",
        },
        Setting {
            name: "client",
            kind: Kind::OneOrMore(&Kind::Text("network")),
            absent: Absent::Otherwise("every client"),
            meaning: "networks that the client's address is in; a client on a Unix socket has none",
            example: "client = [\"10.0.0.0/8\"]",
        },
        Setting {
            name: "upstream",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("required, unless there is `redirect` or `respond`"),
            meaning: "where it goes",
            example: "upstream = \"app\"",
        },
        RATE_LIMITS,
    ],
    shared: &[&ROUTE_TIMEOUTS, &PATH_EDITS, &FILTERS],
    notes: include_str!("../../reference/routes.md"),
};

/// Far below the longest request line, which no route could match beyond.
const PATH_BYTES_MAX: usize = 4096;

/// Of a path with captures: nobody could count more.
const SEGMENTS_MAX: usize = 64;

pub(super) fn read_all(node: Node<'_>, report: &mut Report) -> Vec<Route> {
    match node.elements(report) {
        Some(nodes) => nodes.into_iter().map(|node| read(node, report)).collect(),
        None => vec![unread(node)],
    }
}

/// Stands for routes that were meant and cannot be read, so that no listener passes for unused.
fn unread(node: Node<'_>) -> Route {
    Route {
        span: node.span,
        listener: text::unread(node.span),
        host: None,
        path: PathRule::Any,
        conditions: Vec::new(),
        destination: Destination::Upstream(text::unread(node.span)),
        filters: Filters::default(),
        rate_limits: Vec::new(),
        timeouts: RouteTimeouts::default(),
        of_http: None,
    }
}

/// What routes have whose listener sees no requests.
const OF_ALL: [&str; 3] = ["listener", "host", "upstream"];

fn read(node: Node<'_>, report: &mut Report) -> Route {
    let mut route = unread(node);
    let Some(table) = node.table("[[routes]]".to_owned(), &ROUTE, report) else {
        return route;
    };
    if let Some(node) = table.require("listener", report) {
        route.listener = text::reference(node, report);
    }
    if let Some(node) = table.get("host") {
        let host = text::parsed(node, &code::BAD_HOST, text::route_host, report);
        // Kept as something that equals no other host, lest it pass for a route of all hosts.
        route.host = Some(host.unwrap_or_else(|| unique(node).map(HostMatch::Exact)));
    }
    if let Some(node) = table.get("path") {
        let path = path(node, report);
        route.path = path.unwrap_or_else(|| PathRule::Exact(unique(node).value));
    }
    route.conditions = conditions(&table, report);
    let captures = captures(&route.path);
    match filter::destination(&table, &captures, report) {
        Some(destination) => route.destination = destination,
        None => drop(table.require("upstream", report)),
    }
    route.filters = filter::filters(&table, &captures, report);
    route.rate_limits = rate_limit::named(&table, report);
    route.timeouts = limit::of_route(&table, report);
    route.filters.path = filter::path_edit(&table, &captures, report);
    let mut of_http = ROUTE.names().filter(|name| !OF_ALL.contains(name));
    route.of_http = of_http.find_map(|name| table.key_span(name));
    route
}

fn captures(path: &PathRule) -> Vec<&str> {
    let PathRule::Pattern { segments, .. } = path else { return Vec::new() };
    let names = segments.iter().filter_map(|segment| match segment {
        PathSegment::Capture(name) => Some(name.as_str()),
        PathSegment::Literal(_) => None,
    });
    names.collect()
}

fn conditions(table: &Table<'_>, report: &mut Report) -> Vec<Condition> {
    let mut found = Vec::new();
    if let Some(node) = table.get("method") {
        let nodes = node.one_or_more(report).unwrap_or_default();
        let mut methods: Vec<_> =
            nodes.into_iter().filter_map(|node| method(node, report)).collect();
        methods.sort();
        methods.dedup();
        found.push(Condition::Method(methods));
    }
    for (name, value) in matches(table, "headers", report) {
        if header::is_name(&name, report) {
            found.push(Condition::Header { name: name.value.to_ascii_lowercase(), value });
        }
    }
    for (name, value) in matches(table, "query", report) {
        found.push(Condition::Query { name: name.value.to_owned(), value });
    }
    if let Some(node) = table.get("client") {
        let nodes = node.one_or_more(report).unwrap_or_default();
        let parse = |node| text::parsed(node, &code::BAD_NETWORK, IpNet::parse, report);
        let mut networks: Vec<_> =
            nodes.into_iter().filter_map(parse).map(|network| network.value).collect();
        networks.sort();
        networks.dedup();
        found.push(Condition::Client(networks));
    }
    found.sort();
    found
}

fn matches<'t>(
    table: &Table<'t>,
    name: &str,
    report: &mut Report,
) -> Vec<(Spanned<&'t str>, ValueMatch)> {
    let entries = table.get(name).and_then(|node| node.named(report)).unwrap_or_default();
    let mut found = Vec::new();
    for (name, node) in entries {
        let value = match node.is_boolean() {
            true => node.boolean(report).map(|is_there| match is_there {
                true => ValueMatch::Present,
                false => ValueMatch::Absent,
            }),
            false => node.string(report).map(|text| ValueMatch::Is(text.value.into_owned())),
        };
        found.extend(value.map(|value| (name, value)));
    }
    found
}

fn method(node: Node<'_>, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    let upper = text.value.to_ascii_uppercase();
    if header::is_token(&text.value) && text.value == upper {
        return Some(upper);
    }
    let help = match header::is_token(&upper) {
        true => format!("write `{upper}`"),
        false => "write a method such as `GET`".to_owned(),
    };
    report.add(&code::BAD_METHOD, text.span, format!("`{}` is not a method", text.value), "", help);
    None
}

fn unique(node: Node<'_>) -> Spanned<String> {
    Spanned::new(format!("?{}:{}", node.span.file, node.span.start), node.span)
}

fn path(node: Node<'_>, report: &mut Report) -> Option<PathRule> {
    let text = text::bounded(node, PATH_BYTES_MAX, report)?;
    match path_rule(&text.value) {
        Ok(rule) => Some(rule),
        Err((problem, remedy)) => {
            let message = format!("`{}` {problem}", text.value);
            report.add(&code::BAD_PATH, text.span, message, "", remedy);
            None
        }
    }
}

/// A path that no request can have in its normal form is refused, with what is wrong and the
/// remedy, since such a route would silently never be taken.
fn path_rule(text: &str) -> Result<PathRule, (&'static str, String)> {
    if !text.starts_with('/') {
        return Err((
            "does not begin with `/`",
            format!("write `/{}`", text.trim_start_matches('*')),
        ));
    }
    if text.contains(['?', '#']) {
        return Err(("has a query or a fragment", "routes match the path alone".to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(("has a control character", "remove it".to_owned()));
    }
    if has_escape(text) {
        let remedy = "write the decoded character: requests are compared in their decoded form";
        return Err(("has a percent escape", remedy.to_owned()));
    }
    let (path, is_prefix) = match text.strip_suffix("/*") {
        Some(prefix) => (prefix, true),
        None => (text, false),
    };
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(("has a dot segment", "write the path that it leads to".to_owned()));
    }
    if path.contains(['{', '}']) {
        return pattern(path, is_prefix);
    }
    if let Some((before, _)) = path.split_once('*') {
        let remedy =
            format!("`*` may only be the last segment, as in `{}/*`", before.trim_end_matches('/'));
        return Err(("has a `*` that is not a whole last segment", remedy));
    }
    if is_prefix && path.ends_with('/') {
        let remedy = format!("write `{}/*`", path.trim_end_matches('/'));
        return Err(("has an empty segment before its `*`", remedy));
    }
    Ok(match (is_prefix, path) {
        (true, "") => PathRule::Any,
        (true, path) => PathRule::Prefix(path.to_owned()),
        (false, path) => PathRule::Exact(path.to_owned()),
    })
}

fn pattern(path: &str, is_prefix: bool) -> Result<PathRule, (&'static str, String)> {
    let mut segments = Vec::new();
    for segment in path[1..].split('/') {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let is_name = |name: &str| {
            let is_char = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            !name.is_empty() && name.bytes().all(is_char)
        };
        segments.push(match name {
            Some(name) if !is_name(name) => {
                let remedy = "names of captures have ASCII letters, digits and `_`".to_owned();
                return Err(("has a capture without a proper name", remedy));
            }
            Some(name) if segments.contains(&PathSegment::Capture(name.to_owned())) => {
                return Err(("has two captures of one name", "give them two names".to_owned()));
            }
            Some(name) => PathSegment::Capture(name.to_owned()),
            None if segment.contains(['{', '}', '*']) => {
                let remedy = "write it as `/x/{name}/y`".to_owned();
                return Err(("has a capture that is not a whole segment", remedy));
            }
            None => PathSegment::Literal(segment.to_owned()),
        });
    }
    if segments.len() > SEGMENTS_MAX {
        let remedy = format!("at most {SEGMENTS_MAX} segments are allowed beside captures");
        return Err(("has too many segments", remedy));
    }
    Ok(PathRule::Pattern { segments, is_prefix })
}

fn has_escape(text: &str) -> bool {
    let is_escape = |w: &[u8]| w[0] == b'%' && w[1..].iter().all(u8::is_ascii_hexdigit);
    text.as_bytes().windows(3).any(is_escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact_or_prefixes_in_normal_form() {
        let exact = |path: &str| Ok(PathRule::Exact(path.to_owned()));
        let prefix = |path: &str| Ok(PathRule::Prefix(path.to_owned()));
        for (text, expected) in [
            ("/", exact("/")),
            ("/x", exact("/x")),
            ("/x/", exact("/x/")),
            ("/100%", exact("/100%")),
            ("/über", exact("/über")),
            ("/*", Ok(PathRule::Any)),
            ("/x/*", prefix("/x")),
            ("/x/y/*", prefix("/x/y")),
            ("", Err("does not begin with `/`")),
            ("*", Err("does not begin with `/`")),
            ("x/*", Err("does not begin with `/`")),
            ("/x?y=1", Err("has a query or a fragment")),
            ("/x\n", Err("has a control character")),
            ("/a%20b", Err("has a percent escape")),
            ("/x/../y", Err("has a dot segment")),
            ("/./*", Err("has a dot segment")),
            ("/x*", Err("has a `*` that is not a whole last segment")),
            ("/*/x", Err("has a `*` that is not a whole last segment")),
            ("/x//*", Err("has an empty segment before its `*`")),
        ] {
            assert_eq!(path_rule(text).map_err(|(problem, _)| problem), expected, "{text}");
        }
    }
}
