//! Addresses as people write them, normalised to one identity.
//!
//! Two spellings of one address compare equal and display alike, so that duplicates are found and
//! counters, sticky tables and overrides that are keyed by the text survive a respelling.
//! Nothing here resolves names or touches the file system.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What `sun_path` holds beside its final NUL (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// The longest host name in its text form (RFC 1035, section 2.3.4, less the root label).
pub const HOST_NAME_BYTES_MAX: usize = 253;

/// The longest label of a host name (RFC 1035, section 2.3.4).
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// Where an endpoint is reached. `Display` gives its one identity: `1.2.3.4:80`, `[::1]:80`,
/// `app.example:80`, `srv://_http._tcp.app.example` or `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// The port is never 0. IPv4-mapped IPv6 addresses stay as they were written.
    Ip(SocketAddr),
    /// `host` is lower-case, without a final dot, and no IP address.
    Name { host: String, port: u16 },
    /// The owner of SRV records (RFC 2782), which name hosts and ports; in the form of a host name.
    Service(String),
    /// Absolute, without doubled slashes and `.` components; `..` stays, as links may precede it.
    Unix(PathBuf),
}

/// Where a listener waits. Port 0 lets the kernel choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Listen {
    /// Every address of the machine, IPv4 and IPv6: written `:80` or `*:80`, displayed `:80`.
    Any { port: u16 },
    /// One address. `0.0.0.0` is all of IPv4 alone, `[::]` all of IPv6 alone.
    Ip(SocketAddr),
    /// As [`Endpoint::Unix`].
    Unix(PathBuf),
}

impl Listen {
    /// Of TCP.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Any { port } => Some(*port),
            Self::Ip(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

/// Why a text is no address: what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    problem: String,
    remedy: String,
}

impl Endpoint {
    /// Reads `host:port`, `1.2.3.4:port`, `[::1]:port`, `tcp://host:port`, `http://host[:port][/]`,
    /// `srv://name`, `unix:/path`, `unix:///path` or plain `/path`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match Written::parse(text, Role::Endpoint)? {
            Written::Unix(path) => return Ok(Self::Unix(path)),
            Written::Service(name) => return Ok(Self::Service(name)),
            Written::Port { host, port } => (host, port),
        };
        if port == 0 {
            return Err(AddressError::new(
                format!("`{text}` has port 0, to which nothing can connect"),
                "write the port that the endpoint listens on, from 1 to 65535",
            ));
        }
        match host {
            Host::Any => Err(AddressError::new(
                format!("`{text}` has no host, so there is nothing to connect to"),
                format!("for an endpoint on this machine write `127.0.0.1:{port}`"),
            )),
            Host::Ip(ip) => Ok(Self::Ip(SocketAddr::new(ip, port))),
            // Its identity would read as a socket path.
            Host::Name(host) if host == "unix" => Err(AddressError::new(
                "a host of the name `unix` cannot be told from a socket path",
                "write the host's full name or its IP address",
            )),
            Host::Name(host) => Ok(Self::Name { host, port }),
        }
    }
}

impl Listen {
    /// Reads `:port`, `*:port` and every form of [`Endpoint::parse`] but host names, which are not
    /// resolved for listening.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match Written::parse(text, Role::Listen)? {
            Written::Unix(path) => return Ok(Self::Unix(path)),
            Written::Service(_) => {
                return Err(AddressError::new(
                    format!("`{text}` is a name to look up, and listening needs an IP address"),
                    "write `:PORT`, `ADDRESS:PORT` or `unix:/PATH`",
                ));
            }
            Written::Port { host, port } => (host, port),
        };
        match host {
            Host::Any => Ok(Self::Any { port }),
            Host::Ip(ip) => Ok(Self::Ip(SocketAddr::new(ip, port))),
            Host::Name(host) if host == "localhost" => Err(AddressError::new(
                "`localhost` is a host name, and listening needs an IP address",
                format!("write `127.0.0.1:{port}`, or `[::1]:{port}` for IPv6"),
            )),
            Host::Name(host) => Err(AddressError::new(
                format!("`{host}` is a host name, and listening needs an IP address"),
                format!("write the IP address, or `:{port}` for all addresses of this machine"),
            )),
        }
    }
}

impl AddressError {
    /// Both are clauses without a full stop.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }

