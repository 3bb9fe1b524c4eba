//! Step 8: connections to endpoints. A lease is one of them, pooled or new, for one exchange.

mod announce;
mod download;
pub(crate) mod h1;
pub(crate) mod h2;
mod pool;
mod upload;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::{Stream, Timer, clock, dial_ip, dial_unix};
use fairwater_plan::{
    Admission, Dial, Endpoint, EndpointState, InFlight, Priority, Turn, Upstream, UpstreamTls,
};
use fairwater_telemetry::EndpointCounters;

use crate::accept::Accepted;
use crate::handshake;
use crate::shard::Shard;
use crate::waiting::{Customer, Wait};
pub(crate) use pool::Pools;

/// An open connection to an endpoint.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    /// Requests that were sent over it.
    requests: u32,
    /// Bytes of requests that were sent over it, all of them answered.
    bytes_sent: u64,
    born_ms: u64,
}

impl Connection {
    fn new(stream: Stream, bytes_sent: u64) -> Self {
        Self { stream, requests: 0, bytes_sent, born_ms: clock::coarse_ms() }
    }
}

/// A connection for one exchange. Closed when it is dropped; `give_back` keeps it.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    connection: Option<Connection>,
    pub is_reused: bool,
    /// It lay in the pool: nobody had to wait for it.
    pub is_at_once: bool,
    shard: &'a Shard,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
}

/// Whether a connection may be one that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    No,
    /// One that the runtime knows of no end of. It may be dead all the same; a request that can be
    /// sent again loses nothing by it.
    Quick,
    /// One that the kernel knows of no end of, for a request that must not be sent twice. Costs a
    /// system call.
    Checked,
}

/// Leases a connection to an endpoint, for a client of ours. A new one is announced under the id of
/// the customer, where the endpoint is told of clients.
///
/// # Errors
/// The fault says why there is none; nothing was sent, so that any request may go elsewhere.
pub(crate) async fn lease<'a>(
    shard: &'a Shard,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    reuse: Reuse,
    (client, timer): (&Accepted, &Timer),
    customer: &mut impl Customer,
) -> Result<Lease<'a>, Fault> {
    if let Some(pooled) = pooled(shard, upstream, endpoint, reuse) {
        return Ok(pooled);
    }
    let lease = |connection, is_reused| Lease {
        connection: Some(connection),
        is_reused,
        is_at_once: false,
        shard,
        upstream,
        endpoint,
    };
    if !upstream.admission().enter()
        && let Some(connection) =
            wait(shard, upstream, (endpoint.slot, reuse), timer, customer).await?
    {
        return Ok(lease(connection, true));
    }
    let permit = Permit(upstream);
    let version = upstream.settings.proxy_protocol;
    let header = version.map(|version| announce::header(client, version, customer.id()));
    let header = header.unwrap_or_default();
    let stream = connect(shard, upstream, endpoint, (&header, &[]), timer).await?;
    std::mem::forget(permit);
    Ok(lease(Connection::new(stream, header.len() as u64), false))
}

/// A lease of a connection that lies in the pool, unless somebody waits for it: what nearly every
/// exchange gets.
#[inline]
pub(crate) fn pooled<'a>(
    shard: &'a Shard,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    reuse: Reuse,
) -> Option<Lease<'a>> {
    if shard.pools.is_waited_for(endpoint.slot) {
        return None;
    }
    let connection = shard.pools.take(shard, upstream, endpoint.slot, reuse)?;
    let connection = Some(connection);
    Some(Lease { connection, is_reused: true, is_at_once: true, shard, upstream, endpoint })
}

/// Waits for a pooled connection to an endpoint, or for the permit to open one: `None`.
async fn wait(
    shard: &Shard,
    upstream: &Upstream,
    (slot, reuse): (usize, Reuse),
    timer: &Timer,
    customer: &mut impl Customer,
) -> Result<Option<Connection>, Fault> {
    let waiter = shard.pools.waiter(slot);
    let pooled = |cx: &Context<'_>| {
        let found = shard.pools.take(shard, upstream, slot, reuse);
        if found.is_none() {
            waiter.wait(cx);
        }
        found
    };
    until_admitted(shard, upstream, timer, customer, pooled).await
}

