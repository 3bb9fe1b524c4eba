//! What can only be judged on the whole: references, and things that are there twice or for
//! nothing. Each check is linear, so that files of tens of thousands of routes load at once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use fairwater_message::address::{Endpoint, Listen, UNIX_PATH_BYTES_MAX};

use crate::check_effect;
use crate::check_limits;
use crate::check_messages;
use crate::check_udp;
use crate::code::{self, Code};
use crate::model::{
    App, AppAddress, Condition, Config, Destination, HostMatch, Listener, PathRule, PathSegment,
    Protocol, Route, Sticky, Upstream,
};
use crate::read::UNREAD;
use crate::reader::listed;
use crate::report::Report;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;

/// More names than this make a help line unreadable.
const NAMES_LISTED_MAX: usize = 8;

pub(crate) fn check(config: &Config, report: &mut Report) {
    check_binds(config, report);
    let listeners_are_known = check_listener_references(config, report);
    let upstreams_are_known = check_upstream_references(config, report);
    check_routes(config, report);
    // A wrong name already has its error; what it leaves unused needs no second one.
    if listeners_are_known {
        check_listeners_are_used(config, report);
    }
    if upstreams_are_known {
        check_upstreams_are_used(config, report);
        check_messages::check(config, report);
    }
    if check_rate_limit_references(config, report) {
        check_limits::check(config, report);
    }
    check_apps(config, report);
    for upstream in &config.upstreams {
        check_endpoints(upstream, report);
        check_checks(upstream, &config.apps, report);
    }
    check_udp::check(config, report);
    check_sticky(config, report);
    check_grpc(config, report);
    check_group(config, report);
    for listener in &config.listeners {
        check_trust(listener, report);
    }
    // What could not be read may be what gives a setting its effect.
    if !report.has_errors() {
        check_effect::check(config, report);
    }
}

/// A group alone would leave the rights of the user who starts the process.
fn check_group(config: &Config, report: &mut Report) {
    let Some(group) = config.process.group.as_ref().filter(|_| config.process.user.is_none())
    else {
        return;
    };
    let help = "add it, as in `user = \"fairwater\"`";
    report.add(&code::MISSING_KEY, group.span, "`group` needs `user`", "no `user` beside it", help);
}

/// Who binds an address: as it is shown, and where.
type Binder = (String, Span);

/// The addresses that are bound so far.
#[derive(Default)]
struct Bound {
    exactly: HashMap<Listen, Binder>,
    /// The first one with a port, of IPv4 or IPv6, and the one for all addresses of it.
    any: HashMap<(bool, u16), (Listen, Binder)>,
    wildcards: HashMap<(bool, u16), (Listen, Binder)>,
}

impl Bound {
    /// What has taken an address already, or a part of it.
    fn find(&self, address: &Listen) -> Option<(String, &Binder)> {
        if let Some(binder) = self.exactly.get(address) {
            return Some((format!("`{address}` is bound twice"), binder));
        }
        claims(address).into_iter().find_map(|(key, is_wildcard)| {
            let others = if is_wildcard { &self.any } else { &self.wildcards };
            let (other, binder) = others.get(&key)?;
            let (part, whole) = if is_wildcard { (other, address) } else { (address, other) };
            let message = match self.wildcards.contains_key(&key) && is_wildcard {
                true => format!("`{address}` is bound twice"),
                false => format!("`{part}` is a part of `{whole}`"),
            };
            Some((message, binder))
        })
    }

    fn add(&mut self, address: &Listen, binder: Binder) {
        for (key, is_wildcard) in claims(address) {
            let entry = (address.clone(), binder.clone());
            if is_wildcard {
                self.wildcards.insert(key, entry.clone());
            }
            self.any.entry(key).or_insert(entry);
        }
        if address.port() != Some(0) {
            self.exactly.insert(address.clone(), binder);
        }
    }
}

