//! The way of a request through a configuration, in words: what `fairwater explain URL` says.

use std::fmt::Write;
use std::process::ExitCode;

use fairwater_config::{
    Config, Filters, HeaderEdits, HostMatch, Listener, RateKey, RateLimit, Route, Sticky,
    TestRequest, Upstream,
};
use fairwater_control::{Outcome, Question, Trace, sketch, trace};

use crate::arguments::ExplainArguments;
use crate::{fail, run, status};

/// Explains a request.
///
/// # Errors
/// The reason is printed.
pub(crate) fn of(subject: &str, arguments: &ExplainArguments) -> Result<String, ExitCode> {
    let request = TestRequest::parse(subject)
        .map_err(|(message, help)| fail(format_args!("{message}: {help}")))?;
    let headers = arguments
        .header
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| fail("a header is written as `--header 'name: value'`"))?;
    let config = run::read(&arguments.config)?;
    let plan = sketch(&config);
    let question = Question {
        request: &request,
        listener: arguments.listener.as_deref(),
        headers: &headers,
        client: arguments.client,
    };
    let trace = trace(&plan, &config, question)
        .map_err(|problem| fail(format_args!("{problem}: say which one with --listener NAME")))?;
    let mut text = Text(String::new());
    text.request(&request);
    text.listener(&config, &trace);
    text.outcome(&config, &trace);
    Ok(text.0)
}

struct Text(String);

impl Text {
    fn line(&mut self, what: &str, words: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{what:<10} {words}").unwrap_or(());
    }

    fn request(&mut self, request: &TestRequest) {
        let TestRequest { method, is_https, authority, target } = request;
        let scheme = if *is_https { "https" } else { "http" };
        self.line("request", format_args!("{method} {scheme}://{authority}{target}"));
    }

    fn listener(&mut self, config: &Config, trace: &Trace<'_>) {
        let listener = &config.listeners[trace.listener.0 as usize];
        let binds: Vec<_> = listener.bind.iter().map(|bind| bind.value.to_string()).collect();
        self.line("listener", format_args!("{} on {}", listener.name.value, binds.join(", ")));
        let own = trace.route.map(|found| found.place.map(|place| &config.routes[place as usize]));
        match own {
            None => {}
            Some(None) => self.line("route", "what the listener says itself"),
            Some(Some(route)) => {
                let place = config.sources.locate(route.span);
                let place = place.map_or(String::new(), |at| format!(" ({}:{})", at.file, at.line));
                self.line("route", format_args!("{}{place}", shown(route)));
            }
        }
        let route = own.flatten();
        if trace.route.is_some() {
            let of_route = route.map(|route| described(&route.filters)).unwrap_or_default();
            for filter in described(&listener.filters).into_iter().chain(of_route) {
                self.line("filter", filter);
            }
        }
        self.limits(config, listener, route);
    }

    /// Those of the listener hold for requests without a route as well.
    fn limits(&mut self, config: &Config, listener: &Listener, route: Option<&Route>) {
        let of_route = route.iter().flat_map(|route| &route.rate_limits);
        let mut names: Vec<&str> = Vec::new();
        for name in listener.rate_limits.iter().chain(of_route) {
            let limit = config.rate_limits.iter().find(|limit| limit.name.value == name.value);
            let Some(limit) = limit.filter(|_| !names.contains(&&*name.value)) else { continue };
            names.push(&name.value); // one that is named twice holds once
            let RateLimit { counts, count, seconds, burst, key, .. } = limit;
            let (counts, key) = match key {
                RateKey::Route => (counts.name(), "all together".to_owned()),
                key => (counts.name(), format!("for each {key}")),
            };
            let words = format!("{count} {counts} in {seconds} s, {burst} at once, {key}");
            self.line("rate limit", format_args!("{}, {words}", name.value));
        }
    }

    fn outcome(&mut self, config: &Config, trace: &Trace<'_>) {
        match &trace.outcome {
            Outcome::Upstream { id, path } => {
                let upstream = &config.upstreams[id.0 as usize];
                self.line("upstream", format_args!("{}, which gets {path}", upstream.name.value));
                self.sticky(upstream);
                self.candidates(config, upstream);
            }
            Outcome::Reply { status, location: Some(location) } => {
                self.line("reply", format_args!("{status}, to {location}"));
            }
            Outcome::Reply { status, location: None } => self.line("reply", status),
            Outcome::Refused { kind, detail } => {
                let detail = if detail.is_empty() { "" } else { &format!(", {detail}") };
                let (status, reason) = (kind.status(), kind.reason());
                self.line("refused", format_args!("{status}: {reason}{detail}"));
            }
        }
    }

