//! A proxy as a process of its own, with a configuration that is given as text.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::bench::Contender;
use crate::bench::process::{Running, Stop};

/// Starts it with its master, all the descriptors that the hard limit allows, and its files in
/// `directory`.
pub(crate) fn launch(
    kind: Contender,
    ours: &Path,
    directory: &Path,
    text: &str,
) -> Result<Running, Failure> {
    let name = match kind {
        Contender::Ours => "fairwater.toml",
        Contender::Nginx => "nginx.conf",
        Contender::Haproxy => "haproxy.cfg",
    };
    let file = directory.join(name);
    fs::write(&file, text)?;
    let mut command = Command::new("setpriv");
    let limits = "ulimit -n $(ulimit -Hn) && exec \"$@\"";
    command.args(["--pdeathsig", "TERM", "sh", "-c", limits, "sh"]);
    match kind {
        Contender::Ours => command.arg(ours).args(["run", "-c"]).arg(&file),
        Contender::Nginx => {
            let errors = directory.join("nginx.error.log");
            command.args(["/usr/sbin/nginx", "-c"]).arg(&file).arg("-e").arg(errors)
        }
        Contender::Haproxy => command.args(["/usr/sbin/haproxy", "-W", "-f"]).arg(&file),
    };
    let stop = match kind {
        Contender::Ours => Stop::Interrupt,
        Contender::Nginx | Contender::Haproxy => Stop::Terminate,
    };
    Running::start(command, kind.name(), directory, stop)
}
