//! Routes of a configuration as the plan has them.

use std::collections::{BTreeSet, HashMap};
use std::ptr;
use std::sync::Arc;

use fairwater_config as config;
use fairwater_message::HeaderName;
use fairwater_message::template::{Template, Variable};
use fairwater_plan::{
    BasicAuth, Condition, Conditions, Cors, CorsRules, Destination, ErrorEntry, ErrorPage,
    ErrorPages, Filters, FixedReply, HeaderEdits, HostPattern, Limit, Limits, OriginPattern,
    Origins, PageFormat, PathEdit, PathPattern, PathShape, Priority, Probe, Redirect, Route,
    RouteTimeouts, Segment, Statuses, UpstreamId, ValueRule,
};

use crate::limit::{self, Known};

/// Compiles the routes of one configuration, which share what would be large to have twice: users
/// and pages of a listener stand behind each of its routes.
#[derive(Debug)]
pub(crate) struct Routes<'a> {
    config: &'a config::Config,
    upstreams: &'a HashMap<&'a str, UpstreamId>,
    limits: Known<'a>,
    auths: HashMap<*const config::BasicAuth, Arc<BasicAuth>>,
    pages: HashMap<*const config::ErrorPage, Arc<ErrorPage>>,
    /// The headers in which endpoints are told who a client is, by listener.
    user_headers: HashMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Routes<'a> {
    pub(crate) fn of(
        config: &'a config::Config,
        upstreams: &'a HashMap<&'a str, UpstreamId>,
        limits: &'a [Arc<Limit>],
    ) -> Self {
        let mut user_headers: HashMap<_, BTreeSet<_>> = HashMap::new();
        let of_listeners = config.listeners.iter().map(|one| (&one.name, &one.filters));
        let of_routes = config.routes.iter().map(|one| (&one.listener, &one.filters));
        for (listener, filters) in of_listeners.chain(of_routes) {
            if let config::Overlay::On(config::BasicAuth { user_header: Some(header), .. }) =
                &filters.basic_auth
            {
                user_headers.entry(&*listener.value).or_default().insert(&**header);
            }
        }
        let limits = limits.iter().map(|limit| (limit.name.as_str(), limit)).collect();
        let (auths, pages) = (HashMap::new(), HashMap::new());
        Self { config, upstreams, limits, auths, pages, user_headers }
    }

    pub(crate) fn limits(&self) -> &Known<'a> {
        &self.limits
    }

    /// Those of the requests of a listener, and of a route of it.
    fn limits_of(&self, listener: &str, place: Option<u32>) -> Limits {
        if self.limits.is_empty() {
            return Limits::default();
        }
        let mut listeners = self.config.listeners.iter();
        let listener = listeners.find(|one| one.name.value == listener);
        let route = place.and_then(|place| self.config.routes.get(place as usize));
        listener.map_or_else(Limits::default, |one| limit::of_requests(one, route, &self.limits))
    }

    /// Compiles what becomes of the requests of a route, unless its upstream is not there, which a
    /// checked configuration excludes. Of `filters` the later ones win.
    pub(crate) fn compile(
        &mut self,
        place: Option<u32>,
        listener: &str,
        destination: &config::Destination,
        filters: &[&config::Filters],
        timeouts: config::RouteTimeouts,
        path: &config::PathRule,
    ) -> Option<Route> {
        let destination = self.destination(destination)?;
        let mut compiled = self.merge(listener, filters);
        compiled.limits = self.limits_of(listener, place);
        let config::RouteTimeouts { response, body, tunnel } = timeouts;
        compiled.timeouts = RouteTimeouts { response, body, tunnel };
        if compiled != Filters::default() || matches!(destination, Destination::Redirect(_)) {
            compiled.shape = PathShape::new(&path_pattern(path));
            return Some(Route { place, destination, filters: Some(Box::new(compiled)) });
        }
        Some(Route { place, destination, filters: None })
    }

    /// What a listener does to replies of its own to requests that have no route.
    pub(crate) fn of_listener(&mut self, listener: &config::Listener) -> Option<Box<Filters>> {
        let mut merged = self.merge(&listener.name.value, &[&listener.filters]);
        merged.limits = limit::of_requests(listener, None, &self.limits);
        (merged != Filters::default()).then(|| Box::new(merged))
    }

    fn destination(&self, destination: &config::Destination) -> Option<Destination> {
        Some(match destination {
            config::Destination::Upstream(name) => {
                Destination::Upstream(*self.upstreams.get(name.value.as_str())?)
            }
            config::Destination::Redirect(redirect) => Destination::Redirect(Box::new(Redirect {
                status: redirect.status,
                location: redirect.location.clone(),
            })),
            config::Destination::Reply(reply) => Destination::Reply(Box::new(FixedReply {
                status: reply.status,
                content_type: reply.content_type.clone(),
                body: reply.body.clone(),
            })),
            config::Destination::Probe(config::Probe::Live) => Destination::Probe(Probe::Live),
            config::Destination::Probe(config::Probe::Ready) => Destination::Probe(Probe::Ready),
        })
    }

    fn merge(&mut self, listener: &str, all: &[&config::Filters]) -> Filters {
        let mut merged = Filters::default();
        let (mut auth, mut cors) = (None, None);
        let mut pages = ErrorPages::default();
        for filters in all {
            overlay(&filters.basic_auth, &mut auth);
            overlay(&filters.cors, &mut cors);
            match &filters.error_pages {
                config::Overlay::Inherit => {}
                config::Overlay::Off => pages.entries.clear(),
                // The later ones come first, and those before where they have none.
                config::Overlay::On(own) => {
                    let own = own.iter().map(|entry| self.error_entry(entry));
                    drop(pages.entries.splice(..0, own));
                }
            }
            merged.priority = filters.priority.map_or(merged.priority, |one| match one.value {
                config::Priority::High => Priority::High,
                config::Priority::Normal => Priority::Normal,
                config::Priority::Low => Priority::Low,
            });
            pages.intercepts = filters.intercept_errors.unwrap_or(pages.intercepts);
        }
        // Where nobody is asked for a name, nobody shall give himself one. First, as what follows,
        // so that edits may put something else in.
        for name in self.user_headers.get(listener).into_iter().flatten() {
            merged.request.remove(name);
        }
        if auth.is_some_and(|auth| !auth.forward) {
            merged.request.remove("authorization");
        }
        for filters in all {
            if let Some(allow) = &filters.allow {
                merged.access.allow.clone_from(allow);
            }
            if let Some(deny) = &filters.deny {
                merged.access.deny.clone_from(deny);
            }
            merged.body_bytes_max = filters.max_body.or(merged.body_bytes_max);
            if let Some(name) = &filters.request_id {
                merged.request_id = Some(HeaderName::new(name));
            }
            merged.path = path_edit(&filters.path);
            edit_headers(&mut merged.request, &filters.request);
            edit_headers(&mut merged.response, &filters.response);
        }
        if let Some(name) = &merged.request_id {
            let (name, id) = (name.as_str().to_owned(), Template::from(Variable::RequestId));
            merged.request.set(&name, id.clone());
            merged.response.set(&name, id);
        }
        if let Some(auth) = auth {
            let compile = || Arc::new(BasicAuth::new(&auth.realm, auth.users.iter().cloned()));
            let compiled = self.auths.entry(ptr::from_ref(auth)).or_insert_with(compile);
            merged.basic_auth = Some(Arc::clone(compiled));
            // Last, so that nothing else can be in it.
            if let Some(name) = &auth.user_header {
                merged.request.set(name, Template::from(Variable::User));
            }
        }
        if let Some(cors) = cors {
            merged.cors = Some(compile_cors(cors));
            Cors::take_over(&mut merged.response);
        }
        if !pages.entries.is_empty() {
            if pages.intercepts {
                merged.replaced = merged.response.removed.clone();
                merged.replaced.extend(OF_BODY.iter().map(|name| HeaderName::new(name)));
            }
            merged.error_pages = Some(pages);
        }
        merged
    }

    fn error_entry(&mut self, entry: &config::ErrorEntry) -> ErrorEntry {
        let statuses = match entry.statuses {
            config::Statuses::One(status) => Statuses::One(status),
            config::Statuses::Class(digit) => Statuses::Class(digit),
        };
        let mut page = |page: &config::ErrorPage| {
            let format = match page.format {
                config::PageFormat::Html => PageFormat::Html,
                config::PageFormat::Json => PageFormat::Json,
                config::PageFormat::Text => PageFormat::Text,
            };
            let compile = || Arc::new(ErrorPage::new(format, &page.text));
            Arc::clone(self.pages.entry(ptr::from_ref(page)).or_insert_with(compile))
        };
        ErrorEntry { statuses, pages: entry.pages.iter().map(&mut page).collect() }
    }
}

