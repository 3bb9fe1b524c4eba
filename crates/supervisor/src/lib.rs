//! The master process: it holds the listening sockets, starts what serves them, and starts it again
//! when it ends. Single-threaded; it reads nothing that comes from a network.

mod backoff;
mod bind;
mod link;
mod load;
mod master;
mod part;
mod worker;

pub use bind::{BindError, Bound, Listening, bind, bind_private};
pub use link::{Link, News, Order};
pub use load::{Loaded, NotLoaded, hand_over, load};
pub use master::{Charge, run};
pub use part::{Bind, Part};
