//! HTTP/1 (RFC 9112), strictly: what two hops could read differently is refused, and every head is
//! written anew.

mod chunked;
mod fields;
mod forward;
mod lines;
mod request;
mod response;
mod write;

pub use chunked::{CHUNK_HEAD_BYTES_MAX, ChunkDecoder, ChunkHead, Decoded, LAST_CHUNK};
pub use fields::{TRAILER_BYTES_MAX, write_trailers};
pub use forward::{Edits, Forwarding, HostPolicy, client_address};
pub use lines::Lines;
pub use request::RequestReader;
pub use response::ResponseReader;
pub use write::{
    ReplyFraming, RequestFraming, asks_upgrade, max_forwards, reason_phrase, write_request,
    write_response,
};
