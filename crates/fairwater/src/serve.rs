//! From a configuration to running threads, and on to the end: get sockets, start, wait for a
//! signal, stop.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use fairwater_config::{AccessLog, Config, LogFormat, LogTarget};
use fairwater_control::{
    AppLink, AppReport, Compiled, Meter, Outside, Pressure, Sources, Steward, look_up_names,
};
use fairwater_message::FaultKind;
use fairwater_message::app::AppState;
use fairwater_message::tally::Tally;
use fairwater_net::clock;
use fairwater_plan::{CurrentLevel, CurrentPlan, ListenerId, Plan, Protocol};
use fairwater_supervisor::{
    Address, BindError, Inherited, Link, Listening, Manner, News, Notify, Succession, bind_private,
    make_for,
};
use fairwater_sys::signal::Signals;
use fairwater_sys::{allocator, memory_file, process, signal};
use fairwater_telemetry::{Counters, LogWriter, Surroundings};
use fairwater_worker::{PasswordChecks, ThreadParts, Threads};
use tokio::sync::mpsc::{Sender, channel};

use crate::given::Given;
use crate::rights::{self, Needs};
use crate::room::{self, Room};
use crate::running::{self, Places, Running};
use crate::ties::Ties;
use crate::{directory, fail, gauge, say};

/// Of what a worker leaves to the next one: who has broken into it must not fill the memory of all
/// that follow.
const LEFT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the machine grants to a process that serves.
pub(crate) struct Ground {
    pub threads: usize,
    pub room: Room,
    /// Opened while files still can be.
    pub meter: Meter,
}

impl Ground {
    /// # Errors
    /// When it is less than the configuration asks for.
    fn of(config: &Config) -> Result<Self, String> {
        let threads = threads(config);
        let room = room::make(config, threads)?;
        let meter = gauge::open(&room, config.max_connections.is_some());
        Ok(Self { threads, room, meter })
    }
}