/// Waits for the permit to open a connection. `Some` is what `free` has found meanwhile in its
/// place.
async fn admit<T>(
    shard: &Shard,
    upstream: &Upstream,
    timer: &Timer,
    customer: &mut impl Customer,
    free: impl FnMut(&Context<'_>) -> Option<T>,
) -> Result<Option<T>, Fault> {
    match upstream.admission().enter() {
        true => Ok(None),
        false => until_admitted(shard, upstream, timer, customer, free).await,
    }
}

async fn until_admitted<T>(
    shard: &Shard,
    upstream: &Upstream,
    timer: &Timer,
    customer: &mut impl Customer,
    mut free: impl FnMut(&Context<'_>) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let admission = upstream.admission();
    let _wait = Wait::begin(shard, customer);
    timer.set(upstream.settings.timeouts.queue);
    let mut waiter = admission.waiter(Priority::Normal);
    poll_fn(|cx| {
        if let Some(free) = free(cx) {
            return Poll::Ready(Ok(Some(free)));
        }
        match waiter.poll(cx.waker(), || admission.take_permit()) {
            Turn::Enter(()) => return Poll::Ready(Ok(None)),
            Turn::Refused => return Poll::Ready(Err(FaultKind::UpstreamFull.into())),
            Turn::Wait => {}
        }
        // An idle connection to a sibling makes room, for us or for who is before us.
        shard.pools.evict(shard, upstream);
        timer.poll_expired(cx).map(|()| Err(FaultKind::UpstreamFull.into()))
    })
    .await
}

/// Opens a connection, under a permit of the caller, and begins it with a header if there is one.
/// Over TLS it shall speak one of these protocols, or what goes without saying.
pub(crate) async fn connect(
    shard: &Shard,
    upstream: &Upstream,
    endpoint: &Endpoint,
    (header, protocols): (&[u8], &[&str]),
    timer: &Timer,
) -> Result<Stream, Fault> {
    let counters = &shard.counters.endpoints[endpoint.slot];
    counters.connects.add(1);
    let patience = upstream.settings.timeouts.connect;
    let result = match &endpoint.dial {
        Dial::Ip(addresses) => dial_first(addresses, patience, timer).await,
        Dial::Unix(path) => within(dial_unix(path), patience, timer).await,
    };
    let result = match result {
        Ok(stream) if !header.is_empty() => {
            announce::send(&stream, header, timer).await.map(|()| stream)
        }
        result => result,
    };
    let result = match (result, &upstream.settings.tls) {
        (Ok(stream), Some(tls)) => match secure(&stream, (tls, protocols), endpoint, timer).await {
            Ok(()) => Ok(stream),
            Err(error) => {
                counters.connect_failures.add(1);
                let detail = fairwater_tls::cause(&error);
                let fault = Fault::undelivered(FaultKind::UpstreamHandshake);
                return Err(Fault { detail, ..fault });
            }
        },
        (result, _) => result,
    };
    match result {
        Ok(stream) => {
            counters.open.add(1);
            Ok(stream)
        }
        Err(error) => {
            counters.connect_failures.add(1);
            Err(Fault::undelivered(connect_fault(&error)))
        }
    }
}

/// Shakes hands with an endpoint, in what is left of the time to connect.
async fn secure(
    stream: &Stream,
    (tls, protocols): (&UpstreamTls, &[&str]),
    endpoint: &Endpoint,
    timer: &Timer,
) -> io::Result<()> {
    let host = tls.name.as_deref().unwrap_or_else(|| host_of(&endpoint.host));
    let session = tls.client.session(host, protocols).ok_or(io::ErrorKind::InvalidInput)?;
    stream.secure(session)?;
    handshake::until_shaken(stream, timer).await
}

/// Without the port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Connects to the first address of a host that answers; each has its time.
async fn dial_first(
    addresses: &[SocketAddr],
    patience: Duration,
    timer: &Timer,
) -> io::Result<Stream> {
    let no_address = io::ErrorKind::AddrNotAvailable;
    let mut last = io::Error::new(no_address, "the endpoint has no address");
    for &address in addresses {
        match within(dial_ip(address), patience, timer).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Gives the permit back when a connection does not come up.
pub(crate) struct Permit<'a>(pub &'a Upstream);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.admission().leave();
    }
}

async fn within(
    dial: impl Future<Output = io::Result<Stream>>,
    patience: Duration,
    timer: &Timer,
) -> io::Result<Stream> {
    let mut dial = std::pin::pin!(dial);
    timer.set(patience);
    poll_fn(|cx| match dial.as_mut().poll(cx) {
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await
}

fn connect_fault(error: &io::Error) -> FaultKind {
    match error.kind() {
        // A Unix socket whose file is gone is a server that is gone.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => FaultKind::ConnectRefused,
        io::ErrorKind::TimedOut => FaultKind::ConnectTimeout,
        _ => FaultKind::ConnectFailed,
    }
}

impl<'a> Lease<'a> {
    pub(crate) fn stream(&self) -> &Stream {
        &self.connection().stream
    }

    fn connection(&self) -> &Connection {
        // Taken out only by the two functions that consume the lease, and by drop.
        self.connection.as_ref().expect("a lease has its connection until it is consumed")
    }

    pub(crate) fn counters(&self) -> &'a EndpointCounters {
        &self.shard.counters.endpoints[self.endpoint.slot]
    }

    /// Whether this must be the last request of the connection.
    pub(crate) fn is_last(&self) -> bool {
        let settings = &self.upstream.settings;
        let requests = self.connection().requests + 1;
        !settings.keep_alive || settings.max_requests.is_some_and(|max| requests >= max)
    }

    fn is_too_old(&self) -> bool {
        self.upstream.settings.max_age.is_some_and(|age| {
            clock::coarse_ms() >= self.connection().born_ms + age.as_millis() as u64
        })
    }

    /// Whether the endpoint cannot have seen anything of what was sent for this exchange, which it
    /// has answered with the end of its stream or, `is_reset`, with a reset.
    ///
    /// The end of a stream acknowledges what had come before it: an endpoint that closed without
    /// having got the request says so. A reset tells nothing: the kernel throws away the
    /// acknowledgement that comes with it, and an endpoint may have read all of the request.
    pub(crate) fn is_undelivered(&self, written: u64, is_reset: bool) -> bool {
        if written == 0 {
            return true;
        }
        // The set-up of a connection counts as one acknowledged byte.
        let before = self.connection().bytes_sent + 1;
        let acknowledged = self.stream().acknowledged_bytes();
        !is_reset && acknowledged.is_some_and(|acknowledged| acknowledged <= before)
    }

    /// Puts the connection back into the pool.
    pub(crate) fn give_back(mut self, written: u64, keep: Option<Duration>) {
        let admission = self.upstream.admission();
        let pools = &self.shard.pools;
        if self.is_last()
            || self.is_too_old()
            || admission.has_waiters() && !pools.keeps(self.endpoint.slot, admission)
        {
            return; // Closed by drop: whoever waits may be on another thread.
        }
        if let Some(mut connection) = self.connection.take() {
            connection.requests += 1;
            connection.bytes_sent += written;
            let idle = self.upstream.settings.timeouts.idle;
            let keep = keep.unwrap_or(idle).min(idle);
            let until_ms = clock::coarse_ms() + keep.as_millis() as u64;
            pools.put(self.shard, self.upstream, self.endpoint, connection, until_ms);
        }
    }

    /// Takes the connection out for good, for what may outlive the exchange.
    pub(crate) fn detach(mut self, shard: &Rc<Shard>) -> Detached {
        // As in `connection`.
        let connection = self.connection.take().expect("a lease has its connection");
        Detached {
            stream: connection.stream,
            shard: Rc::clone(shard),
            admission: Arc::clone(self.upstream.admission()),
            endpoint: Arc::clone(&self.endpoint.state),
            _in_flight: self.upstream.hold(self.endpoint),
        }
    }
}

/// A connection that belongs to one client from now on. Accounted for when it is dropped.
#[derive(Debug)]
pub(crate) struct Detached {
    pub stream: Stream,
    shard: Rc<Shard>,
    admission: Arc<Admission>,
    endpoint: Arc<EndpointState>,
    /// Counts the exchange at its endpoint.
    _in_flight: InFlight,
}

impl Detached {
    /// One that another process has opened, under a permit of this one.
    pub(crate) fn given(
        shard: &Rc<Shard>,
        upstream: &Upstream,
        endpoint: &Endpoint,
        stream: Stream,
    ) -> Self {
        shard.counters.endpoints[endpoint.slot].open.add(1);
        Self {
            stream,
            shard: Rc::clone(shard),
            admission: Arc::clone(upstream.admission()),
            endpoint: Arc::clone(&endpoint.state),
            _in_flight: upstream.hold(endpoint),
        }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        closed(&self.shard, &self.admission, self.endpoint.slot());
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.connection.take().is_some() {
            closed(self.shard, self.upstream.admission(), self.endpoint.slot);
        }
    }
}

/// Accounts for a connection that is closed.
pub(crate) fn closed(shard: &Shard, admission: &Admission, slot: usize) {
    shard.counters.endpoints[slot].open.subtract(1);
    admission.leave();
}
