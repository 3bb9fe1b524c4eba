//! The admin socket: HTTP/1.1 on a Unix socket that its owner alone may open.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fairwater_net::{BindError, Listening, bind_private};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;

use crate::{Sources, metrics, status};

const TEXT: &str = "text/plain; charset=utf-8";

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

/// Serves the admin socket on a thread of its own, until the process ends.
///
/// # Errors
/// When the thread or its runtime cannot be started.
pub fn start(listening: &Listening, sources: Sources) -> io::Result<()> {
    let socket: std::os::unix::net::UnixListener = listening.share(0)?.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = std::thread::Builder::new().name("control".to_owned());
    builder.spawn(move || runtime.block_on(serve(socket, Arc::new(sources))))?;
    Ok(())
}

async fn serve(socket: std::os::unix::net::UnixListener, sources: Arc<Sources>) {
    let Ok(listener) = UnixListener::from_std(socket) else { return };
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let local = tokio::task::LocalSet::new();
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let sources = Arc::clone(&sources);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| {
                    let reply = answer(&request, &sources);
                    async move { Ok::<_, Infallible>(reply) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                // A client that breaks off is no news.
                drop(server.serve_connection(TokioIo::new(stream), service).await);
                drop(place);
            });
        }
    };
    local.run_until(accept).await;
}

fn answer<B>(request: &Request<B>, sources: &Sources) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::render(sources))
        }
        (&Method::GET | &Method::HEAD, "/status") => {
            (StatusCode::OK, "application/json", status::render(sources))
        }
        (&Method::GET | &Method::HEAD, "/live") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/ready") => {
            match sources.is_ready.load(Ordering::Relaxed) {
                true => (StatusCode::OK, TEXT, "ok\n".to_owned()),
                false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n".to_owned()),
            }
        }
        (&Method::GET | &Method::HEAD, _) => {
            let text = "no such page; there are /status, /metrics, /live and /ready\n".to_owned();
            (StatusCode::NOT_FOUND, TEXT, text)
        }
        _ => {
            let text = "only GET and HEAD are understood here\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, text)
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
