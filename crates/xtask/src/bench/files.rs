//! nghttpd as an endpoint that speaks HTTP/2 and is not ours: it serves the small bodies as files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use super::contender::ROUTES;
use super::load::{Backend, LOAD_CORE};
use super::process::{Running, Stop, free_port, pinned};
use crate::Failure;

pub(crate) const PROGRAM: &str = "/usr/sbin/nghttpd";

/// The only size that is asked for.
pub(crate) const BODY_BYTES: usize = 128;

pub(crate) struct Files {
    running: Running,
    pub(crate) port: u16,
}

impl Files {
    /// With the bodies that `backend` has at the same paths.
    pub(crate) fn start(backend: &Backend, work: &Path) -> Result<Self, Failure> {
        let root = work.join("files");
        for route in 0..ROUTES {
            let path = format!("svc{route}/b/{BODY_BYTES}");
            let file = root.join(&path);
            fs::create_dir_all(file.parent().ok_or("a file without a directory")?)?;
            fs::write(file, body_of(backend.http, &path)?)?;
        }
        let port = free_port()?;
        let mut command = pinned(LOAD_CORE, PROGRAM);
        command.args(["--no-tls", "--address", "127.0.0.1", "--htdocs"]).arg(root);
        command.arg(port.to_string());
        let mut running = Running::start(command, "nghttpd", work, Stop::Terminate)?;
        running.wait_for_port(port)?;
        Ok(Self { running, port })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }
}

fn body_of(port: u16, path: &str) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let at = reply.len().checked_sub(BODY_BYTES).ok_or("the backend does not answer")?;
    Ok(reply.split_off(at))
}
