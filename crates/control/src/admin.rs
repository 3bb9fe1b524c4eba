//! The admin socket: HTTP/1.1 on a Unix socket that its owner alone may open.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fairwater_plan::Level;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;

use crate::form::{Form, decoded};
use crate::lookups::Shared;
use crate::problem::Problem;
use crate::status::Status;
use crate::{Steward, endpoints, metrics, overview};

/// Connections at once; an admin socket is no place for crowds.
const CONNECTIONS_MAX: usize = 64;
/// For a request head, and for a body; a client that hangs must not hold a place for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The parameters of one change.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// A change is answered after this at the latest, whether or not every thread has adopted it.
const ADOPTION: Duration = Duration::from_secs(2);

/// Serves the admin socket for ever.
pub(crate) async fn serve(listener: UnixListener, shared: &Shared) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = shared.clone();
        drop(tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer(request, &shared).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that breaks off is no news.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
            drop(place);
        }));
    }
}

/// What is asked for, by its path.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    Live,
    Ready,
    Metrics,
    Status,
    Config,
    Endpoints,
    Upstream(String),
    Endpoint(String, String),
}

const NO_PAGE: &str = "there are /status, /metrics, /config, /endpoints, /live and /ready";

impl Page {
    fn of(path: &str) -> Result<Self, Problem> {
        let missing = || Problem::missing(format!("there is no page {path}"), NO_PAGE);
        match path {
            "/live" => return Ok(Self::Live),
            "/ready" => return Ok(Self::Ready),
            "/metrics" => return Ok(Self::Metrics),
            "/status" => return Ok(Self::Status),
            "/config" => return Ok(Self::Config),
            "/endpoints" | "/endpoints/" => return Ok(Self::Endpoints),
            _ => {}
        }
        let rest = path.strip_prefix("/endpoints/").ok_or_else(missing)?;
        // An address may have slashes, escaped or not.
        match rest.split_once('/') {
            None | Some((_, "")) => Ok(Self::Upstream(decoded(rest.trim_end_matches('/'))?)),
            Some((upstream, name)) => Ok(Self::Endpoint(decoded(upstream)?, decoded(name)?)),
        }
    }

