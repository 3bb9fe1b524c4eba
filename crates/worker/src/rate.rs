//! Rate limits: who asks, what those are told who are denied, and what bodies are charged to. What
//! may come is decided in [`fairwater_plan`].

use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::clock;
use fairwater_plan::{Budget, Caller, Counts, Limits, Listener};
use fairwater_proto::h1::client_address;

use crate::exchange::Exchange;
use crate::grpc;
use crate::record::Record;

fn now_ns() -> u64 {
    clock::precise_us() * 1_000
}

/// The budgets that the bytes of an exchange or a connection are charged to as they pass.
#[derive(Debug)]
pub(crate) struct Meter {
    budgets: Vec<Budget>,
    charged: Cell<u64>,
}

impl Meter {
    /// If any limit counts bytes.
    fn of(limits: &Limits, caller: &Caller<'_>) -> Option<Rc<Self>> {
        let budgets = || limits.budgets(caller);
        limits
            .have_budgets()
            .then(|| Rc::new(Self { budgets: budgets(), charged: Cell::default() }))
    }

    pub(crate) fn charge(&self, bytes: u64) {
        if bytes > 0 {
            let now_ns = now_ns();
            self.budgets.iter().for_each(|budget| budget.charge(now_ns, bytes));
            self.charged.set(self.charged.get() + bytes);
        }
    }

    /// Charges what is not charged yet of so much in all.
    pub(crate) fn settle(&self, bytes: u64) {
        self.charge(bytes.saturating_sub(self.charged.get()));
    }
}

/// Lets in a request that there are limits for.
///
/// # Errors
/// When one of them denies it. What the client is told of that goes with the reply.
#[inline(never)]
pub(crate) fn take<'a>(
    exchange: &mut Exchange<'a>,
    limits: &'a Limits,
    record: &mut Record<'a>,
) -> Result<(), Fault> {
    let (head, bytes, listener) = (exchange.head, exchange.bytes, exchange.listener);
    let peer = exchange.connection.peer().ip();
    let client = peer.map(|peer| client_address(head, bytes, peer, |ip| listener.trusts(ip)));
    let caller = Caller { client, request: Some((head, bytes)) };
    let now_ns = now_ns();
    let lines = &mut exchange.reply.changes.lines;
    if let Err(denial) = limits.take(&caller, now_ns) {
        denial.write(lines);
        if grpc::is_call(head, bytes) {
            // gRFC A6: so long is what clients that try again by themselves wait.
            let after_ms = denial.wait_ns().div_ceil(1_000_000);
            // Writing to a Vec cannot fail.
            write!(lines, "grpc-retry-pushback-ms: {after_ms}\r\n").unwrap_or(());
        }
        record.denied_by = Some(denial.limit);
        return Err(Fault::because(FaultKind::RateLimited, detail(denial.limit.counts)));
    }
    limits.write(&caller, now_ns, lines);
    record.meter = Meter::of(limits, &caller);
    Ok(())
}

fn detail(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::Connections => "connections",
        Counts::Bytes => "bytes",
    }
}

/// Whether a connection is let in.
#[inline]
pub(crate) fn lets_in(listener: &Listener, client: Option<IpAddr>) -> bool {
    let caller = Caller { client, request: None };
    listener.limits.is_empty() || listener.limits.take(&caller, now_ns()).is_ok()
}

/// What the bytes of a raw connection are charged to.
pub(crate) fn meter_of(listener: &Listener, client: Option<IpAddr>) -> Option<Rc<Meter>> {
    Meter::of(&listener.limits, &Caller { client, request: None })
}
