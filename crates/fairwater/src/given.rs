//! What a master gives a worker to serve with.

use std::os::fd::OwnedFd;

use fairwater_config::Config;
use fairwater_message::app::AppState;
use fairwater_message::tally::Tally;
use fairwater_supervisor::{Address, Link, Order, Succession};
use fairwater_sys::memory_file;

use crate::file_set::FileSet;

/// Sockets that the master has bound.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// In the order of the configuration; none for an address that this worker listens on already.
    pub listening: Vec<(Address, Vec<OwnedFd>)>,
    pub admin: Option<OwnedFd>,
    /// How apps are doing.
    pub apps: Vec<AppState>,
    /// What the master has counted, if it has told by now.
    pub tally: Option<Tally>,
    /// What the worker before has said of itself.
    pub state: Option<(OwnedFd, Succession)>,
    /// Where connections of the worker before come in.
    pub legacy: Option<OwnedFd>,
}

impl Given {
    /// Takes what the master gives, of which this is the first.
    ///
    /// # Errors
    /// When it gives no more, or nothing that makes sense.
    pub(crate) fn take(link: &Link, first: Order) -> Result<(Config, Self), String> {
        let mut given = Self::default();
        let mut config = None;
        let mut order = first;
        loop {
            match order {
                Order::Configuration { name, files } => {
                    let bytes = memory_file::read(files)
                        .map_err(|error| format!("cannot read what the master gives: {error}"))?;
                    let set = FileSet::decode(&bytes).ok_or("the master gives broken files")?;
                    // What is to be said about it was said when it was read for the master.
                    config = fairwater_config::load(&name, &set.main, &set).0;
                }
                Order::Listening(address, sockets) => given.listening.push((address, sockets)),
                Order::Admin(socket) => given.admin = Some(socket),
                Order::App(state) => given.apps.push(state),
                Order::Tally(tally) => given.tally = Some(tally),
                Order::State(state, succession) => given.state = Some((state, succession)),
                Order::Inherit(socket) => given.legacy = Some(socket),
                Order::Serve | Order::Retire(_) => break,
            }
            order = next(link)?;
        }
        let config = config.ok_or("the master gives no configuration")?;
        Ok((config, given))
    }

    /// # Errors
    /// When these are not the sockets of this configuration.
    pub(crate) fn fits(&self, config: &Config) -> Result<(), String> {
        let addresses = config.listeners.iter().map(|listener| listener.bind.len()).sum();
        match self.listening.len() == addresses {
            true => Ok(()),
            false => Err("these are not the sockets of this configuration".to_owned()),
        }
    }
}

/// The next order.
///
/// # Errors
/// When there will be none.
pub(crate) fn next(link: &Link) -> Result<Order, String> {
    let order = link.next_order();
    let order = order.map_err(|error| format!("the master says nothing: {error}"))?;
    order.ok_or_else(|| "the master is gone".to_owned())
}
