//! Black-box tests of the real binary over raw sockets. One program, so that it links once; the
//! modules are the subjects.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::result_large_err, reason = "a broken message is kept whole, to be shown")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock: there is nobody to pass it in"
)]

mod access_log;
mod apps;
mod attacks;
mod command_line;
mod containers;
mod daemon;
mod exchanges;
mod failures;
mod faults;
mod filters;
mod formatting;
mod grpc;
mod handshakes;
mod hang;
mod health;
mod http2;
mod limits;
mod master;
mod messages;
mod moving;
mod names;
mod overload;
mod passthrough;
mod patient;
mod peers;
mod pressure;
mod privileges;
mod proofs;
mod proxy_protocol;
mod rate_limits;
mod reload;
mod replies;
mod requests;
mod resilience;
mod run_time;
mod schema;
mod service;
mod settings;
mod sticky;
mod tcp;
mod tls;
mod udp;
mod upgrade;
mod upgrades;
mod versions;
mod websocket;
