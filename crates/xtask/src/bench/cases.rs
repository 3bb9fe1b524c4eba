//! What can be measured: the rows by name, the cases of each, and the bars they are held to.

use super::contender::{Protocol, Scenario};
use super::load::{Load, Mode, Profile};

/// One line of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) row: Row,
    pub(crate) title: &'static str,
    pub(crate) meter: Meter,
    pub(crate) scenario: Scenario,
    pub(crate) load: Load,
    /// Requests measured per contender and round, after a fifth of that to warm up.
    pub(crate) requests: usize,
    /// None where there is only a number to know.
    pub(crate) goal: Option<Goal>,
}

/// A group of cases that is chosen by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Row {
    Keepalive,
    Syscalls,
    Allocations,
    Connect,
    Tcp,
    Udp,
    Bulk,
    Ab,
    Idle,
    Log,
    Tls,
    Http2,
    Http2Bulk,
    Http2Idle,
    Grpc,
    WebSocket,
    Messages,
}

/// What is read before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meter {
    /// Microseconds of CPU per request.
    Cpu,
    /// Microseconds of CPU per MiB of bodies.
    CpuOfBytes,
    /// Requests per second of CPU, with `ab` as the client.
    Ab,
    /// Datagrams relayed per second of CPU.
    Packets,
    /// System calls per request.
    Syscalls,
    /// Heap allocations per request, ours alone.
    Allocations,
    /// Resident bytes per idle connection, after so many requests on each.
    Resident { uses: usize },
}

/// A number to reach, and one that goes beyond it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) kind: GoalKind,
    pub(crate) bar: f64,
    pub(crate) beyond: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GoalKind {
    /// Our ratio to the better peer, at most.
    RatioAtMost,
    /// Our ratio to the better peer, at least.
    RatioAtLeast,
    /// Our ratio to HAProxy, at most.
    RatioToHaproxyAtMost,
    /// Our own number, at most.
    ValueAtMost,
}

impl Row {
    pub(crate) const ALL: [Self; 17] = [
        Self::Keepalive,
        Self::Syscalls,
        Self::Allocations,
        Self::Connect,
        Self::Tcp,
        Self::Udp,
        Self::Bulk,
        Self::Ab,
        Self::Idle,
        Self::Log,
        Self::Tls,
        Self::Http2,
        Self::Http2Bulk,
        Self::Http2Idle,
        Self::Grpc,
        Self::WebSocket,
        Self::Messages,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Syscalls => "syscalls",
            Self::Allocations => "allocations",
            Self::Connect => "connect",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Bulk => "bulk",
            Self::Ab => "ab",
            Self::Idle => "idle",
            Self::Log => "log",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Http2Bulk => "http2-bulk",
            Self::Http2Idle => "http2-idle",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
            Self::Messages => "messages",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Keepalive => "CPU per request on 64 keep-alive connections",
            Self::Syscalls => "system calls per such request",
            Self::Allocations => "heap allocations per such request",
            Self::Connect => "CPU per connection with one request",
            Self::Tcp => "CPU per exchange of 64 bytes over a TCP relay",
            Self::Udp => "datagrams of 64 bytes per second of CPU",
            Self::Bulk => "CPU per MiB in bodies of 1 MiB, HTTP and TCP",
            Self::Ab => "requests per second of CPU under ab -k -c 1000",
            Self::Idle => "resident bytes per idle connection",
            Self::Log => "CPU per keep-alive request with the access log on",
            Self::Tls => "the same over TLS: handshakes, requests, bulk, idle",
            Self::Http2 => "CPU per request of HTTP/2, to HTTP/1.1 and to HTTP/2",
            Self::Http2Bulk => "CPU per MiB in bodies of 10 MiB over HTTP/2",
            Self::Http2Idle => "resident bytes per idle connection of HTTP/2",
            Self::Grpc => "CPU per unary call",
            Self::WebSocket => "CPU per message of 64 bytes, and idle tunnels",
            Self::Messages => "CPU per message of 128 bytes that shares connections",
        }
    }

    pub(crate) fn cases(self) -> Vec<Case> {
        match self {
            Self::Keepalive => vec![
                keepalive("keep-alive request, bare, 128 B", Profile::Bare, 128),
                keepalive("keep-alive request, bare, 1 KiB", Profile::Bare, 1024),
                keepalive("keep-alive request, full, 128 B", Profile::Full, 128),
                keepalive("keep-alive request, full, 1 KiB", Profile::Full, 1024),
            ],
            Self::Syscalls => vec![
                syscalls("keep-alive request, bare, 128 B", Profile::Bare),
                syscalls("keep-alive request, full, 128 B", Profile::Full),
            ],
            Self::Allocations => vec![
                allocations("keep-alive request, bare, 128 B", Profile::Bare),
                allocations("keep-alive request, full, 128 B", Profile::Full),
            ],
            Self::Connect => vec![connect()],
            Self::Tcp => vec![exchange()],
            Self::Udp => vec![
                datagrams("datagrams, 64 B, 64 flows x 1", 64, 1),
                datagrams("datagrams, 64 B, 64 flows x 4", 64, 4),
                busy(datagrams("datagrams, 64 B, 64 flows x 1, busy", 64, 1)),
                busy(datagrams("datagrams, 64 B, 64 flows x 4, busy", 64, 4)),
            ],
            Self::Bulk => vec![
                bulk("1 MiB body, HTTP", Protocol::Http),
                bulk("1 MiB body, TCP", Protocol::TcpToHttp),
            ],
            Self::Ab => vec![
                ab("ab -k -c 1000, HTTP", Protocol::Http),
                ab("ab -k -c 1000, TCP", Protocol::TcpToHttp),
            ],
            Self::Idle => vec![
                idle("idle connection after one request", 1),
                idle("idle connection after two requests", 2),
            ],
            Self::Log => vec![logged("json"), logged("combined")],
            Self::Tls => vec![
                handshake("full handshake with one request, 128 B", false, None),
                handshake("resumed handshake with one request, 128 B", true, Some(0.5)),
                over_tls(keepalive("keep-alive request, bare, 128 B", Profile::Bare, 128)),
                over_tls(bulk_over_tls()),
                over_tls(idle_over_tls()),
            ],
            Self::Http2 => http2(),
            Self::Http2Bulk => vec![
                http2_bulk("MiB in bodies of 10 MiB"),
                encrypted(http2_bulk("MiB in bodies of 10 MiB, TLS")),
            ],
            Self::Http2Idle => vec![
                http2_idle("idle connection after one request", 20.0),
                encrypted(http2_idle("idle connection after one request, TLS", 30.0)),
            ],
            Self::Grpc => vec![
                grpc("unary call, 64 B, 1 x 100 streams", 1, 100),
                grpc("unary call, 64 B, 8 x 10 streams", 8, 10),
            ],
            Self::WebSocket => vec![message(), idle_tunnel()],
            Self::Messages => messages(),
        }
    }
}

