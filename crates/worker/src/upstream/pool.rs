//! Idle connections, by endpoint, of one thread. The one that was used last is used first, so that
//! the others can grow old; none has a task. One that turns readable is dead: the endpoint closed
//! it, or sent what nobody asked for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use fairwater_net::clock;
use fairwater_plan::{Admission, Endpoint, EndpointState, Plan, Upstream, UpstreamTls, Versions};

use super::h2::{Trunk, Trunks};
use super::{Connection, Reuse, closed};
use crate::limits;
use crate::shard::Shard;

/// The pools of one thread, by endpoint slot.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: RefCell<Vec<Pool>>,
    /// Exchanges that wait, and the last one that began to.
    waiting: Cell<usize>,
    last_waiter: Cell<u64>,
    /// When a connection was last given up for another thread.
    yielded_ms: Cell<u64>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: VecDeque<Idle>,
    /// Exchanges of this thread that wait for one, by their numbers.
    waiting: VecDeque<(u64, Waker)>,
    /// Those that several exchanges share.
    trunks: Trunks,
    /// Whose connections these are; nobody's before the first.
    owner: Option<Owner>,
}

/// What the connections of a pool are accounted to, whatever plan is in force.
#[derive(Debug)]
struct Owner {
    admission: Arc<Admission>,
    endpoint: Arc<EndpointState>,
    /// How the endpoint is spoken to. Connections under other rules are none of this pool.
    tls: Option<UpstreamTls>,
    versions: Versions,
}

impl Owner {
    fn new(upstream: &Upstream, endpoint: &Endpoint) -> Self {
        Self {
            admission: Arc::clone(upstream.admission()),
            endpoint: Arc::clone(&endpoint.state),
            tls: upstream.settings.tls.clone(),
            versions: upstream.settings.versions,
        }
    }

    fn fits(&self, upstream: &Upstream) -> bool {
        self.tls == upstream.settings.tls && self.versions == upstream.settings.versions
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until_ms: u64,
}

/// An exchange that waits for a connection to an endpoint.
#[derive(Debug)]
pub(super) struct LocalWaiter<'a> {
    pools: &'a Pools,
    slot: usize,
    number: u64,
    is_in: Cell<bool>,
}

impl LocalWaiter<'_> {
    /// Is woken when a connection comes free and it is next.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let waiting = &mut self.pools.pools.borrow_mut()[self.slot].waiting;
        if !self.is_in.replace(true) {
            return waiting.push_back((self.number, cx.waker().clone()));
        }
        // Mostly the first one: it was called.
        let own = waiting.iter_mut().find(|(number, _)| *number == self.number);
        own.into_iter().for_each(|(_, waker)| waker.clone_from(cx.waker()));
    }
}

impl Drop for LocalWaiter<'_> {
    fn drop(&mut self) {
        self.pools.waiting.set(self.pools.waiting.get() - 1);
        let mut pools = self.pools.pools.borrow_mut();
        let pool = &mut pools[self.slot];
        if self.is_in.get() {
            let is_own = |(number, _): &(u64, Waker)| *number == self.number;
            let at = pool.waiting.iter().position(is_own);
            at.and_then(|at| pool.waiting.remove(at));
        }
        let has_one = !pool.idle.is_empty();
        drop(pools);
        // It may have been called for what it has not taken.
        if has_one {
            self.pools.call(self.slot);
        }
    }
}

