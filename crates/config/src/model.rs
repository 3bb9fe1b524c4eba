//! What was written, typed, with every default filled in. Names still stand for what they name:
//! compiling a plan resolves them, and may count on each reference to resolve.

mod app;
mod filter;
mod framed;
mod health;
mod overload;
mod proxy_protocol;

mod rate_limit;
mod resilience;
mod sticky;
mod test;
mod tls;
mod udp;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairwater_message::HeadLimits;
use fairwater_message::address::{Endpoint, Listen};
use fairwater_message::log::Template;
use fairwater_message::network::IpNet;
use fairwater_message::secret::SecretNames;

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::span::{Span, Spanned};
pub use app::{App, AppAddress, AppReady, AppSignal, AppTimeouts};
pub use filter::{
    BasicAuth, Cors, Destination, ErrorEntry, ErrorPage, Filters, FixedReply, HeaderEdits, Origin,
    Origins, Overlay, PageFormat, PathEdit, Probe, Redirect, Statuses,
};
pub use framed::{FrameErrors, FrameMode, FramedListener, Payload, Ping, Pool};
pub use health::{Agent, Check, CheckKind, EndpointRole, Health, HttpCheck, Outlier};
pub use overload::{MemoryMark, Overload};
pub use proxy_protocol::{ProxyProtocol, ProxyVersion};
pub use rate_limit::{RateCounts, RateKey, RateLimit, RateTelling};
pub use resilience::{CircuitBreaker, Crowd, Priority, Repeatable, Retry};
pub use sticky::{CookieSecure, SameSite, Sticky, StickyCookie};
pub use test::{Expectation, RoutingTest, TestRequest};
pub use tls::{Certificate, EndpointTls, ListenerTls};
pub use udp::UdpListener;

/// A whole configuration. The lists are in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Data threads; absent means what the cgroup quota and the affinity allow.
    pub threads: Option<Spanned<NonZeroUsize>>,
    /// Where what was set at run time is kept; absolute. Absent means nowhere.
    pub state_dir: Option<Spanned<PathBuf>>,
    /// For sockets.
    pub run_dir: Option<Spanned<PathBuf>>,
    pub access_log: AccessLog,
    pub admin: Admin,
    pub resolver: Resolver,
    pub overload: Overload,
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
    pub upstreams: Vec<Upstream>,
    pub apps: Vec<App>,
    pub rate_limits: Vec<RateLimit>,
    /// Connections at a time, of all listeners; absent means what the descriptors allow.
    pub max_connections: Option<Spanned<NonZeroU32>>,
    /// Changes of the files are taken in by themselves.
    pub watch: bool,
    pub shutdown: Shutdown,
    pub process: Process,
    pub tests: Vec<RoutingTest>,
    pub sources: Sources,
    /// All of it as JSON, as it was written: variables by their names, defaults filled in. Empty
    /// if no text was read.
    pub written: Arc<str>,
}

impl Config {
    /// A certificate that is, or will soon be, of no use.
    pub fn certificate_expires(&self, span: Span, message: String) -> Diagnostic {
        let (location, label) = (self.sources.locate(span), String::new());
        let help = "have it renewed, and reload".to_owned();
        Diagnostic { code: &code::CERTIFICATE_EXPIRES, message, location, label, help }
    }

    /// A private key that others may read.
    pub fn key_is_open(&self, span: Span, message: String, help: String) -> Diagnostic {
        let (location, label) = (self.sources.locate(span), String::new());
        Diagnostic { code: &code::KEY_IS_OPEN, message, location, label, help }
    }

    /// Warnings that are counted only.
    pub fn more_warnings(&self, count: usize) -> Diagnostic {
        Diagnostic::more(&code::MORE_WARNINGS, count, "warnings")
    }

    /// A test whose request becomes something else.
    pub fn test_failed(&self, span: Span, message: String, help: String) -> Diagnostic {
        let location = self.sources.locate(span);
        Diagnostic { code: &code::TEST_FAILED, message, location, label: String::new(), help }
    }
}

