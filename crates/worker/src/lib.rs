//! The data plane: connections and exchanges from accept to record. A worker thread owns everything
//! that it touches; what threads share are the atomics of the plan.
//!
//! The files are the stages of a request: `accept`, `downstream`, `exchange`, `attempt`,
//! `upstream`, `relay`, `respond`, `record`; `tcp` and `tunnel` are the short ways for raw bytes,
//! and `udp` is that of datagrams.

mod accept;
mod announced;
mod attempt;
mod auth;
mod body;
mod downstream;
mod duplex;
mod exchange;
mod filter;
mod follow;
mod framed;
mod grpc;
mod h2;
mod handshake;
mod hold;
mod in_force;
pub mod limits;
mod listening;
mod moving;
mod own_reply;
mod password;
mod patience;
mod pipes;
mod port;
mod pulse;
mod rate;
mod record;
mod refuse;
mod relay;
mod respond;
mod server_name;
mod session;
mod shard;
mod spares;
mod spread;
mod tcp;
mod thread;
mod transit;
mod tunnel;
mod udp;
mod upstream;
mod waiting;
mod websocket;
mod work;
mod write;

pub use listening::{SocketKey, SocketOrder};
pub use password::PasswordChecks;
pub use pulse::{Doing, Trouble};
pub use thread::{ThreadParts, Threads};
