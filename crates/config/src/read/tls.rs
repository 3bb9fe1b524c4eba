//! `tls` and `client_auth` of a listener, `tls` of an upstream: certificates, keys, and who is
//! trusted, all of it read from files here and now.

use fairwater_message::address::parse_host;
use fairwater_tls::{
    Client, ClientAuth, ClientSettings, Fingerprint, Identity, Mode, Server, ServerSettings,
    TicketKeys, TicketProblem, Trust, TrustProblem, Version, fingerprint, parse_fingerprint,
};

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, words};
use crate::model::{EndpointTls, HostMatch, Listener, ListenerTls, Route};
use crate::read::{identity, text};
use crate::reader::{Node, Table};
use crate::report::Report;
use crate::span::Spanned;

/// What is made up in place of files.
pub(super) static MADE_UP: Kind = Kind::Choice(words!["dev"]);

pub(super) static FROM_FILES: Kind = Kind::OneOrMore(&Kind::Table(&TLS));

static TLS: declare::Table = declare::Table {
    title: "tls",
    settings: &[
        Setting {
            name: "cert",
            kind: Kind::Text("file"),
            absent: Absent::Required,
            meaning: "the certificate, and behind it those that lead to an authority (PEM). `*` in the \
                      last part of the path is every file of such a name, in their order.",
            example: "cert = \"site.pem\"",
        },
        Setting {
            name: "key",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("the file of `cert`"),
            meaning: "its private key (PEM). `*` is what it stands for in `cert`.",
            example: "key = \"site.key\"",
        },
    ],
    shared: &[],
    notes: "",
};

pub(super) static CLIENT_AUTH: declare::Table = declare::Table {
    title: "client_auth",
    settings: &[
        Setting {
            name: "ca",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("required without `fingerprints`"),
            meaning: "the certificates of authorities, or certificates that are their own (PEM)",
            example: "ca = \"clients.pem\"",
        },
        Setting {
            name: "fingerprints",
            kind: Kind::OneOrMore(&Kind::Text("fingerprint")),
            absent: Absent::Otherwise("none"),
            meaning: "certificates that are good whoever has issued them, by their SHA-256: 64 \
                      hexadecimal digits, with colons or without",
            example: FINGERPRINTS_EXAMPLE,
        },
        Setting {
            name: "mode",
            kind: Kind::Choice(words!["off", "request", "require"]),
            absent: Absent::Default("\"require\""),
            meaning: "whether a client is asked for a certificate, and let in without one. One with \
                      a bad certificate never is.",
            example: "mode = \"require\"",
        },
        Setting {
            name: "crl",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("none is revoked"),
            meaning: "what the authorities have revoked (PEM), for each of them",
            example: "crl = \"revoked.pem\"",
        },
    ],
    shared: &[],
    notes: "",
};

pub(super) static UPSTREAM_TLS: declare::Table = declare::Table {
    title: "tls",
    settings: &[
        Setting {
            name: "ca",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise(
                "the authorities that the system trusts; with `fingerprints` none",
            ),
            meaning: "the certificates of authorities, or certificates that are their own (PEM)",
            example: "ca = \"inside.pem\"",
        },
        Setting {
            name: "fingerprints",
            kind: Kind::OneOrMore(&Kind::Text("fingerprint")),
            absent: Absent::Otherwise("none"),
            meaning: "certificates that are good whoever has issued them and whatever names they \
                      have, by their SHA-256: 64 hexadecimal digits, with colons or without",
            example: FINGERPRINTS_EXAMPLE,
        },
        Setting {
            name: "server_name",
            kind: Kind::Text("host"),
            absent: Absent::Otherwise("the host of the endpoint"),
            meaning: "the name that an endpoint is asked for, and that its certificate must have",
            example: "server_name = \"app.inside\"",
        },
        Setting {
            name: "cert",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("none"),
            meaning: "the certificate that is shown to endpoints that ask for one (PEM)",
            example: "cert = \"proxy.pem\"",
        },
        Setting {
            name: "key",
            kind: Kind::Text("file"),
            absent: Absent::Otherwise("the file of `cert`"),
            meaning: "its private key (PEM)",
            example: "key = \"proxy.key\"",
        },
        Setting {
            name: "insecure_skip_verify",
            kind: Kind::Boolean,
            absent: Absent::Default("false"),
            meaning: "take every certificate. Whoever can get between hears and says everything.",
            example: "insecure_skip_verify = false",
        },
    ],
    shared: &[],
    notes: "",
};

