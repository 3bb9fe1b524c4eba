//! `basic_auth`: who may come with a name and a password.

use std::collections::HashMap;

use fairwater_password::{HashError, PasswordHash};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting};
use crate::model::{BasicAuth, Overlay};
use crate::read::{filter, header, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

pub(super) static BASIC_AUTH: declare::Table = declare::Table {
    title: "basic_auth",
    settings: &[
        Setting {
            name: "users",
            kind: Kind::Map(&Kind::Secret("hash")),
            absent: Absent::Otherwise("those of `file`"),
            meaning: "names with the hashes of their passwords: bcrypt, or SHA-crypt (`$5$`, `$6$`). \
                      `fairwater hash-password` makes one, as do `htpasswd -nB NAME` and `openssl \
                      passwd -6`.",
            example: "users = { ada = \"$2y$10$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\" }",
        },
        Setting {
            name: "file",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("none"),
            meaning: "further ones, as `htpasswd` keeps them: `NAME:HASH` on each line",
            example: "file = \"htpasswd\"",
        },
        Setting {
            name: "realm",
            kind: Kind::Text("text"),
            absent: Absent::Default("\"restricted\""),
            meaning: "what the password is for, as browsers may show it",
            example: "realm = \"staging\"",
        },
        Setting {
            name: "forward",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "whether the endpoint gets name and password too (`Authorization`)",
            example: "forward = true",
        },
        Setting {
            name: "user_header",
            kind: Kind::Text("header"),
            absent: Absent::Otherwise("no header"),
            meaning: "the header in which the endpoint is told the name. What clients send there is \
                      taken out, on every route of the listener.",
            example: "user_header = \"x-user\"",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/basic_auth.md"),
};

/// Some thousand users: more belong into a program of their own.
const USERS_FILE_BYTES_MAX: usize = 1024 * 1024;

const USERS_MAX: usize = 10_000;

const USER_NAME_BYTES_MAX: usize = 128;

const REALM_BYTES_MAX: usize = 256;

pub(super) fn basic_auth(table: &Table<'_>, report: &mut Report) -> Overlay<BasicAuth> {
    let Some(node) = table.get("basic_auth") else { return Overlay::Inherit };
    if node.is_boolean() {
        return filter::off(node, report);
    }
    let Some(table) = node.table("`basic_auth`".to_owned(), &BASIC_AUTH, report) else {
        return Overlay::Inherit;
    };
    let mut users = Users { by_name: HashMap::new() };
    for (name, node) in table.get("users").and_then(|node| node.named(report)).unwrap_or_default() {
        if let Some(hash) = node.string(report) {
            let user = (name.value, &*hash.value);
            users.add(user, (name.span, hash.span), "", report);
        }
    }
    if let Some(node) = table.get("file") {
        read_file(node, &mut users, report);
    } else if table.get("users").is_none() {
        table.require("users", report);
    }
    if users.by_name.is_empty() && !report.has_errors() {
        let help = "add `users`, or lines to the file";
        report.add(&code::EMPTY_LIST, node.span, "`basic_auth` has no users", "", help);
    }
    let realm = table.get("realm").and_then(|node| {
        let realm = text::bounded(node, REALM_BYTES_MAX, report)?;
        header::is_value(&realm, report).then(|| realm.value.into_owned())
    });
    let user_header = table.get("user_header").and_then(|node| {
        let name = node.string(report)?;
        let is_good = filter::changeable_header(Spanned::new(&name.value, name.span), report);
        is_good.then(|| name.value.into_owned())
    });
    let mut users: Vec<_> = users.by_name.into_iter().collect();
    users.sort();
    let forward = table.get("forward").and_then(|node| node.boolean(report)).unwrap_or(false);
    let realm = realm.unwrap_or_else(|| "restricted".to_owned());
    Overlay::On(BasicAuth { realm, users, forward, user_header })
}

struct Users {
    by_name: HashMap<String, String>,
}

impl Users {
    /// Adds one, unless something is wrong with it. `place` says where in a file it is.
    fn add(
        &mut self,
        (name, hash): (&str, &str),
        (name_span, hash_span): (Span, Span),
        place: &str,
        report: &mut Report,
    ) {
        if let Some(problem) = name_problem(name) {
            let message = format!("{place}a user {problem}");
            let help = "names have no colon and no control characters, and do not begin or end with \
                        a blank";
            report.add(&code::BAD_USER, name_span, message, "", help);
        } else if self.by_name.contains_key(name) {
            let message = format!("{place}user `{name}` is there twice");
            report.add(&code::BAD_USER, name_span, message, "", "remove one of the two");
        } else if self.by_name.len() >= USERS_MAX {
            let message = format!("{place}there are more than {USERS_MAX} users");
            let help = "leave it to the application to know so many";
            report.add(&code::OUT_OF_RANGE, name_span, message, "", help);
        } else if let Err(error) = PasswordHash::parse(hash) {
            let message = format!("{place}the password of `{name}` {error}");
            report.add(&code::BAD_PASSWORD, hash_span, message, "", remedy(error, name));
        }
        self.by_name.insert(name.to_owned(), hash.to_owned());
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("has no name")
    } else if name.len() > USER_NAME_BYTES_MAX {
        Some("has a name of more than 128 bytes")
    } else if name.contains(':') {
        Some("has a colon in its name")
    } else if name.contains(char::is_control) || name.trim() != name {
        Some("has a name that no client could give")
    } else {
        None
    }
}

fn remedy(error: HashError, name: &str) -> String {
    let makes = "`fairwater hash-password` makes a hash";
    let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let name = if word { name } else { "NAME" };
    match error {
        HashError::TooSlow(bound) => format!("hash it again, with {bound}"),
        HashError::Malformed(_) => format!("copy it again, as a whole; or hash it anew: {makes}"),
        _ => format!("{makes}, as do `htpasswd -nB {name}` and `openssl passwd -6`"),
    }
}

/// The format of `htpasswd`. What it says is told of the setting, with the number of the line: the
/// file itself is not shown, since what is in it is nobody's business.
fn read_file(node: Node<'_>, users: &mut Users, report: &mut Report) {
    let Some(file) = text::file(node, USERS_FILE_BYTES_MAX, report) else { return };
    for (number, line) in file.value.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of the file: ", number + 1);
        let Some((name, rest)) = line.split_once(':') else {
            let message = format!("{place}it is not `NAME:HASH`");
            let help = "write a user on each line, as `htpasswd -nB NAME` prints it";
            report.add(&code::BAD_USER, file.span, message, "", help);
            continue;
        };
        // Some programs keep a comment behind a second colon; no hash has one.
        let hash = rest.split(':').next().unwrap_or(rest);
        users.add((name, hash), (file.span, file.span), &place, report);
    }
}