    fn sticky(&mut self, upstream: &Upstream) {
        match upstream.sticky.as_ref().map(|sticky| &sticky.value) {
            None => {}
            Some(Sticky::Address) => self.line("sticky", "the client's address decides"),
            Some(Sticky::Cookie(cookie)) => {
                let name = &cookie.name;
                self.line("sticky", format_args!("what the cookie {name} names comes first"));
            }
        }
    }

    /// The endpoints as they stand, if the process that serves them tells; else as they are
    /// written.
    fn candidates(&mut self, config: &Config, upstream: &Upstream) {
        let target = format!("/endpoints/{}", upstream.name.value);
        let untold = match config.admin.socket.as_ref().map(|socket| &socket.value) {
            None => "the configuration opens no admin socket to ask at".to_owned(),
            Some(path) => match status::ask(path, &target, "text/plain") {
                Ok(told) if !told.is_empty() => {
                    let lines = String::from_utf8_lossy(&told).into_owned();
                    return lines.lines().for_each(|line| self.line("endpoint", line));
                }
                Ok(_) => "the process that runs tells of none".to_owned(),
                Err(error) => format!("no process answers at {}: {error}", path.display()),
            },
        };
        self.line("states", format_args!("not known, {untold}; this is the configuration alone"));
        if let Some(app) = &upstream.apps {
            self.line("endpoint", format_args!("the processes of app {}", app.value));
        }
        for endpoint in &upstream.endpoints {
            let (address, weight) = (&endpoint.address.value, endpoint.weight);
            match weight {
                0 => {
                    self.line("endpoint", format_args!("{address}, which takes nothing: weight 0"))
                }
                weight => {
                    let role = &endpoint.role;
                    let place = match (role.is_backup, role.priority) {
                        (false, 0) => String::new(),
                        (false, priority) => format!(", priority {priority}"),
                        (true, 0) => ", backup".to_owned(),
                        (true, priority) => format!(", backup, priority {priority}"),
                    };
                    self.line("endpoint", format_args!("{address}, weight {weight}{place}"));
                }
            }
        }
    }
}

fn shown(route: &Route) -> String {
    let host = match route.host.as_ref().map(|host| &host.value) {
        None => "every host".to_owned(),
        Some(HostMatch::Exact(host)) => format!("host {host}"),
        Some(HostMatch::Wildcard(end)) => format!("host *{end}"),
    };
    let path = route.path.to_string();
    let path = if path.is_empty() { "every path".to_owned() } else { format!("path {path}") };
    match route.conditions.len() {
        0 => format!("{host}, {path}"),
        1 => format!("{host}, {path}, 1 condition"),
        count => format!("{host}, {path}, {count} conditions"),
    }
}

/// Each filter as it is set.
fn described(filters: &Filters) -> Vec<String> {
    let mut all = Vec::new();
    let networks = |name: &str, networks: &Option<std::sync::Arc<[_]>>| {
        let list = networks.as_ref()?;
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        Some(format!("{name} {}", list.join(", ")))
    };
    all.extend(networks("allow", &filters.allow));
    all.extend(networks("deny", &filters.deny));
    all.extend(filters.max_body.map(|max| format!("max_body {max} bytes")));
    all.extend(filters.request_id.as_ref().map(|name| format!("request_id in {name}")));
    match &filters.path {
        fairwater_config::PathEdit::Keep => {}
        fairwater_config::PathEdit::Prefix { strip, add } => {
            if !strip.is_empty() {
                all.push(format!("strip_prefix {strip}"));
            }
            if !add.is_empty() {
                all.push(format!("add_prefix {add}"));
            }
        }
        fairwater_config::PathEdit::Rewrite(template) => all.push(format!("rewrite {template}")),
    }
    edits("request_headers", &filters.request, &mut all);
    edits("response_headers", &filters.response, &mut all);
    all
}

fn edits(name: &str, edits: &HeaderEdits, all: &mut Vec<String>) {
    all.extend(edits.remove.iter().map(|header| format!("{name} remove {header}")));
    all.extend(edits.set.iter().map(|(header, value)| format!("{name} set {header}: {value}")));
    all.extend(edits.add.iter().map(|(header, value)| format!("{name} add {header}: {value}")));
}
