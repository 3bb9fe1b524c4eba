//! Raw bytes, both ways, for TCP connections and tunnels. What is small is copied through one
//! buffer of the thread, so that an idle connection holds none; what streams is spliced.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fairwater_message::pack::{Packer, Unpacker};
use fairwater_net::{Stream, Timer, clock};

use crate::accept::Accepted;
use crate::limits;
use crate::patience::Patience;
use crate::pipes::LentPipe;
use crate::pulse::{Mark, Stage};
use crate::rate::Meter;
use crate::shard::Shard;
use crate::write::Stall;

/// A read of this size says that there is more where it came from.
const BULK_READ_BYTES: usize = 32 * 1024;
/// So many of them in a row, and the direction is spliced.
const BULK_READS: u8 = 2;
/// A splice that moved less than this is no longer a stream.
const SPLICE_WORTH_BYTES: usize = 8 * 1024;

/// Who keeps an idle connection alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub after: Duration,
    /// Instead, once one direction has ended.
    pub half_close: Duration,
    /// For a peer that reads slowly.
    pub stall: Duration,
    /// Only bytes from the client count.
    pub is_client_only: bool,
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides were closed in order.
    Closed,
    /// A side was reset, and so is the other.
    ClientReset,
    EndpointReset,
    Idle,
    /// It has not: another process may go on with it.
    Moves,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Bytes that the target's socket took.
    pub bytes: u64,
    /// Read, and not taken by the target yet.
    held: Vec<u8>,
    held_start: usize,
    pipe: Option<LentPipe>,
    bulk_reads: u8,
    supply: Supply,
    /// The source has ended; and the target was told.
    is_read_out: bool,
    is_ended: bool,
    is_empty: bool,
    /// What is written to the target when the source ends without a byte.
    on_empty: Vec<u8>,
}

/// What is known about the source without a call to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Supply {
    #[default]
    Unknown,
    /// The last read left nothing behind: to try another would be in vain.
    Empty,
    /// The task is registered for it: as long as it has nothing, polling it again would only
    /// register once more. Nothing else is on its way.
    Awaited,
}

/// Which end of a direction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Source,
    Target,
}

impl Flow {
    /// A direction that starts with bytes which were read before.
    pub(crate) fn starting_with(bytes: Vec<u8>) -> Self {
        Self { held: bytes, ..Self::default() }
    }

    /// A direction whose target gets these bytes if the source ends without having sent any.
    pub(crate) fn answering_empty(bytes: Vec<u8>) -> Self {
        Self { on_empty: bytes, ..Self::default() }
    }

    /// Brings bytes on their way into user space, where they can be told to another process.
    ///
    /// # Errors
    /// When they cannot be read. Then some are lost, and the connection with them.
    pub(crate) fn come_to_rest(&mut self) -> io::Result<()> {
        self.supply = Supply::Unknown;
        match self.pipe.take() {
            Some(mut pipe) => pipe.empty_into(&mut self.held),
            None => Ok(()),
        }
    }

    /// Of a direction that has come to rest.
    pub(crate) fn pack(&self, out: &mut Packer) {
        let flags = [self.is_read_out, self.is_ended, self.is_empty];
        out.number(self.bytes).bytes(&self.held[self.held_start..]).bytes(&flags.map(u8::from));
        out.bytes(&self.on_empty);
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (bytes, held) = (from.number()?, from.bytes()?.to_vec());
        let flags = <[u8; 3]>::try_from(from.bytes()?).ok()?;
        let [is_read_out, is_ended, is_empty] = flags.map(|flag| flag != 0);
        let on_empty = from.bytes()?.to_vec();
        Some(Self { bytes, held, is_read_out, is_ended, is_empty, on_empty, ..Self::default() })
    }

