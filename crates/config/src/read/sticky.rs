//! `sticky` of an upstream: requests of one client stay with one endpoint.

use fairwater_message::address::parse_host;
use fairwater_tls::SealKey;

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{Balance, CookieSecure, SameSite, Sticky, StickyCookie};
use crate::read::header::is_token;
use crate::read::limit::DAY_MS;
use crate::read::text;
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// No browser keeps a cookie for longer.
const MAX_AGE_MS: u64 = 400 * DAY_MS;

const COOKIE_NAME_BYTES_MAX: usize = 128;

const COOKIE_PATH_BYTES_MAX: usize = 1024;

/// As many as 128 bits written as hexadecimal digits: a shorter one could be guessed.
const SECRET_BYTES_MIN: usize = 32;

const SECRET_BYTES_MAX: usize = 1024;

/// The one in force and those before it: each is tried with a cookie that no other has sealed.
const SECRETS_MAX: usize = 4;

pub(super) const STICKY_KIND: Kind = Kind::Either(&BY, &Kind::Table(&STICKY));

static BY: Kind = Kind::Choice(words!["cookie", "address"]);

const STICKIES: [(&str, IsCookie); 2] = [("cookie", IsCookie(true)), ("address", IsCookie(false))];

#[derive(Clone, Copy)]
struct IsCookie(bool);

static STICKY: declare::Table = declare::Table {
    title: "[upstreams.NAME.sticky]",
    settings: &[
        Setting {
            name: "cookie",
            kind: Kind::Text("name"),
            absent: Absent::Otherwise("`fairwater_` and six digits that the upstream's name makes"),
            meaning: "the name of the cookie",
            example: "cookie = \"session_at\"",
        },
        Setting {
            name: "secure",
            kind: Kind::Either(&Kind::Boolean, &Kind::Choice(words!["auto"])),
            absent: Absent::Default("\"auto\""),
            meaning: "whether clients send it over TLS alone (`Secure`): those who got it over TLS, to \
                      us or, by the word of a trusted proxy, to that; with `same_site = \"none\"` \
                      all, since browsers take it no other way",
            example: "secure = true",
        },
        Setting {
            name: "same_site",
            kind: Kind::Choice(words!["strict", "lax", "none"]),
            absent: Absent::Default("\"lax\""),
            meaning: "whether browsers send it with requests that come from pages of other sites",
            example: "same_site = \"strict\"",
        },
        Setting {
            name: "http_only",
            kind: Kind::Boolean,
            absent: Absent::Default("true"),
            meaning: "whether it is kept from scripts of pages",
            example: "http_only = true",
        },
        Setting {
            name: "path",
            kind: Kind::Text("path"),
            absent: Absent::Default("\"/\""),
            meaning: "below which clients send it",
            example: "path = \"/shop\"",
        },
        Setting {
            name: "domain",
            kind: Kind::Text("host"),
            absent: Absent::Otherwise("the host that was asked, and no host below it"),
            meaning: "to whose hosts clients send it",
            example: "domain = \"example.com\"",
        },
        Setting {
            name: "max_age",
            kind: Kind::Duration { min_ms: 1000, max_ms: MAX_AGE_MS },
            absent: Absent::Otherwise("until the browser ends"),
            meaning: "how long clients keep it, from when the session begins or moves",
            example: "max_age = \"8h\"",
        },
        Setting {
            name: "secret",
            kind: Kind::OneOrMore(&Kind::Secret("text")),
            absent: Absent::Otherwise(
                "a random one, which survives reloads, crashes and upgrades, and with `state_dir` \
                 restarts as well",
            ),
            meaning: "what the cookie is sealed with, the same on all nodes: at least 32 characters, \
                      as `openssl rand -hex 32` makes them. Of several the first one seals and all \
                      of them open.",
            example: "secret = \"${STICKY_SECRET}\"",
        },
    ],
    shared: &[],
    notes: "",
};

/// Reads it for an upstream of this name.
pub(super) fn of_upstream(
    upstream: &str,
    table: &Table<'_>,
    report: &mut Report,
) -> Option<Spanned<Sticky>> {
    let node = table.get("sticky")?;
    let cookie = StickyCookie::new(StickyCookie::name_for(upstream));
    let sticky = if node.is_table() {
        Sticky::Cookie(read_cookie(node, cookie, table.title(), report)?)
    } else {
        let words = node.of_kind(&BY);
        match words.choice(&STICKIES, report)? {
            IsCookie(true) => Sticky::Cookie(cookie),
            IsCookie(false) => Sticky::Address,
        }
    };
    Some(Spanned::new(sticky, node.span))
}

/// What decides by the address leaves nothing to `balance`.
pub(super) fn check_balance(
    sticky: Option<&Spanned<Sticky>>,
    balance: Option<Balance>,
    table: &Table<'_>,
    report: &mut Report,
) {
    let is_idle = balance.is_some_and(|balance| balance != Balance::SourceHash);
    if let Some(span) = table.key_span("balance").filter(|_| is_idle)
        && sticky.is_some_and(|sticky| sticky.value == Sticky::Address)
    {
        let message = "`balance` decides nothing beside `sticky = \"address\"`";
        let help = "remove one of the two; with `sticky = \"cookie\"` new sessions go where \
                    `balance` says";
        report.add(&code::BAD_STICKY, span, message, "", help);
    }
}

