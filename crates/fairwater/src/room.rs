//! How many connections the process has descriptors and memory for.

use std::fmt;

use fairwater_config::{Config, Upstream, UpstreamEndpoint};
use fairwater_message::address::Endpoint;
use fairwater_sys::process;

use crate::cgroup;

/// For what is open beside connections: files, pipes of a quiet process, the admin socket, and
/// those few connections that are kept free for probes.
const RESERVE: u64 = 64;
/// The same of each thread: its runtime, and a few pipes.
const RESERVE_PER_THREAD: u64 = 16;
/// Checks of endpoints at a time; no more are made.
const CHECKS_MAX: usize = 256;
/// Clients that a thread turns away at a time; fewer where descriptors are few.
const REFUSALS_MAX: u64 = 256;
const SHARE_OF_REFUSALS: u64 = 16;
/// A client's, and an endpoint's.
const PER_CONNECTION: u64 = 2;

/// Of a client connection with an upload that stands still: 35 KB were measured, beside what the
/// kernel keeps for its sockets. Idle ones take far less, so that more may be asked for.
const BYTES_PER_CONNECTION: u64 = 64 * 1024;

/// The connections that clients may have open, and the descriptors that are there for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub connections: u32,
    pub descriptors: u64,
    /// Clients that a thread may turn away at a time.
    pub refusals: u32,
    /// There is no descriptor for an endpoint's connection beside each client's.
    is_tight: bool,
    /// What the control group leaves the process, where it limits the connections.
    memory: Option<u64>,
}

#[cfg(test)]
impl Room {
    pub(crate) fn of(connections: u32, descriptors: u64) -> Self {
        Self { connections, descriptors, refusals: 1, is_tight: false, memory: None }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, descriptors, is_tight, memory, .. } = self;
        write!(f, "room for {connections} connections ({descriptors} descriptors")?;
        if let Some(bytes) = memory {
            write!(f, ", {} MiB of memory", bytes >> 20)?;
        }
        f.write_str(")")?;
        match is_tight {
            true => f.write_str("; warning: not if each has a connection to an endpoint"),
            false => Ok(()),
        }
    }
}

/// Raises the limit of descriptors and sees what it allows.
///
/// # Errors
/// When that is less than the configuration asks for, with what to do.
pub(crate) fn make(config: &Config, threads: usize) -> Result<Room, String> {
    let descriptors = process::raise_descriptor_limit()
        .map_err(|error| format!("cannot read the limit of open descriptors: {error}"))?;
    let addresses: usize = config.listeners.iter().map(|listener| listener.bind.len()).sum();
    let asked = config.max_connections.as_ref().map(|max| max.value.get());
    let own = RESERVE + checks(config) as u64;
    divide((descriptors, cgroup::memory_bytes()), own, (threads, addresses), asked)
}

/// Checks that may be made at the same time. A name may stand for many endpoints, and an app has
/// some.
fn checks(config: &Config) -> usize {
    let of_upstream = |upstream: &Upstream| {
        let kinds = usize::from(upstream.health.is_some()) + usize::from(upstream.agent.is_some());
        let is_plain = |one: &UpstreamEndpoint| {
            matches!(one.address.value, Endpoint::Ip(_) | Endpoint::Unix(_))
        };
        let is_small = upstream.apps.is_none() && upstream.endpoints.iter().all(is_plain);
        kinds * if is_small { upstream.endpoints.len() } else { CHECKS_MAX }
    };
    config.upstreams.iter().map(of_upstream).sum::<usize>().min(CHECKS_MAX)
}

fn divide(
    (descriptors, memory): (u64, Option<u64>),
    own: u64,
    (threads, addresses): (usize, usize),
    asked: Option<u32>,
) -> Result<Room, String> {
    let threads = threads.max(1) as u64;
    let refusals = (descriptors / SHARE_OF_REFUSALS / threads).clamp(1, REFUSALS_MAX);
    let reserve = own + threads * (RESERVE_PER_THREAD + refusals + addresses as u64);
    let left = descriptors.saturating_sub(reserve);
    match asked {
        Some(asked) if u64::from(asked) > left => {
            let needed = reserve + u64::from(asked);
            Err(format!(
                "max_connections = {asked} needs {needed} open descriptors, and the limit is \
                 {descriptors}: raise it (`ulimit -Hn {needed}`, or LimitNOFILE={needed} in a \
                 systemd unit), or write at most {left}"
            ))
        }
        None if left < PER_CONNECTION => Err(format!(
            "the limit of {descriptors} open descriptors leaves none for connections: raise it \
             (`ulimit -Hn`, or LimitNOFILE in a systemd unit)"
        )),
        asked => {
            let safe = u32::try_from(left / PER_CONNECTION).unwrap_or(u32::MAX);
            let refusals = refusals as u32;
            let memory = memory
                .filter(|bytes| asked.is_none() && bytes / BYTES_PER_CONNECTION < u64::from(safe));
            let fitting = memory.map(|bytes| (bytes / BYTES_PER_CONNECTION).max(1) as u32);
            let connections = asked.or(fitting).unwrap_or(safe);
            let is_tight = connections > safe;
            Ok(Room { connections, descriptors, refusals, is_tight, memory })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_there() {
        for (descriptors, asked, expected) in [
            (1024, None, Ok((429, false))),
            (1024, Some(429), Ok((429, false))),
            (1024, Some(100), Ok((100, false))),
            (1024, Some(430), Ok((430, true))),
            (1024, Some(858), Ok((858, true))),
            (1024, Some(859), Err("needs 1025 open descriptors, and the limit is 1024")),
            (64, None, Err("leaves none for connections")),
            (u64::MAX, None, Ok((u32::MAX, false))),
        ] {
            let found = divide((descriptors, None), RESERVE, (2, 3), asked);
            match expected {
                Ok((connections, is_tight)) => {
                    let found = found.unwrap();
                    assert_eq!((found.connections, found.is_tight), (connections, is_tight));
                }
                Err(words) => {
                    let said = found.unwrap_err();
                    assert!(said.contains(words), "{said}");
                }
            }
        }
    }

    #[test]
    fn a_small_container_gets_few_connections() {
        let room = |mib: Option<u64>, asked| {
            let room =
                divide((1_000_000, mib.map(|mib| mib << 20)), RESERVE, (2, 3), asked).unwrap();
            (room.connections, room.to_string())
        };
        assert_eq!(room(Some(256), None).0, 4096);
        assert!(room(Some(256), None).1.ends_with(" (1000000 descriptors, 256 MiB of memory)"));
        assert_eq!(room(Some(256), Some(10_000)).0, 10_000);
        assert_eq!(room(Some(1 << 20), None), room(None, None));
    }
}