/// What a process is on its system.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Who the worker is: a name or a number. Absent means who starts it.
    pub user: Option<Spanned<String>>,
    /// Absent means that of the user. Never without a user.
    pub group: Option<Spanned<String>>,
    pub core_dumps: bool,
    /// Holds the number of the process, and the lock of it.
    pub pid_file: Option<PathBuf>,
    /// Takes the standard output and error of a daemon.
    pub log_file: Option<PathBuf>,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// From the order to stop until nothing new is accepted.
    pub delay: Duration,
    /// From then on, for what runs.
    pub drain: Duration,
    /// The same for a process that another one has replaced.
    pub replaced: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            drain: Duration::from_secs(25),
            replaced: Duration::from_secs(3600),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessLog {
    pub format: LogFormat,
    pub target: LogTarget,
    /// Parameters whose values no line tells.
    pub hide_query: SecretNames,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Json,
    /// The "combined" lines of Apache httpd and nginx.
    Combined,
    Template(Template),
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    #[default]
    StandardOutput,
    File(PathBuf),
    /// A Unix socket that the receiver has bound.
    Socket(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// The Unix socket of the admin API; absent means none.
    pub socket: Option<Spanned<PathBuf>>,
}

/// Who is asked for the addresses of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolver {
    /// In place of those in /etc/resolv.conf; empty means those.
    pub servers: Vec<SocketAddr>,
    /// For one question at one server; absent means what /etc/resolv.conf says.
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct Listener {
    /// The `name` of `[listeners.name]`.
    pub name: Spanned<String>,
    /// At least one; no address is bound twice over all listeners.
    pub bind: Vec<Spanned<Listen>>,
    pub protocol: Protocol,
    /// Peers say first whose connection it is.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Clients speak TLS.
    pub tls: Option<ListenerTls>,
    /// Takes everything that no route takes. For TCP and UDP always an upstream; for HTTP there is
    /// this, or a route, or both.
    pub destination: Option<Destination>,
    /// For HTTP only.
    pub filters: Filters,
    /// Names of those that hold for all that comes in.
    pub rate_limits: Vec<Spanned<String>>,
    pub timeouts: ListenerTimeouts,
    pub limits: ListenerLimits,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a whole request head, or a whole message, from its first byte.
    pub head: Duration,
    /// Between two requests; of a raw connection without a byte.
    pub idle: Duration,
    /// Without a byte of a body, each way.
    pub body: Duration,
    /// Of an upgraded connection without a byte.
    pub tunnel: Duration,
    /// For the second direction after the first was closed.
    pub half_close: Duration,
}

impl ListenerTimeouts {
    pub fn of(protocol: &Protocol) -> Self {
        let idle = match protocol {
            Protocol::Http(_) => 75,
            Protocol::Tcp(_) | Protocol::Framed(_) => 600,
            Protocol::Udp(_) => 60,
        };
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(idle),
            body: Duration::from_secs(30),
            tunnel: Duration::from_secs(3600),
            half_close: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections that the kernel holds until they are accepted.
    pub backlog: u32,
    /// Whether the machine need not have the addresses yet.
    pub freebind: bool,
    /// Connections at a time; absent means no limit but that of all listeners.
    pub connections: Option<NonZeroU32>,
    /// Connections at a time of one client.
    pub connections_per_client: Option<NonZeroU32>,
    /// What becomes of those beyond.
    pub when_full: WhenFull,
    /// TLS handshakes that are under way at a time.
    pub handshakes: Option<NonZeroU32>,
    /// Those that begin in a second.
    pub handshake_rate: Option<NonZeroU32>,
    /// Proxies that a request may have passed before.
    pub hops: u16,
    pub head: HeadLimits,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            backlog: 4096,
            freebind: false,
            connections: None,
            connections_per_client: None,
            handshakes: None,
            handshake_rate: None,
            when_full: WhenFull::default(),
            hops: 10,
            head: HeadLimits::DEFAULT,
        }
    }
}

/// What becomes of a connection beyond `max_connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits in the backlog.
    #[default]
    Wait,
    /// It gets a 503, or for TCP a reset.
    Reject,
}

/// The protocol of a listener, with the settings that it alone has.
#[derive(Debug, Clone)]
pub enum Protocol {
    Http(HttpListener),
    Tcp(TcpListener),
    /// Messages over TCP.
    Framed(Box<FramedListener>),
    Udp(UdpListener),
}

#[derive(Debug, Clone)]
pub struct HttpListener {
    /// Peers whose X-Forwarded-* and Forwarded are extended instead of replaced.
    pub trusted_proxies: Vec<Spanned<IpNet>>,
    /// Beside HTTP/1.1.
    pub http2: bool,
}

impl Default for HttpListener {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), http2: true }
    }
}

#[derive(Debug, Clone, Default)]
pub struct TcpListener {
    pub on_error: OnError,
    pub idle: IdleRule,
}

