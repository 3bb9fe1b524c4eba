//! The master process: it holds the listening sockets, starts what serves them, and starts it again
//! when it ends. Single-threaded; it reads nothing that comes from a network.

mod app;
mod backoff;
mod bind;
mod command;
mod holder;
mod link;
mod master;
mod part;
mod reading;
mod record;
mod reload;
mod sockets;
mod upgrade;
mod watch;
mod worker;

pub use app::spec::{Address as AppAddress, Ready as AppReady, Spec, Timeouts};
pub use bind::{BindError, Bound, Listening, bind, bind_private};
pub use command::ask;
pub use link::{Address, Link, News, Order};
pub use master::{Means, run};
pub use part::{Bind, Part};
pub use reading::{Loaded, hand_over, load, master_before};
pub use upgrade::{go_on, understands};
pub use watch::Stamp;