    /// Takes out what was read before and not written yet.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        let at = std::mem::take(&mut self.held_start);
        std::mem::take(&mut self.held).split_off(at)
    }

    /// Whether there are bytes that the target does not take.
    fn is_blocked(&self) -> bool {
        self.held_start < self.held.len() || self.pipe.is_some()
    }

    /// Whether the source ended without having sent anything.
    pub(crate) fn was_empty(&self) -> bool {
        self.is_empty
    }

    /// Moves bytes until a side would block, the direction ends, or the turn is over.
    #[inline(always)]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), Broken>> {
        if self.supply == Supply::Awaited {
            let is_plain = to.is_plain();
            if is_plain && from.is_plain() && self.bulk_reads < BULK_READS {
                match self.pass_on_awaited(cx, shard, from, to) {
                    Poll::Ready(Ok(())) => {}
                    over => return over,
                }
            } else {
                match from.is_read_ready() {
                    true => self.supply = Supply::Unknown,
                    false if is_plain => return Poll::Pending,
                    false => {}
                }
            }
        }
        self.poll_on(cx, shard, from, to)
    }

    /// A message, of which there are the most: it has come, is read and written at once, and
    /// nothing is behind it. Ready when there is more to do.
    #[inline(always)]
    fn pass_on_awaited(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), Broken>> {
        let mut scratch = shard.scratch.borrow_mut();
        let Some(read) = from.read_if_ready(&mut scratch) else { return Poll::Pending };
        self.supply = Supply::Unknown;
        if let Err(broken) = self.pass_on(cx, read, &scratch, to) {
            return Poll::Ready(Err(broken));
        }
        let is_over = self.supply == Supply::Empty && self.held.is_empty();
        if is_over && from.poll_readable(cx).is_pending() {
            self.supply = Supply::Awaited;
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn poll_on(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), Broken>> {
        if !to.is_plain()
            && let Poll::Ready(Err(_)) = to.poll_flush(cx)
        {
            return Poll::Ready(Err(Broken::Target));
        }
        let mut budget = limits::BYTES_PER_TURN;
        while !self.is_ended {
            if self.held_start < self.held.len() {
                let parts = [IoSlice::new(&self.held[self.held_start..])];
                match to.poll_write(cx, &parts) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(len)) => self.release(len),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Target)),
                }
            } else if let Some(pipe) = &mut self.pipe {
                match to.poll_drain(cx, pipe, false) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(len)) => self.bytes += len as u64,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Target)),
                }
                if pipe.held() == 0 {
                    self.pipe = None;
                }
            } else if self.is_read_out {
                // What is behind the end would come too late.
                if to.poll_flush(cx).is_pending() {
                    return Poll::Pending;
                }
                // An error means that the target is gone; its own direction will tell.
                drop(to.shut_down());
                self.is_ended = true;
            } else if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else {
                let moved = match self.poll_read(cx, shard, from, to) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(result) => result,
                };
                match moved {
                    Ok(len) => budget = budget.saturating_sub(len as u64),
                    Err(broken) => return Poll::Ready(Err(broken)),
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn release(&mut self, len: usize) {
        self.held_start += len;
        self.bytes += len as u64;
        if self.held_start == self.held.len() {
            (self.held, self.held_start) = (Vec::new(), 0);
        }
    }

    /// Reads once, and writes what was read as far as the target takes it at once.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<usize, Broken>> {
        let has_come = match self.supply {
            Supply::Unknown => true,
            Supply::Empty => from.poll_readable(cx).is_ready(),
            Supply::Awaited => from.is_read_ready(),
        };
        if has_come {
            self.supply = Supply::Unknown;
            let moved = self.poll_source(cx, shard, from, to);
            if moved.is_ready() {
                return moved;
            }
        }
        self.supply = Supply::Awaited;
        Poll::Pending
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
        shard: &Shard,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<usize, Broken>> {
        if self.bulk_reads >= BULK_READS
            && from.is_plain()
            && to.is_plain()
            && let Some(pipe) = shard.pipes.take()
        {
            return self.poll_fill(cx, from, pipe);
        }
        let mut scratch = shard.scratch.borrow_mut();
        let read = ready!(from.poll_read(cx, &mut scratch));
        Poll::Ready(self.pass_on(cx, read, &scratch, to))
    }

    /// Writes what was read as far as the target takes it at once.
    #[inline]
    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        read: io::Result<usize>,
        scratch: &[u8],
        to: &Stream,
    ) -> Result<usize, Broken> {
        let len = match read {
            Ok(len) => len,
            // As empty as an end: that an endpoint has crashed is what the bytes are for.
            Err(_) if self.bytes == 0 && !self.on_empty.is_empty() => 0,
            Err(_) => return Err(Broken::Source),
        };
        if len == 0 {
            self.end_of_source();
            return Ok(0);
        }
        if len < scratch.len() {
            self.supply = Supply::Empty;
        }
        self.bulk_reads =
            if len >= BULK_READ_BYTES { self.bulk_reads.saturating_add(1) } else { 0 };
        let taken = match to.poll_write(cx, &[IoSlice::new(&scratch[..len])]) {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Pending => 0,
            Poll::Ready(Err(_)) => return Err(Broken::Target),
        };
        self.bytes += taken as u64;
        if taken < len {
            self.held = scratch[taken..len].to_vec();
            self.held_start = 0;
        }
        Ok(len)
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        mut pipe: LentPipe,
    ) -> Poll<Result<usize, Broken>> {
        match from.poll_fill(cx, &mut pipe, usize::MAX) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => {
                self.end_of_source();
                Poll::Ready(Ok(0))
            }
            Poll::Ready(Ok(len)) => {
                if len < SPLICE_WORTH_BYTES {
                    self.bulk_reads = 0;
                }
                self.pipe = Some(pipe);
                Poll::Ready(Ok(len))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Broken::Source)),
        }
    }

    fn end_of_source(&mut self) {
        self.is_read_out = true;
        self.is_empty = self.bytes == 0;
        if self.is_empty {
            self.held = std::mem::take(&mut self.on_empty);
        }
    }
}

