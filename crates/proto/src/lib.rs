//! Sans-IO codecs: bytes in, heads, bodies and bytes out. No socket, no clock, no configuration.
//! The codecs are siblings and never import each other; `hpack` alone is a part of `http2`, and
//! `form` is what those that write heads have in common, `words` what those that read them have.

pub mod client_hello;
pub mod dns;
pub mod form;
pub mod frame;
pub mod grpc;
pub mod h1;
pub mod hpack;
pub mod http2;
pub mod proxy_protocol;
pub mod websocket;
mod words;