    /// What is wrong, as a clause without a full stop.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to write instead, as a clause without a full stop.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.remedy)
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Service(name) => write!(f, "srv://{name}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any { port } => write!(f, ":{port}"),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl FromStr for Listen {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// What the address is for: the remedies differ.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Endpoint,
    Listen,
}

/// An address before the rules of its role are applied.
enum Written {
    Unix(PathBuf),
    Service(String),
    Port { host: Host, port: u16 },
}

enum Host {
    /// Nothing, or `*`.
    Any,
    Ip(IpAddr),
    Name(String),
}

impl Written {
    fn parse(text: &str, role: Role) -> Result<Self, AddressError> {
        check_characters(text, role)?;
        if role == Role::Endpoint {
            check_parameters(text)?;
        }
        if let Some(rest) = strip_prefix_any_case(text, "unix:") {
            return unix_path(text, rest).map(Self::Unix);
        }
        if text.starts_with('/') {
            return unix_path(text, text).map(Self::Unix);
        }
        if let Some(rest) = strip_prefix_any_case(text, "srv://") {
            return service_name(text, rest).map(Self::Service);
        }
        let (rest, port_default) = strip_scheme(text)?;
        let (host, port) = split_port(rest, role)?;
        let port = match (port, port_default) {
            (Some(port), _) => parse_port(port)?,
            (None, Some(port)) => port,
            (None, None) => return Err(port_missing(rest, role)),
        };
        Ok(Self::Port { host: read_host(host)?, port })
    }
}

fn check_characters(text: &str, role: Role) -> Result<(), AddressError> {
    let example = match role {
        Role::Endpoint => "write `HOST:PORT` or `unix:/PATH`",
        Role::Listen => "write `:PORT`, `ADDRESS:PORT` or `unix:/PATH`",
    };
    if text.is_empty() {
        return Err(AddressError::new("the address is empty", example));
    }
    if text.contains('\0') {
        return Err(AddressError::new("the address contains a NUL character", "remove it"));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        let problem = format!("the address contains the control character {control:?}");
        return Err(AddressError::new(problem, "remove it"));
    }
    if text.trim() != text {
        let problem = format!("`{text}` begins or ends with white space");
        return Err(AddressError::new(problem, "remove it"));
    }
    Ok(())
}

/// Finds words behind an endpoint that nginx has there, and no path of a socket.
fn check_parameters(text: &str) -> Result<(), AddressError> {
    let mut words = text.split_ascii_whitespace();
    let address = words.next().unwrap_or_default();
    let mut settings = String::new();
    let mut rest = words.peekable();
    if rest.peek().is_none() {
        return Ok(());
    }
    for word in rest {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match (name, value) {
            ("weight", _) if is_number => settings += &format!(", weight = {value}"),
            ("max_conns", _) if is_number => settings += &format!(", max_concurrency = {value}"),
            ("backup", "") => settings += ", backup = true",
            ("down", "") => settings += ", weight = 0",
            // These are settings of the upstream.
            ("max_fails" | "fail_timeout" | "slow_start", _) | ("resolve", "") => {}
            _ => return Ok(()),
        }
    }
    Err(AddressError::new(
        format!("`{text}` has more than an address in it"),
        format!("write a table: `{{ address = \"{address}\"{settings} }}`"),
    ))
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `rest` is what followed `unix:`, or all of `text`.
fn unix_path(text: &str, rest: &str) -> Result<PathBuf, AddressError> {
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
    if path.is_empty() || path == "//" {
        let problem = format!("`{text}` has no path");
        return Err(AddressError::new(problem, "write `unix:/PATH`"));
    }
    if !path.starts_with('/') || (rest.starts_with("//") && path.len() == rest.len()) {
        return Err(AddressError::new(
            format!("the path of `{text}` is not absolute"),
            "write `unix:/PATH` with the whole path from the root",
        ));
    }
    if path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") {
        return Err(AddressError::new(
            format!("`{text}` names a directory"),
            "write the path of the socket itself",
        ));
    }
    let path: PathBuf = PathBuf::from(path).components().collect();
    let path_bytes = path.as_os_str().len();
    if path_bytes > UNIX_PATH_BYTES_MAX {
        return Err(AddressError::new(
            format!(
                "the socket path has {path_bytes} bytes, and the kernel takes at most {UNIX_PATH_BYTES_MAX}"
            ),
            "put the socket in a directory with a shorter name, such as /run",
        ));
    }
    Ok(path)
}

/// `rest` is what followed `srv://`.
fn service_name(text: &str, rest: &str) -> Result<String, AddressError> {
    let name = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((name, _)) = name.split_once(':') {
        return Err(AddressError::new(
            format!("`{text}` has a port, and SRV records say theirs"),
            format!("write `srv://{name}`, or `{name}:PORT` for the addresses of the name itself"),
        ));
    }
    if let Some((_, path)) = name.split_once('/') {
        return Err(path_refused(text, path));
    }
    if name.is_empty() {
        let problem = format!("`{text}` has no name");
        return Err(AddressError::new(problem, "write `srv://_http._tcp.app.example`"));
    }
    parse_host_name(name)
}

/// Gives the `host[:port]` part and the port that the scheme implies.
fn strip_scheme(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if let Some((_, path)) = text.split_once('/') {
            return Err(path_refused(text, path));
        }
        return Ok((text, None));
    };
    let port_default = match scheme.to_ascii_lowercase().as_str() {
        "tcp" => None,
        "http" => Some(80),
        "https" => {
            return Err(AddressError::new(
                format!("`{text}` asks for TLS, which is a setting beside the address"),
                "write `HOST:PORT`, and `tls = true` in the upstream; to listen, `tls = { cert = .. }`",
            ));
        }
        "h2" | "h2c" | "grpc" => {
            return Err(AddressError::new(
                format!("`{text}` asks for HTTP/2, which is a setting beside the address"),
                "write `HOST:PORT`, and `http2 = true` in the upstream; listeners have it by default",
            ));
        }
        "grpcs" => {
            return Err(AddressError::new(
                format!("`{text}` asks for HTTP/2 over TLS, which are settings beside the address"),
                "write `HOST:PORT`, and `tls = true` in the upstream, which agrees on HTTP/2 there",
            ));
        }
        "ws" | "wss" => {
            let tls = match scheme.eq_ignore_ascii_case("ws") {
                true => "",
                false => ", and `tls = true` in the upstream",
            };
            return Err(AddressError::new(
                format!("`{scheme}://` is not written in an address: WebSocket passes as HTTP"),
                format!("write `HOST:PORT`{tls}"),
            ));
        }
        _ => {
            return Err(AddressError::new(
                format!("`{scheme}://` is not a known scheme"),
                "write `HOST:PORT`, `tcp://HOST:PORT`, `http://HOST:PORT`, `srv://NAME` or `unix:/PATH`",
            ));
        }
    };
    match rest.split_once('/') {
        None | Some((_, "")) => Ok((rest.strip_suffix('/').unwrap_or(rest), port_default)),
        Some((_, path)) => Err(path_refused(text, path)),
    }
}

