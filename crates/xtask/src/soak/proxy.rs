//! The proxy under test: its configuration, its process, and what both tell from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::endpoints::Endpoints;
use crate::Failure;
use crate::bench::ours::metrics;
use crate::bench::process::{Running, Stop, free_port};

pub(crate) const THREADS: usize = 2;

pub(crate) struct Proxy {
    pub(crate) running: Running,
    pub(crate) http: String,
    pub(crate) tcp: String,
    admin_socket: PathBuf,
    pub(crate) access_log: PathBuf,
}

impl Proxy {
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        endpoints: &Endpoints,
    ) -> Result<Self, Failure> {
        let (http_port, tcp_port) = (free_port()?, free_port()?);
        let (http, tcp) = (format!("127.0.0.1:{http_port}"), format!("127.0.0.1:{tcp_port}"));
        let (admin_socket, access_log) =
            (directory.join("admin.sock"), directory.join("access.log"));
        let text = format!(
            "threads = {THREADS}\n\
             [access_log]\nformat = \"json\"\npath = {access_log:?}\n\
             [admin]\nsocket = {admin_socket:?}\n\
             [listeners.web]\nbind = {http:?}\nprotocol = \"http\"\nupstream = \"app\"\n\
             [listeners.raw]\nbind = {tcp:?}\nprotocol = \"tcp\"\nupstream = \"echo\"\n\
             [upstreams.app]\nendpoints = {:?}\n\
             [upstreams.echo]\nendpoints = {:?}\n",
            endpoints.http_addresses(),
            endpoints.echo_addresses(),
        );
        let file = directory.join("fairwater.toml");
        fs::write(&file, text)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(["run", "--single", "-c"])
            .arg(file);
        let mut running = Running::start(command, "proxy", directory, Stop::Terminate)?;
        running.wait_for_port(http_port)?;
        Ok(Self { running, http, tcp, admin_socket, access_log })
    }

    pub(crate) fn metrics(&self) -> Result<String, Failure> {
        metrics(&self.admin_socket).ok_or_else(|| "the admin socket does not answer".into())
    }

    pub(crate) fn descriptors(&self) -> Result<Descriptors, Failure> {
        let mut counts = Descriptors::default();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.running.pid()))? {
            let Ok(target) = fs::read_link(entry?.path()) else { continue };
            match target.to_string_lossy() {
                name if name.starts_with("socket:") => counts.sockets += 1,
                name if name.starts_with("pipe:") => counts.pipes += 1,
                _ => counts.others += 1,
            }
        }
        Ok(counts)
    }
}

/// Open descriptors. Pipes are kept for later up to a limit, sockets are not.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub(crate) sockets: usize,
    pub(crate) pipes: usize,
    pub(crate) others: usize,
}
