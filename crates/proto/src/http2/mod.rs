//! HTTP/2 (RFC 9113) without a socket: bytes of a peer in, heads, bodies and bytes for the peer
//! out. One engine for both roles; what could flood it has budgets, and nothing is kept for a
//! connection at rest but its windows and the peer's table of fields.

mod block;
mod budget;
mod connection;
mod fields;
mod frame;
mod receive;
mod send;
mod settings;
mod stream;

pub use block::Block;
pub use budget::Flood;
pub use connection::{Bounds, Connection, Opened, Refusal, Role};
pub use fields::Problem;
pub use fields::Scratch;
pub use frame::{Code, PAYLOAD_BYTES_MAX};
pub use send::{Frames, Gone, Requested};
pub use stream::{Head, Read, Waiter};

/// How a client begins, which no client of HTTP/1 does (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
