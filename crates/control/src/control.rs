//! The control thread: it keeps names up to date, looks after the ends of certificates, serves the
//! admin socket, and puts other configurations into force.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc as answers;
use std::time::Duration;

use fairwater_config::Config;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_local};

use crate::lookups::{self, Shared};
use crate::{AppLink, Bind, Sources, Steward, admin, apps, expiry, health, overload};

/// Another configuration waits no longer than this for what its names stand for.
const NAMES: Duration = Duration::from_secs(5);
/// One thread asks, one thing at a time.
const ASKS_MAX: usize = 4;
/// For an answer of the control thread, which may wait for names and for the data threads.
const ANSWER: Duration = Duration::from_secs(10);

/// The control thread, as others have it.
#[derive(Debug)]
pub struct Control {
    asks: Sender<Ask>,
}

/// Why a configuration cannot be put into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unable {
    /// This setting takes another process.
    Setting(&'static str),
    /// The thread does not answer.
    Silent,
}

#[derive(Debug)]
enum Ask {
    Replace {
        config: Box<Config>,
        addresses: Vec<String>,
        answer: answers::Sender<Result<Vec<Bind>, Unable>>,
    },
    Leave,
}

/// Starts the thread. With a socket it serves the admin API there, until the process ends; with a
/// master it takes in how apps are.
///
/// # Errors
/// When the thread or its runtime cannot be started.
pub fn start(
    steward: Steward,
    sources: Sources,
    admin: Option<OwnedFd>,
    master: Option<AppLink>,
) -> io::Result<Control> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = std::thread::Builder::new().name("control".to_owned());
    let (asks, asked) = channel(ASKS_MAX);
    builder.spawn(move || {
        let mut steward = steward;
        steward.publish_to(sources);
        let shared = Shared::new(steward);
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            drop(spawn_local(lookups::keep(shared.clone())));
            drop(spawn_local(health::keep(shared.clone())));
            drop(spawn_local(expiry::keep(shared.clone())));
            drop(spawn_local(overload::keep(shared.clone())));
            if let Some(master) = master {
                drop(spawn_local(apps::keep(shared.clone(), master)));
            }
            let admin = admin.and_then(|socket| UnixListener::from_std(socket.into()).ok());
            let admin = admin.map(|listener| {
                let shared = shared.clone();
                spawn_local(async move { admin::serve(listener, &shared).await })
            });
            answer(asked, &shared, admin).await;
        });
    })?;
    Ok(Control { asks })
}

async fn answer(mut asked: Receiver<Ask>, shared: &Shared, mut admin: Option<JoinHandle<()>>) {
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Replace { config, addresses, answer } => {
                // Who asked may have given up.
                drop(answer.send(replace(shared, *config, &addresses).await));
            }
            Ask::Leave => {
                // Another process is asked, and asks, by now.
                admin.take().iter().for_each(JoinHandle::abort);
                shared.steward.borrow_mut().health.stop();
            }
        }
    }
}

async fn replace(
    shared: &Shared,
    config: Config,
    addresses: &[String],
) -> Result<Vec<Bind>, Unable> {
    shared.steward.borrow_mut().prepare(config).map_err(Unable::Setting)?;
    // What is new in it is looked up now; what takes longer goes on beside the traffic.
    shared.bell.notify_waiters();
    drop(tokio::time::timeout(NAMES, until_known(shared)).await);
    let binds = shared.steward.borrow_mut().replace(addresses).ok_or(Unable::Silent)?;
    shared.bell.notify_waiters();
    admin::until_adopted(shared).await;
    Ok(binds)
}

pub(crate) async fn until_known(shared: &Shared) {
    while !shared.steward.borrow().names.are_all_known() {
        shared.bell.notified().await;
    }
}

impl Control {
    /// Puts another configuration into force, whose listeners have these addresses, in its order.
    /// Returns once all threads serve by it, with what is bound for which listener.
    ///
    /// # Errors
    /// See [`Unable`].
    pub fn replace(&self, config: Config, addresses: Vec<String>) -> Result<Vec<Bind>, Unable> {
        let (answer, answered) = answers::channel();
        let config = Box::new(config);
        let asked = self.asks.try_send(Ask::Replace { config, addresses, answer });
        asked.map_err(|_| Unable::Silent)?;
        answered.recv_timeout(ANSWER).unwrap_or(Err(Unable::Silent))
    }

    /// Leaves the admin socket to another process.
    pub fn leave(&self) {
        drop(self.asks.blocking_send(Ask::Leave));
    }
}
