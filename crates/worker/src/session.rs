//! Step 7 where sessions stay with their endpoint: what the client's cookie says is found before an
//! endpoint is picked, and the reply tells the client where its session is now. Other upstreams
//! never come here.

use fairwater_message::HeaderId;
use fairwater_plan::sticky::{Session, SessionCookie};
use fairwater_plan::{Endpoint, Upstream};
use fairwater_tls::unguessable;

use crate::exchange::Exchange;

/// What an exchange knows of its session. It lies in the working set, lest futures grow by it.
#[derive(Debug, Default)]
pub(crate) struct Seating {
    session: Session,
    /// Where the lines for the client begin, among those that filters add to its reply.
    lines_start: usize,
}

/// Finds out where the session of a request is, and takes our cookie out of what the endpoint gets.
#[cold]
pub(crate) fn find<'a>(
    exchange: &mut Exchange<'a>,
    upstream: &'a Upstream,
    cookie: &'a SessionCookie,
) {
    // Heads of exchanges without filters are written as they are.
    exchange.filters.get_or_insert(&exchange.in_force.no_filters);
    let claim = cookie.claim(exchange.head, exchange.bytes);
    let lines_start = exchange.reply.changes.lines.len();
    let session = Session::new(claim, &upstream.seats);
    exchange.changes.seating = Seating { session, lines_start };
    for changes in [&mut *exchange.changes, &mut *exchange.reply.changes] {
        changes.own_cookie.extend_from_slice(cookie.name.as_bytes());
    }
}

/// The place of the endpoint that the session is at.
#[inline]
pub(crate) fn seat(exchange: &Exchange<'_>) -> Option<u32> {
    exchange.changes.seating.session.seat()
}

/// Prepares the reply of an endpoint that was picked.
#[cold]
pub(crate) fn picked(exchange: &mut Exchange<'_>, endpoint: &Endpoint, cookie: &SessionCookie) {
    withdraw(exchange);
    let session = &mut exchange.changes.seating.session;
    if let Some(outcome) = session.picked(endpoint.session) {
        exchange.shard.counters.endpoints[endpoint.slot].sessions[outcome as usize].add(1);
    }
    if session.is_told() {
        // Clients see it: the numbers that balancing draws would be told by it.
        let nonce = unguessable();
        let is_secured = is_secured(exchange);
        let lines = &mut exchange.reply.changes.lines;
        cookie.write(endpoint.session, nonce, is_secured, lines);
    }
}

/// Takes back what was prepared: a reply of ours is from no endpoint.
pub(crate) fn withdraw(exchange: &mut Exchange<'_>) {
    let changes = &mut exchange.reply.changes;
    if !changes.own_cookie.is_empty() {
        changes.lines.truncate(exchange.changes.seating.lines_start);
    }
}

/// Whether the client came over TLS, to us or to a proxy that we trust.
fn is_secured(exchange: &Exchange<'_>) -> bool {
    let (head, bytes) = (exchange.head, exchange.bytes);
    let is_trusted =
        || exchange.connection.peer().ip().is_some_and(|ip| exchange.listener.trusts(ip));
    let told = || head.find(HeaderId::XForwardedProto);
    exchange.connection.is_secured()
        || told().is_some_and(|field| {
            field.value.of(bytes).eq_ignore_ascii_case(b"https") && is_trusted()
        })
}
