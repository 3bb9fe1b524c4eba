//! What clients see when endpoints fail or have too much to do.

mod breaker;
mod crowd;
mod retries;

use fairwater_e2e::Endpoint;

/// An address where nobody listens.
fn dead() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// An endpoint that answers everything with this status and its name.
fn answering(name: &'static str, status: u16, fields: &'static str) -> Endpoint {
    Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            let (len, is_head) = (name.len(), request.method() == "HEAD");
            let body = if is_head { "" } else { name };
            caller.send(format!(
                "HTTP/1.1 {status} X\r\n{fields}content-length: {len}\r\n\r\n{body}"
            ));
        }
    })
}
