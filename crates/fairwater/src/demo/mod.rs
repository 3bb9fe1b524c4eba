//! `fairwater demo`: three endpoint processes on Unix sockets and a balancer in front of them, gone
//! without a trace when it ends.
#![allow(clippy::print_stdout, reason = "a command that talks to people")]

pub(crate) mod endpoint;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use fairwater_config as config;
use fairwater_message::address::Listen;
use fairwater_supervisor::{Manner, bind};
use fairwater_sys::{process, signal};

use crate::proxy::quoted;
use crate::{fail, serve};

const ENDPOINTS: usize = 3;
const PORT: u16 = 8080;
/// An endpoint is up in milliseconds; a machine under load gets more.
const START: Duration = Duration::from_secs(10);

pub(crate) fn run() -> ExitCode {
    // A signal that comes while the stage is set up is seen when it stands, and takes it down.
    if let Err(error) = signal::block() {
        return fail(format_args!("cannot set up signals: {error}"));
    }
    let mut stage = match Stage::set_up() {
        Ok(stage) => stage,
        Err(error) => return fail(format_args!("cannot start the demonstration: {error}")),
    };
    let (listen, is_other) = free_address();
    if is_other {
        println!("Port {PORT} is taken; another free one is used.");
    }
    let Some(configuration) = stage.configuration(&listen) else {
        return fail("cannot start the demonstration: its directory has an odd name");
    };
    let admin = stage.admin();
    let code = serve::serve_then(&configuration, serve::Rights::All, |bound| {
        if let Some((_, address)) = bound.first() {
            print_tour(address, &admin);
        }
    });
    stage.tear_down();
    code
}

fn print_tour(address: &str, admin: &Path) {
    println!("Three endpoints answer behind http://{address}/. Try:\n");
    println!("  curl http://{address}/          # again and again: the endpoints take turns");
    println!("  curl -v http://{address}/       # the same, with the headers");
    println!("  curl --unix-socket {} http://fairwater/status", admin.display());
    println!("  curl --unix-socket {} http://fairwater/metrics", admin.display());
    println!("\nEach answer names the process that it came from: `kill` one and ask again.");
    println!("Ctrl-C stops all of it.");
}

/// The usual port, or any free one.
fn free_address() -> (Listen, bool) {
    let address = |port| Listen::Ip(([127, 0, 0, 1], port).into());
    let usual = address(PORT);
    // Whether it is free shows when it is bound; this looks before.
    let manner = Manner { threads: 1, backlog: 1, freebind: false, is_udp: false };
    match bind(&usual, manner) {
        Ok(_) => (usual, false),
        Err(_) => (address(0), true),
    }
}

/// The endpoint processes and the directory of their sockets.
struct Stage {
    directory: PathBuf,
    endpoints: Vec<Child>,
}

impl Stage {
    fn set_up() -> io::Result<Self> {
        let name = format!("fairwater-demo-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        let mut stage = Self { directory, endpoints: Vec::new() };
        for (index, socket) in stage.sockets().iter().enumerate() {
            let child = Command::new(std::env::current_exe()?)
                .arg("demo-endpoint")
                .arg("--socket")
                .arg(socket)
                .args(["--name", &format!("endpoint {}", index + 1)])
                .stdin(Stdio::null())
                .spawn()?;
            stage.endpoints.push(child);
        }
        for socket in stage.sockets() {
            until_up(&socket)?;
        }
        Ok(stage)
    }

    fn sockets(&self) -> Vec<PathBuf> {
        (1..=ENDPOINTS).map(|n| self.directory.join(format!("endpoint-{n}.sock"))).collect()
    }

    fn configuration(&self, listen: &Listen) -> Option<config::Config> {
        let sockets = self.sockets();
        let endpoints: Vec<_> = sockets.iter().map(|path| quoted(path.display())).collect();
        let text = format!(
            "access_log.format = \"off\"\nadmin.socket = {}\n\
             [listeners.demo]\nbind = \"{listen}\"\nupstream = \"demo\"\n\
             [upstreams.demo]\nendpoints = [{}]\n",
            quoted(self.admin().display()),
            endpoints.join(", "),
        );
        config::parse("the demonstration", text.as_bytes()).0
    }

    fn admin(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    /// Ends the endpoints and removes every file.
    fn tear_down(&mut self) {
        for endpoint in &mut self.endpoints {
            // One that is gone already needs no signal; waiting tells.
            process::terminate(endpoint.id()).ok();
            endpoint.wait().ok();
        }
        self.endpoints.clear();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tear_down();
    }
}

#[allow(clippy::disallowed_methods, reason = "a command, not a data path: it may read the clock")]
fn until_up(socket: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > START => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
