//! From a configuration to running threads, and on to the end: bind, start, wait for a signal,
//! stop.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairwater_config::{AccessLog, Config, LogFormat, LogTarget};
use fairwater_control::{Compiled, Outside, Sources, Steward, admin, look_up_names};
use fairwater_message::FaultKind;
use fairwater_net::{Listening, bind, clock};
use fairwater_plan::{CurrentPlan, ListenerId, Plan, Protocol};
use fairwater_sys::{allocator, process, signal};
use fairwater_telemetry::{Counters, LogWriter, Surroundings};
use fairwater_worker::{PasswordChecks, ThreadParts, Threads};

use crate::room::{self, Room};
use crate::{fail, say};

/// How often the wait for signals looks whether the threads still run.
const LOOK: Duration = Duration::from_millis(200);
/// The same while the process stops: nobody likes to wait.
const LOOK_AT_END: Duration = Duration::from_millis(20);

/// Serves a configuration until a signal ends it.
pub(crate) fn serve(config: &Config) -> ExitCode {
    serve_then(config, |_| {})
}

/// As [`serve`]; `ready` is told the addresses in force once connections are accepted.
pub(crate) fn serve_then(config: &Config, ready: impl FnOnce(&[(String, String)])) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // One line; the connection that it happened in is closed, the others go on.
        say(format_args!("bug, please report: {panic}"));
    }));
    let threads = config
        .threads
        .as_ref()
        .map(|threads| threads.value)
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, std::num::NonZeroUsize::get);
    let room = match room::make(config, threads) {
        Ok(room) => room,
        Err(problem) => return fail(problem),
    };
    let mut steward = match steward(config) {
        Ok(steward) => steward,
        Err(problem) => return fail(problem),
    };
    // From here on there is something to clean up; looking up names before may take its time.
    if let Err(error) = signal::block() {
        return fail(format_args!("cannot set up signals: {error}"));
    }
    let Compiled { plan, binds } = steward.compile(Some(room.connections));
    let mut sockets = Sockets::default();
    for bound in binds {
        match bind(&bound.address, threads, bound.backlog) {
            Ok(listening) => {
                if let Protocol::Http(_) = plan.listener(bound.listener).protocol {
                    listening.defer_until_data();
                }
                sockets.listening.push((bound.listener, listening));
            }
            Err(error) => return fail(error),
        }
    }
    say(room);
    match start(config, steward, plan, (threads, room), &mut sockets) {
        Ok(running) => {
            ready(&running.bound);
            running.until_stopped(config.shutdown.delay)
        }
        Err(error) => fail(error),
    }
}

/// A steward that knows what names stand for.
fn steward(config: &Config) -> Result<Steward, String> {
    let outside = Outside { random: process::random_u64, say: |line| say(line) };
    let steward = Steward::new(config.clone(), outside).map_err(|error| {
        let path = config.state_dir.as_ref().map_or(Path::new(""), |path| &path.value);
        format!("cannot use state_dir {}: {error}", path.display())
    })?;
    look_up_names(steward).map_err(|error| format!("cannot look up names: {error}"))
}

/// What was bound; files of Unix sockets are removed when this is dropped.
#[derive(Debug, Default)]
struct Sockets {
    listening: Vec<(ListenerId, Listening)>,
    admin: Option<Listening>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for (_, listening) in &self.listening {
            listening.clean_up();
        }
        if let Some(admin) = &self.admin {
            admin.clean_up();
        }
    }
}

struct Running {
    threads: Threads,
    is_ready: Arc<AtomicBool>,
    log: LogWriter,
    bound: Vec<(String, String)>,
}

