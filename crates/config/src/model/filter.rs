//! Where requests go, and what is done to them and to their replies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fairwater_message::network::IpNet;
use fairwater_message::template::Template;

use crate::model::Priority;
use crate::span::Spanned;

/// What becomes of the requests of a route.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The name of an upstream.
    Upstream(Spanned<String>),
    Redirect(Redirect),
    Reply(FixedReply),
    Probe(Probe),
}

/// A question about the process itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    Live,
    Ready,
}

impl Destination {
    pub fn upstream(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Redirect(_) | Self::Reply(_) | Self::Probe(_) => None,
        }
    }
}

/// A client is sent elsewhere.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    pub location: Template,
}

/// All requests get the same answer.
#[derive(Debug, Clone)]
pub struct FixedReply {
    /// 200 to 599.
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Of a listener: what holds for its routes unless they say otherwise. Header edits of both hold,
/// those of the route after those of the listener.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    pub allow: Option<Arc<[IpNet]>>,
    pub deny: Option<Arc<[IpNet]>>,
    pub max_body: Option<u64>,
    pub request_id: Option<String>,
    pub basic_auth: Overlay<BasicAuth>,
    pub cors: Overlay<Cors>,
    pub error_pages: Overlay<Vec<ErrorEntry>>,
    /// Where requests wait for room at their upstream.
    pub priority: Option<Spanned<Priority>>,
    /// The pages stand for the errors of endpoints as well.
    pub intercept_errors: Option<bool>,
    /// Of a route only.
    pub path: PathEdit,
    pub request: HeaderEdits,
    pub response: HeaderEdits,
}

/// What a route may take over from its listener, do without, or have of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Overlay<T> {
    #[default]
    Inherit,
    Off,
    On(T),
}

/// Clients say who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    pub realm: String,
    /// Names with hashes that can be checked, sorted by name; at least one.
    pub users: Vec<(String, String)>,
    /// The endpoint gets what the client sent.
    pub forward: bool,
    /// The header in which the endpoint is told the name.
    pub user_header: Option<String>,
}

/// What pages of other origins may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    pub origins: Origins,
    pub credentials: bool,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub expose: Vec<String>,
    pub max_age: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    These(Vec<Origin>),
}

/// As browsers write it: in lower case, without a default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Exact(String),
    /// Every host below one: `https://` and `.example.com`.
    Below {
        start: String,
        end: String,
    },
}

/// The pages for some statuses, one of each format at the most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEntry {
    pub statuses: Statuses,
    pub pages: Vec<ErrorPage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// 400 to 599.
    One(u16),
    /// 4 or 5.
    Class(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    pub format: PageFormat,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    Html,
    Json,
    Text,
}

/// What becomes of the path on its way to an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PathEdit {
    #[default]
    Keep,
    /// Both without a final slash; one of them may be empty.
    Prefix {
        strip: String,
        add: String,
    },
    Rewrite(Template),
}

/// Names as they are written; none is there twice in a set.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    pub set: Vec<(String, Template)>,
    pub add: Vec<(String, Template)>,
    pub remove: Vec<String>,
}

/// As the settings are called.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upstream(_) => "upstream",
            Self::Redirect(_) => "redirect",
            Self::Reply(_) | Self::Probe(_) => "respond",
        })
    }
}
