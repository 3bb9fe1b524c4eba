//! What clients are told of limits: `Retry-After` (RFC 9110, section 10.2.3), and the fields of
//! draft-ietf-httpapi-ratelimit-headers-10.

use std::io::Write;

use super::gcra::{Quota, SECOND_NS};
use super::{Caller, Counts, Denial, Limit, Limits};

/// When clients are told of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// They learn when to come again, and no more.
    Never,
    /// With a refusal.
    #[default]
    Denied,
    /// With every reply.
    Always,
}

const POLICY: &[u8] = b"ratelimit-policy: ";
const STATE: &[u8] = b"ratelimit: ";

/// An item of `RateLimit-Policy`.
pub(super) fn policy(name: &str, counts: Counts, quota: Quota) -> String {
    let (count, seconds) = (quota.count, quota.period_ns / SECOND_NS);
    let unit = if counts == Counts::Bytes { ";qu=\"content-bytes\"" } else { "" };
    format!("\"{name}\";q={count};w={seconds}{unit}")
}

/// Whole seconds, so that who comes then is not early.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(SECOND_NS)
}

impl Denial<'_> {
    /// When to come again.
    pub fn wait_ns(&self) -> u64 {
        self.wait.ns
    }

    /// Writes the field lines of a refusal.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (limit, after) = (self.limit, seconds(self.wait.ns).max(1));
        // Writing to a Vec cannot fail.
        write!(out, "retry-after: {after}\r\n").unwrap_or(());
        if limit.telling != Telling::Never {
            for part in [POLICY, limit.policy.as_bytes(), b"\r\n", STATE] {
                out.extend_from_slice(part);
            }
            write!(out, "\"{}\";r=0;t={after}\r\n", limit.name).unwrap_or(());
        }
    }
}

impl Limits {
    /// Writes the field lines of what was let in, for the limits of which clients are always told.
    pub fn write(&self, caller: &Caller<'_>, now_ns: u64, out: &mut Vec<u8>) {
        for line in [POLICY, STATE] {
            let mut is_first = true;
            for one in self.0.iter().filter(|one| one.limit.telling == Telling::Always) {
                out.extend_from_slice(if is_first { line } else { b", " });
                is_first = false;
                let limit = &*one.limit;
                match line {
                    POLICY => out.extend_from_slice(limit.policy.as_bytes()),
                    _ => limit.write_state(limit.key_of(&one.place, caller), now_ns, out),
                }
            }
            if !is_first {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

impl Limit {
    /// An item of `RateLimit`: what may come at once, and when all of it may again.
    fn write_state(&self, key: u64, now_ns: u64, out: &mut Vec<u8>) {
        let made_up_ns = self.table.look(key);
        let (left, until) = (self.gcra.left(made_up_ns, now_ns), made_up_ns.saturating_sub(now_ns));
        let (name, until) = (&self.name, seconds(until));
        write!(out, "\"{name}\";r={left};t={until}").unwrap_or(());
    }
}
