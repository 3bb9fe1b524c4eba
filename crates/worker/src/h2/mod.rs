//! What both sides of HTTP/2 share: an engine between a socket and the tasks of its streams.

mod mux;
mod strand;
pub(crate) mod windows;

pub(crate) use mux::Mux;
pub(crate) use strand::{Strand, broken};
