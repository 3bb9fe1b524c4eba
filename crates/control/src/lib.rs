//! Everything beside the data path: the configuration is compiled into a plan, names are looked up
//! again and again, and the admin socket tells how the process is doing. Knows no worker; it holds
//! only what workers count.

pub mod admin;
mod apps;
mod changes;
mod compile;
mod control;
mod dns;
mod endpoints;
mod expiry;
mod form;
mod framed;
mod health;
mod json;
mod limit;
mod lookups;
mod metrics;
mod names;
mod overload;
mod overview;
mod problem;
mod registry;
mod roster;
mod route;
mod snapshot;
mod state_file;
mod status;
mod steward;
mod sticky;
mod trace;

pub use apps::{AppLink, AppReport};
pub use compile::{Bind, Compiled, sketch};
pub use control::{Control, Unable, start};
pub use lookups::look_up_names;
pub use overload::{Capacity, InUse, Meter, Pressure};
pub use steward::Steward;
pub use trace::{Outcome, Question, Trace, prove, trace};

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use fairwater_message::tally::Tally;
use fairwater_plan::CurrentPlan;
use fairwater_telemetry::Counters;

/// What the admin socket reads from.
#[derive(Debug)]
pub struct Sources {
    pub plan: Arc<CurrentPlan>,
    /// One set per worker thread.
    pub counters: Vec<Arc<Counters>>,
    /// Log lines that could not be written.
    pub log_lost: Arc<AtomicU64>,
    /// Addresses in force, by listener.
    pub bound: Vec<(String, String)>,
    /// Whether this process shall get requests.
    pub is_ready: Arc<AtomicBool>,
    /// Heap allocations of the process so far.
    pub allocations: fn() -> u64,
    /// Milliseconds of the monotonic clock at the start.
    pub started_ms: u64,
    /// What the master has counted; zeros without one.
    pub tally: Arc<Mutex<Tally>>,
    pub pressure: Pressure,
}

/// What comes from outside of this crate.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// A number that nobody can guess.
    pub random: fn() -> u64,
    /// Says a line to whoever runs the process.
    pub say: fn(&str),
}
