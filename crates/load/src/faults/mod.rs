//! What `cargo xtask faults` is made of: a service that fails as it is told, clients that ask it
//! through a proxy at a rate of their own, and clients that only hold connections.

mod answer;
mod calls;
mod hold;
mod service;

pub(crate) use calls::run as run_calls;
pub(crate) use hold::run as run_hold;
pub(crate) use service::{Manner, run as run_service};

/// What a body is made of, so that a wrong one is seen.
const BODY_BYTE: u8 = b'x';