/// Relays until both directions have ended, one broke, or nothing moves for too long.
pub(crate) fn relay(
    connection: &Accepted,
    endpoint: &Stream,
    (up, down): (&mut Flow, &mut Flow),
    silence: &mut Silence,
) -> impl Future<Output = Ending> {
    let mark = Mark::of(Stage::Relay, connection);
    poll_fn(move |cx| {
        let pulse = &connection.shard.pulse;
        pulse.doing(&mark);
        let ending = poll(cx, connection, endpoint, (up, down), silence);
        pulse.done();
        ending
    })
}

fn poll(
    cx: &mut Context<'_>,
    connection: &Accepted,
    endpoint: &Stream,
    (up, down): (&mut Flow, &mut Flow),
    silence: &mut Silence,
) -> Poll<Ending> {
    let Accepted { shard, stream: client, timer, .. } = connection;
    let idle = silence.idle;
    if shard.moves() && !silence.stays {
        return Poll::Ready(Ending::Moves);
    }
    let before = (up.bytes, down.bytes);
    if up.is_ended && up.bytes == 0 {
        // Who asks nothing is owed nothing.
        down.on_empty = Vec::new();
    }
    let sent = up.poll(cx, shard, client, endpoint);
    let received = down.poll(cx, shard, endpoint, client);
    if let Some(meter) = &silence.meter {
        meter.charge(up.bytes + down.bytes - before.0 - before.1);
    }
    match (sent, received) {
        (Poll::Ready(Err(broken)), _) => {
            return Poll::Ready(break_both(client, endpoint, broken == Broken::Source));
        }
        (_, Poll::Ready(Err(broken))) => {
            return Poll::Ready(break_both(client, endpoint, broken == Broken::Target));
        }
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ending::Closed),
        _ => {}
    }
    // A client that has closed its direction can send no heartbeat.
    let is_client_only = idle.is_client_only && !up.is_ended;
    let has_moved = up.bytes > before.0 || (down.bytes > before.1 && !is_client_only);
    let is_half_closed = up.is_ended || down.is_ended;
    ready!(silence.poll(cx, timer, has_moved, is_half_closed));
    // What a slow reader takes of what it was sent before keeps the connection as well.
    let reader = match (up.is_blocked(), down.is_blocked() && !is_client_only) {
        (true, _) => Some(endpoint),
        (_, true) => Some(client),
        _ => None,
    };
    let patience = Patience { timer, stall: idle.stall };
    match reader {
        Some(reader) => silence.stall.get_or_insert_default().poll(cx, reader, patience),
        None => Poll::Ready(()),
    }
    .map(|()| Ending::Idle)
}

