//! What becomes of a request by the plan alone: for `[[tests]]`, and for who asks why. Nothing is
//! sent.

use std::net::IpAddr;

use fairwater_config as config;
use fairwater_message::{BodyLength, FaultKind, Method, RequestHead, target};
use fairwater_plan::{
    Destination, Facts, Filters, ListenerId, PathEdit, Plan, Probe, Protocol, Route, Unroutable,
    UpstreamId, Values,
};
use fairwater_proto::h1::{RequestReader, client_address, max_forwards};

/// A request, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub request: &'q config::TestRequest,
    pub listener: Option<&'q str>,
    pub headers: &'q [(String, String)],
    pub client: Option<IpAddr>,
}

/// The way of a request.
#[derive(Debug)]
pub struct Trace<'p> {
    pub listener: ListenerId,
    /// Absent if none takes it.
    pub route: Option<&'p Route>,
    pub outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Upstream {
        id: UpstreamId,
        path: String,
    },
    /// A reply that is made here, and where it leads if it is a redirect.
    Reply {
        status: u16,
        location: Option<String>,
    },
    /// A refusal, with its reason and more about it.
    Refused {
        kind: FaultKind,
        detail: &'static str,
    },
}

/// Finds out what becomes of a request.
///
/// # Errors
/// Why the question cannot be answered, in words for people.
pub fn trace<'p>(
    plan: &'p Plan,
    config: &config::Config,
    question: Question<'_>,
) -> Result<Trace<'p>, String> {
    let id = listener(config, &question)?;
    let listener = plan.listener(id);
    let Protocol::Http(routes) = &listener.protocol else {
        let protocol = match listener.protocol {
            Protocol::Udp(_) => "UDP",
            _ => "TCP",
        };
        let name = &listener.name;
        return Err(format!("listener `{name}` is for {protocol}, which has no requests"));
    };
    let bytes = written(&question);
    let mut head = RequestHead::default();
    let refused = |kind, detail| {
        Ok(Trace { listener: id, route: None, outcome: Outcome::Refused { kind, detail } })
    };
    match RequestReader::new(listener.head).read(&bytes, &mut head) {
        Ok(true) => {}
        Ok(false) => return Err("the request is not complete".to_owned()),
        Err(fault) => return refused(fault.kind, fault.detail),
    }
    let trusts = |ip| listener.trusts(ip);
    let client = || Some(client_address(&head, &bytes, question.client?, trusts));
    let is_let_in =
        |filters: Option<&Filters>| filters.is_none_or(|filters| filters.access.lets_in(client()));
    let of_listener = |outcome| {
        let outcome = match is_let_in(listener.filters.as_deref()) {
            true => outcome,
            false => refusal(FaultKind::AccessDenied, ""),
        };
        Ok(Trace { listener: id, route: None, outcome })
    };
    if head.hops >= listener.hops_max {
        return of_listener(refusal(FaultKind::Loop, ""));
    }
    if head.method == Method::Options && max_forwards(&head, &bytes) == Some(0) {
        return of_listener(Outcome::Reply { status: 204, location: None });
    }
    let route = match routes.find(Facts { head: &head, bytes: &bytes, client: &client }) {
        Ok(route) => route,
        Err(Unroutable::NoRoute) => return of_listener(refusal(FaultKind::NoRoute, "")),
        Err(Unroutable::AmbiguousPath) => {
            return of_listener(refusal(FaultKind::BadRequest, "ambiguous_path"));
        }
    };
    let path = target::path_of(head.path.of(&bytes));
    let mut scratch = Vec::new();
    let values = Values {
        head: &head,
        bytes: &bytes,
        path: target::normal_path(path, &mut scratch).unwrap_or(path),
        client: client(),
        // No listener has TLS yet.
        scheme: "http",
        tls: None,
        request_id: "REQUEST-ID",
        user: "USER",
    };
    let outcome = match is_let_in(route.filters.as_deref()) {
        true => outcome(route, &values),
        false => refusal(FaultKind::AccessDenied, ""),
    };
    Ok(Trace { listener: id, route: Some(route), outcome })
}

fn refusal(kind: FaultKind, detail: &'static str) -> Outcome {
    Outcome::Refused { kind, detail }
}

/// What becomes of a request whose client may come; who needs a password is taken to have it.
fn outcome(route: &Route, values: &Values<'_>) -> Outcome {
    let none = Filters::default();
    let filters = route.filters.as_deref().unwrap_or(&none);
    let reply = |status| Outcome::Reply { status, location: None };
    if let BodyLength::Known(length) = values.head.body
        && filters.body_bytes_max.is_some_and(|max| length > max)
    {
        return refusal(FaultKind::RequestBodyTooLarge, "");
    }
    let mut path = Vec::new();
    let result = match &filters.path {
        PathEdit::Keep => {
            path.extend_from_slice(values.head.path.of(values.bytes));
            Ok(())
        }
        edit => edit.write(values, &filters.shape, &mut path),
    };
    if result.is_err() {
        return refusal(FaultKind::BadRequest, "ambiguous_path");
    }
    match &route.destination {
        Destination::Upstream(id) => {
            Outcome::Upstream { id: *id, path: String::from_utf8_lossy(&path).into_owned() }
        }
        Destination::Redirect(redirect) => {
            let mut location = Vec::new();
            redirect.write(values, &filters.shape, &mut location);
            let location = String::from_utf8_lossy(&location).into_owned();
            Outcome::Reply { status: redirect.status, location: Some(location) }
        }
        Destination::Reply(fixed) => reply(fixed.status),
        Destination::Probe(Probe::Live | Probe::Ready) => reply(200),
    }
}

