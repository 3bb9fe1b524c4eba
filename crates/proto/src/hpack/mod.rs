//! Compressed fields of HTTP/2 and back (HPACK, RFC 7541). What is read may be compressed in every
//! way that there is; what is written has no state, so that two functions do it. Nothing is
//! validated but the encoding: what makes a good name or value is the business of others.

mod decode;
mod huffman;
mod integer;
mod static_table;
mod table;
mod write;

pub use decode::Decoder;
pub use write::{Name, write_field, write_secret, write_status, write_table_size};

/// Why a block can't be decoded: the connection is lost with it (COMPRESSION_ERROR, RFC 9113,
/// section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// The block ends within a field.
    Truncated,
    /// A number is larger than any that can be right, or has too many bytes.
    Integer,
    /// No entry of the tables has this index.
    Index,
    /// What fills the last byte of a Huffman string is no beginning of the code for its end.
    Padding,
    /// The code for the end stands within a Huffman string.
    EndOfString,
    /// The size of the table is to change behind a field, or more than twice.
    MisplacedUpdate,
    /// The table is to become larger than it may.
    TableSize,
}

impl HpackError {
    /// For logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Integer => "integer",
            Self::Index => "index",
            Self::Padding => "padding",
            Self::EndOfString => "end_of_string",
            Self::MisplacedUpdate => "misplaced_update",
            Self::TableSize => "table_size",
        }
    }
}

#[cfg(test)]
mod tests;
