//! A process that serves: its threads, the sockets that they have, and what it is told.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fairwater_config::Config;
use fairwater_control::{Bind, Control, Unable};
use fairwater_message::app::AppState;
use fairwater_message::tally::Tally;
use fairwater_net::clock;
use fairwater_plan::ListenerId;
use fairwater_supervisor::{Address, Link, News, Order};
use fairwater_sys::poll;
use fairwater_sys::signal::{Signal, Signals};
use fairwater_telemetry::LogWriter;
use fairwater_worker::{Doing, SocketKey, SocketOrder, Threads, Trouble};
use tokio::sync::mpsc::Sender;

use crate::given::Given;
use crate::ties::Ties;
use crate::{fail, say};

/// How often the wait for signals looks whether the threads still run.
const LOOK: Duration = Duration::from_millis(200);
/// The same while the process stops: nobody likes to wait.
const LOOK_AT_END: Duration = Duration::from_millis(20);
/// For all threads to take in new sockets: they look twenty times a second.
const OBEYING: Duration = Duration::from_secs(5);

pub(crate) struct Running {
    pub threads: Threads,
    pub control: Control,
    /// Where the control thread learns how apps are doing; nowhere without a master.
    pub apps: Option<Sender<AppState>>,
    pub tally: Arc<Mutex<Tally>>,
    pub is_ready: Arc<AtomicBool>,
    pub log: LogWriter,
    pub config: Config,
    pub places: Places,
    pub ties: Ties,
    /// A thread does, and the master knows it.
    pub hangs: bool,
}

/// Where connections come in.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: Vec<Place>,
    last_key: SocketKey,
}

#[derive(Debug)]
struct Place {
    key: SocketKey,
    address: Address,
    listener: ListenerId,
}

impl Places {
    /// Takes a place in, and gives its key.
    pub(crate) fn add(&mut self, address: Address, listener: ListenerId) -> SocketKey {
        self.last_key += 1;
        self.all.push(Place { key: self.last_key, address, listener });
        self.last_key
    }
}

/// Of the sockets of an address those of one thread: each has one at least, and none is left over.
/// A socket for datagrams has one thread, lest two know half of a client each.
///
/// # Errors
/// When there is no descriptor left.
pub(crate) fn share(
    (address, sockets): (&Address, &[OwnedFd]),
    index: usize,
    threads: usize,
) -> io::Result<Vec<OwnedFd>> {
    let first = if address.is_udp() { index } else { index % sockets.len().max(1) };
    sockets.iter().skip(first).step_by(threads.max(1)).map(OwnedFd::try_clone).collect()
}

/// How far the end of the process is.
#[derive(Default)]
struct Stopping {
    has_begun: bool,
    drain_at_ms: Option<u64>,
}

impl Running {
    /// Serves until signals end it, or a master that has another worker by now. After the first
    /// TERM `drain_delay` is left for others to notice that this process is not ready any more; a
    /// second one ends everything at once, unless a master sends it.
    pub(crate) fn until_stopped(mut self, signals: &Signals, mut master: Option<Link>) -> ExitCode {
        let mut stopping = Stopping::default();
        loop {
            let look = if stopping.has_begun { LOOK_AT_END } else { LOOK };
            let beat = self.ties.notify.beat(clock::coarse_ms());
            let look = beat.map_or(look, |beat| beat.min(look));
            let mut fds = vec![signals.as_fd()];
            fds.extend(master.as_ref().map(AsFd::as_fd));
            let ready = match poll::readable(&fds, look) {
                Ok(ready) => ready,
                Err(error) => return fail(format_args!("cannot wait for signals: {error}")),
            };
            while let Some(signal) = signals.next() {
                self.obey(signal, &mut stopping, master.is_some());
            }
            self.look_at_threads(master.as_ref());
            if ready.get(1) == Some(&true) {
                // Without a master a worker serves on.
                master = master.filter(|link| self.listen_to(link, &mut stopping));
            }
            if stopping.drain_at_ms.take_if(|at_ms| clock::coarse_ms() >= *at_ms).is_some() {
                master.iter().for_each(|link| link.tell(&News::Draining));
                self.threads.drain();
            }
            // A thread that ends by itself has failed; the others cannot make up for it.
            let is_over = match stopping.has_begun {
                true => self.threads.is_finished(),
                false => self.threads.has_ended(),
            };
            if is_over {
                return self.end();
            }
        }
    }

    /// A thread that hangs ends the process: at once, or once a master has started another.
    fn look_at_threads(&mut self, master: Option<&Link>) {
        let Some((trouble, doing)) = self.threads.look() else { return };
        let one =
            |(index, doing): (usize, &Doing)| format!("worker-{index} {}", self.where_is(*doing));
        let all: Vec<_> = doing.iter().enumerate().map(one).collect();
        let all = all.join(", ");
        match (trouble, master) {
            (Trouble::Waits, _) => {
                say(format_args!("a thread is held up outside of its loop: {all}"))
            }
            (Trouble::Hangs, _) if self.hangs => {}
            (Trouble::Hangs, Some(master)) => {
                self.hangs = true;
                master.tell(&News::Hangs(all));
            }
            (Trouble::Hangs, None) => {
                say(format_args!("bug, please report: a thread hangs: {all}"));
                std::process::abort();
            }
        }
    }

