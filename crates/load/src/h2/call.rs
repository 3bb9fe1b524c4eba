//! What a client of HTTP/2 asks for, again and again, and what has to come back.

use std::ops::Range;
use std::rc::Rc;

use super::block::{Block, Field};
use crate::arguments::{Asked, MultiplexSettings, Profile};
use crate::message;

/// Calls that are told apart by what comes back, so that a reply on the wrong stream is noticed.
const CALLS: usize = 100;

/// The backend keeps each reply that it ever sent, so there is one alone of those above this.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// The headers of the full profile that are not the same in each request.
const VARYING: [&str; 2] = ["referer", "x-request-id"];

pub(super) struct Call {
    pub(super) head: Block,
    /// The body of the request; nothing for GET.
    pub(super) message: Rc<[u8]>,
    /// The body of the reply, within bytes that are shared.
    shared: Rc<[u8]>,
    range: Range<usize>,
}

impl Call {
    /// All that a run of these settings sends in turn.
    pub(super) fn all(settings: &MultiplexSettings) -> Vec<Self> {
        let pattern: Rc<[u8]> = message::pattern().into();
        let scheme = if settings.trust.is_some() { "https" } else { "http" };
        let count = if settings.body_bytes > SMALL_BYTES_MAX { 1 } else { CALLS };
        let calls = (0..count).map(|start| match settings.asked {
            Asked::Http => Self::get(settings, scheme, start, &pattern),
            Asked::Grpc => Self::unary(settings, scheme, start, &pattern),
        });
        calls.collect()
    }

    pub(super) fn expected(&self) -> &[u8] {
        &self.shared[self.range.clone()]
    }

    fn get(settings: &MultiplexSettings, scheme: &str, service: usize, pattern: &Rc<[u8]>) -> Self {
        let size = settings.body_bytes;
        let mut fields = vec![
            Field::fixed(":method", "GET"),
            Field::fixed(":scheme", scheme),
            Field::fixed(":authority", message::HOST),
            Field::varying(":path", &format!("/svc{service}/b/{size}")),
        ];
        if settings.profile == Profile::Full {
            fields.extend(message::full_headers(service).lines().filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let name = name.to_ascii_lowercase();
                let stays = !VARYING.contains(&&*name);
                Some(Field { name, value: value.to_owned(), stays })
            }));
        }
        let [head] = Block::series([&fields]);
        let (shared, range) = (Rc::clone(pattern), service..service + size);
        Self { head, message: Rc::default(), shared, range }
    }

    /// A gRPC call whose reply is the message that it sends.
    fn unary(settings: &MultiplexSettings, scheme: &str, start: usize, pattern: &[u8]) -> Self {
        let size = settings.body_bytes;
        let [head] = Block::series([&[
            Field::fixed(":method", "POST"),
            Field::fixed(":scheme", scheme),
            Field::fixed(":path", "/bench.Echo/Say"),
            Field::fixed(":authority", message::HOST),
            Field::fixed("content-type", "application/grpc"),
            Field::fixed("user-agent", "grpc-bench/1.0"),
            Field::fixed("te", "trailers"),
        ]]);
        let text = &pattern[start..start + size];
        let message: Rc<[u8]> = [&[0], &(size as u32).to_be_bytes()[..], text].concat().into();
        let (shared, range) = (Rc::clone(&message), 0..message.len());
        Self { head, message, shared, range }
    }
}
