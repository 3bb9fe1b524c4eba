//! The master process: it holds the listening sockets, starts what serves them, and starts it again
//! when it ends. Single-threaded; it reads nothing that comes from a network.

mod account;
mod app;
mod backoff;
mod bind;
mod command;
mod daemon;
mod holder;
mod inherit;
mod life;
mod link;
mod master;
mod notify;
mod own_file;
mod part;
mod pid_file;
mod process_part;
mod reading;
mod record;
mod reload;
mod sockets;
mod upgrade;
mod watch;
mod worker;

pub use account::{Account, ROOT};
pub use app::spec::{Address as AppAddress, Ready as AppReady, Spec, Timeouts};
pub use bind::{BindError, Bound, Listening, Manner, bind, bind_private};
pub use command::ask;
pub use daemon::{Launch, Report, Side, detach};
pub use inherit::Inherited;
pub use life::Life;
pub use link::{Address, Link, News, Order, Succession};
pub use master::{Means, run};
pub use notify::Notify;
pub use own_file::make_for;
pub use part::{Bind, Part};
pub use process_part::ProcessPart;
pub use reading::{Loaded, hand_over, load, master_before};
pub use upgrade::{go_on, understands};
pub use watch::Stamp;
