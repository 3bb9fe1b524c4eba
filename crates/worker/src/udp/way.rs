//! Where a flow goes: an endpoint is picked, and a socket connected to it, so that the kernel takes
//! nothing for a reply that comes from elsewhere, and tells of an endpoint that is not there.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use fairwater_message::FaultKind;
use fairwater_net::{dial_datagrams, is_want_of_room};
use fairwater_plan::{
    Admission, Choice, Dial, Draw, Endpoint, EndpointState, InFlight, Pick, Tried, Upstream,
};
use fairwater_proto::proxy_protocol::write_v2_udp;
use fairwater_telemetry::Dropped;

use crate::attempt;
use crate::shard::Shard;
use crate::upstream::{Permit, closed};

/// An endpoint as its flows know it, whatever becomes of the plan.
#[derive(Debug)]
pub(super) struct Target {
    pub upstream: String,
    pub endpoint: String,
    pub slot: usize,
    state: Arc<EndpointState>,
    admission: Arc<Admission>,
    failures_max: Cell<u32>,
    /// It still is one that datagrams go to.
    is_current: Cell<bool>,
}

impl Target {
    fn new(upstream: &Upstream, endpoint: &Endpoint) -> Self {
        Self {
            upstream: upstream.settings.name.clone(),
            endpoint: endpoint.identity.clone(),
            slot: endpoint.slot,
            state: Arc::clone(&endpoint.state),
            admission: Arc::clone(upstream.admission()),
            failures_max: Cell::new(upstream.settings.failures_max),
            is_current: Cell::new(true),
        }
    }

    fn is(&self, upstream: &Upstream, endpoint: &Endpoint) -> bool {
        Arc::ptr_eq(&self.state, &endpoint.state) && self.upstream == upstream.settings.name
    }

    pub(super) fn is_current(&self) -> bool {
        self.is_current.get()
    }

    /// Takes in what it has made of a flow.
    pub(super) fn observe(&self, shard: &Shard, is_good: bool) {
        let counters = &shard.counters.endpoints[self.slot];
        if is_good { &counters.successes } else { &counters.failures }.add(1);
        self.state.observe(is_good, self.failures_max.get());
    }
}

/// All endpoints that flows of a socket go to.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<Rc<Target>>);

impl Targets {
    fn of(&mut self, upstream: &Upstream, endpoint: &Endpoint) -> Rc<Target> {
        let known = self.0.iter().find(|target| target.is(upstream, endpoint));
        known.cloned().unwrap_or_else(|| {
            let target = Rc::new(Target::new(upstream, endpoint));
            self.0.push(Rc::clone(&target));
            target
        })
    }

    /// Datagrams go to this upstream from now on; to none, if the listener is gone.
    pub(super) fn adopt(&mut self, upstream: Option<&Upstream>) {
        for target in &self.0 {
            let is_there = |upstream: &&Upstream| {
                upstream.endpoints.iter().any(|endpoint| target.is(upstream, endpoint))
            };
            let upstream = upstream.filter(is_there);
            target.is_current.set(upstream.is_some());
            if let Some(upstream) = upstream {
                target.failures_max.set(upstream.settings.failures_max);
            }
        }
        self.0.retain(|target| target.is_current() || Rc::strong_count(target) > 1);
    }

    /// All flows begin anew.
    pub(super) fn forget(&mut self) {
        self.0.iter().for_each(|target| target.is_current.set(false));
        self.0.clear();
    }
}

/// A socket that is connected to an endpoint.
#[derive(Debug)]
pub(super) struct Way {
    socket: OwnedFd,
    pub target: Rc<Target>,
    /// When the breaker of the upstream let it through.
    pub admitted_ms: u64,
    /// Absent once nothing more goes this way.
    share: Option<Share>,
}

/// What a way takes of its endpoint and upstream, given back when it is dropped.
#[derive(Debug)]
struct Share {
    target: Rc<Target>,
    shard: Rc<Shard>,
    /// Counts the flow at its endpoint.
    _in_flight: InFlight,
}

impl Way {
    fn new(
        (shard, admitted_ms): (&Rc<Shard>, u64),
        socket: OwnedFd,
        target: Rc<Target>,
        in_flight: InFlight,
    ) -> Self {
        shard.counters.endpoints[target.slot].open.add(1);
        let (own, shard) = (Rc::clone(&target), Rc::clone(shard));
        let share = Share { target: own, shard, _in_flight: in_flight };
        Self { socket, target, admitted_ms, share: Some(share) }
    }

    /// It leads nowhere: only what has come already is taken from there.
    pub(super) fn is_broken(&self) -> bool {
        self.share.is_none()
    }