fn read_cookie(
    node: Node<'_>,
    mut cookie: StickyCookie,
    title: &str,
    report: &mut Report,
) -> Option<StickyCookie> {
    let title = format!("{}.sticky]", title.trim_end_matches(']'));
    let table = node.table(title, &STICKY, report)?;
    let name = table.get("cookie").and_then(|node| name(node, report));
    if let Some(name) = &name {
        cookie.name.clone_from(&name.value);
    }
    let secure = table.get("secure");
    cookie.secure = secure.and_then(|node| read_secure(node, report)).unwrap_or_default();
    let sites = [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];
    let same_site = table.get("same_site").and_then(|node| node.choice(&sites, report));
    cookie.same_site = same_site.unwrap_or_default();
    let http_only = table.get("http_only").and_then(|node| node.boolean(report));
    cookie.http_only = http_only.unwrap_or(true);
    let path = table.get("path").and_then(|node| path(node, report));
    cookie.path = path.unwrap_or(cookie.path);
    cookie.domain = table.get("domain").and_then(|node| domain(node, report));
    cookie.max_age = table.get("max_age").and_then(|node| node.duration(report));
    cookie.keys = secrets(&table, report);
    if let (CookieSecure::Never, SameSite::None, Some(node)) =
        (cookie.secure, cookie.same_site, secure)
    {
        let message = "browsers drop a cookie with `same_site = \"none\"` that is not `secure`";
        report.add(
            &code::BAD_STICKY,
            node.span,
            message,
            "",
            "remove the line, or set it to `true`",
        );
    }
    if let Some(name) = name {
        check_prefix(&cookie, &name, &table, report);
    }
    Some(cookie)
}

fn name(node: Node<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let name = text::bounded(node, COOKIE_NAME_BYTES_MAX, report)?;
    if is_token(&name.value) {
        return Some(name.map(std::borrow::Cow::into_owned));
    }
    let message = format!("`{}` cannot be the name of a cookie", name.value);
    let help = "names of cookies have letters, digits, `-` and `_`";
    report.add(&code::BAD_STICKY, name.span, message, "", help);
    None
}

fn read_secure(node: Node<'_>, report: &mut Report) -> Option<CookieSecure> {
    if node.is_boolean() {
        let always = node.boolean(report)?;
        return Some(if always { CookieSecure::Always } else { CookieSecure::Never });
    }
    let words = node.of_kind(&Kind::Choice(words!["auto"]));
    words.choice(&[("auto", CookieSecure::Auto)], report)
}

fn path(node: Node<'_>, report: &mut Report) -> Option<String> {
    let path = text::bounded(node, COOKIE_PATH_BYTES_MAX, report)?;
    let is_char = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if path.value.starts_with('/') && path.value.bytes().all(is_char) {
        return Some(path.value.into_owned());
    }
    let message = format!("`{}` cannot be the path of a cookie", path.value);
    let help = "write a path as browsers ask for it, from `/` on and without `;`";
    report.add(&code::BAD_STICKY, path.span, message, "", help);
    None
}

/// A point in front has no meaning any more (RFC 6265, section 5.2.3).
fn domain(node: Node<'_>, report: &mut Report) -> Option<String> {
    let parse = |text: &str| parse_host(text.strip_prefix('.').unwrap_or(text));
    text::parsed(node, &code::BAD_HOST, parse, report).map(|host| host.value)
}

fn secrets(table: &Table<'_>, report: &mut Report) -> Vec<SealKey> {
    let Some(node) = table.get("secret") else { return Vec::new() };
    let nodes = node.one_or_more(report).unwrap_or_default();
    if nodes.len() > SECRETS_MAX {
        let message = format!("there are more than {SECRETS_MAX} secrets");
        let help = "remove the oldest ones, with which no session can have begun any more";
        report.add(&code::OUT_OF_RANGE, node.span, message, "", help);
    }
    nodes.iter().take(SECRETS_MAX).filter_map(|node| secret(*node, report)).collect()
}

fn secret(node: Node<'_>, report: &mut Report) -> Option<SealKey> {
    let secret = text::bounded(node, SECRET_BYTES_MAX, report)?;
    let len = secret.value.len();
    if len >= SECRET_BYTES_MIN {
        return Some(SealKey::of(secret.value.as_bytes(), StickyCookie::PURPOSE));
    }
    let message =
        format!("the secret is too short: {len} of at least {SECRET_BYTES_MIN} characters");
    let help = "make one with `openssl rand -hex 32`";
    report.add(&code::BAD_STICKY, secret.span, message, "", help);
    None
}

/// Names that browsers take under conditions alone.
fn check_prefix(
    cookie: &StickyCookie,
    name: &Spanned<String>,
    table: &Table<'_>,
    report: &mut Report,
) {
    let begins = |prefix: &str| {
        name.value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_host = begins("__Host-");
    if !is_host && !begins("__Secure-") {
        return;
    }
    let mut refuse = |what: &str, span: Span, help: &str| {
        let message = format!("browsers drop a cookie `{}` {what}", name.value);
        report.add(&code::BAD_STICKY, span, message, "", help);
    };
    if cookie.secure != CookieSecure::Always {
        let span = table.key_span("secure").unwrap_or(name.span);
        refuse("that is not always `Secure`", span, "set `secure = true`");
    }
    if let Some(span) = table.key_span("domain").filter(|_| is_host) {
        refuse("with a `domain`", span, "remove the line, or name it `__Secure-...`");
    }
    if let Some(span) = table.key_span("path").filter(|_| is_host && cookie.path != "/") {
        refuse("with a `path` of its own", span, "remove the line, or name it `__Secure-...`");
    }
}