fn start(
    config: &Config,
    steward: Steward,
    plan: Plan,
    (threads, room): (usize, Room),
    sockets: &mut Sockets,
) -> Result<Running, Box<dyn std::error::Error>> {
    let log = start_log(&config.access_log)?;
    let bound: Vec<_> = sockets
        .listening
        .iter()
        .map(|(id, listening)| (plan.listener(*id).name.clone(), listening.address.to_string()))
        .collect();
    let new_counters = || {
        let (listeners, slots) = (plan.listeners.len(), plan.slots_end);
        Arc::new(Counters::new(listeners, slots, FaultKind::ALL.len()))
    };
    let counters: Vec<_> = (0..threads).map(|_| new_counters()).collect();
    let plan = Arc::new(CurrentPlan::new(plan));
    let is_ready = Arc::new(AtomicBool::new(true));
    let passwords = PasswordChecks::new(threads);
    let mut parts = Vec::new();
    for (index, counters) in counters.iter().enumerate() {
        let share = |(id, listening): &(ListenerId, Listening)| {
            listening.share(index).map(|socket| (*id, socket))
        };
        parts.push(ThreadParts {
            plan: Arc::clone(&plan),
            counters: Arc::clone(counters),
            is_ready: Arc::clone(&is_ready),
            passwords: passwords.clone(),
            refusals_max: room.refusals,
            log: log.batch(),
            sockets: sockets.listening.iter().map(share).collect::<io::Result<_>>()?,
            seed: process::random_u64(),
        });
    }
    if let Some(path) = &config.admin.socket {
        sockets.admin = Some(admin::listen(&path.value)?);
    }
    if sockets.admin.is_some() || steward.has_names() {
        let sources = Sources {
            plan: Arc::clone(&plan),
            counters,
            log_lost: log.lost(),
            bound: bound.clone(),
            is_ready: Arc::clone(&is_ready),
            allocations: allocator::allocations,
            started_ms: clock::coarse_ms(),
        };
        fairwater_control::start(steward, sources, sockets.admin.as_ref())?;
    }
    let threads = Threads::start(parts)?;
    sockets.listening.iter_mut().for_each(|(_, listening)| listening.release());
    for (name, address) in &bound {
        say(format_args!("{name} listens on {address}"));
    }
    Ok(Running { threads, is_ready, log, bound })
}

fn start_log(settings: &AccessLog) -> io::Result<LogWriter> {
    use fairwater_telemetry as to;
    let format = match settings.format.clone() {
        LogFormat::Json => to::LogFormat::Json,
        LogFormat::Combined => to::LogFormat::Combined,
        LogFormat::Template(template) => to::LogFormat::Template(template),
        LogFormat::Off => to::LogFormat::Off,
    };
    let target = match settings.target.clone() {
        LogTarget::StandardOutput => to::LogTarget::StandardOutput,
        LogTarget::File(path) => to::LogTarget::File(path),
        LogTarget::Socket(path) => to::LogTarget::Socket(path),
    };
    let around = Surroundings { now_ms: clock::coarse_ms, say: |text| say(text) };
    LogWriter::start(format, settings.hide_query.clone(), target, around).map_err(|error| {
        let path = match &settings.target {
            LogTarget::StandardOutput => "the standard output".to_owned(),
            LogTarget::File(path) if is_socket(path) => {
                let path = path.display();
                format!("{path}, which is a socket and would be written `unix:{path}`")
            }
            LogTarget::File(path) | LogTarget::Socket(path) => path.display().to_string(),
        };
        io::Error::new(error.kind(), format!("cannot write the access log to {path}: {error}"))
    })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

impl Running {
    /// Runs until signals end it. After the first TERM `delay` is left for others to notice that
    /// this process is not ready any more; a second one ends everything at once.
    fn until_stopped(self, delay: Duration) -> ExitCode {
        let mut drain_at_ms = None;
        let mut is_stopping = false;
        loop {
            match signal::wait(if is_stopping { LOOK_AT_END } else { LOOK }) {
                Ok(Some(signal::Signal::Terminate)) if !is_stopping => {
                    is_stopping = true;
                    self.is_ready.store(false, Ordering::Relaxed);
                    drain_at_ms = Some(clock::coarse_ms() + delay.as_millis() as u64);
                }
                Ok(Some(signal::Signal::Terminate | signal::Signal::Interrupt)) => {
                    is_stopping = true;
                    drain_at_ms = None;
                    self.threads.stop();
                }
                Ok(_) if is_stopping && self.threads.is_finished() => break,
                // A thread that ends by itself has failed; the others cannot make up for it.
                Ok(_) if !is_stopping && self.threads.has_ended() => break,
                Ok(_) => {}
                Err(error) => return fail(format_args!("cannot wait for signals: {error}")),
            }
            if drain_at_ms.take_if(|at_ms| clock::coarse_ms() >= *at_ms).is_some() {
                self.threads.drain();
            }
        }
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
