//! `cert` and `key`: a certificate with its key, or all those of a directory.

use std::path::PathBuf;

use fairwater_tls::{Identity, IdentityProblem};

use crate::code;
use crate::model::Certificate;
use crate::read::text;
use crate::read::tls::{PEM_BYTES_MAX, Seen};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::{Span, Spanned};

/// More certificates than a machine has a use for; each takes some 8 KiB of memory.
const FOUND_FILES_MAX: usize = 50_000;

/// Of a file that a pattern stands for: room for a chain of large certificates and a key.
const FOUND_BYTES_MAX: usize = 64 * 1024;

/// A certificate and its key, as they are in their files.
struct Pair {
    /// How to speak of it, where there are several.
    name: Option<String>,
    cert: String,
    /// In the file of the certificate, if there is none.
    key: Option<String>,
    key_file: PathBuf,
}

impl Pair {
    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.cert)
    }
}

/// Where the two are named.
#[derive(Clone, Copy)]
struct Nodes<'t> {
    cert: Node<'t>,
    key: Option<Node<'t>>,
}

impl Nodes<'_> {
    fn key_span(&self) -> Span {
        self.key.map_or(self.cert.span, |node| node.span)
    }
}

/// The one certificate that a table names.
pub(super) fn read(table: &Table<'_>, seen: &mut Seen, report: &mut Report) -> Option<Identity> {
    let nodes = Nodes { cert: table.require("cert", report)?, key: table.get("key") };
    let pair = one(nodes, report)?;
    Some(identities(nodes, &[pair], seen, report).pop()?.0)
}

/// All certificates that a table names, the first one first.
pub(super) fn read_all(
    table: &Table<'_>,
    seen: &mut Seen,
    report: &mut Report,
) -> Vec<(Identity, Certificate)> {
    let Some(cert) = table.require("cert", report) else { return Vec::new() };
    let nodes = Nodes { cert, key: table.get("key") };
    let Some(path) = text::file_path(cert, report) else { return Vec::new() };
    let pairs = match path.value.to_string_lossy() {
        pattern if pattern.contains('*') => found(nodes, &pattern, report),
        _ => one(nodes, report).map(|pair| vec![pair]),
    };
    identities(nodes, &pairs.unwrap_or_default(), seen, report)
}

fn one(nodes: Nodes<'_>, report: &mut Report) -> Option<Pair> {
    let cert = text::file(nodes.cert, PEM_BYTES_MAX, report)?;
    let key = match nodes.key {
        Some(node) => Some(text::file(node, PEM_BYTES_MAX, report)?.value),
        None => None,
    };
    // Its files were read, so that nothing is to be reported.
    let node = nodes.key.unwrap_or(nodes.cert);
    let path = text::file_path(node, &mut Report::default())?.value;
    let key_file = node.find(&path.to_string_lossy()).ok()?.into();
    Some(Pair { name: None, cert: cert.value, key, key_file })
}

/// Those of a directory.
fn found(nodes: Nodes<'_>, pattern: &str, report: &mut Report) -> Option<Vec<Pair>> {
    let span = nodes.cert.span;
    let problem = match nodes.cert.find_all(pattern) {
        Ok(names) if names.is_empty() => format!("no file matches `{pattern}`"),
        Ok(names) if names.len() > FOUND_FILES_MAX => {
            format!("`{pattern}` stands for more than {FOUND_FILES_MAX} files")
        }
        Ok(names) => return found_with_keys(nodes, pattern, names, report),
        Err(problem) => format!("`{pattern}` stands for no files: {problem}"),
    };
    let help = "correct the path; it is relative to this file";
    report.add(&code::CANNOT_READ, span, problem, "", help);
    None
}

