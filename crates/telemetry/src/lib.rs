//! What the data threads tell about their work: counters that cost one store each, and access-log
//! lines that are written by another thread.

mod counters;
mod datagrams;
mod escape;
mod hide;
mod line;
mod log;
mod output;
#[cfg(test)]
mod properties;
mod socket;
mod template;

pub use counters::{
    Count, Counters, EndpointCounters, EndpointTable, ListenerCounters, SESSION_OUTCOMES,
    STATUS_CLASSES,
};
pub use datagrams::{DatagramCounters, Dropped};
pub use line::{Entry, Timers, TlsEntry};
pub use log::{LogBatch, LogFormat, LogWriter, Surroundings};
pub use output::LogTarget;
pub use template::Kept;