/// The ports that an address takes, of IPv6 or not, and whether it takes them on all addresses.
/// None, if the kernel chooses the port.
fn claims(address: &Listen) -> Vec<((bool, u16), bool)> {
    match address {
        Listen::Any { port: 0 } | Listen::Unix(_) => Vec::new(),
        Listen::Any { port } => vec![((false, *port), true), ((true, *port), true)],
        Listen::Ip(ip) if ip.port() == 0 => Vec::new(),
        Listen::Ip(ip) => vec![((ip.is_ipv6(), ip.port()), ip.ip().is_unspecified())],
    }
}

fn check_binds(config: &Config, report: &mut Report) {
    // Both protocols have ports of their own.
    let (mut bound, mut of_udp) = (Bound::default(), Bound::default());
    if let Some(socket) = &config.admin.socket {
        bound.add(&Listen::Unix(socket.value.clone()), ("[admin]".to_owned(), socket.span));
    }
    for listener in &config.listeners {
        let title = format!("[listeners.{}]", listener.name.value);
        let bound = if listener.protocol.is_udp() { &mut of_udp } else { &mut bound };
        for bind in &listener.bind {
            let Some((message, (other, span))) = bound.find(&bind.value) else {
                bound.add(&bind.value, (title.clone(), bind.span));
                continue;
            };
            let place = report.place(*span, bind.span);
            let label = format!("{other} binds the other{place}");
            let help = "change a port, or remove one of the two";
            report.add(&code::BIND_TWICE, bind.span, message, label, help);
        }
    }
}

/// Whether each route's listener is known.
fn check_listener_references(config: &Config, report: &mut Report) -> bool {
    let names = config.listeners.iter().map(|listener| listener.name.value.as_str());
    let of_tests = config.tests.iter().filter_map(|test| test.listener.as_ref());
    let references = config.routes.iter().map(|route| &route.listener).chain(of_tests);
    check_references("listener", &code::UNKNOWN_LISTENER, names, references, report)
}

/// Whether the upstream of each listener and route is known.
fn check_upstream_references(config: &Config, report: &mut Report) -> bool {
    let names = config.upstreams.iter().map(|upstream| upstream.name.value.as_str());
    let of_tests = config.tests.iter().filter_map(|test| test.expect.upstream.as_ref());
    let references = upstreams_named(config).chain(of_tests);
    check_references("upstream", &code::UNKNOWN_UPSTREAM, names, references, report)
}

/// Whether each rate limit that is named is known.
fn check_rate_limit_references(config: &Config, report: &mut Report) -> bool {
    let names = config.rate_limits.iter().map(|limit| limit.name.value.as_str());
    let of_listeners = config.listeners.iter().flat_map(|one| &one.rate_limits);
    let references = of_listeners.chain(config.routes.iter().flat_map(|one| &one.rate_limits));
    check_references("rate_limit", &code::UNKNOWN_RATE_LIMIT, names, references, report)
}

/// Every mention of an upstream.
fn upstreams_named(config: &Config) -> impl Iterator<Item = &Spanned<String>> {
    let of_listeners = config.listeners.iter().filter_map(|one| one.destination.as_ref());
    let of_routes = config.routes.iter().map(|route| &route.destination);
    of_listeners.chain(of_routes).filter_map(Destination::upstream)
}

fn check_references<'a>(
    noun: &str,
    code: &'static Code,
    names: impl Iterator<Item = &'a str>,
    references: impl Iterator<Item = &'a Spanned<String>>,
    report: &mut Report,
) -> bool {
    let names: Vec<&str> = names.collect();
    let known: HashSet<&str> = names.iter().copied().collect();
    let mut all_are_known = true;
    for reference in references {
        let name = reference.value.as_str();
        if known.contains(name) && name != UNREAD {
            continue;
        }
        all_are_known = false;
        if name != UNREAD {
            let message = format!("{noun} `{name}` does not exist");
            let label = format!("there is no [{noun}s.{name}]");
            let help = if report.is_full() { String::new() } else { remedy(noun, name, &names) };
            report.add(code, reference.span, message, label, help);
        }
    }
    all_are_known
}

fn remedy(noun: &str, name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None if names.is_empty() || names.len() > NAMES_LISTED_MAX => {
            format!("add a table [{noun}s.{name}]")
        }
        None => format!("there are {}", listed(names.iter().copied())),
    }
}