impl Meter {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Cpu | Self::CpuOfBytes => "µs of CPU",
            Self::Ab => "requests per CPU second",
            Self::Packets => "datagrams per CPU second",
            Self::Syscalls => "system calls",
            Self::Allocations => "allocations",
            Self::Resident { .. } => "bytes",
        }
    }

    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Cpu | Self::CpuOfBytes | Self::Syscalls => 2,
            Self::Allocations => 3,
            Self::Ab | Self::Packets | Self::Resident { .. } => 0,
        }
    }

    /// Whether repeating the rounds adds anything: counts hardly vary.
    pub(crate) fn is_noisy(self) -> bool {
        matches!(self, Self::Cpu | Self::CpuOfBytes | Self::Ab | Self::Packets)
    }

    pub(crate) fn is_more_better(self) -> bool {
        matches!(self, Self::Ab | Self::Packets)
    }
}

/// A hundred bytes or so over plain HTTP, without log: the case that the others vary.
fn keepalive(title: &'static str, profile: Profile, body_bytes: usize) -> Case {
    let connections = 64;
    Case {
        row: Row::Keepalive,
        title,
        meter: Meter::Cpu,
        scenario: Scenario {
            protocol: Protocol::Http,
            routes: profile == Profile::Full,
            tls: false,
            bulk: false,
            access_log: None,
            requests: connections,
            is_busy: false,
        },
        load: Load {
            mode: Mode::Keepalive,
            profile,
            body_bytes,
            connections,
            streams: 1,
            resumes: false,
        },
        requests: 100_000,
        goal: goal(GoalKind::RatioAtMost, 0.85, Some(0.80)),
    }
}

fn syscalls(title: &'static str, profile: Profile) -> Case {
    Case {
        row: Row::Syscalls,
        meter: Meter::Syscalls,
        requests: 50_000,
        goal: goal(GoalKind::ValueAtMost, 4.2, Some(4.05)),
        ..keepalive(title, profile, 128)
    }
}

fn allocations(title: &'static str, profile: Profile) -> Case {
    Case {
        row: Row::Allocations,
        meter: Meter::Allocations,
        requests: 50_000,
        // Reading the number allocates too, which is not to spoil a clean zero.
        goal: goal(GoalKind::ValueAtMost, 1.0, Some(0.005)),
        ..keepalive(title, profile, 128)
    }
}

fn connect() -> Case {
    let plain = keepalive("connection with one request, 128 B", Profile::Bare, 128);
    Case {
        row: Row::Connect,
        load: Load { mode: Mode::Close, ..plain.load },
        requests: 30_000,
        goal: goal(GoalKind::RatioAtMost, 0.95, Some(0.9)),
        ..plain
    }
}

