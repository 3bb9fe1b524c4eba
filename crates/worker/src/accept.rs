//! Step 1: a connection is accepted, counted, and given a task of its own.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use fairwater_net::{Acceptor, Peer, Stream, Timer};
use fairwater_plan::{ListenerId, Protocol};

use crate::downstream::h1;
use crate::shard::Shard;
use crate::{limits, tcp};

/// Pause after an accept that failed for want of descriptors: trying at once would only burn the
/// processor, and closing connections free some.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection as it came in. Counts as active until it is dropped.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub stream: Stream,
    pub timer: Timer,
    pub peer: Peer,
    pub listener: ListenerId,
    pub shard: Rc<Shard>,
}

impl Accepted {
    fn new(shard: Rc<Shard>, stream: Stream, peer: Peer, listener: ListenerId) -> Self {
        let counters = &shard.counters.listeners[listener.0 as usize];
        counters.connections.add(1);
        counters.active.add(1);
        let timer = Timer::new(&shard.wheel);
        Self { stream, timer, peer, listener, shard }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let shard = &self.shard;
        shard.counters.listeners[self.listener.0 as usize].active.subtract(1);
        if std::thread::panicking() {
            shard.counters.panics.add(1);
        }
    }
}

/// Accepts connections until the shard drains.
pub(crate) async fn run(shard: Rc<Shard>, acceptor: Acceptor, listener: ListenerId) {
    let timer = Timer::new(&shard.wheel);
    while !shard.is_draining() {
        let accepted = poll_fn(|cx| {
            // Registers for the wake that a drain sends to everyone on the wheel.
            if timer.poll_expired(cx).is_ready() || shard.is_draining() {
                return std::task::Poll::Ready(None);
            }
            acceptor.poll_accept(cx).map(Some)
        });
        match accepted.await {
            Some(Ok((stream, peer))) => {
                let accepted = Accepted::new(Rc::clone(&shard), stream, peer, listener);
                spawn(accepted);
            }
            Some(Err(_)) => {
                shard.counters.accept_failures.add(1);
                tokio::time::sleep(PAUSE).await;
            }
            None => {}
        }
    }
}

fn spawn(accepted: Accepted) {
    let in_force = accepted.shard.in_force();
    match &in_force.plan.listener(accepted.listener).protocol {
        Protocol::Http(_) => drop(tokio::task::spawn_local(h1::serve(accepted))),
        Protocol::Tcp { .. } => {
            accepted.stream.keep_alive(limits::KEEPALIVE_IDLE, limits::KEEPALIVE_INTERVAL);
            drop(tokio::task::spawn_local(tcp::serve(accepted)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function makes.
    fn size_of_future<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// With the runtime's own 100 bytes this makes a task of 256.
    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of_future(h1::serve);
        assert!(size <= 152, "{size}");
    }
}
