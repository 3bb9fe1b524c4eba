//! The bytes that both sides agree on: request heads, and bodies cut from one fixed pattern.
//!
//! The body of `/svcN/b/SIZE` starts N bytes into the pattern, so a reply that belongs to
//! another request differs from the expected one.

use crate::arguments::{Mode, Profile};

/// Asks for a tunnel.
pub(crate) const TUNNEL: &[u8] =
    b"GET /tunnel HTTP/1.1\r\nHost: bench.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Whom all requests are for.
pub(crate) const HOST: &str = "bench.example";

/// The largest body: that of the bulk measurements over HTTP/2.
pub(crate) const BODY_BYTES_MAX: usize = 10 << 20;

/// Services, hence different starting points of a body, that a path can name.
pub(crate) const SERVICES_MAX: usize = 1000;

/// Routes that the full profile spreads its requests over.
const ROUTES: usize = 100;

/// One request of a profile, and where in the pattern its reply starts.
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    pub(crate) body_start: usize,
}

/// Lower-case letters without a short period.
pub(crate) fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    };
    (0..BODY_BYTES_MAX + SERVICES_MAX).map(|_| letter()).collect()
}

/// The same cut into messages of this size, each of which begins with how many bytes follow, in
/// four bytes, the high ones first.
pub(crate) fn frames(body_bytes: usize) -> Vec<u8> {
    let mut pattern = pattern();
    pattern.truncate(ROUTES * body_bytes);
    let length = (body_bytes as u32).saturating_sub(4).to_be_bytes();
    pattern.chunks_mut(body_bytes).for_each(|frame| frame[..4].copy_from_slice(&length));
    pattern
}

/// The requests of a run, to be sent in turn.
pub(crate) fn requests(
    mode: Mode,
    profile: Profile,
    body_bytes: usize,
    pattern: &[u8],
) -> Vec<Request> {
    match (mode, profile) {
        (Mode::Frames, _) => (0..ROUTES)
            .map(|start| start * body_bytes)
            .map(|start| Request {
                bytes: pattern[start..start + body_bytes].to_vec(),
                body_start: start,
            })
            .collect(),
        (Mode::Echo | Mode::Tunnel, _) => (0..ROUTES)
            .map(|start| Request {
                bytes: pattern[start..start + body_bytes].to_vec(),
                body_start: start,
            })
            .collect(),
        (_, Profile::Bare) => vec![bare(mode, body_bytes)],
        (_, Profile::Full) => (0..ROUTES).map(|route| full(mode, route, body_bytes)).collect(),
    }
}

fn bare(mode: Mode, body_bytes: usize) -> Request {
    let close = closing_line(mode);
    let head = format!("GET /b/{body_bytes} HTTP/1.1\r\nHost: {HOST}\r\n{close}\r\n");
    Request { bytes: head.into_bytes(), body_start: 0 }
}

fn full(mode: Mode, route: usize, body_bytes: usize) -> Request {
    let close = closing_line(mode);
    let headers = full_headers(route);
    let head =
        format!("GET /svc{route}/b/{body_bytes} HTTP/1.1\r\nHost: {HOST}\r\n{headers}{close}\r\n");
    Request { bytes: head.into_bytes(), body_start: route }
}

/// What a browser sends beside the host.
pub(crate) fn full_headers(route: usize) -> String {
    format!(
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-GB,en;q=0.8,de;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Referer: https://bench.example/catalogue/page/{route}?sort=price\r\n\
         Cookie: session=5f0c61a7b2d94e0f8d3a; theme=dark; consent=all; visits=17\r\n\
         Cache-Control: max-age=0\r\n\
         DNT: 1\r\n\
         Sec-Fetch-Mode: navigate\r\n\
         X-Request-Id: 0f8c1d0e-73f1-4b6a-9a51-{route:012}\r\n\
         Authorization: Bearer 6d1f0c94b7e2a85301f6d1f0c94b7e2a85301f\r\n"
    )
}

fn closing_line(mode: Mode) -> &'static str {
    if mode == Mode::Close { "Connection: close\r\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_profile_has_twelve_headers_of_about_600_bytes() {
        let request = full(Mode::Keepalive, 17, 128);
        let text = String::from_utf8(request.bytes).unwrap();
        let headers: Vec<&str> = text.split("\r\n").skip(1).filter(|l| !l.is_empty()).collect();
        assert_eq!(headers.len(), 12);
        let bytes: usize = headers.iter().map(|line| line.len() + 2).sum();
        assert!((550..=650).contains(&bytes), "{bytes}");
    }

    #[test]
    fn bodies_of_different_services_differ() {
        let pattern = pattern();
        assert_ne!(pattern[0..128], pattern[1..129]);
        assert_eq!(pattern.len(), BODY_BYTES_MAX + SERVICES_MAX);
    }
}
