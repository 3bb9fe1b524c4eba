//! The worker threads: each one current-thread runtime with a shard of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;

use fairwater_net::drive;
use fairwater_plan::{CurrentLevel, CurrentPlan, Level, ListenerId};
use fairwater_sys::{allocator, pass};
use fairwater_telemetry::{Counters, LogBatch};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::Receiver;

use crate::listening::{Inbox, Listening, SocketKey, SocketOrder, ThreadOrder};
use crate::moving::{Estate, FORM};
use crate::password::PasswordChecks;
use crate::pulse::{Doing, Pulse, Trouble, Watch};
use crate::shard::Shard;
use crate::spread::{self, Handed, Spread};

/// Ticks of the wheel between two looks at the pools: one second.
const SWEEP_TICKS: u32 = 20;
/// The same between two times that idle connections are closed to make room.
const SHED_TICKS: u32 = 5;

/// What one thread is started with.
#[derive(Debug)]
pub struct ThreadParts {
    pub plan: Arc<CurrentPlan>,
    pub counters: Arc<Counters>,
    /// Whether this process shall get requests, for those who ask.
    pub is_ready: Arc<AtomicBool>,
    /// How short memory and descriptors are.
    pub overload: Arc<CurrentLevel>,
    /// Its share of the memory that there is, where that is known.
    pub memory_bytes: Option<u64>,
    /// Shared by all threads.
    pub passwords: PasswordChecks,
    /// Clients that may be told at a time that there is no room.
    pub refusals_max: u32,
    pub log: LogBatch,
    /// Listening sockets of this thread, each with the number of its address.
    pub sockets: Vec<(SocketKey, ListenerId, OwnedFd)>,
    /// For what is random: balancing, request ids.
    pub seed: u64,
}

/// A running worker thread.
#[derive(Debug)]
struct Thread {
    handle: JoinHandle<io::Result<()>>,
    inbox: Arc<Inbox>,
    pulse: Arc<Pulse>,
    watch: Watch,
}

/// All worker threads, and the order that they are under.
#[derive(Debug)]
pub struct Threads {
    threads: Vec<Thread>,
    order: Arc<AtomicU8>,
}

const RUN: u8 = 0;
/// Finish what runs, take nothing new: another process does.
const RETIRE: u8 = 1;
/// The same, and nobody does.
const DRAIN: u8 = 2;
const STOP: u8 = 3;

impl Threads {
    /// Starts one thread for each of `parts`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(parts: Vec<ThreadParts>) -> io::Result<Self> {
        let order = Arc::new(AtomicU8::new(RUN));
        let spread = spread::over(parts.len());
        let start = |(index, (parts, spread)): (usize, (ThreadParts, _))| {
            let (order, inbox) = (Arc::clone(&order), Arc::new(Inbox::default()));
            let pulse = Arc::new(Pulse::default());
            let builder = std::thread::Builder::new().name(format!("worker-{index}"));
            let (own, own_pulse) = (Arc::clone(&inbox), Arc::clone(&pulse));
            let handle = builder.spawn(move || run(parts, spread, own_pulse, &order, &own))?;
            Ok(Thread { handle, inbox, pulse, watch: Watch::default() })
        };
        let threads =
            parts.into_iter().zip(spread).enumerate().map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, order })
    }

    /// Gives each thread its order about a socket; `order` makes them, by the number of the thread.
    ///
    /// # Errors
    /// As those of `order`.
    pub fn order(
        &self,
        key: SocketKey,
        order: impl Fn(usize) -> io::Result<SocketOrder>,
    ) -> io::Result<()> {
        for (index, thread) in self.threads.iter().enumerate() {
            thread.inbox.put(ThreadOrder::Socket(key, order(index)?));
        }
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Whether all orders about sockets are carried out.
    pub fn have_obeyed(&self) -> bool {
        self.threads.iter().all(|thread| thread.inbox.is_empty())
    }

    /// As [`Self::drain`], with the time that a process has which another one has replaced. What
    /// can move goes to that, if there is a socket to it.
    ///
    /// # Errors
    /// When there is no descriptor left; then nothing moves.
    pub fn retire(&self, heir: Option<&OwnedFd>) -> io::Result<()> {
        let estate = Arc::new(Estate::default());
        let speaks = |socket: &&OwnedFd| is_form_of_ours(socket);
        let result = heir.filter(speaks).map_or(Ok(()), |socket| {
            let own = self.threads.iter().map(|_| socket.try_clone());
            for (thread, socket) in self.threads.iter().zip(own.collect::<io::Result<Vec<_>>>()?) {
                thread.inbox.put(ThreadOrder::Give(socket, Arc::clone(&estate)));
            }
            Ok(())
        });
        // Behind the sockets: what finds nowhere to go is closed.
        self.order.fetch_max(RETIRE, Ordering::AcqRel);
        result
    }

    /// Takes connections that the process at the other end gives away.
    ///
    /// # Errors
    /// When there is no descriptor left, or nobody at the other end.
    pub fn inherit(&self, socket: &OwnedFd) -> io::Result<()> {
        let own = self.threads.iter().map(|_| socket.try_clone());
        for (thread, socket) in self.threads.iter().zip(own.collect::<io::Result<Vec<_>>>()?) {
            thread.inbox.put(ThreadOrder::Take(socket));
        }
        pass::send(socket.as_fd(), &FORM.to_le_bytes(), &[])
    }

    /// Lets running exchanges finish, for as long as the plan lets them, and takes no new ones.
    pub fn drain(&self) {
        self.order.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// Ends everything at once.
    pub fn stop(&self) {
        self.order.store(STOP, Ordering::Relaxed);
    }

    /// What is wrong with threads, and what each of all does then. To be asked some times a
    /// second.
    pub fn look(&mut self) -> Option<(Trouble, Vec<Doing>)> {
        let running = self.threads.iter_mut().filter(|thread| !thread.handle.is_finished());
        let looked = running.map(|Thread { watch, pulse, .. }| watch.look(pulse));
        let troubles: Vec<_> = looked.flatten().collect();
        let worst = troubles.iter().find(|trouble| **trouble == Trouble::Hangs);
        let trouble = *worst.or(troubles.first())?;
        Some((trouble, self.threads.iter().map(|thread| thread.pulse.now()).collect()))
    }

    /// Whether a thread has ended.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(|thread| thread.handle.is_finished())
    }

    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|thread| thread.handle.is_finished())
    }

    /// Waits for all threads.
    ///
    /// # Errors
    /// That of the first thread that failed; a panic outside of connections counts as one.
    pub fn join(self) -> io::Result<()> {
        let mut result = Ok(());
        for thread in self.threads {
            let ended = thread.handle.join();
            let ended = ended.unwrap_or_else(|_| Err(io::Error::other("a worker thread panicked")));
            result = result.and(ended);
        }
        result
    }
}

