//! As the first process of a container: orphans are its own, and limits are those of the container.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fairwater_e2e::proxy::{binary, listen_to, signal_to, text as text_of};
use fairwater_e2e::{Client, Directory, Endpoint, Setup, until, until_some};
use rustix::process::Signal;

use crate::privileges::is_root;

/// A namespace of processes, whose first one is Fairwater. It ends with `unshare`, and all with it.
struct Container {
    unshare: Child,
    /// Fairwater, by its number outside.
    first: u32,
}

impl Container {
    fn start(setup: &Setup, flags: &[&str]) -> (Self, String) {
        setup.write();
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.arg(binary()).arg("run").args(flags).arg("-c");
        command.arg(setup.directory().join("fairwater.toml")).stderr(Stdio::piped());
        let mut unshare = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let said = listen_to(unshare.stderr.take());
        let address = until_some("the proxy to listen", || {
            let lines = text_of(&said);
            let mut found = lines.lines();
            found.find_map(|line| line.split("web listens on ").nth(1).map(str::to_owned))
        });
        let first = children(unshare.id()).pop().unwrap();
        (Self { unshare, first }, address)
    }

    /// Runs a script in the container that leaves an orphan behind.
    fn leave_orphan(&self) {
        let id = self.first.to_string();
        let mut command = Command::new("nsenter");
        // Its child is left over when it ends, and says so when it ends itself.
        let script = "(read line; exit 3) <&3 & echo left";
        command.args(["--target", &id, "--pid", "--", "sh", "-c"]);
        command.arg(format!("exec 3<&0; {script}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "left\n");
        let mut input = child.stdin.take().unwrap();
        assert!(child.wait().unwrap().success());
        until("the orphan to come", || self.names().iter().any(|name| name == "sh"));
        input.write_all(b"end\n").unwrap();
    }

    fn names(&self) -> Vec<String> {
        let name = |id| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        children(self.first).into_iter().map(|id| name(id).trim().to_owned()).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.unshare.kill().ok();
        self.unshare.wait().ok();
    }
}

fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn the_first_process_takes_the_ends_of_orphans() {
    if !is_root() {
        return;
    }
    for flags in [&[][..], &["--single"]] {
        let endpoint = Endpoint::echo("e");
        let setup = Setup::http(&[&endpoint]).reloadable();
        let (mut container, address) = Container::start(&setup, flags);
        for _ in 0..3 {
            container.leave_orphan();
            until("the orphan to be gone", || !container.names().iter().any(|name| name == "sh"));
        }
        assert_eq!(Client::connect(&address).get("/").status(), 200);
        // A child of its own is waited for by the one that has started it.
        if flags.is_empty() {
            let worker = children(container.first)[0];
            signal_to(worker, Signal::KILL);
            assert_eq!(Client::connect(&address).get("/").status(), 200);
            until("another worker", || children(container.first).iter().any(|id| *id != worker));
        }
        signal_to(container.first, Signal::TERM);
        assert!(container.unshare.wait().unwrap().success());
    }
}

/// A group of the test's own with a limit, in whichever version the system has.
struct Group(PathBuf);

impl Group {
    fn with(limits: [(&str, &str, &str); 2]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fairwater-e2e-{}-{number}", std::process::id());
        limits.into_iter().find_map(|(below, file, limit)| {
            let group = Self(Path::new("/sys/fs/cgroup").join(below).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), limit).ok().map(|()| group)
        })
    }

    /// Starts Fairwater in it, looks, and gives what was said.
    fn run(&self, look: impl FnOnce(u32)) -> String {
        self.run_with("", |id, _| look(id))
    }

    /// The same with further settings of the upstream; tells the address as well.
    fn run_with(&self, upstream: &str, look: impl FnOnce(u32, &str)) -> String {
        let endpoint = Endpoint::echo("e");
        let directory = Directory::new();
        let text = format!(
            "access_log = {{ format = \"off\" }}\nlisteners.web = {{ bind = \"127.0.0.1:0\", \
             upstream = \"app\" }}\nupstreams.app = {{ endpoints = [{:?}]{upstream} }}\n",
            endpoint.address
        );
        fs::write(directory.join("fairwater.toml"), text).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.0);
        command.arg(binary()).args(["run", "--single", "-c"]);
        command.arg(directory.join("fairwater.toml")).stderr(Stdio::piped());
        let mut member = Member(command.stdin(Stdio::null()).spawn().unwrap());
        let child = &mut member.0;
        let said = listen_to(child.stderr.take());
        until("it to listen or to end", || {
            text_of(&said).contains("web listens on") || child.try_wait().unwrap().is_some()
        });
        if child.try_wait().unwrap().is_none() {
            let lines = text_of(&said);
            let address = lines.split("web listens on ").nth(1).unwrap_or_default();
            look(child.id(), address.lines().next().unwrap_or_default());
            signal_to(child.id(), Signal::INT);
            child.wait().unwrap();
        }
        until("all that it says", || Arc::strong_count(&said) == 1);
        text_of(&said)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// A process in a group, which is gone before the group.
struct Member(Child);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn skipped() {
    eprintln!("skipped: there can be no control group");
}

#[test]
fn memory_of_the_container_is_shared_among_its_connections() {
    let bytes = (128 << 20).to_string();
    let limits = [("memory", "memory.limit_in_bytes", &*bytes), ("", "memory.max", &bytes)];
    let Some(group) = Group::with(limits) else { return skipped() };
    let said = group.run(|_| {});
    assert!(said.contains("room for 2048 connections (") && said.contains("128 MiB"), "{said}");
}

/// Bodies that would take more memory than there is, if all were held: only some are, and nobody
/// ends the process.
#[test]
fn memory_of_the_container_is_not_used_up() {
    const LEN: usize = 900_000;
    let bytes = (64 << 20).to_string();
    let limits = [("memory", "memory.limit_in_bytes", &*bytes), ("", "memory.max", &bytes)];
    let Some(group) = Group::with(limits) else { return skipped() };
    let said = group.run_with(", buffer_requests = \"1MiB\"", |id, address| {
        let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n");
            client.send(head);
            client.send(vec![b'x'; LEN - 1]);
        }
        for client in &mut clients {
            client.send("x");
            assert_eq!(client.response_to("POST").unwrap().status(), 200);
        }
        assert!(fs::exists(format!("/proc/{id}")).unwrap());
    });
    assert!(said.contains("64 MiB of memory"), "{said}");
}

#[test]
fn threads_follow_the_quota_of_the_container() {
    let limits = [("cpu", "cpu.cfs_quota_us", "100000"), ("", "cpu.max", "100000 100000")];
    let Some(group) = Group::with(limits) else { return skipped() };
    group.run(|id| {
        // A thread takes its name itself, when it begins to run.
        let names = until_some("all threads to have their names", || {
            let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
            let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap();
            let names: Vec<_> = tasks.map(|task| name(task.unwrap())).collect();
            let nameless = names.iter().filter(|name| *name == "fairwater\n").count();
            (nameless == 1).then_some(names)
        });
        let workers = names.iter().filter(|name| name.starts_with("worker-")).count();
        assert_eq!(workers, 1, "{names:?}");
    });
}

#[test]
fn too_few_processes_are_told_of_at_the_start() {
    let limits = [("pids", "pids.max", "2"), ("", "pids.max", "2")];
    let Some(group) = Group::with(limits) else { return skipped() };
    let said = group.run(|id| panic!("{id} serves"));
    assert!(said.contains("cannot start a thread: ") && said.contains("`ulimit -u`"), "{said}");
}

/// An address that comes later, as with a virtual router: of a test network, and on no machine.
#[test]
fn an_address_that_is_not_there_yet_can_be_listened_on() {
    const LATER: &str = "192.0.2.1:0";
    let setup = || Setup::of("http", &["127.0.0.1:1"]).bind(LATER);
    let said = setup().try_start().err().unwrap();
    assert!(said.contains("write `freebind = true`"), "{said}");
    let proxy = setup().listener("freebind = true").start();
    assert!(proxy.address.starts_with("192.0.2.1:"), "{}", proxy.address);
    drop(proxy);
    // Another one there is found as well as elsewhere.
    let endpoint = Endpoint::echo("e");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let setup = Setup::http(&[&endpoint]).listener("freebind = true").bind(&address);
    let said = setup.try_start().err().unwrap();
    assert!(said.contains("is in use by process"), "{said}");
}

/// In a network of its own, where the address comes and goes.
#[test]
fn an_address_is_served_when_it_comes() {
    const SCRIPT: &str = "ip link set lo up\n\
        \"$@\" & server=$!\n\
        ask() { curl -s -m 5 -o /dev/null -w '%{http_code} ' http://192.0.2.1:8080/; }\n\
        until grep -q ':1F90 ' /proc/net/tcp; do kill -0 $server || exit 1; done\n\
        ask; ip addr add 192.0.2.1/32 dev lo; ask; ip addr del 192.0.2.1/32 dev lo; ask\n\
        ip addr add 192.0.2.1/32 dev lo; ask; kill -TERM $server; wait $server; echo $?";
    let is_there = |program: &&str| Command::new(program).arg("-V").output().is_ok();
    if !is_root() || !["ip", "curl"].iter().all(is_there) {
        return;
    }
    let directory = Directory::new();
    let file = directory.join("fairwater.toml");
    let listener = "bind = \"192.0.2.1:8080\", freebind = true, respond = 204";
    fs::write(&file, format!("access_log.format = \"off\"\nlisteners.web = {{ {listener} }}\n"))
        .unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", SCRIPT, "sh"]).arg(binary()).args(["run", "-c"]).arg(file);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "000 204 000 204 0\n", "{output:?}");
}