fn path_refused(text: &str, path: &str) -> AddressError {
    let kept = text.strip_suffix(path).unwrap_or(text);
    AddressError::new(
        format!("`{text}` has the path `/{path}`, and an address has none"),
        format!("write `{}`: paths belong to routes", kept.trim_end_matches('/')),
    )
}

/// Splits at the colon before the port. A bracketed host keeps its brackets.
fn split_port(text: &str, role: Role) -> Result<(&str, Option<&str>), AddressError> {
    if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            let problem = format!("`{text}` has no closing `]`");
            return Err(AddressError::new(problem, "write `[ADDRESS]:PORT`"));
        };
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(AddressError::new(
                format!("`{rest}` follows the closing `]` of `{text}`"),
                "write `[ADDRESS]:PORT`",
            )),
        };
    }
    match text.bytes().filter(|byte| *byte == b':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))),
        _ if role == Role::Listen && text == "::" => Err(AddressError::new(
            "`::` has no port, and an IPv6 address needs brackets",
            "write `[::]:PORT`, or `:PORT` for IPv4 and IPv6",
        )),
        _ => Err(AddressError::new(
            format!("`{text}` has several colons: an IPv6 address needs brackets"),
            "write `[ADDRESS]:PORT`, as in `[::1]:8080`",
        )),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let remedy = "write a number from 1 to 65535";
    if text.is_empty() {
        return Err(AddressError::new("nothing follows the colon before the port", remedy));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::new(format!("the port `{text}` is not a number"), remedy));
    }
    text.parse().map_err(|_| AddressError::new(format!("the port {text} is above 65535"), remedy))
}