/// What no two routes have: listener, host, path and conditions.
type Claim<'a> = (&'a str, Option<&'a HostMatch>, PathRule, &'a [Condition]);

fn check_routes(config: &Config, report: &mut Report) {
    let tcp: HashSet<&str> = config.listeners.iter().filter(is_tcp).map(name).collect();
    let mut taken: HashMap<Claim<'_>, (String, Span)> = HashMap::new();
    for listener in config.listeners.iter().filter(|listener| !is_tcp(listener)) {
        if let Some(destination) = &listener.destination {
            let span = destination.upstream().map_or(listener.name.span, |name| name.span);
            let first = (format!("`{destination}` of the listener"), span);
            taken.insert((name(listener), None, PathRule::Any, &[]), first);
        }
    }
    for route in &config.routes {
        let listener = route.listener.value.as_str();
        if tcp.contains(listener) {
            check_route_on_tcp(route, report);
        }
        let host = route.host.as_ref().map(|host| &host.value);
        if listener == UNREAD {
            continue;
        }
        let claim = (listener, host, without_names(&route.path), &*route.conditions);
        if let Some((what, first)) = taken.get(&claim) {
            let message =
                format!("listener `{listener}` has two routes for {}", shown(host, &route.path));
            let label = format!("the first is {what}{}", report.place(*first, route.span));
            let help = "remove one of the two, or change its host, path or conditions";
            report.add(&code::ROUTE_TWICE, route.span, message, label, help);
        } else {
            taken.insert(claim, ("a route".to_owned(), route.span));
        }
    }
}

fn check_route_on_tcp(route: &Route, report: &mut Report) {
    let listener = &route.listener.value;
    let (span, message, help) = match route.of_http {
        Some(span) => (
            span,
            format!("listener `{listener}` is for TCP, whose routes decide by `host` alone"),
            "remove the line".to_owned(),
        ),
        None if route.host.is_none() => (
            route.span,
            format!("a route of listener `{listener}`, which is for TCP, needs a `host`"),
            format!("add one; for all other hosts set `upstream` in [listeners.{listener}]"),
        ),
        None => return,
    };
    report.add(&code::ROUTE_ON_TCP, span, message, "", help);
}

/// Whether its routes decide by what a TLS client asks for, if they do by anything.
fn is_tcp(listener: &&Listener) -> bool {
    listener.protocol.is_raw() && !listener.protocol.is_udp()
}

fn name(listener: &Listener) -> &str {
    &listener.name.value
}

/// Captures take the same paths, whatever they are called.
fn without_names(path: &PathRule) -> PathRule {
    let PathRule::Pattern { segments, is_prefix } = path else { return path.clone() };
    let nameless = |segment: &PathSegment| match segment {
        PathSegment::Capture(_) => PathSegment::Capture(String::new()),
        literal => literal.clone(),
    };
    PathRule::Pattern { segments: segments.iter().map(nameless).collect(), is_prefix: *is_prefix }
}

fn shown(host: Option<&HostMatch>, path: &PathRule) -> String {
    let host = match host {
        None if *path == PathRule::Any => return "everything".to_owned(),
        None => String::new(),
        Some(HostMatch::Exact(host)) => host.clone(),
        Some(HostMatch::Wildcard(end)) => format!("*{end}"),
    };
    format!("`{host}{path}`")
}

fn check_listeners_are_used(config: &Config, report: &mut Report) {
    let routed: HashSet<&str> =
        config.routes.iter().map(|route| route.listener.value.as_str()).collect();
    for listener in &config.listeners {
        let name = listener.name.value.as_str();
        if listener.destination.is_some() || routed.contains(name) {
            continue;
        }
        let help = format!("add `upstream = \"NAME\"`, or [[routes]] with `listener = \"{name}\"`");
        let message = format!("listener `{name}` leads nowhere");
        let label = "neither an upstream nor a route";
        report.add(&code::LISTENER_UNUSED, listener.name.span, message, label, help);
    }
}

