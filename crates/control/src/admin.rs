//! The admin socket: HTTP/1.1 on a Unix socket that its owner alone may open.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairwater_net::{BindError, Listening, bind_private};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;

use crate::lookups::Shared;
use crate::{Steward, metrics, status};

/// Connections at once; an admin socket is no place for crowds.
const CONNECTIONS_MAX: usize = 64;
/// For a request head; a client that hangs must not hold a place for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds the admin socket, for its owner alone.
///
/// # Errors
/// As for any listening socket.
pub fn listen(path: &Path) -> Result<Listening, BindError> {
    bind_private(path)
}

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
                let reply = answer(&request, &shared.steward.borrow());
                async move { Ok::<_, Infallible>(reply) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that breaks off is no news.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
            drop(place);
        }));
    }
}

fn answer<B>(request: &Request<B>, steward: &Steward) -> Response<Full<Bytes>> {
    let Some(sources) = steward.sources() else { return Response::default() };
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::render(sources))
        }
        (&Method::GET | &Method::HEAD, "/status") => {
            (StatusCode::OK, "application/json", status::render(steward, sources))
        }
        (&Method::GET | &Method::HEAD, _) => {
            let text = "no such page; there are /status and /metrics\n".to_owned();
            (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
        }
        _ => {
            let text = "only GET and HEAD are understood here\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}
