//! Tunnels of which an end is a stream of HTTP/2: bytes pass through the thread's own buffer, under
//! the flow control of the stream, and a reset on one side is one on the other.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use fairwater_net::{Stream, Timer};

use crate::downstream::Lane;
use crate::duplex::{Ending, Flow, Silence};
use crate::limits;
use crate::shard::Shard;
use crate::upstream::h2::Call;

/// One end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port<'a> {
    Socket(&'a Stream),
    Lane(&'a Lane),
    Call(&'a Call),
}

impl Port<'_> {
    fn poll_read(self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(stream) => stream.poll_read(cx, buffer),
            Self::Lane(lane) => lane.poll_read(cx, buffer),
            Self::Call(call) => call.poll_read(cx, buffer),
        }
    }

    fn poll_write(self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(stream) => stream.poll_write(cx, &[IoSlice::new(data)]),
            Self::Lane(lane) => lane.poll_send(cx, data, false),
            Self::Call(call) => call.poll_send(cx, data, false),
        }
    }

    /// Sees to it that what was written goes out. Only TLS holds back.
    fn poll_flush(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(stream) if !stream.is_plain() => stream.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ends this direction.
    fn poll_end(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(stream) => {
                ready!(stream.poll_flush(cx))?;
                Poll::Ready(stream.shut_down())
            }
            Self::Lane(lane) => lane.poll_send(cx, &[], true).map_ok(drop),
            Self::Call(call) => call.poll_send(cx, &[], true).map_ok(drop),
        }
    }

    /// Ready when a stream was reset, which is noticed even while nothing is read from it.
    fn poll_reset(self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Lane(lane) => lane.poll_reset(cx),
            Self::Socket(_) | Self::Call(_) => Poll::Pending,
        }
    }

    fn break_off(self) {
        match self {
            Self::Socket(stream) => stream.reset_on_close(),
            Self::Lane(lane) => lane.reset(),
            Self::Call(call) => call.break_off(),
        }
    }
}

/// One direction, of which the flow counts the bytes.
struct Way<'a> {
    from: Port<'a>,
    to: Port<'a>,
    held: Vec<u8>,
    bytes: &'a mut u64,
    is_read_out: bool,
    is_ended: bool,
}

/// Which end of a direction broke.
enum Broken {
    Source,
    Target,
}

impl<'a> Way<'a> {
    fn new(from: Port<'a>, to: Port<'a>, flow: &'a mut Flow) -> Self {
        let held = flow.take_held();
        Self { from, to, held, bytes: &mut flow.bytes, is_read_out: false, is_ended: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, shard: &Shard) -> Poll<Result<(), Broken>> {
        let mut budget = limits::BYTES_PER_TURN;
        if let Poll::Ready(Err(_)) = self.to.poll_flush(cx) {
            return Poll::Ready(Err(Broken::Target));
        }
        while !self.is_ended {
            if !self.held.is_empty() {
                let len = ready!(self.to.poll_write(cx, &self.held)).map_err(|_| Broken::Target)?;
                self.held = self.held.split_off(len); // nothing is kept of an empty one
                *self.bytes += len as u64;
            } else if self.is_read_out {
                // An error means that the target is gone; its own direction will tell.
                drop(ready!(self.to.poll_end(cx)));
                self.is_ended = true;
            } else if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else {
                let mut scratch = shard.scratch.borrow_mut();
                let read = ready!(self.from.poll_read(cx, &mut scratch));
                let len = read.map_err(|_| Broken::Source)?;
                self.is_read_out = len == 0;
                budget = budget.saturating_sub(len as u64);
                let taken = match self.to.poll_write(cx, &scratch[..len]) {
                    _ if len == 0 => 0,
                    Poll::Ready(taken) => taken.map_err(|_| Broken::Target)?,
                    Poll::Pending => 0,
                };
                *self.bytes += taken as u64;
                self.held = scratch[taken..len].to_vec();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Relays until both directions have ended, one broke, or nothing moves for too long.
pub(crate) async fn relay(
    shard: &Shard,
    (client, endpoint): (Port<'_>, Port<'_>),
    (up, down): (&mut Flow, &mut Flow),
    (silence, timer): (&mut Silence, &Timer),
) -> Ending {
    let (mut up, mut down) = (Way::new(client, endpoint, up), Way::new(endpoint, client, down));
    poll_fn(|cx| {
        let before = (*up.bytes, *down.bytes);
        let sent = up.poll(cx, shard);
        let received = down.poll(cx, shard);
        if let Some(meter) = &silence.meter {
            meter.charge(*up.bytes + *down.bytes - before.0 - before.1);
        }
        let broken = match (sent, received) {
            (Poll::Ready(Err(broken)), _) => Some(matches!(broken, Broken::Source)),
            (_, Poll::Ready(Err(broken))) => Some(matches!(broken, Broken::Target)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ending::Closed),
            _ => client.poll_reset(cx).is_ready().then_some(true),
        };
        match broken {
            Some(true) => {
                endpoint.break_off();
                return Poll::Ready(Ending::ClientReset);
            }
            Some(false) => {
                client.break_off();
                return Poll::Ready(Ending::EndpointReset);
            }
            None => {}
        }
        let has_moved = (*up.bytes, *down.bytes) != before;
        let is_half_closed = up.is_ended || down.is_ended;
        silence.poll(cx, timer, has_moved, is_half_closed).map(|()| Ending::Idle)
    })
    .await
}
