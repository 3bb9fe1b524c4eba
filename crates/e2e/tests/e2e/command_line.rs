//! The process: what it listens on, how it starts, drains and stops, and the demonstration.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::proxy::{binary, listen_to, signal_to, text};
use fairwater_e2e::{Client, Directory, Endpoint, Setup, Socket, until, until_some};
use rustix::process::Signal;

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A process that ends with the test, whatever happens.
struct Process {
    child: Child,
    out: std::sync::Arc<Mutex<String>>,
    err: std::sync::Arc<Mutex<String>>,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (listen_to(child.stdout.take()), listen_to(child.stderr.take()));
        Self { child, out, err }
    }

    /// The text between `before` and the next blank or line end of what it says.
    fn until_said(&self, before: &str) -> String {
        until_some(before, || {
            let said = text(&self.out) + &text(&self.err);
            let at = said.find(before)? + before.len();
            let rest = &said[at..];
            rest.find(char::is_whitespace).map(|end| rest[..end].to_owned())
        })
    }

    fn until_ended(&mut self) -> bool {
        until_some("the process to end", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // The demonstration ends its endpoints when it is asked to.
            signal_to(self.child.id(), Signal::INT);
        }
        self.child.wait().ok();
    }
}

/// As `fairwater status | head` has it.
#[test]
fn readers_who_have_read_enough_are_no_error() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    let file = proxy.directory().join("fairwater.toml");
    let admin = proxy.directory().join("admin.sock");
    for arguments in [
        &["schema"][..],
        &["explain", "E0101"],
        &["explain", "/x", "-c", file.to_str().unwrap()],
        &["status", "--admin", admin.to_str().unwrap()],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(binary()).args(arguments).stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}");
    }
}

#[test]
fn a_port_in_use_is_refused_with_a_clear_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Setup::of("http", &["127.0.0.1:1"]).bind(&address).try_start().unwrap_err();
    let holder = format!("fairwater: {address} is in use by process {} (", std::process::id());
    assert!(
        said.starts_with(&holder) && said.ends_with("): stop it or choose another\n"),
        "{said}"
    );
    // By another Fairwater as well, for all that its sockets may be shared.
    let endpoint = Endpoint::echo("e");
    let first = Setup::http(&[&endpoint]).start();
    let said = Setup::http(&[&endpoint]).bind(&first.address).try_start().unwrap_err();
    assert!(said.contains("is in use by process"), "{said}");
}

#[test]
fn a_dead_socket_file_is_replaced_and_a_live_one_refused() {
    let endpoint = Endpoint::echo("e");
    let directory = Directory::new();
    let path = directory.join("web.sock");
    let address = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mut proxy = Setup::http(&[&endpoint]).bind(&address).start();
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").text(), "e: GET / 0\n");
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.field("x-forwarded-for"), None);
    assert_eq!(request.field("forwarded"), Some("for=unknown;host=a;proto=http"));

    let said = Setup::http(&[&endpoint]).bind(&address).try_start().unwrap_err();
    assert!(said.contains("is in use by process"), "{said}");
    assert_eq!(client.get("/").status(), 200, "the first still answers");
    proxy.signal(Signal::INT);
    assert!(proxy.until_ended().success());
    assert!(!path.exists(), "the file goes with the process");

    std::fs::write(&path, "precious").unwrap();
    let said = Setup::http(&[&endpoint]).bind(&address).try_start().unwrap_err();
    assert!(said.contains("is no socket"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_bare_port_listens_on_both_families() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).bind(":0").start();
    let port = proxy.address.rsplit(':').next().unwrap();
    assert_eq!(Client::connect(&format!("127.0.0.1:{port}")).get("/").status(), 200);
    if TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(Client::connect(&format!("[::1]:{port}")).get("/").status(), 200);
    }
    let requests = endpoint.requests();
    assert_eq!(requests[0].field("x-forwarded-for"), Some("127.0.0.1"));
    if let Some(of_v6) = requests.get(1) {
        assert_eq!(of_v6.field("x-forwarded-for"), Some("::1"));
        assert_eq!(of_v6.field("forwarded"), Some("for=\"[::1]\";host=a;proto=http"));
    }
}