fn port_missing(text: &str, role: Role) -> AddressError {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let remedy = match role {
        _ if text.is_empty() => "write `HOST:PORT` or `unix:/PATH`".to_owned(),
        Role::Listen if is_number => format!("for port {text} on all addresses write `:{text}`"),
        Role::Endpoint if is_number => format!("for port {text} here write `127.0.0.1:{text}`"),
        Role::Listen | Role::Endpoint => format!("add the port, as in `{text}:8080`"),
    };
    AddressError::new(format!("`{text}` has no port"), remedy)
}

fn read_host(text: &str) -> Result<Host, AddressError> {
    if text.is_empty() || text == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // An address of IPv4 written as one of IPv6 is that address.
        return parse_ipv6(inner).map(|ip| Host::Ip(IpAddr::from(ip).to_canonical()));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    parse_host_name(text).map(Host::Name)
}

fn parse_ipv6(text: &str) -> Result<Ipv6Addr, AddressError> {
    if let Some((address, zone)) = text.split_once('%') {
        return Err(AddressError::new(
            format!("the IPv6 address `{address}` has the zone `{zone}`, which is not supported"),
            "use an address that is not link-local",
        ));
    }
    text.parse().map_err(|_| {
        AddressError::new(
            format!("`{text}` is not an IPv6 address"),
            "write it as in `[::1]:8080`, or leave the brackets away for a host name",
        )
    })
}

/// Reads a host without a port: a name, an IPv4 address or an IPv6 address in brackets. Gives its
/// one spelling: lower-case, without a final dot, addresses in their shortest form.
pub fn parse_host(text: &str) -> Result<String, AddressError> {
    match read_host(text)? {
        Host::Ip(IpAddr::V4(ip)) => Ok(ip.to_string()),
        Host::Ip(IpAddr::V6(ip)) => Ok(format!("[{ip}]")),
        Host::Name(name) => Ok(name),
        Host::Any if text.is_empty() => {
            Err(AddressError::new("the host name is empty", "write a host name"))
        }
        Host::Any => Err(AddressError::new("`*` is not a host name", "write a host name")),
    }
}

/// Reads a host name (RFC 952 and RFC 1123, and `_`, which container networks use): lower-cased,
/// one final dot removed. A name that ends in a number is refused, since resolvers would take it
/// for an IPv4 address in one of its old forms (127.1, 0x7f.1, 010.0.0.1).
fn parse_host_name(text: &str) -> Result<String, AddressError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if let Some(wrong) = name.chars().find(|c| !is_host_character(*c)) {
        let remedy = if wrong.is_ascii() {
            "a host name has letters, digits, `-`, `_` and dots"
        } else {
            "write an international name in its ASCII form, as in `xn--bcher-kva.example`"
        };
        return Err(AddressError::new(format!("`{text}` has {wrong:?} in the host name"), remedy));
    }
    if name.len() > HOST_NAME_BYTES_MAX {
        return Err(AddressError::new(
            format!(
                "the host name has {} bytes, and at most {HOST_NAME_BYTES_MAX} are allowed",
                name.len()
            ),
            "write a shorter one",
        ));
    }
    for label in name.split('.') {
        check_label(text, label)?;
    }
    let last = name.rsplit('.').next().unwrap_or(&name);
    let is_hex =
        last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::new(
            format!("`{text}` is neither an IPv4 address nor a host name"),
            "write four numbers from 0 to 255 without leading zeros, as in `10.0.0.1`",
        ));
    }
    Ok(name)
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn check_label(text: &str, label: &str) -> Result<(), AddressError> {
    if label.is_empty() {
        let problem = format!("the host name `{text}` has an empty part between its dots");
        return Err(AddressError::new(problem, "remove the dot"));
    }
    if label.len() > HOST_LABEL_BYTES_MAX {
        return Err(AddressError::new(
            format!(
                "`{label}` has {} bytes, and a part of a host name has at most {HOST_LABEL_BYTES_MAX}",
                label.len()
            ),
            "write a shorter one",
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        let problem = format!("`{label}` in the host name begins or ends with `-`");
        return Err(AddressError::new(problem, "remove the `-`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
