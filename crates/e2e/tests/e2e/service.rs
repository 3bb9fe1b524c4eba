//! Under a service manager: what it is told, and the sockets that it passes.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::{binary, end_with_children, listen_to, signal_to, text};
use fairwater_e2e::wait::PATIENCE;
use fairwater_e2e::{Client, Endpoint, Setup, until};
use rustix::process::Signal;

/// The part of a service manager, by sd_notify(3) and sd_listen_fds(3).
struct Service {
    socket: UnixDatagram,
    child: Child,
    said: Arc<Mutex<String>>,
    /// Signs of life between the other messages.
    beats: usize,
    waiting: VecDeque<String>,
}

/// Puts the sockets that are its standard input and output where a service manager would.
const PASS: &str = "LISTEN_PID=$$ exec \"$@\" 3<&0 4<&1 0</dev/null 1>/dev/null";

impl Service {
    fn start(setup: &Setup, more: &[(&str, &str)], passed: [Option<OwnedFd>; 2]) -> Self {
        Self::start_with(setup, &[], more, passed)
    }

    fn start_with(
        setup: &Setup,
        flags: &[&str],
        more: &[(&str, &str)],
        passed: [Option<OwnedFd>; 2],
    ) -> Self {
        setup.write();
        let path = setup.directory().join("notify");
        fs::remove_file(&path).ok();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new("sh");
        let count = passed.iter().flatten().count().to_string();
        let file = setup.directory().join("fairwater.toml");
        command.args(["-c", PASS, "sh"]).arg(binary()).arg("run").arg("-c").arg(file).args(flags);
        let [first, second] = passed.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
        command.stdin(first).stdout(second).stderr(Stdio::piped());
        command.env("NOTIFY_SOCKET", path).env("LISTEN_FDS", count);
        let mut child = command.envs(more.iter().copied()).spawn().unwrap();
        let said = listen_to(child.stderr.take());
        Self { socket, child, said, beats: 0, waiting: VecDeque::new() }
    }

    /// The next message that is no sign of life.
    fn next(&mut self) -> String {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                match message.as_str() {
                    "WATCHDOG=1" => self.beats += 1,
                    _ => return message,
                }
                continue;
            }
            let mut buffer = [0; 1000];
            let len = self.socket.recv(&mut buffer).expect("a message");
            self.waiting.push_back(String::from_utf8(buffer[..len].to_vec()).unwrap());
        }
    }

    fn assert_ready(&mut self, status: &str) {
        let id = self.child.id();
        assert_eq!(self.next(), format!("READY=1\nMAINPID={id}\nSTATUS={status}"));
    }

    /// When it says that the reload has begun, in microseconds of the monotonic clock.
    fn reloading_us(&mut self) -> u64 {
        let message = self.next();
        let rest = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&message);
        rest.split('\n').next().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        end_with_children(&mut self.child);
    }
}

fn monotonic_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[test]
fn a_service_manager_is_told_of_every_change() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]);
    let mut service = Service::start(&setup, &[], [None, None]);
    service.assert_ready("Serving");
    // Only the process that it has started speaks to it.
    let id = service.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let worker = children.split_whitespace().next().unwrap();
    let environment = fs::read(format!("/proc/{worker}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"));

    // As `Type=notify-reload` does it: it waits for a later time than that of its signal.
    let begun = monotonic_us();
    service.signal(Signal::HUP);
    let told = service.reloading_us();
    assert!((begun..=monotonic_us()).contains(&told));
    service.assert_ready("Serving");
    let file = setup.directory().join("fairwater.toml");
    let good = fs::read(&file).unwrap();
    fs::write(&file, "nonsense").unwrap();
    service.signal(Signal::HUP);
    let first = service.reloading_us();
    service.assert_ready("Serving, and the last reload has changed nothing");
    fs::write(&file, good).unwrap();
    service.signal(Signal::HUP);
    assert!(service.reloading_us() > first);
    service.assert_ready("Serving");

    // An upgrade is a reload by another program, in the same process.
    service.signal(Signal::USR2);
    assert!(service.reloading_us() > first);
    service.assert_ready("Serving");
    until("it to be said", || text(&service.said).contains(" has taken over from "));
    service.signal(Signal::TERM);
    assert_eq!(service.next(), "STOPPING=1\nSTATUS=Finishing what runs");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn a_process_of_its_own_tells_as_well() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).top("drain_delay = \"10s\"");
    let mut service = Service::start_with(&setup, &["--single"], &[], [None, None]);
    service.assert_ready("Serving");
    service.signal(Signal::TERM);
    assert_eq!(service.next(), "STOPPING=1\nSTATUS=Finishing what runs");
    service.signal(Signal::TERM);
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn a_sign_of_life_comes_twice_as_often_as_asked() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]);
    let mut service = Service::start(&setup, &[("WATCHDOG_USEC", "400000")], [None, None]);
    service.assert_ready("Serving");
    service.beats = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let mut buffer = [0; 100];
        let len = service.socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"WATCHDOG=1");
        service.beats += 1;
    }
    assert!((3..=7).contains(&service.beats), "{}", service.beats);
    // Who stands still says nothing, and is then ended by the service manager.
    fairwater_e2e::proxy::halt(service.child.id());
    service.socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    while service.socket.recv(&mut [0; 100]).is_ok() {}
    service.signal(Signal::CONT);
    service.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(service.socket.recv(&mut [0; 100]).is_ok());
    drop(service);
    // One that is meant for another process is none of ours.
    let not_ours = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let mut service = Service::start(&setup, &not_ours, [None, None]);
    service.assert_ready("Serving");
    service.signal(Signal::INT);
    assert!(service.next().starts_with("STOPPING=1"));
    assert_eq!(service.beats, 0);
}

/// The sockets are there before the process and after it: nobody is refused meanwhile.
#[test]
fn passed_sockets_are_served() {
    let endpoint = Endpoint::echo("e");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let setup = Setup::http(&[&endpoint]).threads(2);
    let path = setup.directory().join("web.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let further =
        format!("[listeners.unix]\nbind = \"unix:{}\"\nupstream = \"app\"", path.display());
    let setup = setup.bind(&address).more(&further);
    let passed =
        || [Some(listener.try_clone().unwrap().into()), Some(unix.try_clone().unwrap().into())];
    let mut early = Client::connect(&address);
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        let mut service = Service::start(&setup, &[], passed());
        service.assert_ready("Serving");
        assert_eq!(early.response().unwrap().status(), 200);
        for address in [address.clone(), format!("unix:{}", path.display())] {
            assert_eq!(Client::connect(&address).get("/").status(), 200, "{address}");
        }
        assert!(!text(&service.said).contains("warning"), "{}", text(&service.said));
        service.signal(Signal::TERM);
        assert!(service.child.wait().unwrap().success());
        early = Client::connect(&address);
        early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert!(path.exists(), "it is for whoever made it to remove it");
}

#[test]
fn a_passed_socket_that_nobody_wants_is_told_of() {
    let endpoint = Endpoint::echo("e");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup::http(&[&endpoint]);
    let mut service = Service::start(&setup, &[], [Some(listener.into()), None]);
    service.assert_ready("Serving");
    let words = format!("warning: no listener has {address}, whose socket was passed");
    until("it to be said", || text(&service.said).contains(&words));
}

#[test]
fn the_packaged_configuration_is_good() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/fairwater.toml");
    for words in [&["check", "-c"][..], &["fmt", "--check", "-c"]] {
        let output = Command::new(binary()).args(words).arg(file).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}