#[test]
fn proxy_needs_no_file() {
    let endpoint = Endpoint::echo("e");
    let process = Process::start(&[
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &endpoint.address,
        "--access-log",
        "json",
    ]);
    let address = process.until_said("listens on ");
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").text(), "e: GET / 0\n");
    until("its log", || text(&process.out).contains("\"target\":\"/\""));

    let endpoint = Endpoint::new(|caller| {
        let bytes = caller.read_exactly(5);
        caller.send(bytes);
    });
    let tcp = [
        "proxy",
        "--tcp",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &endpoint.address,
        "--balance",
        "least_connections",
        "--threads",
        "2",
    ];
    let process = Process::start(&tcp);
    let mut client = Client::connect(&process.until_said("listens on "));
    client.send("hello");
    assert_eq!(client.read_to_end(), (b"hello".to_vec(), End::Closed));
}

#[test]
fn mistakes_are_told() {
    for (arguments, words) in [
        (vec!["proxy", "--listen", "127.0.0.1:0", "--to", "a b"], "a b"),
        (vec!["proxy", "--listen", "nonsense::", "--to", "127.0.0.1:1"], "nonsense::"),
        (vec!["proxy", "--listen", ":0", "--to", "127.0.0.1:1", "--to", "127.0.0.1:1"], "twice"),
        (vec!["run", "-c", "/nowhere/fairwater.toml"], "/nowhere/fairwater.toml"),
        (vec!["frobnicate"], "frobnicate"),
    ] {
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
    let said = Setup::of("http", &["127.0.0.1:1"]).listener("bnid = 1").try_start().unwrap_err();
    assert!(said.contains("bnid") && said.contains("fairwater.toml:"), "{said}");
}

/// An endpoint that holds each request until it is told to go on.
fn held() -> (Endpoint, mpsc::Sender<()>) {
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            caller.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
            gate.lock().unwrap().recv().ok();
            caller.send("llo");
            drop(request);
        }
    });
    (endpoint, go)
}

#[test]
fn term_lets_a_running_exchange_finish() {
    let (endpoint, go) = held();
    let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
    let mut running = Client::new(&proxy);
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = Client::new(&proxy);
    endpoint.until_requests(1);
    proxy.until_metric("fairwater_connections_active", &[], 2);
    proxy.signal(Signal::TERM);
    assert_eq!(idle.end(), End::Closed, "idle connections are closed at once");
    assert!(!proxy.has_ended());
    go.send(()).unwrap();
    let answer = running.response().unwrap();
    assert_eq!(answer.text(), "hello");
    assert_eq!(running.end(), End::Closed);
    assert!(proxy.until_ended().success());
    assert_eq!(proxy.log().len(), 1);
    assert!(TcpStream::connect(&proxy.address).is_err());
}

#[test]
fn a_second_term_and_an_int_stop_at_once() {
    for signals in
        [vec![Signal::INT], vec![Signal::TERM, Signal::TERM], vec![Signal::TERM, Signal::INT]]
    {
        let (endpoint, _go) = held();
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut running = Client::new(&proxy);
        running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        endpoint.until_requests(1);
        let mut idle = Client::new(&proxy);
        proxy.until_metric("fairwater_connections_active", &[], 2);
        let begun = Instant::now();
        for (number, signal) in signals.iter().enumerate() {
            if number > 0 {
                // The first one is being carried out.
                assert_eq!(idle.end(), End::Closed);
            }
            proxy.signal(*signal);
        }
        assert!(proxy.until_ended().success(), "{signals:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{signals:?}: {:?}", begun.elapsed());
        assert!(running.response().is_err(), "a broken body must not look complete");
        assert_eq!(proxy.log().len(), 1, "{signals:?}: what was cut off is accounted for");
    }
}

#[test]
fn term_waits_for_tcp_connections() {
    let endpoint = Endpoint::new(|caller| {
        let bytes = caller.read_exactly(2);
        caller.send(bytes);
    });
    let mut proxy = Setup::tcp(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.send("a");
    until("the endpoint's connection", || endpoint.accepted() == 1);
    proxy.signal(Signal::TERM);
    until("the port to be closed", || TcpStream::connect(&proxy.address).is_err());
    client.send("b");
    assert_eq!(client.read_to_end(), (b"ab".to_vec(), End::Closed));
    client.half_close();
    assert!(proxy.until_ended().success());
    assert_eq!(proxy.log().iter().filter(|line| line.number("bytes_in") == 2).count(), 1);
}

#[test]
fn the_admin_socket_tells_how_things_are() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
    let mut client = Client::new(&proxy);
    client.get("/");
    proxy.until_metric("fairwater_requests_total", &[], 1);
    let status = proxy.ask("/status");
    assert_eq!((status.status(), status.field("content-type")), (200, Some("application/json")));
    let text = status.text();
    for part in [
        "\"version\":",
        &format!("\"process_id\":{}", proxy.worker_id()),
        "\"requests_total\":1",
        &format!("\"address\":\"{}\"", endpoint.address),
        "\"connections_idle\":1",
        &format!("\"addresses\":[\"{}\"]", proxy.address),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(proxy.ask("/nothing").status(), 404);
    assert_eq!(
        proxy.metric("fairwater_requests_total", &["status=\"2xx\"", "listener=\"web\""]),
        1
    );
    let path = proxy.directory().join("admin.sock");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else may ask");
    proxy.signal(Signal::INT);
    proxy.until_ended();
    assert!(!path.exists());
}

/// The process ids of all children of a process.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    list.split_ascii_whitespace().map(|text| text.parse().unwrap()).collect()
}