/// What a head says of its body, beside its length: it would not hold for another one.
const OF_BODY: [&str; 14] = [
    "accept-ranges",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
    "trailer",
];

/// What holds after a further layer.
fn overlay<'a, T>(layer: &'a config::Overlay<T>, in_force: &mut Option<&'a T>) {
    match layer {
        config::Overlay::Inherit => {}
        config::Overlay::Off => *in_force = None,
        config::Overlay::On(own) => *in_force = Some(own),
    }
}

fn compile_cors(cors: &config::Cors) -> Cors {
    let pattern = |origin: &config::Origin| match origin {
        config::Origin::Exact(origin) => OriginPattern::Exact(origin.clone()),
        config::Origin::Below { start, end } => {
            OriginPattern::Below { start: start.clone(), end: end.clone() }
        }
    };
    let origins = match &cors.origins {
        config::Origins::Any => Origins::Any,
        config::Origins::These(origins) => Origins::These(origins.iter().map(pattern).collect()),
    };
    let rules = CorsRules {
        credentials: cors.credentials,
        methods: cors.methods.clone(),
        headers: cors.headers.clone(),
        expose: cors.expose.clone(),
        max_age_s: cors.max_age.as_secs(),
    };
    Cors::new(origins, &rules)
}

fn path_edit(edit: &config::PathEdit) -> PathEdit {
    match edit {
        config::PathEdit::Keep => PathEdit::Keep,
        config::PathEdit::Prefix { strip, add } => {
            PathEdit::Prefix { strip: strip.clone(), add: add.clone() }
        }
        config::PathEdit::Rewrite(template) => PathEdit::Rewrite(template.clone()),
    }
}

