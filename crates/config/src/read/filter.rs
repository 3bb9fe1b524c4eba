//! Settings that listeners and routes share: where requests go, and what is done to them.

use fairwater_message::HeaderId;
use fairwater_message::network::IpNet;
use fairwater_message::target;
use fairwater_message::template::{Part, Template, TemplateError, variable_names};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{
    Destination, Filters, FixedReply, HeaderEdits, Overlay, PathEdit, Probe, Redirect,
};
use crate::read::auth::{self, BASIC_AUTH};
use crate::read::cors::{self, CORS};
use crate::read::crowd::{PRIORITIES, PRIORITY_WORDS};
use crate::read::error_page::{self, ERROR_PAGES};
use crate::read::{header, text};
use crate::reader::{Node, Table, listed};
use crate::report::Report;
use crate::span::Spanned;
use crate::suggest::nearest;

pub(super) static FILTERS: declare::Table = declare::Table {
    title: "Filters",
    settings: &[
        Setting {
            name: "redirect",
            kind: Kind::Either(&Kind::Text("text"), &Kind::Table(&REDIRECT)),
            absent: Absent::Otherwise("requests go to `upstream`"),
            meaning: "where clients are sent instead, with a 302",
            example: "redirect = \"https://{host}{target}\"",
        },
        Setting {
            name: "respond",
            kind: Kind::Either(&STATUS, &Kind::Either(&PROBE, &Kind::Table(&RESPOND))),
            absent: Absent::Otherwise("requests go to `upstream`"),
            meaning: "the answer instead: a status, or more. `live` is a 200; `ready` too, and a 503 once the \
                      process has been told to stop.",
            example: "respond = 404",
        },
        Setting {
            name: "allow",
            kind: Kind::OneOrMore(&Kind::Text("network")),
            absent: Absent::Otherwise("everybody"),
            meaning: "the networks of clients that may come; others get a 403",
            example: "allow = [\"10.0.0.0/8\"]",
        },
        Setting {
            name: "deny",
            kind: Kind::OneOrMore(&Kind::Text("network")),
            absent: Absent::Otherwise("nobody"),
            meaning: "the networks of clients that may not come, even if `allow` has them",
            example: "deny = [\"10.1.0.0/16\"]",
        },
        Setting {
            name: "cors",
            kind: Kind::Either(&Kind::Boolean, &Kind::Table(&CORS)),
            absent: Absent::Otherwise("what endpoints say"),
            meaning: "which pages of other origins may send requests and read the replies. Browsers' \
                      questions are answered here, and what endpoints say of it is left out. `false` \
                      for a route leaves it to its endpoints, whatever its listener says.",
            example: "cors = { origins = [\"https://app.example.com\"] }",
        },
        Setting {
            name: "basic_auth",
            kind: Kind::Either(&Kind::Boolean, &Kind::Table(&BASIC_AUTH)),
            absent: Absent::Otherwise("nobody is asked"),
            meaning: "who may come, by name and password; others get a 401. `false` for a route asks \
                      nobody, whatever its listener says.",
            example: "basic_auth = { file = \"htpasswd\" }",
        },
        Setting {
            name: "max_body",
            kind: Kind::Size { min: 0, max: u64::MAX },
            absent: Absent::Otherwise("no limit: bodies are passed on as they come"),
            meaning: "the most that a request body may have; more is a 413. What has no length is \
                      counted on its way, and cut off there.",
            example: "max_body = \"10MiB\"",
        },
        Setting {
            name: "request_id",
            kind: Kind::Text("header"),
            absent: Absent::Otherwise("no header"),
            meaning: "the header in which endpoint and client are told the `id` that the request has \
                      in the access log. What `trusted_proxies` say there is passed on instead.",
            example: "request_id = \"x-request-id\"",
        },
        Setting {
            name: "request_headers",
            kind: Kind::Table(&HEADERS),
            absent: Absent::Otherwise("they pass"),
            meaning: "changes of what the endpoint gets",
            example: "request_headers = { set = { x-tier = \"gold\" }, remove = [\"cookie\"] }",
        },
        Setting {
            name: "response_headers",
            kind: Kind::Table(&HEADERS),
            absent: Absent::Otherwise("they pass"),
            meaning: "changes of what the client gets, also of replies that Fairwater makes itself",
            example: "response_headers = { set = { x-frame-options = \"DENY\" }, remove = [\"server\"] }",
        },
        Setting {
            name: "error_pages",
            kind: Kind::Either(&Kind::Boolean, &ERROR_PAGES),
            absent: Absent::Otherwise("a line of text, or JSON for who prefers that"),
            meaning: "files that are shown for errors which Fairwater answers itself, by status (`404`) \
                      or class (`5xx`). `false` for a route shows none, whatever its listener says.",
            example: "error_pages = { 404 = \"errors/404.html\", 5xx = \"errors/5xx.html\" }",
        },
        Setting {
            name: "intercept_errors",
            kind: Kind::Boolean,
            absent: Absent::Otherwise("no"),
            meaning: "whether they are shown for errors of endpoints as well, instead of what those say",
            example: "intercept_errors = true",
        },
        Setting {
            name: "priority",
            kind: Kind::Choice(PRIORITY_WORDS),
            absent: Absent::Otherwise("`normal`"),
            meaning: "which requests get room first at an upstream with `max_concurrency`",
            example: "priority = \"high\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/filters.md"),
};

/// What a path becomes: these depend on the path of a route.
pub(super) static PATH_EDITS: declare::Table = declare::Table {
    title: "Path edits",
    settings: &[
        Setting {
            name: "strip_prefix",
            kind: Kind::Text("path"),
            absent: Absent::Otherwise("nothing"),
            meaning: "taken from the start of the path",
            example: "strip_prefix = \"/api\"",
        },
        Setting {
            name: "add_prefix",
            kind: Kind::Text("path"),
            absent: Absent::Otherwise("nothing"),
            meaning: "put before the path, after `strip_prefix`",
            example: "add_prefix = \"/v2\"",
        },
        Setting {
            name: "rewrite",
            kind: Kind::Text("path"),
            absent: Absent::Otherwise("the path of the client"),
            meaning: "the path that the endpoint gets. The query stays, unless this has one.",
            example: "rewrite = \"/index.php\"",
        },
    ],
    shared: &[],
    notes: "",
};

static PROBE: Kind = Kind::Choice(words!["live", "ready"]);

const PROBES: [(&str, Probe); 2] = [("live", Probe::Live), ("ready", Probe::Ready)];

static STATUS: Kind = Kind::Integer { min: 200, max: 599 };

static REDIRECT: declare::Table = declare::Table {
    title: "redirect",
    settings: &[
        Setting {
            name: "to",
            kind: Kind::Text("text"),
            absent: Absent::Required,
            meaning: "a URL, or a path of the same host",
            example: "to = \"https://{host}{target}\"",
        },
        Setting {
            name: "status",
            kind: Kind::Integer { min: 301, max: 308 },
            absent: Absent::Default("302"),
            meaning: "301 and 308 are remembered by clients, 307 and 308 keep the method, 303 makes \
                      it a GET",
            example: "status = 308",
        },
    ],
    shared: &[],
    notes: "",
};

static RESPOND: declare::Table = declare::Table {
    title: "respond",
    settings: &[
        Setting {
            name: "status",
            kind: Kind::Integer { min: 200, max: 599 },
            absent: Absent::Default("200"),
            meaning: "of the answer",
            example: "status = 503",
        },
        Setting {
            name: "body",
            kind: Kind::Text("text"),
            absent: Absent::Otherwise("no body"),
            meaning: "of the answer",
            example: "body = \"closed for repairs\\n\"",
        },
        Setting {
            name: "content_type",
            kind: Kind::Text("text"),
            absent: Absent::Default("\"text/plain; charset=utf-8\""),
            meaning: "of the body",
            example: "content_type = \"text/html\"",
        },
    ],
    shared: &[],
    notes: "",
};

static HEADERS: declare::Table = declare::Table {
    title: "request_headers, response_headers",
    settings: &[
        Setting {
            name: "set",
            kind: Kind::Map(&Kind::Text("text")),
            absent: Absent::Otherwise("none"),
            meaning: "headers with their values, instead of what is there",
            example: "set = { x-tier = \"gold\" }",
        },
        Setting {
            name: "add",
            kind: Kind::Map(&Kind::Text("text")),
            absent: Absent::Otherwise("none"),
            meaning: "headers with their values, beside what is there",
            example: "add = { x-client = \"{client}\" }",
        },
        Setting {
            name: "remove",
            kind: Kind::OneOrMore(&Kind::Text("header")),
            absent: Absent::Otherwise("none"),
            meaning: "headers that are taken out",
            example: "remove = [\"cookie\"]",
        },
    ],
    shared: &[],
    notes: "",
};

/// Statuses with which a `Location` sends a client elsewhere.
const REDIRECTS: [u32; 5] = [301, 302, 303, 307, 308];

/// A message, not a site.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Of one head, by one table.
const HEADER_LINES_MAX: usize = 100;

/// Room for a long policy, far from filling a head.
const HEADER_VALUE_BYTES_MAX: usize = 4096;

/// Reads where requests go: the one of three settings that is there.
pub(super) fn destination(
    table: &Table<'_>,
    captures: &[&str],
    report: &mut Report,
) -> Option<Destination> {
    let mut found: Option<Destination> = None;
    for name in ["upstream", "redirect", "respond"] {
        let Some(node) = table.get(name) else { continue };
        if let Some(first) = &found {
            let message = format!("{} has both `{first}` and `{name}`", table.title());
            let span = table.key_span(name).unwrap_or(node.span);
            let help = "a request goes to an upstream, or is answered here: remove one of the two";
            report.add(&code::TWO_DESTINATIONS, span, message, "", help);
            continue;
        }
        found = Some(match name {
            "upstream" => Destination::Upstream(text::reference(node, report)),
            "redirect" => Destination::Redirect(redirect(node, captures, report)),
            _ if node.is_text() => {
                let probe = node.of_kind(&PROBE).choice(&PROBES, report);
                Destination::Probe(probe.unwrap_or(Probe::Live))
            }
            _ => Destination::Reply(respond(node, report)),
        });
    }
    found
}

fn redirect(node: Node<'_>, captures: &[&str], report: &mut Report) -> Redirect {
    let mut redirect = Redirect { status: 302, location: Template::default() };
    let mut to = Some(node);
    if node.is_table() {
        let Some(table) = node.table("`redirect`".to_owned(), &REDIRECT, report) else {
            return redirect;
        };
        if let Some(status) = table.get("status").and_then(|node| node.integer(report)) {
            redirect.status = status.value as u16;
            if !REDIRECTS.contains(&status.value) {
                let message = format!("{} does not send a client elsewhere", status.value);
                let help = "write 301, 302, 303, 307 or 308";
                report.add(&code::OUT_OF_RANGE, status.span, message, "", help);
            }
        }
        to = table.require("to", report);
    }
    if let Some(node) = to
        && let Some(location) = template(node, captures, report)
    {
        let shown = location.value.to_string();
        let problem = if shown.is_empty() {
            Some("is empty")
        } else if shown.chars().any(|c| c.is_control() || c == ' ') {
            Some("has a blank or a control character")
        } else {
            None
        };
        if let Some(problem) = problem {
            let message = format!("the target of the redirect {problem}");
            let help = "write a URL such as `https://{host}{target}`, or a path";
            report.add(&code::BAD_TEMPLATE, location.span, message, "", help);
        }
        redirect.location = location.value;
    }
    redirect
}

fn respond(node: Node<'_>, report: &mut Report) -> FixedReply {
    let content_type = "text/plain; charset=utf-8".to_owned();
    let mut reply = FixedReply { status: 200, content_type, body: Vec::new() };
    if !node.is_table() {
        let status = node.of_kind(&STATUS).integer(report);
        reply.status = status.map_or(reply.status, |status| status.value as u16);
        return reply;
    }
    let Some(table) = node.table("`respond`".to_owned(), &RESPOND, report) else {
        return reply;
    };
    let status = table.get("status").and_then(|node| node.integer(report));
    reply.status = status.map_or(reply.status, |status| status.value as u16);
    if let Some(node) = table.get("content_type")
        && let Some(read) = header::value(node, report)
    {
        reply.content_type = read.value;
    }
    if let Some(node) = table.get("body")
        && let Some(body) = text::bounded(node, BODY_BYTES_MAX, report)
    {
        if matches!(reply.status, 204 | 205 | 304) && !body.value.is_empty() {
            let message = format!("a {} has no body", reply.status);
            let help = "remove `body`, or choose another `status`";
            report.add(&code::OUT_OF_RANGE, body.span, message, "", help);
        }
        reply.body = body.value.as_bytes().to_vec();
    }
    reply
}

/// Reads what is done to requests and replies.
pub(super) fn filters(table: &Table<'_>, captures: &[&str], report: &mut Report) -> Filters {
    let mut networks = |name| {
        let nodes = table.get(name)?.one_or_more(report)?;
        let parse = |node| text::parsed(node, &code::BAD_NETWORK, IpNet::parse, report);
        Some(nodes.into_iter().filter_map(parse).map(|network| network.value).collect())
    };
    Filters {
        allow: networks("allow"),
        deny: networks("deny"),
        max_body: table.get("max_body").and_then(|node| node.size(report)),
        request_id: table.get("request_id").and_then(|node| {
            let name = node.string(report)?;
            let is_good = changeable_header(Spanned::new(&name.value, name.span), report);
            is_good.then(|| name.value.into_owned())
        }),
        basic_auth: auth::basic_auth(table, report),
        cors: cors::cors(table, report),
        error_pages: error_page::error_pages(table, report),
        priority: table.get("priority").and_then(|node| {
            Some(Spanned::new(node.choice(&PRIORITIES, report)?, table.key_span("priority")?))
        }),
        intercept_errors: table.get("intercept_errors").and_then(|node| node.boolean(report)),
        path: PathEdit::Keep,
        request: headers(table, "request_headers", captures, report),
        response: headers(table, "response_headers", captures, report),
    }
}

/// What `false` means where a table would stand; `true` means nothing.
pub(super) fn off<T>(node: Node<'_>, report: &mut Report) -> Overlay<T> {
    if node.boolean(report) == Some(true) {
        let message = "`true` does not say what shall hold";
        let help = "write a table with what shall hold, or `false` for what the listener has";
        report.add(&code::WRONG_TYPE, node.span, message, "", help);
    }
    Overlay::Off
}

fn headers(table: &Table<'_>, name: &str, captures: &[&str], report: &mut Report) -> HeaderEdits {
    let node = table.get(name);
    let Some(table) = node.and_then(|node| node.table(format!("`{name}`"), &HEADERS, report))
    else {
        return HeaderEdits::default();
    };
    let mut lines = |kind| {
        let entries = table.get(kind).and_then(|node| node.named(report)).unwrap_or_default();
        let mut read = Vec::new();
        for (name, node) in entries {
            let is_good = changeable_header(name, report);
            if let Some(value) = header_value(node, captures, report).filter(|_| is_good) {
                read.push((name.value.to_owned(), value));
            }
        }
        read
    };
    let (set, add) = (lines("set"), lines("add"));
    if set.len() + add.len() > HEADER_LINES_MAX {
        let message = format!("`{name}` writes {} lines", set.len() + add.len());
        let help = format!("write at most {HEADER_LINES_MAX}: a head has little more");
        report.add(&code::OUT_OF_RANGE, table.span(), message, "", help);
    }
    let nodes = table.get("remove").and_then(|node| node.one_or_more(report)).unwrap_or_default();
    let mut remove = Vec::new();
    for node in nodes {
        if let Some(name) = node.string(report)
            && changeable_header(Spanned::new(&name.value, name.span), report)
        {
            remove.push(name.value.into_owned());
        }
    }
    HeaderEdits { set, add, remove }
}

/// Whether this is the name of a header that is not ours alone to write.
pub(super) fn changeable_header(name: Spanned<&str>, report: &mut Report) -> bool {
    if !header::is_name(&name, report) {
        return false;
    }
    let id = match HeaderId::of(name.value.as_bytes()) {
        // Many servers read `_` and `-` alike.
        HeaderId::Other => HeaderId::aliased(name.value.as_bytes()),
        id => id,
    };
    let help = match id {
        HeaderId::Host => "set `host` in [upstreams.NAME]",
        HeaderId::ContentLength | HeaderId::Trailer => "it follows from the body",
        HeaderId::Via | HeaderId::Expect => "it is part of how messages pass a proxy",
        id if id.is_hop_by_hop() => "it speaks of one connection, not of the message",
        HeaderId::XRealIp | HeaderId::XForwardedPort => return true,
        id if id.is_identity() => "it says who the client is: see `trusted_proxies`",
        _ => return true,
    };
    let message = format!("`{}` is written by Fairwater itself", name.value);
    report.add(&code::FIXED_HEADER, name.span, message, "", help);
    false
}

fn header_value(node: Node<'_>, captures: &[&str], report: &mut Report) -> Option<Template> {
    let text = text::bounded(node, HEADER_VALUE_BYTES_MAX, report)?;
    header::is_value(&text, report).then_some(())?;
    template(node, captures, report).map(|template| template.value)
}

/// Reads what becomes of the path.
pub(super) fn path_edit(table: &Table<'_>, captures: &[&str], report: &mut Report) -> PathEdit {
    let (strip, add) = (prefix(table, "strip_prefix", report), prefix(table, "add_prefix", report));
    // What goes is compared in its normal form, what comes is a part of a URL.
    let add = add.map(|add| escaped(&add));
    let Some(node) = table.get("rewrite") else {
        return match (strip, add) {
            (None, None) => PathEdit::Keep,
            (strip, add) => {
                PathEdit::Prefix { strip: strip.unwrap_or_default(), add: add.unwrap_or_default() }
            }
        };
    };
    if strip.is_some() || add.is_some() {
        let message = format!("{} has `rewrite` and a prefix beside it", table.title());
        let help = "write the whole path in `rewrite`, or remove it";
        report.add(&code::BAD_TEMPLATE, node.span, message, "", help);
    }
    let Some(template) = template(node, captures, report) else { return PathEdit::Keep };
    let is_text_good = |part: &Part| match part {
        Part::Text(text) => is_url_path(&text.replace('?', "")),
        Part::Variable(_) => true,
    };
    let start = template.value.start();
    let path = start.split('?').next().unwrap_or_default();
    let is_good = path.starts_with('/')
        && !path.starts_with("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && template.value.parts().iter().all(is_text_good);
    if !is_good {
        let message = format!("`{}` is not a path", template.value);
        let help = "write it from its first slash on, with blanks and the like escaped: `/a%20b`";
        report.add(&code::BAD_TEMPLATE, template.span, message, "", help);
    }
    PathEdit::Rewrite(template.value)
}

/// A prefix of a path, decoded, without a final slash.
fn prefix(table: &Table<'_>, name: &str, report: &mut Report) -> Option<String> {
    let text = table.get(name)?.string(report)?;
    let mut scratch = Vec::new();
    let normal = target::normal_path(text.value.as_bytes(), &mut scratch);
    let normal = normal.ok().and_then(|path| std::str::from_utf8(path).ok());
    let is_plain = text.value.starts_with('/')
        && text.value.len() > 1
        && !text.value.ends_with('/')
        && !text.value.contains(['?', '#'])
        && !text.value.chars().any(|c| c.is_control() || c == ' ')
        && text.value.matches('/').count() == normal.map_or(0, |path| path.matches('/').count());
    match normal.filter(|_| is_plain) {
        Some(path) => Some(path.to_owned()),
        None => {
            let message = format!("`{}` is not the start of a path", text.value);
            let help = "write it with its first slash and without the last, as in `/api`";
            report.add(&code::BAD_TEMPLATE, text.span, message, "", help);
            None
        }
    }
}

/// As a URL has it.
fn escaped(path: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    path.bytes()
        .map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Whether all of it may stand in the target of a request.
fn is_url_path(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"\"#<>?\\^`{|}".contains(&b))
}

fn template(node: Node<'_>, captures: &[&str], report: &mut Report) -> Option<Spanned<Template>> {
    let text = node.string(report)?;
    let (message, help) = match Template::parse(&text.value, captures) {
        Ok(template) => return Some(Spanned::new(template, text.span)),
        Err(TemplateError::Unbalanced) => (
            format!("`{}` has a brace without its other half", text.value),
            "a variable is `{name}`; for a brace write `{{` or `}}`".to_owned(),
        ),
        Err(TemplateError::Unknown(name)) => {
            let mut names: Vec<&str> = variable_names().collect();
            names.extend(captures);
            names.push("header.NAME");
            let help = match nearest(name, names.iter().copied()) {
                Some(known) => format!("did you mean `{{{known}}}`?"),
                None => format!("there are {}", listed(names)),
            };
            (format!("there is no variable `{name}`"), help)
        }
    };
    report.add(&code::BAD_TEMPLATE, text.span, message, "", help);
    None
}