/// The listener that a request is for: by name, by its port, or because there is only one.
fn listener(config: &config::Config, question: &Question<'_>) -> Result<ListenerId, String> {
    let of_http =
        |listener: &&config::Listener| matches!(listener.protocol, config::Protocol::Http(_));
    let place = |found: &config::Listener| {
        let name = &found.name.value;
        let at = config.listeners.iter().position(|listener| listener.name.value == *name);
        at.map(|at| ListenerId(at as u32)).ok_or_else(|| format!("there is no listener `{name}`"))
    };
    if let Some(name) = question.listener {
        let named = config.listeners.iter().find(|listener| listener.name.value == name);
        return named.map_or_else(|| Err(format!("there is no listener `{name}`")), place);
    }
    let listeners: Vec<_> = config.listeners.iter().filter(of_http).collect();
    let port = question.request.port();
    let mut by_port = listeners
        .iter()
        .filter(|listener| listener.bind.iter().any(|bind| bind.value.port() == Some(port)));
    match (by_port.next(), by_port.next(), &*listeners) {
        (Some(found), None, _) | (None, _, [found]) => place(found),
        (None, _, []) => Err("there is no listener for HTTP".to_owned()),
        (None, ..) => Err(format!("no listener has port {port}, and there are several")),
        (Some(_), Some(_), _) => Err(format!("several listeners have port {port}")),
    }
}

/// The request as a client would write it.
fn written(question: &Question<'_>) -> Vec<u8> {
    let config::TestRequest { method, target, authority, .. } = question.request;
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {authority}\r\n");
    for (name, value) in question.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Makes the tests of a configuration. Gives a diagnostic for each that fails.
pub fn prove(plan: &Plan, config: &config::Config) -> Vec<config::Diagnostic> {
    config.tests.iter().flat_map(|test| prove_one(plan, config, test)).collect()
}

fn prove_one(
    plan: &Plan,
    config: &config::Config,
    test: &config::RoutingTest,
) -> Vec<config::Diagnostic> {
    let request = &test.request.value;
    let question = Question {
        request,
        listener: test.listener.as_ref().map(|name| name.value.as_str()),
        headers: &test.headers,
        client: test.client,
    };
    let trace = match trace(plan, config, question) {
        Ok(trace) => trace,
        Err(problem) => {
            let help = "say where it comes in, as in `listener = \"web\"`".to_owned();
            return vec![config.test_failed(test.request.span, problem, help)];
        }
    };
    let found = found(plan, &trace);
    let expected = &test.expect;
    let upstream = expected.upstream.as_ref().map(|name| name.value.clone());
    let wrong = [
        ("upstream", upstream, found.upstream),
        ("path", expected.path.clone(), found.path),
        ("status", expected.status.map(|status| status.to_string()), found.status),
        ("location", expected.location.clone(), found.location),
    ]
    .into_iter()
    .filter(|(_, expected, found)| expected.is_some() && expected != found)
    .map(|(what, expected, found)| {
        let shown = |value: Option<String>| value.map_or("none".to_owned(), |v| format!("`{v}`"));
        format!("{what} is {} and not {}", shown(found), shown(expected))
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    let config::TestRequest { method, is_https, authority, target } = request;
    let scheme = if *is_https { "https" } else { "http" };
    let url = format!("{scheme}://{authority}{target}");
    let became = match (&trace.outcome, &expected.upstream) {
        (Outcome::Reply { status, .. }, Some(_)) => format!("; it is answered with {status}"),
        (Outcome::Refused { kind, .. }, _) => {
            format!("; it is refused with {}, {}", kind.status(), kind.reason())
        }
        _ => String::new(),
    };
    let message = format!("{method} {url}: {}{became}", wrong.join(", "));
    let help = format!("`fairwater explain {url}` shows which route takes it and why");
    vec![config.test_failed(expected.span, message, help)]
}

/// An outcome in the words of a test.
#[derive(Default)]
struct Found {
    upstream: Option<String>,
    path: Option<String>,
    status: Option<String>,
    location: Option<String>,
}

fn found(plan: &Plan, trace: &Trace<'_>) -> Found {
    match &trace.outcome {
        Outcome::Upstream { id, path } => Found {
            upstream: Some(plan.upstream(*id).settings.name.clone()),
            path: Some(path.clone()),
            ..Found::default()
        },
        Outcome::Reply { status, location } => Found {
            status: Some(status.to_string()),
            location: location.clone(),
            ..Found::default()
        },
        Outcome::Refused { kind, .. } => {
            Found { status: Some(kind.status().to_string()), ..Found::default() }
        }
    }
}
