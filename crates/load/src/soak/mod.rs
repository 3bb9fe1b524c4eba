//! `fairwater-load soak`: mixed traffic over many connections for a long time. Every byte of every
//! reply is checked, and every request ends in exactly one class, which a journal keeps.
//!
//! Unlike its siblings it is neither cheap nor one event loop: a thread for each client, blocking
//! sockets, and code that is read in the order in which it happens.

mod echo;
mod endpoint;
mod journal;
mod message;
mod random;
mod reply;
mod request;
mod session;
mod socket;

pub(crate) use endpoint::run as run_endpoint;
pub(crate) use random::Random;
pub(crate) use socket::Address;

use std::io;
use std::thread::{self, sleep};
use std::time::Duration;

use self::echo::EchoClient;
use self::journal::{Journal, now_us};
use self::session::Client;
use crate::arguments::SoakSettings;
use crate::message::pattern;

/// Of every so many clients one speaks TCP, the others HTTP.
const ECHO_EVERY: usize = 6;

/// The longest pause between two connections of a client; a shared machine has other work too.
const PAUSE_MS_MAX: usize = 150;

pub(crate) fn run(settings: &SoakSettings) -> io::Result<()> {
    let pattern = pattern();
    let journal = Journal::create(&settings.journal)?;
    let until_us = now_us() + settings.seconds * 1_000_000;
    let results: Vec<_> = thread::scope(|scope| {
        let start = |index| {
            let (pattern, journal) = (&*pattern, &journal);
            scope.spawn(move || client(settings, index, pattern, journal, until_us))
        };
        let clients: Vec<_> = (0..settings.clients).map(start).collect();
        clients.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    for result in results {
        result.unwrap_or_else(|_| Err(io::Error::other("a client panicked")))?;
    }
    journal.flush()
}

/// Connections one after the other until the time is up; the last one ends in its own time.
fn client(
    settings: &SoakSettings,
    index: usize,
    pattern: &[u8],
    journal: &Journal,
    until_us: u64,
) -> io::Result<()> {
    let random = Random::new(settings.seed, index as u64);
    let mut pauses = Random::new(!settings.seed, index as u64);
    let mut echo = EchoClient { target: settings.tcp, pattern, journal, random: random.clone() };
    let mut http = Client { target: settings.http, pattern, journal, random };
    while now_us() < until_us {
        match index % ECHO_EVERY {
            0 => echo.session()?,
            _ => http.session()?,
        }
        sleep(Duration::from_millis(pauses.below(PAUSE_MS_MAX) as u64));
    }
    Ok(())
}
