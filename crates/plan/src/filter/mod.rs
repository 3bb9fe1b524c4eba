//! What a route does to its requests and replies, beside sending them somewhere. The steps are
//! always taken in one order, whatever the order in the file: who may come (`access`, then
//! `limits`, `cors` and `basic_auth`), how much a body may be, what the path becomes, which headers
//! change. Most routes have no [`Filters`].

mod access;
mod basic_auth;
mod cors;
mod error_page;
mod headers;
mod path;
mod values;

pub use access::Access;
pub use basic_auth::{BasicAuth, Claim};
pub(crate) use cors::preflight;
pub use cors::{Cors, CorsRules, OriginPattern, Origins, is_preflight};
pub use error_page::{ErrorEntry, ErrorPage, ErrorPages, PageFormat, PageValues, Statuses};
pub use headers::HeaderEdits;
pub use path::{PathEdit, PathShape};
pub use values::{Place, Values};

use std::sync::Arc;
use std::time::Duration;

use fairwater_message::HeaderName;
use fairwater_message::template::{Template, Variable};

use crate::{Limits, Priority};

/// The filters of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    pub access: Access,
    /// Of its requests, and of the bytes of their bodies.
    pub limits: Limits,
    pub cors: Option<Cors>,
    /// One for all routes that have the same users.
    pub basic_auth: Option<Arc<BasicAuth>>,
    /// The header in which the id of a request is told; trusted peers may have given it one.
    pub request_id: Option<HeaderName>,
    /// The most bytes of a request body.
    pub body_bytes_max: Option<u64>,
    pub timeouts: RouteTimeouts,
    /// Where requests wait for room at an upstream.
    pub priority: Priority,
    pub path: PathEdit,
    pub request: HeaderEdits,
    pub response: HeaderEdits,
    pub error_pages: Option<ErrorPages>,
    /// What goes out of a head whose body is replaced by a page.
    pub replaced: Vec<HeaderName>,
    /// Where the route's path has its captures.
    pub shape: PathShape,
}

/// Where a route says otherwise than its listener and its upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the end of a request to the head of its reply.
    pub response: Option<Duration>,
    /// Without a byte of a body, each way.
    pub body: Option<Duration>,
    /// Of an upgraded connection without a byte.
    pub tunnel: Option<Duration>,
}

/// A reply that sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub status: u16,
    pub location: Template,
}

impl Redirect {
    /// Whether it leads to the host of the request, which HTTP/1.0 need not name.
    pub fn needs_host(&self) -> bool {
        self.location.variables().any(|one| *one == Variable::Host)
    }

    /// Writes where to go.
    pub fn write(&self, values: &Values<'_>, shape: &PathShape, out: &mut Vec<u8>) {
        let start = out.len();
        values.fill_in(&self.location, shape, Place::Location, out);
        // A path that begins with two slashes would be read as the name of another host.
        if !self.location.start().starts_with("//") {
            let slashes = out[start..].iter().take_while(|&&b| b == b'/').count();
            out.drain(start..start + slashes.saturating_sub(1));
        }
    }
}

/// A reply that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedReply {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests;
