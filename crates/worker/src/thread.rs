//! The worker threads: each one current-thread runtime with a shard of its own.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;

use fairwater_net::{Acceptor, drive};
use fairwater_plan::{CurrentPlan, ListenerId, Plan};
use fairwater_telemetry::{Counters, LogBatch};
use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions};

use crate::accept;
use crate::password::PasswordChecks;
use crate::shard::Shard;

/// Ticks of the wheel between two looks at the pools: one second.
const SWEEP_TICKS: u32 = 20;

/// What one thread is started with.
#[derive(Debug)]
pub struct ThreadParts {
    pub plan: Arc<CurrentPlan>,
    pub counters: Arc<Counters>,
    /// Whether this process shall get requests, for those who ask.
    pub is_ready: Arc<AtomicBool>,
    /// Shared by all threads.
    pub passwords: PasswordChecks,
    /// Clients that may be told at a time that there is no room.
    pub refusals_max: u32,
    pub log: LogBatch,
    /// Listening sockets of this thread.
    pub sockets: Vec<(ListenerId, Socket)>,
    /// For what is random: balancing, request ids.
    pub seed: u64,
}

/// A running worker thread.
#[derive(Debug)]
pub struct Thread {
    handle: JoinHandle<io::Result<()>>,
}

/// All worker threads, and the order that they are under.
#[derive(Debug)]
pub struct Threads {
    threads: Vec<Thread>,
    order: Arc<AtomicU8>,
}

const RUN: u8 = 0;
/// Finish what runs, take nothing new.
const DRAIN: u8 = 1;
const STOP: u8 = 2;

impl Threads {
    /// Starts one thread for each of `parts`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(parts: Vec<ThreadParts>) -> io::Result<Self> {
        let order = Arc::new(AtomicU8::new(RUN));
        let start = |(index, parts)| {
            let order = Arc::clone(&order);
            let builder = std::thread::Builder::new().name(format!("worker-{index}"));
            builder.spawn(move || run(parts, &order)).map(|handle| Thread { handle })
        };
        let threads = parts.into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, order })
    }

    /// Lets running exchanges finish, for as long as the plan lets them, and takes no new ones.
    pub fn drain(&self) {
        self.order.store(DRAIN, Ordering::Relaxed);
    }

    /// Ends everything at once.
    pub fn stop(&self) {
        self.order.store(STOP, Ordering::Relaxed);
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

fn run(mut parts: ThreadParts, order: &AtomicU8) -> io::Result<()> {
    let sockets = std::mem::take(&mut parts.sockets);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let mut plans = parts.plan.reader();
    let first = plans.newer().unwrap_or_else(|| parts.plan.get());
    let shard = Rc::new(Shard::new(first, parts));
    let result = runtime.block_on(async {
        for (listener, socket) in sockets {
            let acceptor = Acceptor::new(socket)?;
            drop(tokio::task::spawn_local(accept::run(Rc::clone(&shard), acceptor, listener)));
        }
        until_stopped(&shard, order, || plans.newer()).await;
        Ok(())
    });
    // Connections end here; their records go to the log with what is left of the batch.
    drop(runtime);
    shard.hand_over_log();
    result
}

/// Turns the wheel, sweeps the pools, adopts new plans, and ends when the order is carried out.
async fn until_stopped(
    shard: &Rc<Shard>,
    order: &AtomicU8,
    mut newer_plan: impl FnMut() -> Option<Arc<Plan>>,
) {
    let mut ticks = 0;
    let mut drained_at_ms = None;
    drive(Rc::clone(&shard.wheel), |now_ms| {
        shard.hand_over_log();
        if let Some(plan) = newer_plan() {
            shard.adopt(plan);
        }
        ticks += 1;
        if ticks % SWEEP_TICKS == 0 {
            shard.trim();
            shard.set_wall_clock();
        }
        if ticks % SWEEP_TICKS == 0 || shard.is_draining() || shard.has_waiters() {
            shard.pools.sweep(shard, &shard.in_force().plan, now_ms);
        }
        match order.load(Ordering::Relaxed) {
            RUN => false,
            DRAIN => {
                let until_ms = *drained_at_ms.get_or_insert_with(|| {
                    shard.drain();
                    shard.wheel.wake_all();
                    now_ms + shard.in_force().plan.drain.as_millis() as u64
                });
                now_ms >= until_ms || shard.active() == 0
            }
            _ => true,
        }
    })
    .await;
}
