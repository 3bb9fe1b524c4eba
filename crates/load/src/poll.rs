//! The event loop's two system calls, and the core that the loop runs on.
//!
//! Sockets are edge-triggered and registered once, for reading and writing together, so that
//! no request costs an `epoll_ctl`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Events taken per turn: above the usual number of connections, so that a turn is one call.
const EVENTS_MAX: usize = 512;

pub(crate) struct Poll {
    epoll: OwnedFd,
}

/// What became of the socket behind `token`.
pub(crate) struct Ready {
    pub(crate) token: usize,
    /// The peer has sent its last byte, or the connection broke.
    pub(crate) ended: bool,
}

pub(crate) struct Events(Vec<Event>);

impl Events {
    pub(crate) fn new() -> Self {
        let empty = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Self(vec![empty; EVENTS_MAX])
    }

    pub(crate) fn ready(&self, index: usize) -> Ready {
        let event = &self.0[index];
        let flags = event.flags;
        let over = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        Ready { token: event.data.u64() as usize, ended: flags.intersects(over) }
    }
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub(crate) fn add_stream(&self, stream: &impl AsFd, token: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(token as u64), flags)?)
    }

    pub(crate) fn add_listener(&self, listener: &impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, listener, EventData::new_u64(token as u64), EventFlags::IN)?)
    }

    /// The number of events now in `events`; none means that `timeout` passed.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        match epoll::wait(&self.epoll, &mut events.0[..], timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn pin_to(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