/// Bytes that a TCP client is sent before its connection is closed for a fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnError {
    /// No endpoint could be connected to.
    pub connect: Option<Vec<u8>>,
    /// The endpoint closed without having sent a byte.
    pub empty: Option<Vec<u8>>,
}

/// Which bytes keep a TCP connection from being idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdleRule {
    #[default]
    Both,
    /// Only those of the client: a heartbeat.
    Client,
}

/// One `[[routes]]`. No two routes of a listener have the same host, path and conditions.
#[derive(Debug, Clone)]
pub struct Route {
    /// The header line of the table.
    pub span: Span,
    pub listener: Spanned<String>,
    /// Absent means every host.
    pub host: Option<Spanned<HostMatch>>,
    pub path: PathRule,
    /// All must hold; in one order, so that equal ones are equal.
    pub conditions: Vec<Condition>,
    pub destination: Destination,
    pub filters: Filters,
    /// Beside those of the listener.
    pub rate_limits: Vec<Spanned<String>>,
    pub timeouts: RouteTimeouts,
    /// A setting that means nothing where no requests are seen.
    pub of_http: Option<Span>,
}

/// Where a route says otherwise than its listener and its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteTimeouts {
    pub response: Option<Duration>,
    pub body: Option<Duration>,
    pub tunnel: Option<Duration>,
}

/// Lower-case, without port and final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    Exact(String),
    /// All hosts with this end and more before it; it begins with a dot.
    Wildcard(String),
}

/// What a route asks of a request beside host and path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    Method(Vec<String>),
    Header { name: String, value: ValueMatch },
    Query { name: String, value: ValueMatch },
    Client(Vec<IpNet>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueMatch {
    Present,
    Absent,
    Is(String),
}

/// Which paths a route takes, in their normal form: decoded once, no dot segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum PathRule {
    /// Every target, also `*` (of OPTIONS).
    #[default]
    Any,
    Exact(String),
    /// `/x` takes `/x` and all below `/x/`; never empty, no final slash.
    Prefix(String),
    /// Segments with captures among them; as a prefix it takes all below as well.
    Pattern {
        segments: Vec<PathSegment>,
        is_prefix: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathSegment {
    Literal(String),
    /// Any segment that is not empty, under a name.
    Capture(String),
}

/// As it is written; nothing for every path.
impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(path) => write!(f, "{path}/*"),
            Self::Pattern { segments, is_prefix } => {
                for segment in segments {
                    match segment {
                        PathSegment::Literal(text) => write!(f, "/{text}")?,
                        PathSegment::Capture(name) => write!(f, "/{{{name}}}")?,
                    }
                }
                if *is_prefix { f.write_str("/*") } else { Ok(()) }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Upstream {
    /// The `name` of `[upstreams.name]`.
    pub name: Spanned<String>,
    /// No address twice; at least one weight above 0, if there are any.
    pub endpoints: Vec<UpstreamEndpoint>,
    /// The app whose processes are endpoints as well; without one there are endpoints.
    pub apps: Option<Spanned<String>>,
    pub balance: Balance,
    /// It was written: where it was not, the listeners that send there decide.
    pub has_balance: bool,
    /// Absent means that nothing stays.
    pub sticky: Option<Spanned<Sticky>>,
    /// Connections to this upstream, over all threads; absent means no limit.
    pub max_connections: Option<Spanned<NonZeroU32>>,
    /// Bodies of requests are read up to so many bytes before there is an endpoint; absent means
    /// not at all.
    pub buffer_requests: Option<u32>,
    pub host: HostRule,
    /// Endpoints speak TLS.
    pub tls: Option<EndpointTls>,
    /// Whether HTTP/2 is spoken; absent leaves it to the handshake of TLS, and is HTTP/1.1 in
    /// clear.
    pub http2: Option<bool>,
    /// Endpoints are told first whose connection it is, and each request has its own.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Whether a connection is used for another request; else each has a new one.
    pub keep_alive: bool,
    /// Requests per connection to an endpoint; absent means no limit.
    pub max_requests: Option<Spanned<NonZeroU32>>,
    /// How old a connection to an endpoint may get; absent means no limit.
    pub max_connection_age: Option<Duration>,
    /// Accept LF-only lines and obs-fold in replies.
    pub relaxed_responses: bool,
    pub head: HeadLimits,
    pub timeouts: UpstreamTimeouts,
    pub retry: Retry,
    pub crowd: Crowd,
    /// Absent means that the upstream is always asked.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Endpoints are checked.
    pub health: Option<Health>,
    pub agent: Option<Agent>,
    /// Absent means that endpoints are never ejected.
    pub outlier: Option<Outlier>,
    /// How long an endpoint that comes back has less than its share; 0 is not at all.
    pub slow_start: Duration,
    /// Percent of good endpoints below which health is not looked at; 0 is never.
    pub panic_threshold: u32,
    /// Settings that make sense for gRPC alone, where they stand.
    pub of_grpc: Vec<Spanned<&'static str>>,
    /// For messages.
    pub pool: Pool,
    /// Settings that are written and may be without effect, where they stand.
    pub doubtful: Vec<Spanned<&'static str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To connect to an address of an endpoint.
    pub connect: Duration,
    /// From the end of a request to the head of its reply.
    pub response: Duration,
    /// Of a connection in the pool.
    pub idle: Duration,
    /// For room at `max_connections` or `max_concurrency`.
    pub queue: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(4),
            queue: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Clone)]
pub struct UpstreamEndpoint {
    pub address: Spanned<Endpoint>,
    /// 0 to [`WEIGHT_MAX`]; 0 takes no traffic.
    pub weight: u16,
    pub role: EndpointRole,
}

/// Enough for shares of a tenth of a percent; a full turn of the round robin stays short.
pub const WEIGHT_MAX: u16 = 1000;

/// The weight of an endpoint that names none.
pub const WEIGHT_DEFAULT: u16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    #[default]
    RoundRobin,
    Random,
    LeastConnections,
    SourceHash,
    KeyHash,
}

/// The Host that endpoints get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostRule {
    /// The one of the client.
    #[default]
    Keep,
    /// The endpoint's own `host:port`; `localhost` for a Unix socket, which has none.
    Endpoint,
    /// `host` or `host:port`, lower-case.
    Literal(String),
}

