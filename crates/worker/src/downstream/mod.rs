//! Step 3: from bytes of a client to exchanges. One adapter per protocol.

pub(crate) mod h1;
mod source;

pub(crate) use source::Source;
