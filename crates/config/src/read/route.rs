//! `[[routes]]`.

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{PathRule, Route};
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;
use crate::span::Spanned;

pub(super) static ROUTE: declare::Table = declare::Table {
    title: "[[routes]]",
    settings: &[
        Setting {
            name: "listener",
            kind: Kind::Text("name"),
            absent: Absent::Required,
            meaning: "an `http` listener",
            example: "listener = \"web\"",
        },
        Setting {
            name: "host",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("every host"),
            meaning: "the host that the request asks for, exact, without port",
            example: "host = \"api.example.com\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("every path"),
            meaning: "`/x` is exact; `/x/*` takes `/x` and all below it",
            example: "path = \"/v1/*\"",
        },
        Setting {
            name: "upstream",
            kind: Kind::Text("name"),
            absent: Absent::Required,
            meaning: "where it goes",
            example: "upstream = \"app\"",
        },
    ],
    notes: include_str!("../../reference/routes.md"),
};

/// Far below the longest request line, which no route could match beyond.
const PATH_BYTES_MAX: usize = 4096;

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
        upstream: text::unread(node.span),
    }
}

fn read(node: Node<'_>, report: &mut Report) -> Route {
    let mut route = unread(node);
    let Some(table) = node.table("[[routes]]".to_owned(), &ROUTE, report) else {
        return route;
    };
    if let Some(node) = table.require("listener", report) {
        route.listener = text::reference(node, report);
    }
    if let Some(node) = table.require("upstream", report) {
        route.upstream = text::reference(node, report);
    }
    if let Some(node) = table.get("host") {
        let host = text::parsed(node, &code::BAD_HOST, text::route_host, report);
        // Kept as something that equals no other host, lest it pass for a route of all hosts.
        route.host = Some(host.unwrap_or_else(|| unique(node)));
    }
    if let Some(node) = table.get("path") {
        let path = path(node, report);
        route.path = path.unwrap_or_else(|| PathRule::Exact(unique(node).value));
    }
    route
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