/// Makes the directories and files that processes keep things in, for who shall keep them.
///
/// # Errors
/// Why one cannot be used, and what to do.
pub(crate) fn prepare_files(config: &Config) -> Result<(), String> {
    let owner = rights::account(config)?.map(|account| (account.user, account.group));
    // Sockets and the number of the process are the master's: whoever breaks into a worker must not
    // put others in their place.
    let directories =
        [("state_dir", &config.state_dir, 0o700, owner), ("run_dir", &config.run_dir, 0o755, None)];
    for (setting, path, mode, owner) in directories {
        if let Some(path) = path {
            directory::prepare(setting, &path.value, mode, owner)?;
        }
    }
    if let (LogTarget::File(path), Some(owner)) = (&config.access_log.target, owner) {
        make_for(path, owner).map_err(|error| {
            format!("cannot make {} for user {}: {error}", path.display(), owner.0)
        })?;
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

/// What a process of its own keeps of its rights while it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// All: it has children to look after.
    All,
    /// Those that serving takes.
    Needed,
}

/// Serves a configuration in this one process until a signal ends it.
pub(crate) fn serve(config: &Config) -> ExitCode {
    serve_then(config, Rights::Needed, |_| {})
}

/// As [`serve`]; `ready` is told the addresses in force once connections are accepted.
pub(crate) fn serve_then(
    config: &Config,
    rights: Rights,
    ready: impl FnOnce(&[(String, String)]),
) -> ExitCode {
    // Before anything else opens descriptors.
    let inherited = Inherited::take();
    say_what_panics();
    let prepared = prepare_files(config)
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
    let mut own = match OwnSockets::bind(config, &plan, binds, (ground.threads, inherited)) {
        Ok(own) => own,
        Err(error) => return fail(error),
    };
    say(ground.room);
    let given_up = match rights {
        Rights::All => Ok(()),
        Rights::Needed => rights::give_up(config, &Needs { log_file: None, is_binder: true }),
    };
    let started = given_up.map_err(Into::into).and_then(|()| Ok(own.sockets()?));
    let started = started.and_then(|sockets| start(config, steward, plan, ground, sockets, None));
    match started {
        Ok((mut running, signals, bound)) => {
            own.release();
            running.ties.notify = Notify::from_environment();
            running.ties.notify.ready("Serving");
            running.ties.reaps = rights == Rights::Needed;
            for (name, address) in &bound {
                say(format_args!("{name} listens on {address}"));
            }
            ready(&bound);
            running.until_stopped(&signals, None)
        }
        Err(error) => fail(error),
    }
}

/// Serves with sockets that a master has bound, and tells it how that goes.
pub(crate) fn serve_given(
    config: &Config,
    given: Given,
    master: Link,
    log_file: Option<PathBuf>,
) -> ExitCode {
    say_what_panics();
    let prepared = signal::block().map_err(|error| format!("cannot set up signals: {error}"));
    let prepared = prepared.and_then(|()| given.fits(config)).and_then(|()| Ground::of(config));
    let needs = Needs { log_file: log_file.as_deref(), is_binder: false };
    let prepared = prepared.and_then(|ground| {
        rights::give_up(config, &needs)?;
        Ok((ground, steward(config)?))
    });
    let started = prepared.map_err(Into::into);
    let started: Result<Started, Box<dyn Error>> = started.and_then(|(ground, mut steward)| {
        given.apps.into_iter().for_each(|state| steward.told_of_app(state));
        if let Some((state, succession)) = given.state
            && let Ok(state) = memory_file::read_at_most(state, LEFT_BYTES_MAX)
        {
            let is_reload = succession == Succession::Reload;
            steward.resume(&String::from_utf8_lossy(&state), is_reload);
        }
        let keeper = master.try_clone()?;
        steward.keep_with(move |state| keep(&keeper, state));
        let Compiled { plan, binds } = steward.compile(Some(ground.room.connections));
        let listening = binds.iter().zip(given.listening);
        let listening = listening.map(|(bind, (address, fds))| (bind.listener, address, fds));
        let sockets = Sockets { listening: listening.collect(), admin: given.admin };
        say(ground.room);
        let started = start(config, steward, plan, ground, sockets, Some(&master))?;
        if let Some(socket) = &given.legacy
            && let Err(error) = started.0.threads.inherit(socket)
        {
            say(format_args!("no connection comes from the process before: {error}"));
        }
        Ok(started)
    });
    match started {
        Ok((mut running, signals, _)) => {
            running.ties.log_file = log_file;
            master.tell(&News::Serving);
            running.until_stopped(&signals, Some(master))
        }
        Err(error) => {
            master.tell(&News::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Gives the master what a worker in place of this one should know.
fn keep(master: &Link, state: &str) {
    match memory_file::sealed(c"fairwater-state", state.as_bytes()) {
        Ok(file) => master.tell(&News::State(file)),
        Err(error) => say(format_args!("what was set at run time cannot be kept: {error}")),
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
    /// With a socket for each thread or one for all.
    listening: Vec<(ListenerId, Address, Vec<OwnedFd>)>,
    admin: Option<OwnedFd>,
}

/// What this process has bound itself; files of Unix sockets are removed when this is dropped.
#[derive(Debug, Default)]
struct OwnSockets {
    listening: Vec<(ListenerId, Listening)>,
    admin: Option<Listening>,
}

impl OwnSockets {
    /// Binds what was not passed to this process.
    fn bind(
        config: &Config,
        plan: &Plan,
        binds: Vec<fairwater_control::Bind>,
        (threads, mut inherited): (usize, Inherited),
    ) -> Result<Self, BindError> {
        let mut own = Self::default();
        for bound in binds {
            let (backlog, freebind, is_udp) = (bound.backlog, bound.freebind, bound.is_udp);
            let manner = Manner { threads, backlog, freebind, is_udp };
            let listening = inherited.bind(&bound.address, manner)?;
            if let Protocol::Http(_) = plan.listener(bound.listener).protocol {
                listening.defer_until_data();
            }
            own.listening.push((bound.listener, listening));
        }
        if let Some(path) = &config.admin.socket {
            own.admin = Some(bind_private(&path.value)?);
        }
        Ok(own)
    }

    fn sockets(&self) -> io::Result<Sockets> {
        let listening = self
            .listening
            .iter()
            .map(|(id, listening)| Ok((*id, address(listening), listening.sockets()?)));
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

fn address(listening: &Listening) -> Address {
    let bound = listening.address.to_string();
    Address { configured: bound.clone(), bound }
}

/// Threads that serve, and where.
type Started = (Running, Signals, Vec<(String, String)>);

fn start(
    config: &Config,
    steward: Steward,
    plan: Plan,
    ground: Ground,
    sockets: Sockets,
    master: Option<&Link>,
) -> Result<Started, Box<dyn Error>> {
    let signals = Signals::new()?;
    let threads = ground.threads;
    let log = start_log(&config.access_log)?;
    let mut places = Places::default();
    let (mut bound, mut keys) = (Vec::new(), Vec::new());
    for (id, address, _) in &sockets.listening {
        bound.push((plan.listener(*id).name.clone(), address.bound.clone()));
        keys.push(places.add(address.clone(), *id));
    }
    let new_counters = || {
        let (listeners, slots) = (plan.listeners.len(), plan.slots_end);
        Arc::new(Counters::new(listeners, slots, FaultKind::ALL.len()))
    };
    let counters: Vec<_> = (0..ground.threads).map(|_| new_counters()).collect();
    let plan = Arc::new(CurrentPlan::new(plan));
    let is_ready = Arc::new(AtomicBool::new(true));
    let overload = Arc::<CurrentLevel>::default();
    let passwords = PasswordChecks::new(threads);
    let mut parts = Vec::new();
    for (index, counters) in counters.iter().enumerate() {
        let mut own = Vec::new();
        for ((id, address, fds), key) in sockets.listening.iter().zip(&keys) {
            let share = running::share((address, fds), index, threads)?;
            own.extend(share.into_iter().map(|socket| (*key, *id, socket)));
        }
        parts.push(ThreadParts {
            plan: Arc::clone(&plan),
            counters: Arc::clone(counters),
            is_ready: Arc::clone(&is_ready),
            overload: Arc::clone(&overload),
            memory_bytes: ground.meter.capacity.memory.map(|bytes| bytes / threads as u64),
            passwords: passwords.clone(),
            refusals_max: ground.room.refusals,
            log: log.batch(),
            sockets: own,
            seed: process::random_u64(),
        });
    }
    let tally = Arc::<Mutex<Tally>>::default();
    let sources = Sources {
        plan: Arc::clone(&plan),
        counters,
        log_lost: log.lost(),
        bound: bound.clone(),
        is_ready: Arc::clone(&is_ready),
        allocations: allocator::allocations,
        started_ms: clock::coarse_ms(),
        tally: Arc::clone(&tally),
        pressure: Pressure { meter: ground.meter, level: overload },
    };
    let (apps, link) = master.map(app_link).transpose()?.unzip();
    let control = fairwater_control::start(steward, sources, sockets.admin, link);
    let control = control.map_err(no_thread)?;
    let threads = Threads::start(parts).map_err(no_thread)?;
    let config = config.clone();
    let (ties, hangs) = (Ties::default(), false);
    let running =
        Running { threads, control, apps, tally, is_ready, log, config, places, ties, hangs };
    Ok((running, signals, bound))
}

/// The way of news of apps from the master to the control thread, and of numbers back.
fn app_link(master: &Link) -> io::Result<(Sender<AppState>, AppLink)> {
    /// They are taken in as fast as they come.
    const STATES_MAX: usize = 64;
    let (states, told) = channel(STATES_MAX);
    let back = master.try_clone()?;
    let tell = move |report| {
        back.tell(&match report {
            AppReport::Left(number) => News::AppLeft(number),
            AppReport::Drained(number) => News::AppDrained(number),
            AppReport::Requests(number, count) => News::AppRequests(number, count),
        });
    };
    Ok((states, AppLink { states: told, tell: Box::new(tell) }))
}

fn no_thread(error: io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::WouldBlock => {
            "; the limit of processes is too low (`ulimit -u`, TasksMax of a systemd unit, or \
             pids.max of a container)"
        }
        _ => "",
    };
    format!("cannot start a thread: {error}{hint}")
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
        let hint = match &settings.target {
            LogTarget::File(path) if error.kind() == io::ErrorKind::PermissionDenied => {
                let (user, path) = (process::user_id(), path.display());
                format!("; it must belong to the user that serves: `chown {user} {path}`")
            }
            _ => String::new(),
        };
        io::Error::new(
            error.kind(),
            format!("cannot write the access log to {path}: {error}{hint}"),
        )
    })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
