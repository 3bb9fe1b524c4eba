//! Idle connections, by endpoint, of one thread. The one that was used last is used first, so that
//! the others can grow old; none has a task. One that turns readable is dead: the endpoint closed
//! it, or sent what nobody asked for.

use std::cell::RefCell;
use std::collections::VecDeque;

use fairwater_net::clock;
use fairwater_plan::{Plan, Upstream};

use super::{Connection, Reuse, closed};
use crate::limits;
use crate::shard::Shard;

/// The pools of one thread, by endpoint slot.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: RefCell<Vec<VecDeque<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until_ms: u64,
}

impl Pools {
    pub(crate) fn new(slots: usize) -> Self {
        Self { pools: RefCell::new((0..slots).map(|_| VecDeque::new()).collect()) }
    }

    /// Takes the connection that was used last and is still alive.
    pub(super) fn take(
        &self,
        shard: &Shard,
        upstream: &Upstream,
        slot: usize,
        reuse: Reuse,
    ) -> Option<Connection> {
        if reuse == Reuse::No {
            return None;
        }
        let now_ms = clock::coarse_ms();
        loop {
            let idle = self.pools.borrow_mut()[slot].pop_back()?;
            shard.counters.endpoints[slot].idle.subtract(1);
            let is_alive = idle.until_ms > now_ms
                && match reuse {
                    Reuse::Checked => idle.connection.stream.is_quiet_for_sure(),
                    _ => idle.connection.stream.is_quiet(),
                };
            if is_alive {
                return Some(idle.connection);
            }
            drop(idle);
            closed(shard, upstream, slot);
        }
    }

    pub(super) fn put(
        &self,
        shard: &Shard,
        upstream: &Upstream,
        slot: usize,
        connection: Connection,
        until_ms: u64,
    ) {
        let oldest = {
            let pool = &mut self.pools.borrow_mut()[slot];
            pool.push_back(Idle { connection, until_ms });
            (pool.len() > limits::POOL_PER_ENDPOINT).then(|| pool.pop_front()).flatten()
        };
        if oldest.is_some() {
            drop(oldest);
            closed(shard, upstream, slot);
        } else {
            shard.counters.endpoints[slot].idle.add(1);
        }
    }

    /// Closes the oldest idle connection of an upstream, so that another can be opened.
    pub(super) fn evict(&self, shard: &Shard, upstream: &Upstream) {
        for endpoint in &upstream.endpoints {
            let oldest = self.pools.borrow_mut()[endpoint.slot].pop_front();
            if oldest.is_some() {
                drop(oldest);
                shard.counters.endpoints[endpoint.slot].idle.subtract(1);
                closed(shard, upstream, endpoint.slot);
                return;
            }
        }
    }

    /// Closes what is too old or dead, and everything of an upstream that others wait for.
    pub(crate) fn sweep(&self, shard: &Shard, plan: &Plan, now_ms: u64) {
        for upstream in &plan.upstreams {
            let is_wanted = upstream.admission().has_waiters() || shard.is_draining();
            for endpoint in &upstream.endpoints {
                let gone = self.sweep_endpoint(endpoint.slot, now_ms, is_wanted);
                for connection in gone {
                    drop(connection);
                    shard.counters.endpoints[endpoint.slot].idle.subtract(1);
                    closed(shard, upstream, endpoint.slot);
                }
            }
        }
    }

    fn sweep_endpoint(&self, slot: usize, now_ms: u64, is_wanted: bool) -> Vec<Idle> {
        let pool = &mut self.pools.borrow_mut()[slot];
        if pool.is_empty() {
            return Vec::new();
        }
        let (keep, gone) = pool.drain(..).partition(|idle: &Idle| {
            !is_wanted && idle.until_ms > now_ms && idle.connection.stream.is_quiet()
        });
        *pool = keep;
        gone.into()
    }
}
