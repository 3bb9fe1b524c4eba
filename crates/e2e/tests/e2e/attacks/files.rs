//! Files and arguments that a start meets: sockets that live, logs that are no files, an error
//! output that is full, numbers that are none. Each has a clear end, and none a panic or a wait.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fairwater_e2e::{Client, Directory, Endpoint, Setup, Socket, until};
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Type};

use super::process::Process;

const AT_ONCE: Duration = Duration::from_secs(3);

fn unix_socket(kind: Type, path: &Path) -> socket2::Socket {
    let socket = socket2::Socket::new(Domain::UNIX, kind, None).unwrap();
    socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
    socket
}

/// Starts on a path where it must not; gives what it says.
#[track_caller]
fn refusal_of(path: &Path) -> String {
    let listen = format!("unix:{}", path.display());
    let arguments = ["proxy", "--listen", &listen, "--to", "127.0.0.1:1"];
    let mut process = Process::quiet(&arguments);
    let inode = std::fs::metadata(path).unwrap().ino();
    let (code, said) = process.ends_within(AT_ONCE);
    assert_eq!(code, 1, "{said}");
    assert_eq!(std::fs::metadata(path).unwrap().ino(), inode, "the file is another one");
    said
}

#[test]
fn a_live_socket_of_any_kind_is_not_replaced() {
    let directory = Directory::new();
    for (name, kind, is_listening) in [
        ("datagram", Type::DGRAM, false),
        ("packets", Type::SEQPACKET, true),
        ("packets, bound only", Type::SEQPACKET, false),
        ("stream", Type::STREAM, true),
    ] {
        let path = directory.join(name);
        let socket = unix_socket(kind, &path);
        if is_listening {
            socket.listen(8).unwrap();
        }
        let said = refusal_of(&path);
        assert!(said.contains("in use"), "{name}: {said}");
    }
}

/// A connection to it would wait until its owner accepts one, which may be never.
#[test]
fn a_live_socket_whose_queue_is_full_is_not_waited_for() {
    let directory = Directory::new();
    let path = directory.join("full.sock");
    let listener = unix_socket(Type::STREAM, &path);
    listener.listen(0).unwrap();
    let mut queued = Vec::new();
    loop {
        let client = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => queued.push(client),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let said = refusal_of(&path);
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_dead_socket_of_any_kind_is_replaced() {
    let (directory, endpoint) = (Directory::new(), Endpoint::echo("e"));
    for (name, kind) in
        [("stream", Type::STREAM), ("packets", Type::SEQPACKET), ("datagram", Type::DGRAM)]
    {
        let path = directory.join(name);
        let socket = unix_socket(kind, &path);
        if kind != Type::DGRAM {
            socket.listen(8).unwrap();
        }
        drop(socket);
        let address = format!("unix:{}", path.display());
        let proxy = Setup::http(&[&endpoint]).bind(&address).start();
        assert_eq!(Client::connect(&address).get("/").status(), 200, "{name}");
        drop(proxy);
    }
}

/// A configuration file with these lines behind an upstream that is never asked.
fn written(directory: &Directory, name: &str, lines: &str) -> String {
    let path = directory.join(name);
    let upstream = "[upstreams.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    std::fs::write(&path, format!("{lines}{upstream}")).unwrap();
    path.display().to_string()
}

/// To open one for writing waits for a reader.
#[test]
fn a_log_that_is_a_fifo_is_refused() {
    let directory = Directory::new();
    let fifo = directory.join("log.fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let log = format!("[access_log]\npath = {:?}\n", fifo.display().to_string());
    let listener = "[listeners.web]\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\n";
    let config = written(&directory, "fairwater.toml", &(log + listener));
    let mut process = Process::quiet(&["run", "-c", &config]);
    let (code, said) = process.ends_within(AT_ONCE);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&fifo.display().to_string()), "{said}");
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader is gone.
fn broken_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// What cannot be said is no reason to do otherwise.
#[test]
fn an_error_output_that_takes_nothing_changes_nothing() {
    let (directory, endpoint) = (Directory::new(), Endpoint::echo("e"));
    let path = directory.join("web.sock");
    let address = format!("unix:{}", path.display());
    for stderr in [full, broken_pipe] {
        let arguments = ["proxy", "--listen", &address, "--to", &endpoint.address];
        let mut process = Process::start(&arguments, Stdio::null(), stderr());
        until("the proxy to listen", || Socket::connect(&address).is_ok());
        assert_eq!(Client::connect(&address).get("/").text(), "e: GET / 0\n");
        process.signal(Signal::TERM);
        assert_eq!(process.ends_within(AT_ONCE).0, 0);
        assert!(!path.exists(), "the file goes with the process");
    }
}

#[test]
fn a_check_without_an_output_still_has_its_exit_code() {
    let directory = Directory::new();
    let listener = "[listeners.web]\nbind = \"127.0.0.1:0\"\nupstream = \"app\"\n";
    let good = written(&directory, "good.toml", listener);
    let bad = written(&directory, "bad.toml", &format!("thraeds = 1\n{listener}"));
    for (stdout, stderr) in [(full(), full()), (broken_pipe(), broken_pipe())] {
        let mut process = Process::start(&["check", "-c", &bad], stdout, stderr);
        assert_eq!(process.ends_within(AT_ONCE).0, 1);
    }
    for (stdout, stderr) in [(full(), full()), (broken_pipe(), broken_pipe())] {
        let mut process = Process::start(&["check", "-c", &good], stdout, stderr);
        // To say that all is well may be what failed.
        assert!(matches!(process.ends_within(AT_ONCE).0, 0 | 1));
    }
}

#[test]
fn the_admin_socket_cannot_be_that_of_a_listener() {
    let directory = Directory::new();
    let path = directory.join("one.sock");
    for spelling in ["unix:", "unix://", ""] {
        let path = path.display();
        let config = format!(
            "[admin]\nsocket = \"{path}\"\n\
             [listeners.web]\nbind = \"{spelling}{path}\"\nupstream = \"app\"\n"
        );
        let config = written(&directory, "fairwater.toml", &config);
        let (code, said) = Process::quiet(&["check", "-c", &config]).ends_within(AT_ONCE);
        assert_eq!(code, 1, "{spelling:?}: {said}");
        assert!(said.contains("fairwater.toml:") && said.contains("one.sock"), "{said}");
        let (code, said) = Process::quiet(&["run", "-c", &config]).ends_within(AT_ONCE);
        assert_eq!(code, 1, "{spelling:?}: {said}");
    }
}

#[test]
fn numbers_of_threads_that_cannot_be_are_told() {
    for threads in ["0", "1025", "5000", "10000000000", "18446744073709551616", "many", "-1", ""] {
        let threads = format!("--threads={threads}");
        let arguments = ["proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", &threads];
        let (code, said) = Process::quiet(&arguments).ends_within(AT_ONCE);
        assert_ne!(code, 0, "{threads}");
        assert!(said.contains("threads") && !said.contains("panic"), "{threads}: {said}");
    }
}
