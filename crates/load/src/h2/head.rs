//! What the two ends of a measurement look at in a head, or in trailers.

use crate::reply::decimal;

/// Of every block the same few facts, so that they can be remembered beside it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Head {
    pub(super) is_ok: bool,
    pub(super) is_post: bool,
    pub(super) is_grpc: bool,
    /// `te: trailers`, without which no gRPC server goes on.
    pub(super) takes_trailers: bool,
    pub(super) length: Option<usize>,
    pub(super) grpc_status: Option<usize>,
}

impl Head {
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" => self.is_ok = value == b"200",
            b":method" => self.is_post = value == b"POST",
            b"content-type" => self.is_grpc = value == b"application/grpc",
            b"te" => self.takes_trailers = value == b"trailers",
            b"content-length" => self.length = Some(decimal(value)),
            b"grpc-status" => self.grpc_status = Some(decimal(value)),
            _ => {}
        }
    }
}