const FINGERPRINTS_EXAMPLE: &str =
    "fingerprints = [\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"]";

/// Room for long chains, and for the authorities of a system.
pub(super) const PEM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Where a machine keeps its name.
const HOST_NAME_FILE: &str = "/etc/hostname";
/// A name, and a line end.
const HOST_NAME_FILE_BYTES_MAX: usize = 256;

/// More names than anybody tries out, in a certificate that each client gets.
const MADE_UP_NAMES_MAX: usize = 100;

/// What a listener has only with TLS.
const OF_TLS: [&str; 5] =
    ["client_auth", "tls_min_version", "tls_ticket_keys", "max_handshakes", "max_handshake_rate"];

/// None asks for nothing.
const MODES: [(&str, Option<Mode>); 3] =
    [("off", None), ("request", Some(Mode::Request)), ("require", Some(Mode::Require))];

const VERSIONS: [(&str, Version); 2] = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];

/// What was read, for the fingerprint.
#[derive(Default)]
pub(super) struct Seen(Vec<u8>);

impl Seen {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}

/// Of a listener that speaks `alpn` above it: nothing, if its clients speak no TLS.
pub(super) fn of_listener(
    table: &Table<'_>,
    alpn: &[&str],
    report: &mut Report,
) -> Option<ListenerTls> {
    let node = table.get("tls");
    if node.is_none() {
        // Who forgets `tls` must not serve in clear without a word.
        for name in OF_TLS {
            let Some(span) = table.key_span(name) else { continue };
            let message = format!("`{name}` needs `tls`");
            let help =
                "add `tls = { cert = \"site.pem\", key = \"site.key\" }`, or remove the line";
            report.add(&code::BAD_TLS, span, message, "", help);
        }
    }
    let mut seen = Seen::default();
    let client_auth = table.get("client_auth");
    let client_auth = client_auth.and_then(|auth| client_auth_of(auth, &mut seen, report));
    let ticket_keys = table.get("tls_ticket_keys").and_then(|node| {
        let rules = fingerprint(&seen.0);
        ticket_keys(node, &rules, &mut seen, report)
    });
    let version = table.get("tls_min_version").and_then(|node| node.choice(&VERSIONS, report));
    let node = node?;
    let mut own = Vec::new();
    let mut made_up_for = None;
    if node.is_text() {
        is_made_up(table, node, report).then_some(())?;
        made_up_for = Some(own_names(node));
    } else {
        for node in node.of_kind(&FROM_FILES).one_or_more(report).unwrap_or_default() {
            if let Some(table) = node.table("`tls`".to_owned(), &TLS, report) {
                own.extend(identity::read_all(&table, &mut seen, report));
            }
        }
    }
    let (identities, certificates): (Vec<_>, Vec<_>) = own.into_iter().unzip();
    let min_version = version.unwrap_or_default();
    seen.take(&[min_version as u8]);
    alpn.iter().for_each(|name| seen.take(name.as_bytes()));
    let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let fingerprint = fingerprint(&seen.0);
    if identities.is_empty() && made_up_for.is_none() {
        return None;
    }
    let settings =
        ServerSettings { identities, alpn, min_version, client_auth, ticket_keys, fingerprint };
    let server = good(Server::new(settings), node, report)?;
    Some(ListenerTls { server, certificates, made_up_for })
}

/// Whether a certificate is to be made up, which is what a text may say.
fn is_made_up(table: &Table<'_>, node: Node<'_>, report: &mut Report) -> bool {
    let Some(text) = node.string(report) else { return false };
    if text.value != "dev" {
        let message = format!("`tls` cannot be `{}`", text.value);
        let help = "write a table, as in `tls = { cert = \"site.pem\", key = \"site.key\" }`, or \
                    \"dev\" for trying things out";
        report.add(&code::UNKNOWN_CHOICE, text.span, message, "", help);
        return false;
    }
    let message = format!("{} shows a certificate that nobody trusts", table.title());
    let help = "try it with `curl -k`; for others name your own with `cert` and `key`";
    report.add(&code::MADE_UP, text.span, message, "made up for trying things out", help);
    true
}

