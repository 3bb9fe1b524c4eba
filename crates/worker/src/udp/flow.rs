//! One flow: what a client sends to one address, and what comes back.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::rc::Rc;

use fairwater_message::FaultKind;
use fairwater_plan::{ListenerId, Room, TooMany};
use fairwater_sys::datagram::Local;
use fairwater_telemetry::{Dropped, Entry, Timers};

use super::way::Way;
use crate::record::cut_off;
use crate::shard::Shard;

/// The room that a flow has, by the limits of its listener. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub shard: Rc<Shard>,
    pub listener: ListenerId,
    pub client: IpAddr,
    room: Room,
    /// The limit that counts it as one of its client's.
    counted_by: Option<NonZeroU16>,
}

impl Seat {
    /// Takes room for a flow of a client.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(
        shard: &Rc<Shard>,
        listener: ListenerId,
        client: IpAddr,
    ) -> Result<Self, Dropped> {
        let in_force = shard.in_force();
        let limits = &in_force.plan.listener(listener).connections;
        let room = limits.enter().ok_or(Dropped::NoRoom)?;
        let counted_by = limits.enter_of(Some(client)).map_err(|TooMany| {
            limits.leave(room);
            Dropped::RateLimited
        })?;
        shard.counters.listeners[listener.0 as usize].active.add(1);
        shard.flows.set(shard.flows.get() + 1);
        Ok(Self { shard: Rc::clone(shard), listener, client, room, counted_by })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shard = &self.shard;
        shard.counters.listeners[self.listener.0 as usize].active.subtract(1);
        shard.flows.set(shard.flows.get() - 1);
        let in_force = shard.in_force();
        let limits = &in_force.plan.listener(self.listener).connections;
        limits.leave(self.room);
        limits.leave_of(Some(self.client), self.counted_by);
    }
}

/// What was counted of a flow; moves with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub id: u128,
    pub begun_us: u64,
    /// When the first reply came.
    pub answered_us: u64,
    pub attempts: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Replies that may still come, where it is known how many.
    pub due: u64,
    /// Something was sent, and nothing has come back since.
    pub is_owed: bool,
    /// The endpoint that it has now has answered.
    pub is_answered: bool,
    /// Its endpoint was not there, and nothing was sent or has come since.
    pub failure: Option<FaultKind>,
}

impl Tally {
    /// Whether a reply may be on its way.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_owed || self.due > 0
    }
}

/// A flow. Written down when it is dropped, so that one that is cut off has its line.
#[derive(Debug)]
pub(super) struct Flow {
    pub seat: Seat,
    pub way: Way,
    /// As the socket has it.
    pub client: SocketAddr,
    /// Where replies leave from, on a socket for all addresses.
    pub local: Option<Local>,
    /// In front of each datagram for the endpoint.
    pub header: Box<[u8]>,
    pub tally: Tally,
    /// Why it ended, once it has.
    end: Option<Option<FaultKind>>,
    /// Another process writes it down.
    is_handed_on: bool,
}

impl Flow {
    pub(super) fn new(
        seat: Seat,
        way: Way,
        (client, local): (SocketAddr, Option<Local>),
        header: Box<[u8]>,
        tally: Tally,
    ) -> Self {
        seat.shard.counters.listeners[seat.listener.0 as usize].connections.add(1);
        Self { seat, way, client, local, header, tally, end: None, is_handed_on: false }
    }

    /// A datagram was sent on, each of which gets so many replies.
    pub(super) fn sent(&mut self, count: usize, replies_max: Option<u32>) {
        (self.tally.is_owed, self.tally.failure) = (true, None);
        self.tally.due += u64::from(replies_max.unwrap_or(0)) * count as u64;
    }

    /// It has another way from now on: nothing is waited for any more that went the one before.
    pub(super) fn turn(&mut self, way: Way) {
        self.way = way;
        (self.tally.due, self.tally.is_owed, self.tally.is_answered) = (0, false, false);
    }

    /// Its endpoint is not there.
    pub(super) fn fail(&mut self, kind: FaultKind) {
        (self.tally.is_owed, self.tally.failure) = (false, Some(kind));
    }

    /// Because of this, or else of what has become of it last.
    pub(super) fn end(mut self, fault: Option<FaultKind>) {
        self.end = Some(fault.or(self.tally.failure));
    }

    pub(super) fn hand_on(mut self) {
        self.is_handed_on = true;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.is_handed_on {
            return;
        }
        let (seat, target) = (&self.seat, &self.way.target);
        let ended = Ended {
            listener: seat.listener,
            client: SocketAddr::new(seat.client, self.client.port()),
            upstream: &target.upstream,
            endpoint: &target.endpoint,
            tally: &self.tally,
        };
        ended.record(&seat.shard, self.end.unwrap_or_else(|| Some(cut_off())));
    }
}

/// What is written down of a flow that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    pub listener: ListenerId,
    pub client: SocketAddr,
    pub upstream: &'a str,
    pub endpoint: &'a str,
    pub tally: &'a Tally,
}

impl Ended<'_> {
    pub(super) fn record(self, shard: &Shard, fault: Option<FaultKind>) {
        let counters = &shard.counters.listeners[self.listener.0 as usize];
        counters.request(0);
        if let Some(kind) = fault {
            counters.faults[kind as usize].add(1);
        }
        if shard.log_is_on {
            self.write_line(shard, fault);
        }
    }

    fn write_line(self, shard: &Shard, fault: Option<FaultKind>) {
        let Self { listener, client, upstream, endpoint, tally } = self;
        let in_force = shard.in_force();
        let now_us = shard.now_us();
        let is_answered = tally.answered_us > 0;
        let entry = Entry {
            wall_us: shard.wall_us(now_us),
            id: tally.id,
            listener: &in_force.plan.listener(listener).name,
            client: Some(client.ip()),
            client_port: client.port(),
            protocol: "UDP",
            bytes_in: tally.bytes_in,
            bytes_out: tally.bytes_out,
            upstream,
            endpoint,
            attempts: tally.attempts,
            timers: Timers {
                response_us: is_answered.then(|| tally.answered_us.saturating_sub(tally.begun_us)),
                total_us: now_us.saturating_sub(tally.begun_us),
                ..Timers::default()
            },
            ..Entry::of(fault)
        };
        shard.log.borrow_mut().write(&entry, &shard.counters);
    }
}