impl Pools {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            pools: RefCell::new((0..slots).map(|_| Pool::default()).collect()),
            waiting: Cell::new(0),
            last_waiter: Cell::new(0),
            yielded_ms: Cell::new(0),
        }
    }

    /// A place among those of this thread that wait for a connection to an endpoint.
    pub(super) fn waiter(&self, slot: usize) -> LocalWaiter<'_> {
        self.last_waiter.set(self.last_waiter.get() + 1);
        self.waiting.set(self.waiting.get() + 1);
        LocalWaiter { pools: self, slot, number: self.last_waiter.get(), is_in: Cell::new(false) }
    }

    /// Whether somebody of this thread waits for a connection to an endpoint.
    #[inline]
    pub(super) fn is_waited_for(&self, slot: usize) -> bool {
        self.waiting.get() > 0 && !self.pools.borrow()[slot].waiting.is_empty()
    }

    /// Whether a connection that comes free stays on this thread, where somebody waits for it,
    /// while others wait elsewhere: now and then one of them shall have the place.
    pub(super) fn keeps(&self, slot: usize, admission: &Admission) -> bool {
        if !self.is_waited_for(slot) {
            return false;
        }
        let now_ms = clock::coarse_ms();
        let is_turn = now_ms >= self.yielded_ms.get() + limits::YIELD_AFTER.as_millis() as u64;
        if is_turn && admission.waiting() > self.waiting.get() {
            self.yielded_ms.set(now_ms);
            return false;
        }
        true
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
            let idle = self.pools.borrow_mut()[slot].idle.pop_back()?;
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
            closed(shard, upstream.admission(), slot);
        }
    }

    /// Keeps a connection for later. One that began under an earlier plan is closed if the endpoint
    /// has gone since, or is spoken to in another way.
    pub(super) fn put(
        &self,
        shard: &Shard,
        upstream: &Upstream,
        endpoint: &Endpoint,
        connection: Connection,
        until_ms: u64,
    ) {
        let slot = endpoint.slot;
        let surplus = {
            let pool = &mut self.pools.borrow_mut()[slot];
            let is_welcome = match &pool.owner {
                Some(owner) => owner.fits(upstream),
                None => shard.in_force().has(upstream, endpoint),
            };
            if !is_welcome {
                Some(Idle { connection, until_ms })
            } else {
                pool.owner.get_or_insert_with(|| Owner::new(upstream, endpoint));
                pool.idle.push_back(Idle { connection, until_ms });
                let is_full = pool.idle.len() > limits::POOL_PER_ENDPOINT;
                is_full.then(|| pool.idle.pop_front()).flatten()
            }
        };
        if surplus.is_some() {
            drop(surplus);
            closed(shard, upstream.admission(), slot);
        } else {
            shard.counters.endpoints[slot].idle.add(1);
            if self.waiting.get() > 0 {
                self.call(slot);
            }
        }
    }

    /// Wakes who has waited longest for a connection to an endpoint.
    fn call(&self, slot: usize) {
        let first = self.pools.borrow()[slot].waiting.front().map(|(_, waker)| waker.clone());
        first.inspect(Waker::wake_by_ref);
    }

    /// Does something with the shared connections to an endpoint.
    pub(super) fn trunks<T>(&self, slot: usize, with: impl FnOnce(&mut Trunks) -> T) -> T {
        with(&mut self.pools.borrow_mut()[slot].trunks)
    }

    /// Keeps a connection for whoever wants to share it, on the terms of `put`.
    pub(super) fn keep(
        &self,
        shard: &Shard,
        upstream: &Upstream,
        endpoint: &Endpoint,
        trunk: Rc<Trunk>,
    ) {
        let pool = &mut self.pools.borrow_mut()[endpoint.slot];
        let is_welcome = match &pool.owner {
            Some(owner) => owner.fits(upstream),
            None => shard.in_force().has(upstream, endpoint),
        };
        if is_welcome {
            pool.owner.get_or_insert_with(|| Owner::new(upstream, endpoint));
            pool.trunks.open.push(trunk);
        } else {
            trunk.retire();
        }
    }

    /// Closes the oldest idle connection of an upstream, so that another can be opened.
    pub(super) fn evict(&self, shard: &Shard, upstream: &Upstream) {
        for endpoint in &upstream.endpoints {
            let oldest = self.pools.borrow_mut()[endpoint.slot].idle.pop_front();
            if oldest.is_some() {
                drop(oldest);
                shard.counters.endpoints[endpoint.slot].idle.subtract(1);
                closed(shard, upstream.admission(), endpoint.slot);
                return;
            }
            self.trunks(endpoint.slot, |trunks| trunks.retire_unless(|trunk| !trunk.is_idle()));
        }
    }

    /// Closes what is too old or dead, and everything of an upstream that others wait for.
    pub(crate) fn sweep(&self, shard: &Shard, plan: &Plan, now_ms: u64) {
        for upstream in &plan.upstreams {
            let is_wanted = upstream.admission().has_waiters() || shard.is_draining();
            for endpoint in &upstream.endpoints {
                self.close_unless(shard, endpoint.slot, |idle| {
                    !is_wanted && idle.until_ms > now_ms && idle.connection.stream.is_quiet()
                });
                let (idle, age) = (upstream.settings.timeouts.idle, upstream.settings.max_age);
                // What is shared is never free while others share it: who waits for a permit gets
                // one when the calls that run now are over.
                self.trunks(endpoint.slot, |trunks| {
                    trunks
                        .retire_unless(|trunk| !is_wanted && !trunk.is_too_old(now_ms, idle, age));
                });
            }
        }
    }

    /// Closes half of the idle connections to each endpoint, those that were used longest ago: who
    /// is used again and again is among the others. Returns how many it were.
    pub(crate) fn shed(&self, shard: &Shard, plan: &Plan) -> usize {
        let mut count = 0;
        for endpoint in plan.upstreams.iter().flat_map(|upstream| &upstream.endpoints) {
            let idle = self.pools.borrow()[endpoint.slot].idle.len();
            let mut left = idle.div_ceil(2);
            count += left;
            // From the front, where the oldest are.
            self.close_unless(shard, endpoint.slot, |_| {
                let is_kept = left == 0;
                left = left.saturating_sub(1);
                is_kept
            });
            self.trunks(endpoint.slot, |trunks| {
                trunks.retire_unless(|trunk| {
                    count += usize::from(trunk.is_idle());
                    !trunk.is_idle()
                });
            });
        }
        count
    }

    /// Makes room for the endpoints of a new plan, and closes the connections to those that it no
    /// longer has, or speaks to in another way.
    pub(crate) fn adopt(&self, shard: &Shard, plan: &Plan) {
        let mut stays = vec![false; plan.slots_end];
        for upstream in &plan.upstreams {
            for endpoint in &upstream.endpoints {
                let pools = self.pools.borrow();
                let owner = pools.get(endpoint.slot).and_then(|pool| pool.owner.as_ref());
                stays[endpoint.slot] = owner.is_none_or(|one| one.fits(upstream));
            }
        }
        let slots = self.pools.borrow().len();
        for slot in (0..slots).filter(|&slot| stays.get(slot) != Some(&true)) {
            self.close_unless(shard, slot, |_| false);
            self.trunks(slot, |trunks| trunks.retire_unless(|_| false));
            let pool = &mut self.pools.borrow_mut()[slot];
            let waiting = std::mem::take(&mut pool.waiting);
            *pool = Pool { waiting, ..Pool::default() };
        }
        let mut pools = self.pools.borrow_mut();
        let len = pools.len().max(plan.slots_end);
        pools.resize_with(len, Pool::default);
    }

    fn close_unless(&self, shard: &Shard, slot: usize, is_kept: impl FnMut(&Idle) -> bool) {
        let (admission, gone) = {
            let pool = &mut self.pools.borrow_mut()[slot];
            let Some(owner) = pool.owner.as_ref().filter(|_| !pool.idle.is_empty()) else {
                return;
            };
            debug_assert_eq!(owner.endpoint.slot(), slot, "a slot has one owner at a time");
            let (kept, gone): (VecDeque<_>, VecDeque<_>) = pool.idle.drain(..).partition(is_kept);
            pool.idle = kept;
            (Arc::clone(&owner.admission), gone)
        };
        for connection in gone {
            drop(connection);
            shard.counters.endpoints[slot].idle.subtract(1);
            closed(shard, &admission, slot);
        }
    }
}