fn edit_headers(merged: &mut HeaderEdits, edits: &config::HeaderEdits) {
    edits.remove.iter().for_each(|name| merged.remove(name));
    edits.set.iter().for_each(|(name, value)| merged.set(name, value.clone()));
    edits.add.iter().for_each(|(name, value)| merged.add(name, value.clone()));
}

pub(crate) fn host_pattern(host: Option<&config::HostMatch>) -> HostPattern {
    match host {
        None => HostPattern::Any,
        Some(config::HostMatch::Exact(host)) => HostPattern::Exact(host.clone()),
        Some(config::HostMatch::Wildcard(end)) => HostPattern::Wildcard(end.clone()),
    }
}

/// What a route asks for. One that answers preflights is found by them, too.
pub(crate) fn conditions(all: &[config::Condition], route: &Route) -> Conditions {
    let has_cors = route.filters.as_ref().is_some_and(|filters| filters.cors.is_some());
    let condition = |one| match condition(one) {
        Condition::Method(methods) if has_cors => Condition::MethodOrPreflight(methods),
        condition => condition,
    };
    Conditions(all.iter().map(condition).collect())
}

fn condition(condition: &config::Condition) -> Condition {
    let rule = |value: &config::ValueMatch| match value {
        config::ValueMatch::Present => ValueRule::Present,
        config::ValueMatch::Absent => ValueRule::Absent,
        config::ValueMatch::Is(text) => ValueRule::Is(text.clone()),
    };
    match condition {
        config::Condition::Method(methods) => Condition::Method(methods.clone()),
        config::Condition::Header { name, value } => {
            Condition::Header { name: HeaderName::new(name), value: rule(value) }
        }
        config::Condition::Query { name, value } => {
            Condition::Query { name: name.clone(), value: rule(value) }
        }
        config::Condition::Client(networks) => Condition::Client(networks.clone()),
    }
}

pub(crate) fn path_pattern(path: &config::PathRule) -> PathPattern {
    match path {
        config::PathRule::Any => PathPattern::Any,
        config::PathRule::Exact(path) => PathPattern::Exact(path.clone()),
        config::PathRule::Prefix(prefix) => PathPattern::Prefix(prefix.clone()),
        config::PathRule::Pattern { segments, is_prefix } => {
            let segment = |segment: &config::PathSegment| match segment {
                config::PathSegment::Literal(text) => Segment::Literal(text.clone()),
                config::PathSegment::Capture(name) => Segment::Capture(name.clone()),
            };
            let segments = segments.iter().map(segment).collect();
            PathPattern::Segments { segments, is_prefix: *is_prefix }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_share_what_is_large() {
        let text = "[listeners.web]\nbind = \":1\"\nupstream = \"app\"\n\
                    basic_auth = { users = { a = \"$2y$04$MMhyxQ/71i1EsLCi36vkbOET1JT0e7j2JyzPUapdpC1v90QVXw5w.\" }, user_header = \"x-user\" }\n\
                    [[routes]]\nlistener = \"web\"\npath = \"/a\"\nupstream = \"app\"\n\
                    [[routes]]\nlistener = \"web\"\npath = \"/b\"\nupstream = \"app\"\nbasic_auth = false\n\
                    [upstreams.app]\nendpoints = [\"127.0.0.1:1\"]\n";
        let config = config::parse("f", text.as_bytes()).0.unwrap();
        let upstreams = HashMap::from([("app", UpstreamId(0))]);
        let mut routes = Routes::of(&config, &upstreams, &[]);
        let listener = &config.listeners[0];
        let of_listener = routes.of_listener(listener).unwrap();
        let mut filters = |route: &config::Route| {
            let layers = [&listener.filters, &route.filters];
            let timeouts = config::RouteTimeouts::default();
            let compiled =
                routes.compile(None, "web", &route.destination, &layers, timeouts, &route.path);
            compiled.unwrap().filters.unwrap()
        };
        let (first, second) = (filters(&config.routes[0]), filters(&config.routes[1]));
        assert!(Arc::ptr_eq(&of_listener.basic_auth.unwrap(), &first.basic_auth.unwrap()));
        assert_eq!(second.basic_auth, None);
        // Nor may a client say who it is where nobody asks.
        assert_eq!(second.request.removed, [HeaderName::new("x-user")]);
    }
}