fn exchange() -> Case {
    let plain = keepalive("TCP exchange, 64 B each way", Profile::Bare, 64);
    Case {
        row: Row::Tcp,
        scenario: Scenario { protocol: Protocol::TcpToEcho, ..plain.scenario },
        load: Load { mode: Mode::Echo, ..plain.load },
        goal: goal(GoalKind::RatioAtMost, 1.0, Some(0.95)),
        ..plain
    }
}

/// So many datagrams under way on each of so many flows: no more in all than the buffer of a
/// socket holds, since nothing sends again what is lost.
fn datagrams(title: &'static str, flows: usize, window: usize) -> Case {
    let plain = keepalive(title, Profile::Bare, 64);
    let requests = flows * window;
    Case {
        row: Row::Udp,
        meter: Meter::Packets,
        scenario: Scenario { protocol: Protocol::Udp, requests, ..plain.scenario },
        load: Load { mode: Mode::Datagrams, connections: flows, streams: window, ..plain.load },
        requests: 200_000,
        goal: goal(GoalKind::RatioAtLeast, 1.3, Some(2.0)),
        ..plain
    }
}

fn busy(case: Case) -> Case {
    Case { scenario: Scenario { is_busy: true, ..case.scenario }, ..case }
}

fn bulk(title: &'static str, protocol: Protocol) -> Case {
    let connections = 16;
    let plain = keepalive(title, Profile::Bare, 1 << 20);
    Case {
        row: Row::Bulk,
        scenario: Scenario { protocol, bulk: true, requests: connections, ..plain.scenario },
        load: Load { connections, ..plain.load },
        requests: 5_000,
        goal: goal(GoalKind::RatioToHaproxyAtMost, 1.0, Some(0.8)),
        ..plain
    }
}

fn ab(title: &'static str, protocol: Protocol) -> Case {
    let connections = 1000;
    let plain = keepalive(title, Profile::Bare, 128);
    Case {
        row: Row::Ab,
        meter: Meter::Ab,
        scenario: Scenario { protocol, requests: connections, ..plain.scenario },
        load: Load { connections, ..plain.load },
        requests: 1_000_000,
        goal: goal(GoalKind::RatioAtLeast, 1.15, None),
        ..plain
    }
}

fn idle(title: &'static str, uses: usize) -> Case {
    Case {
        row: Row::Idle,
        meter: Meter::Resident { uses },
        goal: goal(GoalKind::ValueAtMost, 1300.0, Some(700.0)),
        ..keepalive(title, Profile::Bare, 128)
    }
}

fn logged(format: &'static str) -> Case {
    let title = match format {
        "json" => "keep-alive request, bare, 128 B, log as JSON",
        _ => "keep-alive request, bare, 128 B, log as combined",
    };
    let plain = keepalive(title, Profile::Bare, 128);
    let scenario = Scenario { access_log: Some(format), ..plain.scenario };
    Case { row: Row::Log, scenario, ..plain }
}

fn over_tls(plain: Case) -> Case {
    Case { row: Row::Tls, ..encrypted(plain) }
}

fn encrypted(plain: Case) -> Case {
    Case { scenario: Scenario { tls: true, ..plain.scenario }, ..plain }
}

fn handshake(title: &'static str, resumes: bool, beyond: Option<f64>) -> Case {
    let plain = over_tls(connect());
    Case {
        title,
        load: Load { resumes, ..plain.load },
        requests: 10_000,
        goal: goal(GoalKind::RatioAtMost, 0.6, beyond),
        ..plain
    }
}

fn bulk_over_tls() -> Case {
    let goal = goal(GoalKind::RatioAtMost, 0.9, None);
    Case { requests: 2_000, goal, ..bulk("1 MiB body, HTTP", Protocol::Http) }
}

fn idle_over_tls() -> Case {
    let goal = goal(GoalKind::ValueAtMost, 11_264.0, Some(7_168.0));
    Case { goal, ..idle("idle connection after one request", 1) }
}

fn http2() -> Vec<Case> {
    let bar = goal(GoalKind::RatioAtMost, 0.75, None);
    let full = with_streams("100 streams, full, to HTTP/1.1", Protocol::Http2ToHttp, 4, 100);
    let barred = |title, protocol| Case { goal: bar, ..with_streams(title, protocol, 4, 100) };
    vec![
        with_streams("1 stream, 128 B, to HTTP/1.1", Protocol::Http2ToHttp, 64, 1),
        with_streams("32 streams, 128 B, to HTTP/1.1", Protocol::Http2ToHttp, 4, 32),
        barred("100 streams, 128 B, to HTTP/1.1", Protocol::Http2ToHttp),
        Case { load: Load { profile: Profile::Full, ..full.load }, ..full },
        encrypted(barred("100 streams, 128 B, TLS, to HTTP/1.1", Protocol::Http2ToHttp)),
        with_streams("1 stream, 128 B, to HTTP/2", Protocol::Http2, 64, 1),
        with_streams("32 streams, 128 B, to HTTP/2", Protocol::Http2, 4, 32),
        barred("100 streams, 128 B, to HTTP/2", Protocol::Http2),
        encrypted(barred("100 streams, 128 B, TLS, to HTTP/2", Protocol::Http2)),
    ]
}