/// How long nothing has moved. A message costs a look at the clock; the timer is set anew only when
/// it has fired.
#[derive(Debug)]
pub(crate) struct Silence {
    pub idle: Idle,
    /// No other process takes the connection.
    pub stays: bool,
    /// If its bytes are limited.
    pub meter: Option<Rc<Meter>>,
    moved_ms: u64,
    /// When the timer fires and there is something to decide; 0 for at once.
    look_ms: u64,
    is_half_closed: bool,
    /// Looks at a peer that takes nothing new, once the time is over.
    stall: Option<Box<Stall>>,
}

impl Silence {
    pub(crate) fn new(idle: Idle) -> Self {
        Self {
            idle,
            stays: false,
            meter: None,
            moved_ms: clock::coarse_ms(),
            look_ms: 0,
            is_half_closed: false,
            stall: None,
        }
    }

    pub(crate) fn metered(self, meter: Option<Rc<Meter>>) -> Self {
        Self { meter, ..self }
    }

    pub(crate) fn pack(&self, out: &mut Packer) {
        let Idle { after, half_close, stall, is_client_only } = self.idle;
        for time in [after, half_close, stall] {
            out.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
        out.number(is_client_only.into()).number(self.is_half_closed.into()).number(self.moved_ms);
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut time = || from.number().map(Duration::from_millis);
        let (after, half_close, stall) = (time()?, time()?, time()?);
        let is_client_only = from.number()? != 0;
        let is_half_closed = from.number()? != 0;
        let moved_ms = from.number()?.min(clock::coarse_ms());
        let idle = Idle { after, half_close, stall, is_client_only };
        Some(Self { moved_ms, is_half_closed, ..Self::new(idle) })
    }

    /// Ready when the connection has been silent for too long.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timer: &Timer,
        has_moved: bool,
        is_half_closed: bool,
    ) -> Poll<()> {
        let now_ms = clock::coarse_ms();
        if has_moved {
            self.moved_ms = now_ms;
            if self.stall.take().is_some() {
                self.look_ms = 0;
            }
        }
        if self.stall.is_some() {
            return Poll::Ready(());
        }
        if is_half_closed != self.is_half_closed {
            // The rest of a half-closed connection has less time, from now on.
            self.is_half_closed = is_half_closed;
            (self.moved_ms, self.look_ms) = (now_ms, 0);
        }
        match now_ms < self.look_ms {
            true => Poll::Pending,
            false => self.look_again(cx, timer),
        }
    }

    #[cold]
    fn look_again(&mut self, cx: &mut Context<'_>, timer: &Timer) -> Poll<()> {
        let after = match self.is_half_closed {
            true => self.idle.half_close.min(self.idle.after),
            false => self.idle.after,
        };
        let until_ms = self.moved_ms + after.as_millis() as u64;
        self.look_ms = until_ms;
        timer.set_at(until_ms);
        timer.poll_expired(cx)
    }
}

/// A reset of one side becomes a reset of the other.
fn break_both(client: &Stream, endpoint: &Stream, is_clients: bool) -> Ending {
    if is_clients {
        endpoint.reset_on_close();
        Ending::ClientReset
    } else {
        client.reset_on_close();
        Ending::EndpointReset
    }
}
