//! What black-box tests of the real binary are made of: the proxy as a process, endpoints that do
//! as a script says, and a client that sends bytes exactly as given. Everything reads strictly: a
//! message that is not canonical fails the test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::result_large_err, reason = "a broken message is kept whole, to be shown")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests read the clock: there is nobody to pass it in"
)]

pub mod chance;
pub mod client;
pub mod datagrams;
pub mod directory;
pub mod endpoint;
pub mod log;
pub mod message;
pub mod name_server;
pub mod onlooker;
pub mod peer;
pub mod proxy;
pub mod setup;
pub mod socket;
pub mod wait;

pub use chance::Chance;
pub use client::Client;
pub use datagrams::{Responder, Sender};
pub use directory::Directory;
pub use endpoint::{Caller, Endpoint};
pub use log::Line;
pub use message::{Broken, Message};
pub use name_server::{Manner, NameServer};
pub use onlooker::Waits;
pub use peer::Peer;
pub use proxy::Proxy;
pub use setup::Setup;
pub use socket::Socket;
pub use wait::{Over, until, until_some};