fn check_upstreams_are_used(config: &Config, report: &mut Report) {
    let used: HashSet<&str> =
        upstreams_named(config).map(|reference| reference.value.as_str()).collect();
    for upstream in &config.upstreams {
        let name = upstream.name.value.as_str();
        // One without endpoints could not be read, and has its error.
        let is_read = !upstream.endpoints.is_empty() || upstream.apps.is_some();
        if !used.contains(name) && is_read {
            let message = format!("upstream `{name}` is never used");
            let help = "send to it from a listener or a route, or remove it";
            report.add(&code::UPSTREAM_UNUSED, upstream.name.span, message, "", help);
        }
    }
}

fn check_endpoints(upstream: &Upstream, report: &mut Report) {
    let mut seen = HashMap::new();
    for endpoint in &upstream.endpoints {
        let address = &endpoint.address;
        let Some(first) = seen.insert(&address.value, address.span) else {
            continue;
        };
        let name = &upstream.name.value;
        let message = format!("upstream `{name}` has the endpoint `{}` twice", address.value);
        let label = format!("the first is{}", report.place(first, address.span));
        let help = "remove one of the two; for a larger share of the traffic set `weight`";
        report.add(&code::ENDPOINT_TWICE, address.span, message, label, help);
    }
}

/// The listeners that send to each upstream, by themselves or by a route.
pub(crate) fn senders(config: &Config) -> HashMap<&str, Vec<&Listener>> {
    let by_name: HashMap<&str, &Listener> =
        config.listeners.iter().map(|one| (name(one), one)).collect();
    let of_listeners = config.listeners.iter().map(|one| (one, one.destination.as_ref()));
    let of_routes = config.routes.iter().filter_map(|route| {
        Some((*by_name.get(&*route.listener.value)?, Some(&route.destination)))
    });
    let mut seen = HashSet::new();
    let mut senders: HashMap<&str, Vec<&Listener>> = HashMap::new();
    for (listener, destination) in of_listeners.chain(of_routes) {
        let Some(upstream) = destination.and_then(Destination::upstream) else { continue };
        if seen.insert((&*upstream.value, name(listener))) {
            senders.entry(&upstream.value).or_default().push(listener);
        }
    }
    senders
}

/// Cookies do nothing for what is reached over TCP or UDP.
fn check_sticky(config: &Config, report: &mut Report) {
    let senders = senders(config);
    for upstream in &config.upstreams {
        let is_by_cookie = |sticky: &&Spanned<Sticky>| sticky.value != Sticky::Address;
        let Some(sticky) = upstream.sticky.as_ref().filter(is_by_cookie) else { continue };
        let mut senders = senders.get(&*upstream.name.value).into_iter().flatten();
        if let Some(listener) = senders.find(|listener| listener.protocol.is_raw()) {
            let (listener, protocol) = (name(listener), listener.protocol.transport());
            let message = format!("listener `{listener}` is for {protocol}, which has no cookies");
            let help =
                format!("write `sticky = \"address\"`, or give {protocol} an upstream of its own");
            report.add(&code::STICKY_ON_TCP, sticky.span, message, "", help);
        }
    }
}

/// Calls of gRPC are HTTP/2. An upstream that serves TCP alone passes on whatever comes.
fn check_grpc(config: &Config, report: &mut Report) {
    let senders = senders(config);
    let is_asked = |upstream: &&Upstream| {
        let mut senders = senders.get(&*upstream.name.value).into_iter().flatten();
        senders.any(|listener| !listener.protocol.is_raw())
    };
    for upstream in config.upstreams.iter().filter(is_asked) {
        for setting in upstream.of_grpc.iter().filter(|_| !upstream.may_speak_http2()) {
            let (upstream, setting, span) = (&upstream.name.value, setting.value, setting.span);
            let message = match setting {
                "health" => format!(
                    "the check asks over HTTP/2, and requests to upstream `{upstream}` are HTTP/1.1"
                ),
                _ => format!("`{setting}` is for gRPC, and upstream `{upstream}` has no HTTP/2"),
            };
            let help = format!("set `http2 = true` in [upstreams.{upstream}]");
            report.add(&code::GRPC_WITHOUT_HTTP2, span, message, "", help);
        }
    }
}

