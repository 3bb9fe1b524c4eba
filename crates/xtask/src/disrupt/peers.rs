//! The proxies, each with two threads or processes, an HTTP and a TCP listener, and a master that
//! can be told to reload.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::bench::process::{Running, free_port, signal};
use crate::bench::{Backend, Contender};
use crate::peer::launch;

/// Where distributions have their modules.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

pub(crate) struct Peer {
    pub(crate) kind: Contender,
    pub(crate) http: u16,
    pub(crate) tcp: u16,
    running: Running,
    ours: PathBuf,
    directory: PathBuf,
    backend: (u16, u16),
}

impl Peer {
    pub(crate) fn start(
        kind: Contender,
        ours: &Path,
        backend: &Backend,
        work: &Path,
    ) -> Result<Self, Failure> {
        let (http, tcp) = (free_port()?, free_port()?);
        let directory = work.join(format!("{}-{http}", kind.name()));
        fs::create_dir(&directory)?;
        let ports = (http, tcp);
        let backend = (backend.http, backend.echo);
        let running = start(kind, ours, &directory, ports, backend)?;
        let ours = ours.to_owned();
        Ok(Self { kind, http, tcp, running, ours, directory, backend })
    }

    /// Starts it again if all of it has ended. Returns whether it had.
    pub(crate) fn mend(&mut self) -> Result<bool, Failure> {
        if self.running.ended()?.is_none() {
            return Ok(false);
        }
        let ports = (self.http, self.tcp);
        self.running = start(self.kind, &self.ours, &self.directory, ports, self.backend)?;
        Ok(true)
    }

    pub(crate) fn reload(&self) -> Result<(), Failure> {
        match self.kind {
            Contender::Ours => return self.command("reload"),
            Contender::Nginx => signal("HUP", self.running.pid()),
            Contender::Haproxy => signal("USR2", self.running.pid()),
        }
        Ok(())
    }

    pub(crate) fn upgrade(&self) -> Result<(), Failure> {
        self.command("upgrade")
    }

    fn command(&self, name: &str) -> Result<(), Failure> {
        let socket = self.directory.join("run").join("master.sock");
        let mut command = Command::new(&self.ours);
        let output = command.arg(name).arg("--socket").arg(socket).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(())
    }

    /// Kills one worker, the youngest.
    pub(crate) fn kill(&self) -> Result<(), Failure> {
        let master = self.running.pid();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = children.split_whitespace().filter_map(|id| id.parse::<u32>().ok());
        signal("KILL", workers.max().ok_or("there is no worker")?);
        Ok(())
    }

    /// Processes that serve, or finish what runs.
    pub(crate) fn workers(&self) -> Result<usize, Failure> {
        Ok(self.running.pids()?.len().saturating_sub(1))
    }
}

fn start(
    kind: Contender,
    ours: &Path,
    directory: &Path,
    (http, tcp): (u16, u16),
    backend: (u16, u16),
) -> Result<Running, Failure> {
    let text = match kind {
        Contender::Ours => of_ours(directory, http, tcp, backend),
        Contender::Nginx => of_nginx(directory, http, tcp, backend),
        Contender::Haproxy => of_haproxy(http, tcp, backend),
    };
    let mut running = launch(kind, ours, directory, &text)?;
    running.wait_for_port(http)?;
    running.wait_for_port(tcp)?;
    Ok(running)
}

fn of_ours(directory: &Path, http: u16, tcp: u16, (web, echo): (u16, u16)) -> String {
    format!(
        r#"threads = 2
run_dir = "{run}"
access_log.format = "off"
listeners.web = {{ bind = "127.0.0.1:{http}", upstream = "web" }}
listeners.raw = {{ bind = "127.0.0.1:{tcp}", protocol = "tcp", upstream = "echo" }}
upstreams.web = {{ endpoints = ["127.0.0.1:{web}"] }}
upstreams.echo = {{ endpoints = ["127.0.0.1:{echo}"] }}
"#,
        run = directory.join("run").display()
    )
}

fn of_nginx(directory: &Path, http: u16, tcp: u16, (web, echo): (u16, u16)) -> String {
    format!(
        "load_module {STREAM_MODULE};
worker_processes 2; worker_rlimit_nofile 20000; daemon off; user root;
pid {pid};
events {{ worker_connections 9000; }}
http {{
access_log off; keepalive_requests 1000000000;
client_body_temp_path {temporary}; proxy_temp_path {temporary};
fastcgi_temp_path {temporary}; uwsgi_temp_path {temporary}; scgi_temp_path {temporary};
upstream web {{ server 127.0.0.1:{web}; keepalive 256; keepalive_requests 1000000000; }}
server {{
listen 127.0.0.1:{http} backlog=4096;
location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
location /tunnel {{
proxy_pass http://web; proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
}}
}}
}}
stream {{
server {{ listen 127.0.0.1:{tcp} backlog=4096; proxy_pass 127.0.0.1:{echo}; }}
}}
",
        pid = directory.join("nginx.pid").display(),
        temporary = directory.join("nginx.tmp").display(),
    )
}

fn of_haproxy(http: u16, tcp: u16, (web, echo): (u16, u16)) -> String {
    format!(
        "global
nbthread 2
maxconn 9000

defaults
timeout connect 5s
timeout client 1h
timeout server 1h

frontend web
mode http
bind 127.0.0.1:{http}
default_backend web

backend web
mode http
http-reuse always
server one 127.0.0.1:{web}

listen raw
mode tcp
bind 127.0.0.1:{tcp}
server one 127.0.0.1:{echo}
"
    )
}
