//! The command line: a command and a handful of `--name value` pairs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::faults::Manner;
use crate::soak::Address;

pub(crate) const USAGE: &str = "\
fairwater-load backend --http ADDRESS --echo ADDRESS --grpc ADDRESS [--datagrams ADDRESS]
                       [--core N]
    Serves bodies at /b/SIZE and /svcN/b/SIZE, switches at /tunnel to echoing bytes, echoes bytes
    on the second address, gRPC messages on the third, and datagrams on the fourth.
    Prints `ready` once all listen.

fairwater-load drive --target ADDRESS --mode keepalive|close|echo|tunnel|frames
                     [--profile bare|full] [--body BYTES] [--window N] [--core N]
                     [--trust FILE [--resume true]]
    Obeys lines on its standard input, and answers each with one line:
    open N      open connections until there are N (not in mode close)
    go N        N requests in a closed loop, at most `window` of them in flight
    each        one request on each open connection, at most `window` of them in flight
    With `--trust` over TLS, with the proxy that has this certificate; with `--resume true` a
    session goes on where the one before has ended.

fairwater-load volley --target ADDRESS [--body BYTES] [--window N] [--core N]
    The same with datagrams: each client has `window` of them in flight, but one alone by `each`.

fairwater-load multiplex --target ADDRESS --asks http|grpc [--profile bare|full] [--body BYTES]
                         [--streams N] [--window N] [--core N] [--trust FILE]
    The same over HTTP/2, with up to `streams` requests in flight on each connection, but one alone
    on each of `window` connections by `each`. In clear it knows that the proxy speaks HTTP/2, with
    `--trust` it insists on that.

fairwater-load endpoint --http ADDRESS --echo ADDRESS
    The backend of a soak, also on `unix:PATH`: answers /soak/ID/SIZE/length|chunked, says what
    it got by POST, and echoes bytes on the second address. Prints `ready` once both listen.

fairwater-load soak --http ADDRESS --tcp ADDRESS --journal FILE [--seconds N] [--seed N]
                    [--clients N]
    Mixed traffic until the time is up; what became of each request is in the journal.

fairwater-load service --http ADDRESS [--takes MS] [--slots N]
                       [--manner good|silent|error|reset|half|deaf]
    An endpoint that fails in this manner. Prints `ready`, then obeys lines on its standard input
    (`manner WORD`, `takes MS`, `count`, `stop`) and answers each with the requests it has got.

fairwater-load calls --target ADDRESS --journal FILE --rate N --time MS [--patience MS]
                     [--path PATH]
    So many calls a second, whatever has become of those before. The journal has a line for each:
    when it was due, how long it took, and what became of it.

fairwater-load hold --target ADDRESS --held heads|readers --count N --time MS
    Connections on which a head comes byte by byte, or a reply is taken sip by sip.";

pub(crate) enum Command {
    Backend(BackendSettings),
    Drive(DriveSettings),
    Volley(VolleySettings),
    Multiplex(MultiplexSettings),
    Endpoint(EndpointSettings),
    Soak(SoakSettings),
    Service(ServiceSettings),
    Calls(CallsSettings),
    Hold(HoldSettings),
}

pub(crate) struct BackendSettings {
    pub(crate) http: SocketAddr,
    pub(crate) echo: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) datagrams: Option<SocketAddr>,
    pub(crate) core: Option<usize>,
}

pub(crate) struct VolleySettings {
    pub(crate) target: SocketAddr,
    pub(crate) body_bytes: usize,
    pub(crate) window: usize,
    pub(crate) core: Option<usize>,
}

pub(crate) struct DriveSettings {
    pub(crate) target: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) profile: Profile,
    pub(crate) body_bytes: usize,
    pub(crate) window: usize,
    pub(crate) core: Option<usize>,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) resumes: bool,
}

pub(crate) struct MultiplexSettings {
    pub(crate) target: SocketAddr,
    pub(crate) asked: Asked,
    pub(crate) profile: Profile,
    /// Of the reply, or of the message that comes back.
    pub(crate) body_bytes: usize,
    pub(crate) streams: usize,
    pub(crate) window: usize,
    pub(crate) core: Option<usize>,
    pub(crate) trust: Option<PathBuf>,
}

pub(crate) struct EndpointSettings {
    pub(crate) http: Address,
    pub(crate) echo: Address,
}

pub(crate) struct SoakSettings {
    pub(crate) http: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) journal: PathBuf,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
}

pub(crate) struct ServiceSettings {
    pub(crate) http: SocketAddr,
    /// For each request.
    pub(crate) takes_ms: u64,
    /// Requests that are worked on at a time.
    pub(crate) slots: usize,
    pub(crate) manner: Manner,
}

#[derive(Clone)]
pub(crate) struct CallsSettings {
    pub(crate) target: SocketAddr,
    pub(crate) journal: PathBuf,
    /// A second.
    pub(crate) rate: u32,
    pub(crate) time_ms: u64,
    /// After it a client gives up.
    pub(crate) patience_ms: u64,
    pub(crate) path: String,
}

pub(crate) struct HoldSettings {
    pub(crate) target: SocketAddr,
    pub(crate) held: Held,
    pub(crate) count: usize,
    pub(crate) time_ms: u64,
}