/// A port of its own takes a host.
fn check_checks(upstream: &Upstream, apps: &[App], report: &mut Report) {
    let port = upstream.health.as_ref().and_then(|health| health.check.port);
    let agent = upstream.agent.as_ref().map(|agent| agent.port);
    let is_unix = |address: &Endpoint| matches!(address, Endpoint::Unix(_));
    for endpoint in &upstream.endpoints {
        let (address, own) = (&endpoint.address, endpoint.role.check.as_ref());
        let wanted = match (port, agent) {
            (Some(port), _) if own.is_none() && is_unix(&address.value) => {
                format!("checks go to port {port}")
            }
            (_, Some(agent)) if own.map_or(is_unix(&address.value), is_unix) => {
                format!("its agent has port {agent}")
            }
            _ => continue,
        };
        let message = format!("`{}` has no ports, and {wanted}", address.value);
        let help = "give it an address for that, as in `check = \"127.0.0.1:9000\"`";
        report.add(&code::NOTHING_TO_CHECK, address.span, message, "", help);
    }
    let Some(name) = upstream.apps.as_ref().filter(|_| port.or(agent).is_some()) else { return };
    let app = apps.iter().find(|app| app.name.value == name.value);
    if app.is_some_and(|app| app.address != AppAddress::Port) {
        let message = format!("the processes of app `{}` have no ports", name.value);
        let help = "set `address = \"port\"` there, or remove the `port` of checks and the agent";
        report.add(&code::NOTHING_TO_CHECK, name.span, message, "", help);
    }
}

fn check_apps(config: &Config, report: &mut Report) {
    let names = config.apps.iter().map(|app| app.name.value.as_str());
    let references = config.upstreams.iter().filter_map(|upstream| upstream.apps.as_ref());
    let used: HashSet<&str> = references.clone().map(|name| name.value.as_str()).collect();
    let are_known = check_references("app", &code::UNKNOWN_APP, names, references, report);
    for app in &config.apps {
        check_sockets(app, config, report);
        let name = app.name.value.as_str();
        if are_known && !used.contains(name) {
            let message = format!("app `{name}` is started, and gets no traffic");
            let help = format!("set `apps = \"{name}\"` in an upstream, or remove it");
            report.add(&code::APP_UNUSED, app.name.span, message, "", help);
        }
    }
}

/// What stands behind the name of an app in the path of a socket.
const SOCKET_NAME_LONGEST: &str = "/255-4294967295/socket";

fn check_sockets(app: &App, config: &Config, report: &mut Report) {
    if app.address == AppAddress::Port {
        return;
    }
    let (name, span) = (&app.name.value, app.name.span);
    let Some(run_dir) = &config.run_dir else {
        let message = format!("app `{name}` has no place for its sockets");
        let help =
            "add `run_dir = \"/run/fairwater\"` to the top level, or `address = \"port\"` here";
        report.add(&code::NO_RUN_DIR, span, message, "", help);
        return;
    };
    let longest = format!("{}{SOCKET_NAME_LONGEST}", app_directory(&run_dir.value, name).display());
    if longest.len() > UNIX_PATH_BYTES_MAX {
        let bytes = longest.len();
        let message = format!("the sockets of app `{name}` would have paths of {bytes} bytes");
        let label = format!("the kernel takes {UNIX_PATH_BYTES_MAX}");
        let help = "shorten `run_dir` or the name, or set `address = \"port\"`";
        report.add(&code::NO_RUN_DIR, span, message, label, help);
    }
}

/// The directory for the sockets of an app.
pub fn app_directory(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("app-{name}"))
}

fn check_trust(listener: &Listener, report: &mut Report) {
    let trusted = match &listener.protocol {
        Protocol::Http(http) => &http.trusted_proxies[..],
        Protocol::Tcp(_) | Protocol::Framed(_) | Protocol::Udp(_) => &[],
    };
    let announcing = listener.proxy_protocol.iter().flat_map(|rules| &rules.from);
    for network in trusted.iter().chain(announcing).filter(|one| one.value.prefix() == 0) {
        let message = format!("`{}` trusts every client", network.value);
        let label = "anybody may say who the client is";
        let help = "list the networks of your own proxies";
        report.add(&code::TRUSTS_EVERYBODY, network.span, message, label, help);
    }
}
