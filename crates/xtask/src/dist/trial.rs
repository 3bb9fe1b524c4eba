//! The package on a bare system: it is installed with one command, checks its configuration, serves
//! a request as a user of its own, and leaves nothing behind.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::bench::process::{WorkDir, comes_true, wait_for_end};
use crate::packages::{self, Need};

const NEEDS: &[Need] = &[
    Need { file: "/usr/sbin/debootstrap", package: "debootstrap" },
    Need { file: "unshare", package: "util-linux" },
];

/// Where Debian is from, unless apt on this machine says otherwise.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Where the configuration of the package listens.
const ADDRESS: &str = "127.0.0.1:8080";
const CONFIGURATION: &str = "/etc/fairwater/fairwater.toml";
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(package: &Path) -> Result<(), Failure> {
    packages::ensure(NEEDS, packages::may_install())?;
    let directory = WorkDir::create()?;
    let root = directory.path().join("root");
    step(
        "a bare Debian",
        Command::new("debootstrap")
            .args(["--variant=minbase", &codename()?])
            .arg(&root)
            .arg(mirror()),
    )?;
    fs::copy(package, root.join("fairwater.deb"))?;
    step("dpkg -i", within(&root).args(["dpkg", "-i", "/fairwater.deb"]))?;
    step("check", within(&root).args(["fairwater", "check", "-c", CONFIGURATION]))?;
    let mut server = within(&root);
    server.args(["fairwater", "run", "-c", CONFIGURATION]).stdin(Stdio::null());
    let mut server = server.spawn()?;
    let served = serves(&mut server);
    // `unshare` is told; all below it end with it.
    let ended = end(&mut server);
    served?;
    ended?;
    step("dpkg --purge", within(&root).args(["dpkg", "--purge", "fairwater"]))?;
    for left in ["usr/bin/fairwater", "etc/fairwater", "var/lib/fairwater", "var/log/fairwater"] {
        if root.join(left).exists() {
            return Err(format!("/{left} is left behind").into());
        }
    }
    println!("the package works on a bare Debian");
    Ok(())
}

/// A command inside, with a /proc of its own that is gone with it.
fn within(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let proc = root.join("proc");
    command.args(["sh", "-c", "mount -t proc proc \"$1\" && shift && exec chroot \"$@\"", "sh"]);
    command.arg(proc).arg(root);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn step(name: &str, command: &mut Command) -> Result<(), Failure> {
    println!("== {name}");
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&said)).into())
}

fn serves(server: &mut Child) -> Result<(), Failure> {
    println!("== a request");
    let mut answer = String::new();
    let is_there = comes_true(|| match (get(), server.try_wait()?) {
        (Ok(text), _) => {
            answer = text;
            Ok(true)
        }
        (Err(_), None) => Ok(false),
        (Err(_), Some(status)) => Err(format!("it has ended: {status}").into()),
    })?;
    if !is_there || !answer.starts_with("HTTP/1.1 200 ") {
        return Err(format!("it does not serve: {answer}").into());
    }
    Ok(())
}

fn get() -> Result<String, Failure> {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Ends the master, which is the child of `unshare`, in order.
fn end(server: &mut Child) -> Result<(), Failure> {
    let id = server.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    for child in children.split_whitespace() {
        let workers = fs::read_to_string(format!("/proc/{child}/task/{child}/children"))?;
        for worker in workers.split_whitespace() {
            expect_own_user(worker)?;
        }
        Command::new("kill").args(["-TERM", child]).status()?;
    }
    match wait_for_end(server) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("it ended with {status}").into()),
        None => {
            drop(server.kill());
            drop(server.wait());
            Err("it does not end".into())
        }
    }
}

/// What serves is neither root nor able to become it.
fn expect_own_user(worker: &str) -> Result<(), Failure> {
    let status = fs::read_to_string(format!("/proc/{worker}/status"))?;
    let has = |line: &str| status.lines().any(|other| other == line);
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    match !is_root && has("CapEff:\t0000000000000000") && has("NoNewPrivs:\t1") {
        true => Ok(()),
        false => Err(format!("process {worker} may do too much:\n{status}").into()),
    }
}

fn codename() -> Result<String, Failure> {
    let text = fs::read_to_string("/etc/os-release")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(line.ok_or("this is no Debian")?.to_owned())
}

/// The first source that apt has.
fn mirror() -> String {
    let output = Command::new("apt-get").args(["indextargets", "--format", "$(SITE)"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let first = text.ok().and_then(|text| text.lines().next().map(str::to_owned));
    first.filter(|site| site.starts_with("http")).unwrap_or_else(|| MIRROR.to_owned())
}
