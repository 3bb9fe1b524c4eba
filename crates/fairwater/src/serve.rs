//! From a configuration to running threads, and on to the end: get sockets, start, wait for a
//! signal, stop.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairwater_config::{AccessLog, Config, LogFormat, LogTarget};
use fairwater_control::{Bind, Compiled, Outside, Sources, Steward, look_up_names};
use fairwater_message::FaultKind;
use fairwater_net::clock;
use fairwater_plan::{CurrentPlan, ListenerId, Plan, Protocol};
use fairwater_supervisor::{Link, Listening, News, bind, bind_private};
use fairwater_sys::{allocator, process, signal};
use fairwater_telemetry::{Counters, LogWriter, Surroundings};
use fairwater_worker::{PasswordChecks, ThreadParts, Threads};

use crate::room::{self, Room};
use crate::{directory, fail, say};

/// How often the wait for signals looks whether the threads still run.
const LOOK: Duration = Duration::from_millis(200);
/// The same while the process stops: nobody likes to wait.
const LOOK_AT_END: Duration = Duration::from_millis(20);

/// What the machine grants to a process that serves.
pub(crate) struct Ground {
    pub threads: usize,
    pub room: Room,
}

impl Ground {
    /// # Errors
    /// When it is less than the configuration asks for.
    fn of(config: &Config) -> Result<Self, String> {
        let threads = threads(config);
        let room = room::make(config, threads)?;
        Ok(Self { threads, room })
    }
}

/// Makes the directories that processes keep things in.
///
/// # Errors
/// Why one cannot be used, and what to do.
pub(crate) fn prepare_directories(config: &Config) -> Result<(), String> {
    for (setting, path, mode) in
        [("state_dir", &config.state_dir, 0o700), ("run_dir", &config.run_dir, 0o755)]
    {
        if let Some(path) = path {
            directory::prepare(setting, &path.value, mode, process::user_id())?;
        }
    }
    Ok(())
}

/// Worker threads: as many as are set, or as the machine grants.
pub(crate) fn threads(config: &Config) -> usize {
    config
        .threads
        .as_ref()
        .map(|threads| threads.value)
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, std::num::NonZeroUsize::get)
}

/// Serves a configuration in this one process until a signal ends it.
pub(crate) fn serve(config: &Config) -> ExitCode {
    serve_then(config, |_| {})
}

/// As [`serve`]; `ready` is told the addresses in force once connections are accepted.
pub(crate) fn serve_then(config: &Config, ready: impl FnOnce(&[(String, String)])) -> ExitCode {
    say_what_panics();
    let prepared = prepare_directories(config)
        .and_then(|()| Ground::of(config))
        .and_then(|ground| Ok((ground, steward(config)?)));
    let (ground, mut steward) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return fail(problem),
    };
    // From here on there is something to clean up; looking up names before may take its time.
    if let Err(error) = signal::block() {
        return fail(format_args!("cannot set up signals: {error}"));
    }
    let Compiled { plan, binds } = steward.compile(Some(ground.room.connections));
    let mut own = OwnSockets::default();
    for bound in binds {
        match bind(&bound.address, ground.threads, bound.backlog) {
            Ok(listening) => {
                if let Protocol::Http(_) = plan.listener(bound.listener).protocol {
                    listening.defer_until_data();
                }
                own.listening.push((bound.listener, listening));
            }
            Err(error) => return fail(error),
        }
    }
    if let Some(path) = &config.admin.socket {
        match bind_private(&path.value) {
            Ok(listening) => own.admin = Some(listening),
            Err(error) => return fail(error),
        }
    }
    say(ground.room);
    let started = own.sockets().map_err(Into::into);
    let started = started.and_then(|sockets| start(config, steward, plan, &ground, sockets));
    match started {
        Ok(running) => {
            own.release();
            for (name, address) in &running.bound {
                say(format_args!("{name} listens on {address}"));
            }
            ready(&running.bound);
            running.until_stopped(config.shutdown.delay, true, || {})
        }
        Err(error) => fail(error),
    }
}