fn is_alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn the_demonstration_shows_three_endpoints_and_leaves_nothing() {
    // Whether or not the usual port is free: one of the two must take another.
    let mut first = Process::start(&["demo"]);
    let address = first.until_said("behind http://");
    let address = address.trim_end_matches(['/', '.']).trim_end_matches('/').to_owned();
    let mut second = Process::start(&["demo"]);
    let other = second.until_said("behind http://");
    assert_ne!(other.trim_end_matches(['/', '.']), address);
    assert!(text(&second.out).contains("Port 8080 is taken"), "{}", text(&second.out));

    let mut client = Client::connect(&address);
    let answers: Vec<_> = (0..6).map(|_| client.get("/").text()).collect();
    let started = children(first.child.id());
    assert_eq!(started.len(), 3, "{started:?}");
    for (number, answer) in answers.iter().enumerate() {
        let named: Vec<_> = started.iter().filter(|id| answer.contains(&id.to_string())).collect();
        assert_eq!(named.len(), 1, "one process says who it is: {answer}");
        assert_eq!(
            answer.lines().next(),
            answers[(number + 3) % 6].lines().next(),
            "in turn: {answers:#?}"
        );
    }
    let directory = std::env::temp_dir().join(format!("fairwater-demo-{}", first.child.id()));
    assert!(directory.exists());
    for (process, signal) in [(&mut first, Signal::INT), (&mut second, Signal::TERM)] {
        let id = process.child.id();
        let started = children(id);
        signal_to(id, signal);
        assert!(process.until_ended(), "{}", text(&process.err));
        assert!(!std::env::temp_dir().join(format!("fairwater-demo-{id}")).exists());
        until("the endpoints to be gone", || started.iter().all(|&id| !is_alive(id)));
    }
    assert!(Socket::connect(&address).is_err());
}

/// Killed without a chance to clean up, it still leaves no process.
#[test]
fn a_killed_demonstration_leaves_no_process() {
    let mut demo = Process::start(&["demo"]);
    demo.until_said("behind http://");
    let started = children(demo.child.id());
    assert_eq!(started.len(), 3);
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    until("the endpoints to be gone", || started.iter().all(|&id| !is_alive(id)));
    std::fs::remove_dir_all(
        std::env::temp_dir().join(format!("fairwater-demo-{}", demo.child.id())),
    )
    .ok();
}

/// A configuration of several files and a variable; mistakes name the file that they are in.
#[test]
fn files_are_included_and_variables_put_in() {
    let directory = Directory::new();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let main = write(
        "fairwater.toml",
        "include = [\"sites/*.toml\", \"./upstreams.toml\"]\n\
         listeners.web = { bind = \"127.0.0.1:${FAIRWATER_TEST_PORT:-0}\", upstream = \"b\" }\n",
    );
    write("sites/a.toml", "[[routes]]\nlistener = \"web\"\nhost = \"a\"\nupstream = \"a\"\n");
    write("sites/b.toml", "[[routes]]\nlistener = \"web\"\nhost = \"b\"\nupstream = \"b\"\n");
    write("sites/.b.toml.swp", "half a fi");
    let check = || {
        let output = Command::new(binary())
            .args(["check", "-c", &main])
            .env("FAIRWATER_TEST_UPSTREAM", "127.0.0.1:9001")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };

    let missing = "cannot include `./upstreams.toml`";
    assert!(matches!(check(), (false, said) if said.contains(missing)), "{:?}", check());
    let upstreams = write(
        "upstreams.toml",
        "upstreams.a.endpoints = [\"${FAIRWATER_TEST_UPSTREAM}\"]\n\
         upstreams.b.endpoints = [\"127.0.0.1:9002\"]\n",
    );
    let (is_good, said) = check();
    assert!(is_good, "{said}");

    let site = write("sites/c.toml", "[[routes]]\nlistener = \"web\"\nupstream = \"c\"\n");
    let (is_good, said) = check();
    assert!(!is_good && said.contains(&format!("--> {site}:3:12")), "{said}");
    write("sites/c.toml", "include = \"../fairwater.toml\"\n");
    let (is_good, said) = check();
    assert!(!is_good && said.contains(&format!("`{main}` is included twice")), "{said}");
    std::fs::remove_file(&site).unwrap();
    write("upstreams.toml", "upstreams.a.endpoints = [\"${FAIRWATER_TEST_UNSET}\"]\n");
    let (is_good, said) = check();
    assert!(!is_good && said.contains("`FAIRWATER_TEST_UNSET` is not set"), "{said}");
    assert!(said.contains(&format!("--> {upstreams}:1:26")), "{said}");
}

