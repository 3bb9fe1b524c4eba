//! The proxies under test: how each is configured for a scenario, and started on its core.
//!
//! The peers are set up as somebody would who knows them well: whatever makes them faster
//! without taking a feature away that the others keep.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::load::LOAD_CORE;
use super::process::{Running, Stop, comes_true, free_port, pinned};
use super::{haproxy, nginx, ours};
use crate::Failure;

/// The proxy's core, which nothing else of the harness uses.
const PROXY_CORE: usize = 1;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Contender {
    Ours,
    Nginx,
    Haproxy,
}

impl Contender {
    /// Whether it knows the protocol at all: HAProxy has no datagrams.
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        protocol != Protocol::Udp || self != Self::Haproxy
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }
}

/// What a proxy has to do in a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) protocol: Protocol,
    /// The paths /svc0/ to /svc99/ have a route of their own each.
    pub(crate) routes: bool,
    /// Clients speak TLS.
    pub(crate) tls: bool,
    /// Bodies are large: splice where there is a switch for it.
    pub(crate) bulk: bool,
    /// One line per request into a file.
    /// Our format; nginx writes its combined one, HAProxy its httplog.
    pub(crate) access_log: Option<&'static str>,
    /// Requests that are in flight at the same time.
    pub(crate) requests: usize,
    /// The proxy shares its core with the load: whatever comes while others run is there at once,
    /// as it is for a proxy that has enough to do.
    pub(crate) is_busy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Http,
    /// Connections of HTTP that an upgrade makes tunnels of.
    WebSocket,
    /// HTTP/2 from clients, HTTP/1.1 to the backend.
    Http2ToHttp,
    /// HTTP/2 on both sides.
    Http2,
    /// The same, in front of a backend that speaks gRPC.
    Grpc,
    /// A TCP relay in front of the HTTP backend.
    TcpToHttp,
    /// A TCP relay in front of the echo server.
    TcpToEcho,
    /// Messages in front of the same; ours balances them one by one, so many at a time over each
    /// connection.
    Messages {
        depth: u32,
    },
    /// HTTP over 32 connections to the backend, with ours.
    Pooled,
    /// Datagrams in front of what sends them back.
    Udp,
}

/// What the text of a configuration depends on.
pub(crate) struct Setup<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) port: u16,
    pub(crate) endpoint: u16,
    pub(crate) directory: &'a Path,
    /// Where what all proxies have in common is.
    pub(crate) work: &'a Path,
}

impl Setup<'_> {
    pub(crate) fn is_http(&self) -> bool {
        !matches!(
            self.scenario.protocol,
            Protocol::TcpToHttp | Protocol::TcpToEcho | Protocol::Messages { .. } | Protocol::Udp
        )
    }

    pub(crate) fn is_udp(&self) -> bool {
        self.scenario.protocol == Protocol::Udp
    }

    /// Whether clients speak HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.scenario.protocol, Protocol::Http2ToHttp) || self.is_http2_to_endpoints()
    }

    pub(crate) fn is_http2_to_endpoints(&self) -> bool {
        matches!(self.scenario.protocol, Protocol::Http2 | Protocol::Grpc)
    }

    /// A file of all proxies.
    pub(crate) fn common(&self, name: &str) -> String {
        self.work.join(name).display().to_string()
    }

    /// A file of this proxy in the work directory.
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

pub(crate) const ACCESS_LOG: &str = "access.log";

/// A log that has not grown for so long is written.
const LOG_QUIET: Duration = Duration::from_millis(200);

/// Routes of the scenario with routes.
pub(crate) const ROUTES: usize = 100;

/// A proxy that accepts connections on `port`.
pub(crate) struct Proxy {
    pub(crate) running: Running,
    pub(crate) port: u16,
    pub(crate) admin_socket: PathBuf,
    directory: PathBuf,
}

impl Proxy {
    /// Each start has its own port and directory, so none inherits anything of the one before.
    pub(crate) fn start(
        contender: Contender,
        scenario: Scenario,
        ours: &Path,
        endpoint: u16,
        work: &Path,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let directory = work.join(format!("{}-{port}", contender.name()));
        fs::create_dir(&directory)?;
        let setup = Setup { scenario, port, endpoint, directory: &directory, work };
        let (program, arguments) = match contender {
            Contender::Ours => (ours.to_owned(), ours::prepare(&setup)?),
            Contender::Nginx => (PathBuf::from(nginx::PROGRAM), nginx::prepare(&setup)?),
            Contender::Haproxy => (PathBuf::from(haproxy::PROGRAM), haproxy::prepare(&setup)?),
        };
        let stop = if contender == Contender::Ours { Stop::Interrupt } else { Stop::Terminate };
        let core = if scenario.is_busy { LOAD_CORE } else { PROXY_CORE };
        let mut command = pinned(core, program);
        command.args(arguments);
        let mut running = Running::start(command, contender.name(), &directory, stop)?;
        running.wait_for_port(port)?;
        let admin_socket = directory.join(ours::ADMIN_SOCKET);
        Ok(Self { running, port, admin_socket, directory })
    }
}

impl Proxy {
    /// Lines in the access log so far. HAProxy writes it to its standard output.
    pub(crate) fn log_lines(&self) -> Result<usize, Failure> {
        let mut lines = 0;
        for log in self.logs().iter().filter(|log| log.exists()) {
            lines += fs::read(log)?.iter().filter(|byte| **byte == b'\n').count();
        }
        Ok(lines)
    }

    /// Waits until the access log has not grown for a while; all write it within that time.
    pub(crate) fn wait_for_log(&self) -> Result<(), Failure> {
        let mut before = None;
        comes_true(|| {
            sleep(LOG_QUIET);
            let mut bytes = 0;
            for log in self.logs().iter().filter(|log| log.exists()) {
                bytes += fs::metadata(log)?.len();
            }
            Ok(before.replace(bytes) == Some(bytes))
        })?;
        Ok(())
    }

    fn logs(&self) -> [PathBuf; 2] {
        [self.directory.join(ACCESS_LOG), self.directory.join("HAProxy.stdout")]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Logs of a measurement may be large; what is left goes with the work directory.
        for log in self.logs().iter().filter(|log| log.exists()) {
            if fs::remove_file(log).is_err() {
                eprintln!("{} stays until the end", log.display());
            }
        }
    }
}