/// Serves with sockets that another process has bound, and tells it how that goes.
pub(crate) fn serve_given(config: &Config, given: Given, link: &Link) -> ExitCode {
    say_what_panics();
    let prepared = signal::block().map_err(|error| format!("cannot set up signals: {error}"));
    let prepared = prepared.and_then(|()| Ground::of(config));
    let prepared = prepared.and_then(|ground| Ok((ground, steward(config)?)));
    let started = prepared.map_err(Into::into).and_then(|(ground, mut steward)| {
        let Compiled { plan, binds } = steward.compile(Some(ground.room.connections));
        let sockets =
            given.sockets(&binds).ok_or("these are not the sockets of this configuration")?;
        say(ground.room);
        start(config, steward, plan, &ground, sockets)
    });
    match started {
        Ok(running) => {
            link.tell(&News::Serving);
            // Who stops a service may tell all its processes, and the master tells this one again.
            running.until_stopped(config.shutdown.delay, false, || link.tell(&News::Draining))
        }
        Err(error) => {
            link.tell(&News::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn say_what_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // One line; the connection that it happened in is closed, the others go on.
        say(format_args!("bug, please report: {panic}"));
    }));
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

/// What is listened on.
struct Sockets {
    /// With the address in force, and a socket for each thread or one for all.
    listening: Vec<(ListenerId, String, Vec<OwnedFd>)>,
    admin: Option<OwnedFd>,
}

/// Sockets that another process has bound, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Given {
    pub listening: Vec<(String, Vec<OwnedFd>)>,
    pub admin: Option<OwnedFd>,
}

impl Given {
    /// Nothing, if there are not as many as the configuration has addresses.
    fn sockets(self, binds: &[Bind]) -> Option<Sockets> {
        if self.listening.len() != binds.len() {
            return None;
        }
        let listening = binds.iter().zip(self.listening);
        let listening = listening.map(|(bind, (address, fds))| (bind.listener, address, fds));
        Some(Sockets { listening: listening.collect(), admin: self.admin })
    }
}

/// What this process has bound itself; files of Unix sockets are removed when this is dropped.
#[derive(Debug, Default)]
struct OwnSockets {
    listening: Vec<(ListenerId, Listening)>,
    admin: Option<Listening>,
}

impl OwnSockets {
    fn sockets(&self) -> io::Result<Sockets> {
        let listening = self
            .listening
            .iter()
            .map(|(id, listening)| Ok((*id, listening.address.to_string(), listening.sockets()?)));
        let admin = self.admin.as_ref().map(Listening::sockets).transpose()?;
        Ok(Sockets {
            listening: listening.collect::<io::Result<_>>()?,
            admin: admin.and_then(|mut sockets| sockets.pop()),
        })
    }

    /// The threads have their own.
    fn release(&mut self) {
        self.listening.iter_mut().for_each(|(_, listening)| listening.release());
    }
}

impl Drop for OwnSockets {
    fn drop(&mut self) {
        let listening = self.listening.iter().map(|(_, listening)| listening);
        listening.chain(&self.admin).for_each(Listening::clean_up);
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
    ground: &Ground,
    sockets: Sockets,
) -> Result<Running, Box<dyn std::error::Error>> {
    let threads = ground.threads;
    let log = start_log(&config.access_log)?;
    let named = |(id, address, _): &(ListenerId, String, Vec<OwnedFd>)| {
        (plan.listener(*id).name.clone(), address.clone())
    };
    let bound: Vec<_> = sockets.listening.iter().map(named).collect();
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
        let share = |(id, _, fds): &(ListenerId, String, Vec<OwnedFd>)| {
            fds[index % fds.len()].try_clone().map(|socket| (*id, socket.into()))
        };
        parts.push(ThreadParts {
            plan: Arc::clone(&plan),
            counters: Arc::clone(counters),
            is_ready: Arc::clone(&is_ready),
            passwords: passwords.clone(),
            refusals_max: ground.room.refusals,
            log: log.batch(),
            sockets: sockets.listening.iter().map(share).collect::<io::Result<_>>()?,
            seed: process::random_u64(),
        });
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
        fairwater_control::start(steward, sources, sockets.admin)?;
    }
    let threads = Threads::start(parts)?;
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
    /// this process is not ready any more; a second one ends everything at once, if it `is_order`.
    fn until_stopped(self, delay: Duration, is_order: bool, draining: impl Fn()) -> ExitCode {
        let mut drain_at_ms = None;
        let mut is_stopping = false;
        loop {
            match signal::wait(if is_stopping { LOOK_AT_END } else { LOOK }) {
                Ok(Some(signal::Signal::Terminate)) if !is_stopping => {
                    is_stopping = true;
                    self.is_ready.store(false, Ordering::Relaxed);
                    drain_at_ms = Some(clock::coarse_ms() + delay.as_millis() as u64);
                }
                Ok(Some(signal::Signal::Terminate)) if !is_order => {}
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
                draining();
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
