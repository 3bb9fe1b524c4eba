//! The async shell: listening sockets, connections, timers. The one place that knows which runtime
//! drives them.

mod acceptor;
mod calls;
mod datagrams;
mod dial;
mod io;
mod secure;
mod stream;
mod timer;

pub use acceptor::Acceptor;
pub use datagrams::{
    Datagrams, Gathering, Unsent, ask_by_datagram, dial_datagrams, is_want_of_room, takes_datagrams,
};
pub use dial::{dial_ip, dial_unix};
pub use stream::{Peer, Room, Stream};
pub use timer::{Timer, Wheel, drive};

pub use fairwater_sys::clock;