/// What a connection is held with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// A request head that never ends.
    Heads,
    /// A reply that is hardly read.
    Readers,
}

/// What one connection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// HTTP requests one after the other.
    Keepalive,
    /// Connect, one HTTP request, and the server closes.
    Close,
    /// Bytes out, and the same bytes back.
    Echo,
    /// The same, once HTTP has switched to it.
    Tunnel,
    /// Messages behind their length, which come back as they are.
    Frames,
}

/// What is asked for over HTTP/2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Bodies, by GET.
    Http,
    /// Calls with one message each way.
    Grpc,
}

/// What one HTTP request looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// Method, path and Host.
    Bare,
    /// Twelve headers as a browser sends them, over a hundred routes.
    Full,
}

pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let name = arguments.next().ok_or("which command?")?;
    let mut flags = Flags::read(arguments)?;
    let command = match name.as_str() {
        "backend" => Command::Backend(BackendSettings {
            http: flags.required("--http")?,
            echo: flags.required("--echo")?,
            grpc: flags.required("--grpc")?,
            datagrams: flags.optional("--datagrams")?,
            core: flags.optional("--core")?,
        }),
        "drive" => Command::Drive(DriveSettings {
            target: flags.required("--target")?,
            mode: flags.required("--mode")?,
            profile: flags.optional("--profile")?.unwrap_or(Profile::Bare),
            body_bytes: flags.optional("--body")?.unwrap_or(128),
            window: flags.optional("--window")?.unwrap_or(64),
            core: flags.optional("--core")?,
            trust: flags.optional("--trust")?,
            resumes: flags.optional("--resume")?.unwrap_or(false),
        }),
        "volley" => Command::Volley(VolleySettings {
            target: flags.required("--target")?,
            body_bytes: flags.optional("--body")?.unwrap_or(64),
            window: flags.optional("--window")?.unwrap_or(1),
            core: flags.optional("--core")?,
        }),
        "multiplex" => Command::Multiplex(MultiplexSettings {
            target: flags.required("--target")?,
            asked: flags.required("--asks")?,
            profile: flags.optional("--profile")?.unwrap_or(Profile::Bare),
            body_bytes: flags.optional("--body")?.unwrap_or(128),
            streams: flags.optional("--streams")?.unwrap_or(1),
            window: flags.optional("--window")?.unwrap_or(64),
            core: flags.optional("--core")?,
            trust: flags.optional("--trust")?,
        }),
        "endpoint" => Command::Endpoint(EndpointSettings {
            http: flags.required("--http")?,
            echo: flags.required("--echo")?,
        }),
        "soak" => Command::Soak(SoakSettings {
            http: flags.required("--http")?,
            tcp: flags.required("--tcp")?,
            journal: flags.required("--journal")?,
            seconds: flags.optional("--seconds")?.unwrap_or(600),
            seed: flags.optional("--seed")?.unwrap_or(1),
            clients: flags.optional("--clients")?.unwrap_or(48),
        }),
        "service" | "calls" | "hold" => of_faults(&name, &mut flags)?,
        other => return Err(format!("unknown command {other}")),
    };
    flags.finish()?;
    Ok(command)
}

fn of_faults(name: &str, flags: &mut Flags) -> Result<Command, String> {
    Ok(match name {
        "service" => Command::Service(ServiceSettings {
            http: flags.required("--http")?,
            takes_ms: flags.optional("--takes")?.unwrap_or(5),
            slots: flags.optional("--slots")?.unwrap_or(1000),
            manner: flags.optional("--manner")?.unwrap_or(Manner::Good),
        }),
        "calls" => Command::Calls(CallsSettings {
            target: flags.required("--target")?,
            journal: flags.required("--journal")?,
            rate: flags.required("--rate")?,
            time_ms: flags.required("--time")?,
            patience_ms: flags.optional("--patience")?.unwrap_or(10_000),
            path: flags.optional("--path")?.unwrap_or_else(|| "/".to_owned()),
        }),
        _ => Command::Hold(HoldSettings {
            target: flags.required("--target")?,
            held: flags.required("--held")?,
            count: flags.required("--count")?,
            time_ms: flags.required("--time")?,
        }),
    })
}

struct Flags(HashMap<String, String>);

impl Flags {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut flags = HashMap::new();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} lacks its value"))?;
            flags.insert(name, value);
        }
        Ok(Self(flags))
    }

    fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{name} can't be {text}"))
    }

    fn required<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.optional(name)?.ok_or(format!("{name} is missing"))
    }

    fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("unknown flag {name}")),
        }
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "keepalive" => Ok(Self::Keepalive),
            "close" => Ok(Self::Close),
            "echo" => Ok(Self::Echo),
            "tunnel" => Ok(Self::Tunnel),
            "frames" => Ok(Self::Frames),
            _ => Err(()),
        }
    }
}

impl FromStr for Held {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "heads" => Ok(Self::Heads),
            "readers" => Ok(Self::Readers),
            _ => Err(()),
        }
    }
}

impl FromStr for Asked {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "http" => Ok(Self::Http),
            "grpc" => Ok(Self::Grpc),
            _ => Err(()),
        }
    }
}

impl FromStr for Profile {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "bare" => Ok(Self::Bare),
            "full" => Ok(Self::Full),
            _ => Err(()),
        }
    }
}
