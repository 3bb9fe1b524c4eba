//! What the data threads tell about their work: counters that cost one store each, and access-log
//! lines that are written by another thread.

mod counters;
mod line;
mod log;

pub use counters::{
    Count, Counters, EndpointCounters, EndpointTable, ListenerCounters, STATUS_CLASSES,
};
pub use line::{Entry, Timers};
pub use log::{LogBatch, LogFormat, LogWriter};
