//! One stream: what has come of it, what may go, and how it ends (RFC 9113, section 5).

use std::collections::VecDeque;

use fairwater_message::Trailers;

use super::frame::Code;

/// Who waits for a stream to move on.
pub trait Waiter: Default {
    fn wake(&mut self);
}

impl Waiter for () {
    fn wake(&mut self) {}
}

/// A head that came: of a reply as HTTP/1.1 would have it, lines and all.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub text: Vec<u8>,
    /// Nothing follows.
    pub is_all: bool,
    /// Some of its fields may come into no table of any later hop.
    pub has_secrets: bool,
}

/// What there is to be read of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Data(usize),
    /// Nothing yet.
    Wait,
    /// The end; trailers may be behind it.
    End,
    /// It will never be complete.
    Reset(Code),
}

/// Who has ended a stream by force, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    pub code: Code,
    pub is_remote: bool,
    /// The peer has not seen the stream (GOAWAY).
    pub is_unseen: bool,
}

#[derive(Debug)]
pub(super) struct Stream<W> {
    pub waiter: W,
    /// The next head, and those behind it.
    pub head: Option<Head>,
    pub heads: VecDeque<Head>,
    /// Received, and read up to `start`.
    pub data: Vec<u8>,
    pub start: usize,
    /// What the peer may still send; and what was read, and is not given back yet.
    pub receive_window: i64,
    pub owed: u32,
    /// Taken out as a whole, and not given back yet: it counts as unread.
    pub taken: u32,
    /// Of the length that the head named.
    pub left: Option<u64>,
    pub trailers: Trailers,
    pub is_received: bool,
    pub send_window: i64,
    pub is_sent: bool,
    /// A reply to HEAD, or one that has no body.
    pub is_bodiless: bool,
    pub has_final_head: bool,
    /// A reply that says yes makes a tunnel, whose bytes are no body.
    pub is_tunnel: bool,
    pub reset: Option<Reset>,
    /// It waits for room to send.
    pub is_blocked: bool,
}

impl<W: Waiter> Stream<W> {
    pub(super) fn new(receive_window: u32, send_window: u32) -> Self {
        Self {
            waiter: W::default(),
            head: None,
            heads: VecDeque::new(),
            data: Vec::new(),
            start: 0,
            receive_window: i64::from(receive_window),
            owed: 0,
            taken: 0,
            left: None,
            trailers: Trailers::default(),
            is_received: false,
            send_window: i64::from(send_window),
            is_sent: false,
            is_bodiless: false,
            has_final_head: false,
            is_tunnel: false,
            reset: None,
            is_blocked: false,
        }
    }

    pub(super) fn push_head(&mut self, head: Head) {
        match self.head {
            None => self.head = Some(head),
            Some(_) => self.heads.push_back(head),
        }
        self.waiter.wake();
    }

    pub(super) fn pop_head(&mut self) -> Option<Head> {
        std::mem::replace(&mut self.head, self.heads.pop_front())
    }

    /// Whether all of the body was read, and no trailers are behind it.
    pub(super) fn is_read_out(&self) -> bool {
        self.is_received && self.start == self.data.len() && self.trailers.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.reset.is_some() || (self.is_received && self.is_sent)
    }

    /// Takes data that has come.
    pub(super) fn take_data(&mut self, data: &[u8], is_last: bool) -> Result<(), Code> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Code::PROTOCOL_ERROR)?;
        }
        if is_last {
            self.end()?;
        }
        // Who reads may never catch up; what was read goes before it is more than what was not.
        if self.start > self.data.len() / 2 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.extend_from_slice(data);
        self.waiter.wake();
        Ok(())
    }

    /// The peer has ended its direction.
    pub(super) fn end(&mut self) -> Result<(), Code> {
        if self.left.is_some_and(|left| left > 0) && !self.is_bodiless {
            return Err(Code::PROTOCOL_ERROR);
        }
        self.is_received = true;
        self.waiter.wake();
        Ok(())
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let rest = &self.data[self.start..];
        let len = rest.len().min(buffer.len());
        if len > 0 {
            buffer[..len].copy_from_slice(&rest[..len]);
            self.consume(len);
            return Read::Data(len);
        }
        match self.reset {
            Some(reset) => Read::Reset(reset.code),
            None if self.is_received => Read::End,
            None => Read::Wait,
        }
    }

    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start == self.data.len() {
            // A stream that waits for more holds nothing.
            (self.data, self.start) = (Vec::new(), 0);
        }
    }
}