impl Protocol {
    /// Whether it shows no requests of HTTP: bytes, messages or datagrams pass as they come.
    pub fn is_raw(&self) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Tcp(_) | Self::Framed(_) | Self::Udp(_) => true,
        }
    }

    /// Whether datagrams come in, not connections.
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// What carries it, in words for people.
    pub fn transport(&self) -> &'static str {
        if self.is_udp() { "UDP" } else { "TCP" }
    }
}

impl Listener {
    /// A listener that sends everything to one upstream.
    pub fn new(name: &str, bind: Listen, protocol: Protocol, upstream: &str) -> Self {
        Self {
            name: name.to_owned().into(),
            bind: vec![bind.into()],
            timeouts: ListenerTimeouts::of(&protocol),
            proxy_protocol: None,
            tls: None,
            limits: ListenerLimits::default(),
            protocol,
            destination: Some(Destination::Upstream(upstream.to_owned().into())),
            filters: Filters::default(),
            rate_limits: Vec::new(),
        }
    }
}

impl Upstream {
    /// An upstream of equal endpoints with every other setting at its default.
    pub fn new(name: &str, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let endpoints = endpoints.into_iter().map(UpstreamEndpoint::new).collect();
        Self {
            name: name.to_owned().into(),
            endpoints,
            apps: None,
            balance: Balance::default(),
            has_balance: false,
            sticky: None,
            max_connections: None,
            buffer_requests: None,
            host: HostRule::default(),
            tls: None,
            http2: None,
            proxy_protocol: None,
            keep_alive: true,
            max_requests: None,
            max_connection_age: None,
            relaxed_responses: false,
            head: HeadLimits::DEFAULT,
            timeouts: UpstreamTimeouts::default(),
            retry: Retry::default(),
            crowd: Crowd::default(),
            circuit_breaker: None,
            health: None,
            agent: None,
            outlier: Some(Outlier::default()),
            slow_start: Duration::ZERO,
            panic_threshold: 0,
            of_grpc: Vec::new(),
            pool: Pool::default(),
            doubtful: Vec::new(),
        }
    }

    /// Whether requests may be sent over HTTP/2.
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.http2.unwrap_or(self.tls.is_some())
    }

    /// Whether it has only so many exchanges at a time, as a whole or at an endpoint.
    pub fn limits_concurrency(&self) -> bool {
        self.crowd.max.is_some() || self.endpoints.iter().any(|one| one.role.concurrency.is_some())
    }
}

impl UpstreamEndpoint {
    pub fn new(address: Endpoint) -> Self {
        Self { address: address.into(), weight: WEIGHT_DEFAULT, role: EndpointRole::default() }
    }
}
