//! What carries an exchange on the client's side: a connection, or one stream of it.

use std::io;
use std::task::{Context, Poll};

use fairwater_net::Stream;

use super::h2::Lane;
use crate::shard::Shard;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier<'a> {
    Connection(&'a Stream),
    Lane(&'a Lane),
}

impl<'a> Carrier<'a> {
    /// Reads of a body; 0 is its end.
    #[inline]
    pub(crate) fn poll_read(
        self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Connection(stream) => stream.poll_read(cx, buffer),
            Self::Lane(lane) => lane.poll_read(cx, buffer),
        }
    }

    /// The connection, if the exchange has it for itself.
    #[inline]
    pub(crate) fn connection(self) -> Option<&'a Stream> {
        match self {
            Self::Connection(stream) => Some(stream),
            Self::Lane(_) => None,
        }
    }

    /// Whether the client shall come again by another connection, and hears of it with this reply.
    #[inline]
    pub(crate) fn is_sent_away(self, shard: &Shard) -> bool {
        self.connection().is_some_and(|stream| shard.sends_away(stream))
    }
}
