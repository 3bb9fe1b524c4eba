//! Step 3: from bytes of a client to exchanges. One adapter per protocol.

mod carrier;
pub(crate) mod h1;
pub(crate) mod h2;
mod sink;
mod source;

pub(crate) use carrier::Carrier;
pub(crate) use h2::Lane;
pub(crate) use sink::{Part, Sink, reads_chunks};
pub(crate) use source::Source;