fn found_with_keys(
    nodes: Nodes<'_>,
    pattern: &str,
    names: Vec<String>,
    report: &mut Report,
) -> Option<Vec<Pair>> {
    let keys = match nodes.key {
        Some(node) => Some((node, text::file_path(node, report)?.value)),
        None => None,
    };
    let keys = keys.as_ref().map(|(node, path)| (*node, path.to_string_lossy()));
    let stars = |text: &str| text.matches('*').count();
    if let Some((node, keys)) = &keys
        && (stars(keys) != 1 || stars(pattern) != 1)
    {
        let message = "`cert` is many files, and `key` does not say which is whose";
        let help = "write one `*` in both, or leave `key` away if the keys are in the same files";
        report.add(&code::BAD_TLS, node.span, message, "", help);
        return None;
    }
    let mut pairs = Vec::with_capacity(names.len());
    for name in names {
        let read = nodes.cert.read_found(&name, FOUND_BYTES_MAX);
        let cert = text::checked(&name, read, FOUND_BYTES_MAX, nodes.cert.span, report);
        let key = match &keys {
            None => Some((None, name.clone())),
            Some((node, keys)) => {
                let path = keys.replacen('*', star(pattern, &name), 1);
                let file = node.find(&path).unwrap_or(path);
                let read = node.read_found(&file, FOUND_BYTES_MAX);
                let key = text::checked(&file, read, FOUND_BYTES_MAX, node.span, report);
                key.map(|key| (Some(key), file))
            }
        };
        if let (Some(cert), Some((key, file))) = (cert, key) {
            pairs.push(Pair { name: Some(name), cert, key, key_file: file.into() });
        }
    }
    Some(pairs)
}

/// What the `*` of a pattern stands for in a name that was found by it.
fn star<'n>(pattern: &str, name: &'n str) -> &'n str {
    let (start, end) = pattern.split_once('*').unwrap_or_default();
    let start = start.rsplit('/').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let rest = name.strip_prefix(start).unwrap_or(name);
    rest.strip_suffix(end).unwrap_or(rest)
}

fn identities(
    nodes: Nodes<'_>,
    pairs: &[Pair],
    seen: &mut Seen,
    report: &mut Report,
) -> Vec<(Identity, Certificate)> {
    let files: Vec<_> =
        pairs.iter().map(|pair| (pair.cert.as_bytes(), pair.key().as_bytes())).collect();
    let mut good = Vec::with_capacity(pairs.len());
    for (pair, identity) in pairs.iter().zip(Identity::read_all(&files)) {
        seen.take(pair.cert.as_bytes());
        pair.key.iter().for_each(|key| seen.take(key.as_bytes()));
        match identity {
            Ok(identity) => {
                let certificate = certificate(nodes, pair, &identity);
                good.push((identity, certificate));
            }
            Err(problem) => refuse(nodes, pair, &problem, report),
        }
    }
    good
}

fn certificate(nodes: Nodes<'_>, pair: &Pair, identity: &Identity) -> Certificate {
    let facts = &identity.facts;
    let file = pair.name.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    Certificate {
        shown: format!("`{}`{file}", facts.subject),
        not_after: Spanned::new(facts.not_after, nodes.cert.span),
        key: Spanned::new(pair.key_file.clone(), nodes.key_span()),
    }
}

fn refuse(nodes: Nodes<'_>, pair: &Pair, problem: &IdentityProblem, report: &mut Report) {
    let (span, help) = match problem {
        IdentityProblem::NoCertificate | IdentityProblem::BadCertificate(_) => {
            (nodes.cert.span, "a certificate begins with `-----BEGIN CERTIFICATE-----`")
        }
        IdentityProblem::NoKey | IdentityProblem::BadKey(_) => (
            nodes.key_span(),
            "a key begins with `-----BEGIN PRIVATE KEY-----`, without a password",
        ),
        IdentityProblem::OtherKey => {
            (nodes.key_span(), "name the key that the certificate was requested with")
        }
    };
    let name = pair.name.as_ref().map(|name| format!("`{name}`: ")).unwrap_or_default();
    report.add(&code::BAD_TLS, span, format!("{name}{problem}"), "", help);
}

#[cfg(test)]
mod tests {
    use super::star;

    #[test]
    fn a_star_stands_for_what_a_name_has_more() {
        for (pattern, name, expected) in [
            ("certs/*.pem", "/etc/fairwater/certs/a.example.pem", "a.example"),
            ("*.pem", "a.pem", "a"),
            ("certs/site-*", "certs/site-1", "1"),
            ("a*", "b", "b"),
        ] {
            assert_eq!(star(pattern, name), expected, "{pattern} {name}");
        }
    }
}
