//! HTTP/2 at both ends of a measurement, as cheap as it can be: the client that multiplexes its
//! requests, and a gRPC server.
//!
//! Heads are made once, and those that come are taken apart once, as long as the same ones come
//! again. What is not spoken by any proxy under test is a fault instead of being understood.

mod block;
mod call;
mod client;
mod frame;
mod head;
mod hpack;
mod huffman;
mod multiplex;
mod server;

pub(crate) use multiplex::Multiplex;
pub(crate) use server::{Server, Words};
