//! The async shell: listening sockets, connections, timers. The one place that knows which runtime
//! drives them.

mod dial;
mod listener;
mod stream;
mod timer;

pub use dial::{dial_ip, dial_unix};
pub use listener::{Acceptor, BindError, Bound, Listening, bind, bind_private};
pub use stream::{Peer, Stream};
pub use timer::{Timer, Wheel, drive};

pub use fairwater_sys::clock;