/// What this machine is called.
fn own_names(node: Node<'_>) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned).to_vec();
    let own = node.read(HOST_NAME_FILE, HOST_NAME_FILE_BYTES_MAX).unwrap_or_default();
    let own = String::from_utf8(own).unwrap_or_default();
    names.extend(parse_host(own.trim()).ok().filter(|name| !names.contains(name)));
    names
}

/// Makes up the certificates that are wanted, now that all hosts are known.
pub(super) fn make_up(listeners: &mut [Listener], routes: &[Route], report: &mut Report) {
    for listener in listeners {
        let Some(tls) = &mut listener.tls else { continue };
        let Some(mut names) = tls.made_up_for.clone() else { continue };
        let own = routes.iter().filter(|route| route.listener.value == listener.name.value);
        for host in own.filter_map(|route| route.host.as_ref()) {
            let name = match &host.value {
                HostMatch::Exact(name) => name.clone(),
                HostMatch::Wildcard(end) => format!("*{end}"),
            };
            if names.len() < MADE_UP_NAMES_MAX && !names.contains(&name) {
                names.push(name);
            }
        }
        match Identity::made_up(&names) {
            Some(identity) => tls.server = tls.server.with_made_up(identity, &names),
            None => {
                let message = "no certificate can be made up";
                let help = "name your own with `cert` and `key`";
                report.add(&code::BAD_TLS, listener.name.span, message, "", help);
            }
        }
    }
}

fn good<T>(made: Result<T, TrustProblem>, node: Node<'_>, report: &mut Report) -> Option<T> {
    let report_it = |problem: TrustProblem| {
        let help = "mend the files that it names";
        report.add(&code::BAD_TLS, node.span, problem.to_string(), "", help);
    };
    made.map_err(report_it).ok()
}

