//! TOML text to [`Config`]: what was written, typed, with spans; every problem of a file in one go.
//! And TOML text to the same in the one format that all files share ([`format()`]).
//! Never does IO, and knows nothing of plans, sockets or workers.

mod check;
mod check_effect;
mod check_limits;
mod check_messages;
mod check_udp;
mod code;
mod declare;
mod diagnostic;
mod foreign;
mod format;
mod include;
mod load;
mod model;
mod quantity;
mod read;
mod reader;
mod reference;
mod report;
mod schema;
mod source;
mod span;
mod suggest;
mod syntax;
mod unknown;
mod variable;
mod written;

pub use check::app_directory;
pub use code::{CODES, Code, Severity, explain};
pub use diagnostic::{Diagnostic, render};
pub use format::{Unformatted, format, format_files};
pub use include::Surroundings;
pub use load::{Places, load, parse, places};
pub use model::{
    AccessLog, Admin, Agent, App, AppAddress, AppReady, AppSignal, AppTimeouts, Balance, BasicAuth,
    Certificate, Check, CheckKind, CircuitBreaker, Condition, Config, CookieSecure, Cors, Crowd,
    Destination, EndpointRole, EndpointTls, ErrorEntry, ErrorPage, Expectation, Filters,
    FixedReply, FrameErrors, FrameMode, FramedListener, HeaderEdits, Health, HostMatch, HostRule,
    HttpCheck, HttpListener, IdleRule, Listener, ListenerLimits, ListenerTimeouts, ListenerTls,
    LogFormat, LogTarget, MemoryMark, OnError, Origin, Origins, Outlier, Overlay, Overload,
    PageFormat, PathEdit, PathRule, PathSegment, Payload, Ping, Pool, Priority, Probe, Process,
    Protocol, ProxyProtocol, ProxyVersion, RateCounts, RateKey, RateLimit, RateTelling, Redirect,
    Repeatable, Resolver, Retry, Route, RouteTimeouts, RoutingTest, SameSite, Shutdown, Statuses,
    Sticky, StickyCookie, TcpListener, TestRequest, UdpListener, Upstream, UpstreamEndpoint,
    UpstreamTimeouts, ValueMatch, WEIGHT_DEFAULT, WEIGHT_MAX, WhenFull,
};
pub use read::THREADS_MAX;
pub use reference::reference;
pub use schema::schema;
pub use source::{Location, Source, Sources};
pub use span::{Span, Spanned};
pub use syntax::FILE_BYTES_MAX;

use report::Report;

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
    let mut report = Report::default();
    check::check(config, &mut report);
    report.finish()
}
