//! Requests that nobody sees: refused before there is an exchange.

use fairwater_message::{Fault, FaultKind, RequestHead, Version};
use fairwater_proto::http2::Refusal;

use crate::accept::Accepted;
use crate::record::{HeadTimes, Record};

/// Accounts for one, as for any other.
pub(super) fn account(connection: &Accepted, refusal: Refusal) {
    let fault = match refusal {
        Refusal::Busy => FaultKind::Http2Busy.into(),
        Refusal::Malformed => Fault::because(FaultKind::BadRequest, "malformed"),
    };
    let shard = &*connection.shard;
    let in_force = shard.in_force();
    let listener = in_force.plan.listener(connection.listener);
    // Nothing is known of it but that it came.
    let head = RequestHead { version: Version::Http2, ..RequestHead::default() };
    let now_us = shard.now_us();
    let times = HeadTimes { begun_us: now_us, done_us: now_us };
    let mut record = Record::open(shard, connection, listener, (&head, &[]), times);
    record.fault(fault);
}
