//! What a head is written as. Which fields go where is the same for all versions of HTTP; how they
//! are put down is a form of each.

use fairwater_message::{Field, HeaderId};

/// The head of a message in the making.
pub trait Form {
    /// Whether it says of connections, and of codings for the transfer, what HTTP/1 must say of
    /// them. The frames of HTTP/2 do that themselves.
    const SAYS_FRAMING: bool;

    /// Begins a request; the path is in two pieces.
    fn begin_request(&mut self, method: &[u8], path: [&[u8]; 2], host: &[u8]);

    /// Begins a reply.
    fn begin_reply(&mut self, status: u16, reason: &[u8]);

    /// A field as it came. The lines of a folded one become one.
    fn field(&mut self, field: &Field, bytes: &[u8], is_folded: bool);

    /// A field of our own, whose value `write` appends to what it is given.
    fn own(&mut self, id: HeaderId, write: impl FnOnce(&mut Vec<u8>));

    /// Whole lines, each with its end.
    fn lines(&mut self, lines: &[u8]);

    fn end(&mut self);
}
