//! One endpoint of the demonstration: a small HTTP process that says who it is.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;

use bytes::Bytes;
use fairwater_sys::{process, signal};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use crate::arguments::DemoEndpointArguments;
use crate::fail;

pub(crate) fn run(arguments: &DemoEndpointArguments) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("{}: {error}", arguments.name)),
    }
}

fn serve(arguments: &DemoEndpointArguments) -> io::Result<()> {
    signal::unblock()?;
    let parent = process::parent_id();
    process::end_with_parent()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = UnixListener::bind(&arguments.socket)?;
        // The parent may have gone before we asked to hear of it.
        while process::parent_id() == parent {
            let (stream, _) = listener.accept().await?;
            let name = arguments.name.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| {
                    let reply = answer(&request, &name);
                    async move { Ok::<_, Infallible>(reply) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
        Ok(())
    })
}

fn answer<B>(request: &Request<B>, name: &str) -> Response<Full<Bytes>> {
    let value = |name: header::HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("nobody")
    };
    let client = value(header::HeaderName::from_static("x-forwarded-for"));
    let text = format!(
        "Hello from {name}, process {}. You asked for {} from {client}.\n",
        std::process::id(),
        request.uri(),
    );
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