    /// Returns false if it was broken before.
    pub(super) fn break_off(&mut self) -> bool {
        self.share.take().is_some()
    }
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        closed(&self.shard, &self.target.admission, self.target.slot);
    }
}

/// Who looks for a way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub shard: &'a Rc<Shard>,
    pub upstream: &'a Upstream,
    pub client: IpAddr,
    /// The endpoint that has just failed, which others go before.
    pub avoided: Option<usize>,
}

impl Targets {
    /// Picks an endpoint and connects to it, or to another while there are any.
    ///
    /// # Errors
    /// Why the datagram goes nowhere.
    pub(super) fn open(&mut self, asked: Asked<'_>, attempts: &mut u32) -> Result<Way, Dropped> {
        let Asked { shard, upstream, client, avoided } = asked;
        let mut admitted_ms = 0;
        if !attempt::admits(upstream, &mut admitted_ms) {
            return Err(Dropped::CircuitOpen);
        }
        if !upstream.admission().enter() {
            return Err(Dropped::UpstreamFull);
        }
        let permit = Permit(upstream);
        let (mut tried, mut last) = (Tried::default(), Dropped::NoEndpoint);
        let mut left = upstream.settings.retries + 1;
        while left > 0 {
            let draw = Draw { random: shard.random(), client: Some(client), key: None, seat: None };
            let Some(pick) = pick(upstream, draw, &mut tried)? else { break };
            let endpoint = pick.endpoint;
            if avoided == Some(endpoint.slot) && upstream.has_another(&tried) {
                continue;
            }
            left -= 1;
            *attempts += 1;
            let counters = &shard.counters.endpoints[endpoint.slot];
            counters.attempts.add(1);
            counters.connects.add(1);
            match connect(endpoint) {
                Ok(socket) => {
                    std::mem::forget(permit);
                    let target = self.of(upstream, endpoint);
                    return Ok(Way::new((shard, admitted_ms), socket, target, pick.keep()));
                }
                // Whatever the endpoint is, another would get no socket either.
                Err(error) if is_want_of_room(&error) => return Err(Dropped::NoRoom),
                Err(_) => {
                    counters.connect_failures.add(1);
                    let fault = Some(FaultKind::ConnectFailed);
                    attempt::observe(shard, upstream, endpoint, fault, 0);
                    last = Dropped::Unreachable;
                }
            }
        }
        if last == Dropped::Unreachable {
            attempt::conclude(upstream, Some(FaultKind::ConnectFailed), 0, admitted_ms);
        }
        Err(last)
    }

    /// A way that another process has opened.
    pub(super) fn given(
        &mut self,
        (shard, upstream): (&Rc<Shard>, &Upstream),
        endpoint: &str,
        socket: OwnedFd,
    ) -> Option<Way> {
        let endpoint = upstream.endpoints.iter().find(|own| own.identity == endpoint)?;
        upstream.admission().enter().then_some(())?;
        let target = self.of(upstream, endpoint);
        Some(Way::new((shard, 0), socket, target, upstream.hold(endpoint)))
    }
}

/// Picks an endpoint. A datagram waits for nobody.
fn pick<'a>(
    upstream: &'a Upstream,
    draw: Draw,
    tried: &mut Tried,
) -> Result<Option<Pick<'a>>, Dropped> {
    let Some(gate) = upstream.gate() else { return Ok(upstream.pick(draw, tried)) };
    match upstream.pick_at_once(gate, draw, tried) {
        Choice::Pick(pick) => Ok(Some(pick)),
        Choice::None => Ok(None),
        Choice::Full => Err(Dropped::UpstreamFull),
    }
}

/// To the first address of a host that there is a way to.
fn connect(endpoint: &Endpoint) -> io::Result<OwnedFd> {
    let no_address = || Err(io::ErrorKind::AddrNotAvailable.into());
    let Dial::Ip(addresses) = &endpoint.dial else { return no_address() };
    let mut last = no_address();
    for &address in addresses {
        last = dial_datagrams(address);
        match &last {
            Err(error) if !is_want_of_room(error) => {}
            _ => return last,
        }
    }
    last
}

/// What a header of the PROXY protocol says in front of each datagram of a flow.
pub(super) fn header(upstream: &Upstream, client: SocketAddr, target: SocketAddr) -> Box<[u8]> {
    let mut header = Vec::new();
    if upstream.settings.proxy_protocol.is_some() {
        // On a socket for both families addresses of IPv4 look like those of IPv6.
        let [client, target] = [client, target]
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        write_v2_udp(&mut header, client, target);
    }
    header.into()
}
