//! What is left of a body that is being read from an HTTP/1 connection.

use std::ops::Range;

use fairwater_message::{BodyLength, Fault};
use fairwater_proto::h1::ChunkDecoder;

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Done,
    Length(u64),
    Chunked(ChunkDecoder),
    /// Until the connection ends.
    UntilClose,
    /// So much is decoded already; what comes behind it its source knows.
    Held(usize),
}

/// A piece of a body that is in memory.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where the data stands in the bytes that were given.
    pub data: Range<usize>,
    /// How many of the bytes are used up.
    pub consumed: usize,
    /// Data was moved within the bytes, so that they cannot be read a second time.
    pub is_moved: bool,
}

impl Body {
    pub(crate) fn of_request(length: BodyLength) -> Self {
        match length {
            BodyLength::Known(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked(ChunkDecoder::of_request()),
            BodyLength::None | BodyLength::UntilClose => Self::Done,
        }
    }

    pub(crate) fn of_response(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::Done,
            BodyLength::Known(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked(ChunkDecoder::of_response()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Length(0))
    }

    /// Takes the data at the front of `bytes`. A chunked body with trailers stays until
    /// [`Body::take_trailers`].
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, Fault> {
        let plain = |len| Taken { data: 0..len, consumed: len, is_moved: false };
        match self {
            Self::Done => Ok(plain(0)),
            Self::UntilClose => Ok(plain(bytes.len())),
            Self::Length(left) => {
                let len = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= len as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(plain(len))
            }
            Self::Held(left) => {
                let len = bytes.len().min(*left);
                *left -= len;
                Ok(plain(len))
            }
            Self::Chunked(decoder) => {
                let decoded = decoder.decode(bytes)?;
                if decoded.is_done && decoder.trailers().is_empty() {
                    *self = Self::Done;
                }
                Ok(Taken {
                    data: decoded.data,
                    consumed: decoded.consumed,
                    is_moved: decoded.is_moved,
                })
            }
        }
    }

    /// The decoder of a chunked body that is complete but for its trailers; ends the body.
    pub(crate) fn take_trailers(&mut self) -> Option<ChunkDecoder> {
        match std::mem::replace(self, Self::Done) {
            Self::Chunked(decoder) if decoder.is_done() => Some(decoder),
            body => {
                *self = body;
                None
            }
        }
    }
}
