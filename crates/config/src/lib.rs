//! TOML text to [`Config`]: what was written, typed, with spans; every problem of a file in one go.
//! Never does IO, and knows nothing of plans, sockets or workers.

mod model;
mod span;

pub use model::{
    AccessLog, Admin, Balance, Config, HostRule, HttpListener, IdleRule, Listener, LogFormat,
    OnError, PathRule, Protocol, Route, TcpListener, Upstream, UpstreamEndpoint, WEIGHT_DEFAULT,
    WEIGHT_MAX,
};
pub use span::{Span, Spanned};