    fn methods(&self) -> &'static str {
        match self {
            Self::Upstream(_) => "GET, HEAD, POST",
            Self::Endpoint(..) => "GET, HEAD, POST, DELETE",
            _ => "GET, HEAD",
        }
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let page = match Page::of(request.uri().path()) {
        Ok(page) => page,
        Err(problem) => return refusal(&problem),
    };
    let result = match *request.method() {
        Method::GET | Method::HEAD => {
            let accept = request.headers().get(header::ACCEPT);
            let wants_text = accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/"));
            read(&page, wants_text, &shared.steward.borrow())
        }
        Method::POST | Method::DELETE if page.methods().contains(request.method().as_str()) => {
            let is_post = request.method() == Method::POST;
            change(&page, is_post, request, shared).await.map(|body| (JSON, body))
        }
        _ => {
            let methods = page.methods();
            let error = format!("{} is not understood here", request.method());
            let help = format!("this page takes {methods}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, error, help);
            let mut response = refusal(&problem);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            return response;
        }
    };
    match result {
        Ok((kind, body)) => reply(StatusCode::OK, kind, body),
        Err(problem) => refusal(&problem),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refusal(problem: &Problem) -> Response<Full<Bytes>> {
    reply(problem.status, JSON, problem.render())
}

fn read(
    page: &Page,
    wants_text: bool,
    steward: &Steward,
) -> Result<(&'static str, String), Problem> {
    let starting = || {
        let error = "the process is starting";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask again in a moment")
    };
    let sources = steward.sources().ok_or_else(starting)?;
    Ok(match page {
        Page::Live => (TEXT, "ok\n".to_owned()),
        Page::Ready if sources.pressure.level.get() >= Level::RefusingConnections => {
            let help = "new work is refused; /status says what runs short";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", help));
        }
        Page::Ready if sources.is_ready.load(Ordering::Relaxed) => (TEXT, "ok\n".to_owned()),
        Page::Ready => {
            let help = "it ends when what runs is finished";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", help));
        }
        Page::Metrics => (
            PROMETHEUS,
            metrics::render(
                (sources, &steward.health, &steward.overload),
                steward.apps.of(&steward.config),
            ),
        ),
        Page::Status if wants_text => (TEXT, overview::render(&Status::of(steward, sources))),
        Page::Status => (JSON, Status::of(steward, sources).json()),
        Page::Config => (JSON, format!("{}\n", steward.config.written)),
        Page::Endpoints => (JSON, endpoints::show_all(steward)),
        Page::Upstream(upstream) if wants_text => {
            (TEXT, endpoints::tell_of_upstream(steward, upstream)?)
        }
        Page::Upstream(upstream) => (JSON, endpoints::show_upstream(steward, upstream)?),
        Page::Endpoint(upstream, name) => (JSON, endpoints::show_one(steward, upstream, name)?),
    })
}

async fn change(
    page: &Page,
    is_post: bool,
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<String, Problem> {
    let query = request.uri().query().unwrap_or("").to_owned();
    let form = Form::parse(&query, &body(request).await?)?;
    let reply = {
        let steward = &mut shared.steward.borrow_mut();
        match (page, is_post) {
            (Page::Upstream(upstream), _) => endpoints::add(steward, upstream, &form)?,
            (Page::Endpoint(upstream, name), true) => {
                endpoints::edit(steward, upstream, name, &form)?
            }
            (Page::Endpoint(upstream, name), false) => {
                endpoints::remove(steward, upstream, name, &form)?
            }
            // No other page takes these methods.
            _ => return Err(Problem::missing("there is nothing to change", NO_PAGE)),
        }
    };
    // It may have brought a name to look up.
    shared.bell.notify_waiters();
    until_adopted(shared).await;
    Ok(reply)
}

/// The body of a request, a form.
async fn body(request: Request<Incoming>) -> Result<String, Problem> {
    let help = "send parameters as a form, as in -d weight=3";
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"application/x-www-form-urlencoded")) {
        let error = "the body is no form";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, help));
    }
    let read = Limited::new(request.into_body(), FORM_BYTES_MAX).collect();
    let bytes = match tokio::time::timeout(HEAD_TIMEOUT, read).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let error = format!("the body has more than {FORM_BYTES_MAX} bytes, or is broken off");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error, help));
        }
        Err(_) => {
            let error = "the body does not come";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error, help));
        }
    };
    String::from_utf8(bytes.into()).map_err(|_| Problem::bad("the body is not UTF-8", help))
}

/// Waits until every thread serves by the newest plan, so that a reply says what is.
pub(crate) async fn until_adopted(shared: &Shared) {
    const LOOK: Duration = Duration::from_millis(10);
    let plan = shared.steward.borrow().sources().map(|sources| Arc::clone(&sources.plan));
    let Some(plan) = plan else { return };
    // A thread that does not come to it has other troubles.
    for _ in 0..ADOPTION.as_millis() / LOOK.as_millis() {
        if plan.is_adopted() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Page) {
        assert_eq!(Page::of(path).unwrap(), expected, "{path}");
    }

    #[test]
    fn addresses_are_parts_of_paths() {
        let endpoint = |name: &str| Page::Endpoint("app".to_owned(), name.to_owned());
        check("/endpoints/", Page::Endpoints);
        check("/endpoints/app/", Page::Upstream("app".to_owned()));
        check("/endpoints/app/127.0.0.1:80", endpoint("127.0.0.1:80"));
        check("/endpoints/app/[::1]:80", endpoint("[::1]:80"));
        check("/endpoints/app/unix:%2Frun%2Fa%20b.sock", endpoint("unix:/run/a b.sock"));
        check("/endpoints/app/unix:/run/a.sock", endpoint("unix:/run/a.sock"));
        check("/endpoints/app/app.example:80/10.0.0.1", endpoint("app.example:80/10.0.0.1"));
        assert!(Page::of("/").is_err() && Page::of("/endpointsx").is_err());
    }
}