    fn where_is(&self, doing: Doing) -> String {
        let is_there = |place: &&Place| Some(place.listener.0) == doing.listener();
        let place = self.places.all.iter().find(is_there);
        place.map_or_else(
            || doing.to_string(),
            |place| format!("{doing} at {}", place.address.bound),
        )
    }

    fn obey(&self, signal: Signal, stopping: &mut Stopping, has_master: bool) {
        match signal {
            Signal::Terminate if !stopping.has_begun || !self.is_leaving() => {
                stopping.has_begun = true;
                self.ties.notify.stopping();
                self.is_ready.store(false, Ordering::Relaxed);
                let delay = self.config.shutdown.delay.as_millis() as u64;
                stopping.drain_at_ms = Some(clock::coarse_ms() + delay);
            }
            // Who stops a service may tell all its processes, and the master tells this one again.
            Signal::Terminate if has_master => {}
            Signal::Terminate | Signal::Interrupt => {
                stopping.has_begun = true;
                stopping.drain_at_ms = None;
                self.threads.stop();
            }
            Signal::User1 => {
                self.log.reopen();
                self.ties.reopen();
            }
            Signal::Child => self.ties.reap(),
            Signal::Hangup | Signal::User2 => {}
        }
    }

    /// Whether this process was told to end.
    fn is_leaving(&self) -> bool {
        !self.is_ready.load(Ordering::Relaxed)
    }

    /// Hears what the master wants, and does it. Returns false when there is no master any more.
    fn listen_to(&mut self, link: &Link, stopping: &mut Stopping) -> bool {
        let given = match link.next_order() {
            Ok(Some(Order::Retire(heir))) => {
                stopping.has_begun = true;
                self.control.leave();
                if let Err(error) = self.threads.retire(heir.as_ref()) {
                    say(format_args!("no connection moves to the next process: {error}"));
                }
                return true;
            }
            Ok(Some(Order::Tally(tally))) => {
                self.told_tally(tally);
                return true;
            }
            Ok(Some(Order::App(state))) => {
                self.told_of_app(state);
                return true;
            }
            Ok(Some(order)) => Given::take(link, order),
            Ok(None) | Err(_) => return false,
        };
        let result = given.and_then(|(config, given)| self.replace(config, given));
        link.tell(&match result {
            Ok(None) => News::Serving,
            Ok(Some(setting)) => News::Fixed(setting.to_owned()),
            Err(problem) => News::Failed(problem),
        });
        true
    }

    /// Passes on how an app is doing. All of it is told again with the next change.
    fn told_of_app(&self, state: AppState) {
        self.apps.iter().for_each(|apps| drop(apps.blocking_send(state.clone())));
    }

    fn told_tally(&self, tally: Tally) {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = tally;
    }

    /// Serves by another configuration. Gives the setting that no running process can take in, if
    /// there is one; then all is as before.
    fn replace(&mut self, config: Config, given: Given) -> Result<Option<&'static str>, String> {
        given.fits(&config)?;
        given.apps.into_iter().for_each(|state| self.told_of_app(state));
        given.tally.into_iter().for_each(|tally| self.told_tally(tally));
        let addresses = given.listening.iter().map(|(address, _)| address.bound.clone()).collect();
        let binds = match self.control.replace(config.clone(), addresses) {
            Ok(binds) => binds,
            Err(Unable::Setting(setting)) => return Ok(Some(setting)),
            Err(Unable::Silent) => return Err("the worker does not come to it".to_owned()),
        };
        self.config = config;
        let moved = self.move_sockets(&binds, given.listening);
        moved.map_err(|error| format!("cannot hand sockets to threads: {error}"))?;
        let until_ms = clock::coarse_ms() + OBEYING.as_millis() as u64;
        while !self.threads.have_obeyed() && clock::coarse_ms() < until_ms {
            std::thread::sleep(LOOK_AT_END);
        }
        Ok(None)
    }

    /// Gives the threads the sockets that are new, and has them leave those that are not wanted.
    fn move_sockets(
        &mut self,
        binds: &[Bind],
        given: Vec<(Address, Vec<OwnedFd>)>,
    ) -> io::Result<()> {
        let mut before: VecDeque<Place> = std::mem::take(&mut self.places.all).into();
        for (bind, (address, sockets)) in binds.iter().zip(given) {
            let listener = bind.listener;
            let known = before.iter().position(|place| place.address == address);
            let Some(place) = known.filter(|_| sockets.is_empty()) else {
                if sockets.is_empty() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let key = self.places.add(address.clone(), listener);
                let threads = self.threads.count();
                self.threads.order(key, |index| {
                    let sockets = share((&address, &sockets), index, threads)?;
                    Ok(SocketOrder::Listen { sockets, listener })
                })?;
                continue;
            };
            let Some(place) = before.remove(place) else { continue };
            if place.listener != listener {
                self.threads.order(place.key, |_| Ok(SocketOrder::Turn { listener }))?;
            }
            self.places.all.push(Place { listener, ..place });
        }
        for place in before {
            self.threads.order(place.key, |_| Ok(SocketOrder::Close))?;
        }
        Ok(())
    }

    fn end(self) -> ExitCode {
        self.threads.stop();
        let result = self.threads.join();
        if !self.log.finish() {
            say("the last lines of the access log are lost: nobody takes them");
        }
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        }
    }
}