#[test]
fn what_is_no_configuration_is_refused_at_once() {
    let directory = Directory::new();
    let large = directory.join("large.toml");
    std::fs::File::create(&large).unwrap().set_len(100 * 1024 * 1024).unwrap();
    let large = large.display().to_string();
    let place = directory.path().display().to_string();
    for (path, expected) in [
        (&*large, "the file has more than 8388608 bytes"),
        (&*place, "it is not a file"),
        ("/dev/zero", "it is not a file"),
        ("/nowhere/fairwater.toml", "No such file or directory"),
    ] {
        let output = run(&["check", "-c", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{path}: {said}");
    }
}

#[test]
fn status_is_shown_as_tables_and_as_json() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).threads(2).start();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.order("POST", "/endpoints/app", "address=unknown.invalid:80&persist=false");
    let file = proxy.directory().join("fairwater.toml").display().to_string();
    let socket = proxy.directory().join("admin.sock").display().to_string();
    let output = run(&["status", "-c", &file]);
    let tables = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{tables}");
    for heading in ["LISTENER", "UPSTREAM", "NAME", "THREAD"] {
        assert!(tables.lines().any(|line| line.starts_with(heading)), "{heading}: {tables}");
    }
    let row = tables.lines().find(|line| line.starts_with("app ")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["app", &endpoint.address, "active", "1", "0", "1", "1", "1", "0"]);
    assert!(tables.contains("added until the next reload"), "{tables}");
    // Mistakes in the file since the start are told of, and nothing more.
    let text = std::fs::read_to_string(&file).unwrap();
    for mistake in ["nonsense = 1\n", "a = = 1\n"] {
        std::fs::write(&file, format!("{mistake}{text}")).unwrap();
        let output = run(&["status", "-c", &file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("has mistakes, which"), "{said}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("UPSTREAM"));
    }
    std::fs::write(&file, text).unwrap();
    let json = run(&["status", "--admin", &socket, "--json"]);
    let json = String::from_utf8(json.stdout).unwrap();
    assert!(json.starts_with("{\"version\":") && json.contains("\"listeners\":["), "{json}");
    proxy.assert_sound();
    drop(proxy);
    let nobody = run(&["status", "--admin", &socket]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said.contains("it is not running, or it opens another socket: --admin PATH"), "{said}");
}

#[test]
fn status_says_where_it_cannot_ask() {
    let directory = Directory::new();
    let file = directory.join("fairwater.toml");
    let name = file.display().to_string();
    let missing = run(&["status", "-c", &name]);
    assert_eq!(missing.status.code(), Some(1));
    std::fs::write(
        &file,
        "listeners.a = { bind = \":1\", upstream = \"a\" }\nupstreams.a.endpoints = [\"a:1\"]",
    )
    .unwrap();
    let closed = run(&["status", "-c", &name]);
    let said = String::from_utf8(closed.stderr).unwrap();
    assert_eq!(closed.status.code(), Some(1));
    assert!(said.contains("opens no admin socket; add `admin.socket = "), "{said}");
    // Something that is no Fairwater.
    let other = Endpoint::on_unix(&directory.join("other.sock"), |caller| {
        caller.send("hello\n");
    });
    let odd = run(&["status", "--admin", other.address.trim_start_matches("unix:")]);
    let said = String::from_utf8(odd.stderr).unwrap();
    assert_eq!(odd.status.code(), Some(1));
    assert!(said.contains("cannot ask the process at "), "{said}");
}