fn client_auth_of(node: Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<ClientAuth> {
    let table = node.table("`client_auth`".to_owned(), &CLIENT_AUTH, report)?;
    let mode = table.get("mode").and_then(|node| node.choice(&MODES, report));
    let mode = mode.unwrap_or(Some(Mode::Require));
    let ca = table.get("ca");
    let mut trust = match ca {
        Some(node) => trust(node, seen, report),
        None => Some(Trust::default()),
    };
    if mode.is_some() && ca.is_none() && table.get("fingerprints").is_none() {
        let message = "`client_auth` needs `ca` or `fingerprints`";
        let help = "add one of them, as in `ca = \"clients.pem\"`";
        report.add(&code::MISSING_KEY, node.span, message, "neither is here", help);
    }
    if let Some(node) = table.get("crl")
        && let Some(file) = pem(node, seen, report)
        && let Some(trust) = &mut trust
    {
        if ca.is_none() {
            let help = "add the authorities, or remove it: a fingerprint is taken back by itself";
            report.add(&code::BAD_TLS, node.span, "`crl` needs `ca`", "", help);
        } else if let Err(problem) = trust.revoke(file.value.as_bytes()) {
            bad_trust(&problem, &file, report);
        }
    }
    let listed = fingerprints(&table, seen, report);
    trust.iter_mut().for_each(|trust| trust.list(listed.iter().copied()));
    let mode = mode?;
    seen.take(&[mode as u8]);
    trust.map(|trust| ClientAuth { trust, mode })
}

/// Certificates that are trusted for themselves.
fn fingerprints(table: &Table<'_>, seen: &mut Seen, report: &mut Report) -> Vec<Fingerprint> {
    let nodes = table.get("fingerprints").and_then(|node| node.one_or_more(report));
    let mut read = Vec::new();
    for node in nodes.unwrap_or_default() {
        let Some(text) = node.string(report) else { continue };
        if let Some(fingerprint) = parse_fingerprint(&text.value) {
            seen.take(&fingerprint);
            read.push(fingerprint);
            continue;
        }
        let digits = text.value.bytes().filter(u8::is_ascii_hexdigit).count();
        let what = if digits == 40 { ": it looks like a SHA-1" } else { "" };
        let message = format!("this is not the SHA-256 of a certificate{what}");
        let help = "write what `openssl x509 -in FILE -noout -fingerprint -sha256` says";
        report.add(&code::BAD_FINGERPRINT, text.span, message, "", help);
    }
    read
}

fn ticket_keys(
    node: Node<'_>,
    rules: &Fingerprint,
    seen: &mut Seen,
    report: &mut Report,
) -> Option<TicketKeys> {
    let file = pem(node, seen, report)?;
    let report_it = |problem: TicketProblem| {
        let help = "write one key per line, as `openssl rand -hex 32` gives them";
        report.add(&code::BAD_TLS, file.span, problem.to_string(), "", help);
    };
    TicketKeys::read(&file.value, rules).map_err(report_it).ok()
}

/// Of an upstream: nothing, if its endpoints speak no TLS.
pub(super) fn of_upstream(table: &Table<'_>, report: &mut Report) -> Option<EndpointTls> {
    let node = table.get("tls")?;
    let mut seen = Seen::default();
    let mut settings = ClientSettings::default();
    let mut server_name = None;
    if node.is_boolean() {
        if !node.boolean(report)? {
            return None;
        }
        settings.trust = Some(system(node, &mut seen, report)?);
    } else {
        let title = table.title();
        let table = node.table("`tls`".to_owned(), &UPSTREAM_TLS, report)?;
        let skips = skips_verification(&table, title, report);
        let listed = fingerprints(&table, &mut seen, report);
        let mut trust = match table.get("ca") {
            Some(node) => Some(trust(node, &mut seen, report)?),
            None if skips => None,
            None if table.get("fingerprints").is_some() => Some(Trust::default()),
            None => Some(system(node, &mut seen, report)?),
        };
        trust.iter_mut().for_each(|trust| trust.list(listed.iter().copied()));
        settings.trust = trust.filter(|_| !skips);
        server_name = table.get("server_name").and_then(|node| node.string(report));
        if table.get("cert").is_some() {
            settings.identity = Some(identity::read(&table, &mut seen, report)?);
        }
        seen.take(&[u8::from(skips)]);
    }
    settings.fingerprint = fingerprint(&seen.0);
    let client = good(Client::new(settings), node, report)?;
    if let Some(name) = &server_name
        && client.session(&name.value, &[]).is_none()
    {
        let message = format!("`{}` is no host", name.value);
        report.add(&code::BAD_HOST, name.span, message, "", "write a name without a port");
    }
    let server_name = server_name.map(|name| name.value.into_owned());
    Some(EndpointTls { client, server_name })
}

fn skips_verification(table: &Table<'_>, title: &str, report: &mut Report) -> bool {
    let Some(node) = table.get("insecure_skip_verify") else { return false };
    let skips = node.boolean(report).unwrap_or(false);
    if skips {
        let message = format!("endpoints of {title} may be anybody");
        let help = "name the authority of their certificates with `ca`, and remove the line";
        let label = "their certificates are not verified";
        report.add(&code::SKIPS_VERIFICATION, node.span, message, label, help);
    }
    skips
}

fn trust(node: Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<Trust> {
    let file = pem(node, seen, report)?;
    match Trust::read(file.value.as_bytes()) {
        Ok(trust) => Some(trust),
        Err(problem) => {
            bad_trust(&problem, &file, report);
            None
        }
    }
}

fn bad_trust(problem: &TrustProblem, file: &Spanned<String>, report: &mut Report) {
    let help = match problem {
        TrustProblem::NoCertificate | TrustProblem::BadCertificate(_) => {
            "a certificate begins with `-----BEGIN CERTIFICATE-----`"
        }
        TrustProblem::NoList | TrustProblem::BadList(_) => {
            "a list begins with `-----BEGIN X509 CRL-----`"
        }
    };
    report.add(&code::BAD_TLS, file.span, problem.to_string(), "", help);
}

/// The authorities that the system trusts.
fn system(node: Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<Trust> {
    let mut read = SYSTEM_AUTHORITIES.iter().filter_map(|path| node.read(path, PEM_BYTES_MAX).ok());
    let Some(bytes) = read.next() else {
        let message = "this system has no list of authorities that it trusts";
        let help = "install the package ca-certificates, or name authorities with `ca`";
        report.add(&code::BAD_TLS, node.span, message, "", help);
        return None;
    };
    seen.take(&bytes);
    // Single certificates of such a list may be odd; what is good of it counts.
    Trust::read_what_is_good(&bytes)
}

fn pem(node: Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<Spanned<String>> {
    let file = text::file(node, PEM_BYTES_MAX, report)?;
    seen.take(file.value.as_bytes());
    Some(file)
}
