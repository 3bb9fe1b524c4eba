//! The vocabulary that every stage shares: request and response heads as bytes plus an index,
//! header names as small ids, methods, and [`Fault`].
//!
//! This crate knows no codec and no socket, and no form of bytes but that of `pack`. A head that
//! arrived over any protocol version ends up as the same index over one byte buffer.

pub mod address;
pub mod app;
pub mod cookie;
mod fault;
pub mod frame;
mod grpc;
mod head;
mod header;
pub mod log;
mod method;
pub mod network;
pub mod pack;
pub mod secret;
pub mod tally;
pub mod target;
pub mod template;

pub use fault::{Fault, FaultKind, Party, Phase};
pub use grpc::{GrpcCode, GrpcCodes};
pub use head::{
    BodyLength, Connection, Field, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HeadLimits, RequestHead,
    ResponseHead, Span, TARGET_BYTES_MAX, Trailers, Version, field_named,
};
pub use header::{HeaderId, HeaderName};
pub use method::Method;
