//! `[[tests]]`.

use std::net::IpAddr;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{Expectation, RoutingTest, TestRequest};
use crate::read::{header, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

pub(super) static TEST: declare::Table = declare::Table {
    title: "[[tests]]",
    settings: &[
        Setting {
            name: "request",
            kind: Kind::Text("request"),
            absent: Absent::Required,
            meaning: "a method and a URL; without a method it is GET",
            example: "request = \"GET http://example.com/api/users\"",
        },
        Setting {
            name: "listener",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("the one with the URL's port, or the only one"),
            meaning: "where the request comes in",
            example: "listener = \"web\"",
        },
        Setting {
            name: "headers",
            kind: Kind::Map(&Kind::Text("text")),
            absent: Absent::Otherwise("none"),
            meaning: "headers that it has, beside `Host`",
            example: "headers = { x-beta = \"1\" }",
        },
        Setting {
            name: "client",
            kind: Kind::Text("address"),
            absent: Absent::Otherwise("no address"),
            meaning: "the address that it comes from",
            example: "client = \"10.1.2.3\"",
        },
        Setting {
            name: "expect",
            kind: Kind::Table(&EXPECT),
            absent: Absent::Required,
            meaning: "what becomes of it",
            example: "expect = { upstream = \"api\" }",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/tests.md"),
};

static EXPECT: declare::Table = declare::Table {
    title: "expect",
    settings: &[
        Setting {
            name: "upstream",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("any, or none"),
            meaning: "where it goes",
            example: "upstream = \"api\"",
        },
        Setting {
            name: "path",
            kind: Kind::Text("path"),
            absent: Absent::Otherwise("any"),
            meaning: "path and query as the endpoint gets them",
            example: "path = \"/users\"",
        },
        Setting {
            name: "status",
            kind: Kind::Integer { min: 200, max: 599 },
            absent: Absent::Otherwise("any"),
            meaning: "of a reply that is made here: a redirect, an answer, a refusal, 404 for no route",
            example: "status = 301",
        },
        Setting {
            name: "location",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("any"),
            meaning: "where a redirect leads",
            example: "location = \"https://example.com/\"",
        },
    ],
    shared: &[],
    notes: "",
};

pub(super) fn read_all(node: Node<'_>, report: &mut Report) -> Vec<RoutingTest> {
    let nodes = node.elements(report).unwrap_or_default();
    nodes.into_iter().filter_map(|node| read(node, report)).collect()
}

fn read(node: Node<'_>, report: &mut Report) -> Option<RoutingTest> {
    let table = node.table("[[tests]]".to_owned(), &TEST, report)?;
    let request = table.require("request", report).and_then(|node| request(node, report));
    let expect = table.require("expect", report).and_then(|node| expectation(node, report));
    let listener = table.get("listener").map(|node| text::reference(node, report));
    let client = table.get("client").and_then(|node| client(node, report));
    let headers = headers(&table, report);
    Some(RoutingTest { request: request?, listener, headers, client, expect: expect? })
}

fn request(node: Node<'_>, report: &mut Report) -> Option<Spanned<TestRequest>> {
    let text = node.string(report)?;
    match TestRequest::parse(&text.value) {
        Ok(request) => Some(Spanned::new(request, text.span)),
        Err((message, help)) => {
            report.add(&code::BAD_TEST, text.span, message, "", help);
            None
        }
    }
}

fn client(node: Node<'_>, report: &mut Report) -> Option<IpAddr> {
    let text = node.string(report)?;
    let client = text.value.parse();
    if client.is_err() {
        let message = format!("`{}` is not an address", text.value);
        let help = "write one such as `10.1.2.3`, without a port";
        report.add(&code::BAD_TEST, text.span, message, "", help);
    }
    client.ok()
}

fn headers(table: &Table<'_>, report: &mut Report) -> Vec<(String, String)> {
    let entries = table.get("headers").and_then(|node| node.named(report)).unwrap_or_default();
    let mut headers = Vec::new();
    for (name, node) in entries {
        let is_name = header::is_name(&name, report);
        if let Some(value) = header::value(node, report).filter(|_| is_name) {
            headers.push((name.value.to_owned(), value.value));
        }
    }
    headers
}

fn expectation(node: Node<'_>, report: &mut Report) -> Option<Expectation> {
    let table = node.table("`expect`".to_owned(), &EXPECT, report)?;
    let mut words = |name| Some(table.get(name)?.string(report)?.value.into_owned());
    let (path, location) = (words("path"), words("location"));
    let status = table.get("status").and_then(|node| node.integer(report));
    let expectation = Expectation {
        span: node.span,
        upstream: table.get("upstream").map(|node| text::reference(node, report)),
        status: status.and_then(|status| u16::try_from(status.value).ok()),
        location,
        path,
    };
    if table.is_empty() {
        let help = "add what becomes of the request, as in `expect = { upstream = \"api\" }`";
        report.add(&code::BAD_TEST, node.span, "the test expects nothing", "", help);
    }
    Some(expectation)
}
