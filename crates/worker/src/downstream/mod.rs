//! Step 3: from bytes of a client to exchanges. One adapter per protocol.

pub(crate) mod h1;
mod sink;
mod source;

pub(crate) use sink::{Part, Sink, reads_chunks};
pub(crate) use source::Source;