/// So many requests on each of so many connections at a time.
fn with_streams(
    title: &'static str,
    protocol: Protocol,
    connections: usize,
    streams: usize,
) -> Case {
    let plain = keepalive(title, Profile::Bare, 128);
    let requests = connections * streams;
    Case {
        row: Row::Http2,
        scenario: Scenario { protocol, requests, ..plain.scenario },
        load: Load { mode: Mode::Http2, connections, streams, ..plain.load },
        goal: None,
        ..plain
    }
}

fn http2_bulk(title: &'static str) -> Case {
    let plain = with_streams(title, Protocol::Http2ToHttp, 4, 4);
    Case {
        row: Row::Http2Bulk,
        meter: Meter::CpuOfBytes,
        scenario: Scenario { bulk: true, ..plain.scenario },
        load: Load { body_bytes: 10 << 20, ..plain.load },
        requests: 400,
        goal: goal(GoalKind::RatioAtMost, 0.9, None),
        ..plain
    }
}

fn http2_idle(title: &'static str, kib: f64) -> Case {
    Case {
        row: Row::Http2Idle,
        meter: Meter::Resident { uses: 1 },
        goal: goal(GoalKind::ValueAtMost, kib * 1024.0, Some(12.0 * 1024.0)),
        ..with_streams(title, Protocol::Http2ToHttp, 64, 1)
    }
}

fn grpc(title: &'static str, connections: usize, streams: usize) -> Case {
    let plain = with_streams(title, Protocol::Grpc, connections, streams);
    Case {
        row: Row::Grpc,
        load: Load { mode: Mode::Grpc, body_bytes: 64, ..plain.load },
        goal: goal(GoalKind::RatioAtMost, 0.8, None),
        ..plain
    }
}

fn message() -> Case {
    let plain = exchange();
    Case {
        row: Row::WebSocket,
        title: "message, 64 B each way, 64 tunnels",
        scenario: Scenario { protocol: Protocol::WebSocket, ..plain.scenario },
        load: Load { mode: Mode::Tunnel, ..plain.load },
        goal: goal(GoalKind::RatioAtMost, 1.0, None),
        ..plain
    }
}

fn idle_tunnel() -> Case {
    Case {
        title: "idle tunnel after one message, both sockets",
        meter: Meter::Resident { uses: 1 },
        goal: goal(GoalKind::ValueAtMost, 2.5 * 1024.0, None),
        ..message()
    }
}

/// A thousand clients over 32 connections, where the others have a connection for each.
fn messages() -> Vec<Case> {
    let connections = 1000;
    let one = |title, depth, bar| {
        let plain = exchange();
        let protocol = Protocol::Messages { depth };
        Case {
            row: Row::Messages,
            title,
            scenario: Scenario { protocol, requests: connections, ..plain.scenario },
            load: Load { mode: Mode::Frames, body_bytes: 128, connections, ..plain.load },
            goal: goal(GoalKind::RatioAtMost, bar, None),
            ..plain
        }
    };
    let exchange = one("message of 128 B, 1000 clients, one at a time", 1, 1.0);
    let allocations = Case {
        title: "message of 128 B",
        meter: Meter::Allocations,
        goal: goal(GoalKind::ValueAtMost, 0.005, None),
        ..exchange
    };
    let idle = Case {
        title: "idle client after two messages",
        meter: Meter::Resident { uses: 2 },
        goal: goal(GoalKind::ValueAtMost, 1300.0, None),
        ..exchange
    };
    let keepalive = keepalive("keep-alive request, 1000 clients", Profile::Bare, 128);
    let pooled = Case {
        row: Row::Messages,
        scenario: Scenario {
            protocol: Protocol::Pooled,
            requests: connections,
            ..keepalive.scenario
        },
        load: Load { connections, ..keepalive.load },
        goal: goal(GoalKind::RatioAtMost, 1.0, None),
        ..keepalive
    };
    vec![
        exchange,
        one("message of 128 B, 1000 clients, 16 at a time", 16, 0.7),
        allocations,
        idle,
        pooled,
    ]
}

fn goal(kind: GoalKind, bar: f64, beyond: Option<f64>) -> Option<Goal> {
    Some(Goal { kind, bar, beyond })
}