/// Whether the process at the other end understands what it is told. It has said so by now.
fn is_form_of_ours(socket: &OwnedFd) -> bool {
    let mut form = [0; 8];
    let said = pass::receive(socket.as_fd(), &mut form);
    said.is_ok_and(|(len, _)| len == form.len()) && u64::from_le_bytes(form) == FORM
}

fn run(
    mut parts: ThreadParts,
    (spread, handed): (Spread, Receiver<Handed>),
    pulse: Arc<Pulse>,
    order: &AtomicU8,
    inbox: &Inbox,
) -> io::Result<()> {
    pulse.begin();
    let sockets = std::mem::take(&mut parts.sockets);
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    let mut plans = parts.plan.reader();
    let first = plans.newer().unwrap_or_else(|| parts.plan.get());
    let shard = Rc::new(Shard::new(first, parts, spread, pulse));
    let result = runtime.block_on(async {
        drop(tokio::task::spawn_local(spread::take_in(Rc::clone(&shard), handed)));
        let mut listening = Listening::default();
        for (key, listener, socket) in sockets {
            listening.listen(&shard, key, socket, listener)?;
        }
        until_stopped(&shard, order, || {
            if let Some(plan) = plans.newer() {
                shard.adopt(plan);
            }
            inbox.carry_out(|order| listening.obey(&shard, order));
        })
        .await
    });
    // Connections end here; their records go to the log with what is left of the batch.
    shard.desks.end();
    drop(runtime);
    shard.hand_over_log();
    result
}

/// Turns the wheel, sweeps the pools, takes in what is new, and ends when the order is carried out.
async fn until_stopped(
    shard: &Rc<Shard>,
    order: &AtomicU8,
    mut news: impl FnMut(),
) -> io::Result<()> {
    let mut ticks = 0;
    let mut drain: Option<(u8, u64)> = None;
    drive(Rc::clone(&shard.wheel), |now_ms| {
        shard.pulse.turn();
        shard.hand_over_log();
        // Before what it needs is looked for.
        let order = order.load(Ordering::Acquire);
        news();
        ticks += 1;
        if ticks % SWEEP_TICKS == 0 {
            shard.trim();
            shard.set_wall_clock();
        }
        if ticks % SWEEP_TICKS == 0 || shard.is_draining() || shard.has_waiters() {
            shard.pools.sweep(shard, &shard.in_force().plan, now_ms);
            shard.desks.tend(shard);
        }
        let (level, has_risen) = shard.look_at_overload();
        if level > Level::Normal && (has_risen || ticks % SHED_TICKS == 0) {
            shard.shed();
        }
        if level > Level::Normal && ticks % SWEEP_TICKS == 0 {
            // What is over and was freed is no load.
            allocator::release();
        }
        match order {
            RUN => false,
            STOP => true,
            order => {
                if !shard.is_draining() {
                    shard.drain();
                    shard.wheel.wake_all();
                }
                let plan = &shard.in_force().plan;
                let patience = if order == DRAIN { plan.drain } else { plan.replaced };
                let begun_ms = match drain {
                    Some((kind, begun_ms)) if kind == order => begun_ms,
                    _ => now_ms,
                };
                drain = Some((order, begun_ms));
                now_ms >= begun_ms + patience.as_millis() as u64 || shard.is_empty()
            }
        }
    })
    .await
}
