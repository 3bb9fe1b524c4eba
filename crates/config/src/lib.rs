//! TOML text to [`Config`]: what was written, typed, with spans; every problem of a file in one go.
//! Never does IO, and knows nothing of plans, sockets or workers.

mod check;
mod code;
mod declare;
mod diagnostic;
mod model;
mod read;
mod reader;
mod reference;
mod report;
mod schema;
mod source;
mod span;
mod suggest;
mod syntax;

pub use code::{CODES, Code, Severity, explain};
pub use diagnostic::{Diagnostic, render};
pub use model::{
    AccessLog, Admin, Balance, Config, HostRule, HttpListener, IdleRule, Listener, LogFormat,
    OnError, PathRule, Protocol, Route, TcpListener, Upstream, UpstreamEndpoint, WEIGHT_DEFAULT,
    WEIGHT_MAX,
};
pub use reference::reference;
pub use schema::schema;
pub use source::{Location, Source};
pub use span::{Span, Spanned};

use report::Report;

/// Reads a file's bytes. The configuration is there exactly if no diagnostic is an error; the
/// diagnostics are in the order of the file, which `file_name` stands for in them.
pub fn parse(file_name: &str, text: &[u8]) -> (Option<Config>, Vec<Diagnostic>) {
    if text.len() > syntax::FILE_BYTES_MAX {
        return (None, too_large(file_name, text.len()));
    }
    let source = Source::new(file_name, text);
    let mut report = Report::new(&source);
    syntax::check_bytes(text, &mut report);
    if report.has_errors() {
        return (None, report.finish());
    }
    let Some(root) = syntax::parse(&source, &mut report) else {
        return (None, report.finish());
    };
    let config = read::config(&root, &mut report);
    check::check(&config, &mut report);
    (Some(config).filter(|_| !report.has_errors()), report.finish())
}

/// Judges a configuration that no file holds, as [`parse`] judges one that it has read:
///
/// ```
/// use fairwater_config::{Config, HttpListener, Listener, Protocol, Upstream, check};
/// use fairwater_message::address::{Endpoint, Listen};
///
/// let bind = Listen::parse(":8080")?;
/// let protocol = Protocol::Http(HttpListener::default());
/// let endpoints = [Endpoint::parse("127.0.0.1:9001")?, Endpoint::parse("tcp://127.0.0.1:9001")?];
/// let config = Config {
///     listeners: vec![Listener::new("proxy", bind, protocol, "proxy")],
///     upstreams: vec![Upstream::new("proxy", endpoints)],
///     ..Config::default()
/// };
/// let diagnostics = check(&config);
/// assert_eq!(diagnostics[0].message, "upstream `proxy` has the endpoint `127.0.0.1:9001` twice");
/// # Ok::<(), fairwater_message::address::AddressError>(())
/// ```
pub fn check(config: &Config) -> Vec<Diagnostic> {
    let source = Source::new("", b"");
    let mut report = Report::new(&source);
    check::check(config, &mut report);
    report.finish()
}

fn too_large(file_name: &str, bytes: usize) -> Vec<Diagnostic> {
    let source = Source::new(file_name, b"");
    let mut report = Report::new(&source);
    report.add(
        &code::FILE_TOO_LARGE,
        Span { start: 0, end: 0 },
        format!("the file has {bytes} bytes, and at most {} are read", syntax::FILE_BYTES_MAX),
        "",
        "check the path: this is probably not a configuration",
    );
    report.finish()
}
