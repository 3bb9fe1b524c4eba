//! Real programs as clients and endpoints, where they are installed: a small request, keep-alive,
//! and a body of several MiB through each.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use fairwater_e2e::{Client, Directory, Endpoint, Setup, Socket, until};

/// A program of somebody else, or `None` when it is not installed and need not be.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH").into_iter().flat_map(|paths| {
        std::env::split_paths(&paths).map(|path| path.join(name)).collect::<Vec<_>>()
    });
    let sbin = ["/usr/sbin", "/usr/local/sbin"].map(|path| Path::new(path).join(name));
    let found = found.chain(sbin).find(|path| path.is_file());
    if found.is_none() {
        let must = std::env::var_os("FAIRWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!must, "{name} is not installed");
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A running server; ended with the test.
pub(crate) struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    pub(crate) fn start(address: String, command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { child: child.spawn().unwrap(), address };
        until("the server to be up", || {
            assert!(server.child.try_wait().unwrap().is_none(), "the server has ended");
            Socket::connect(&server.address).is_ok()
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address for a program that cannot choose one itself. Below the ports that the kernel gives
/// out, and no port twice: else a test beside this one could get it before the program does.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 6_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

pub(crate) fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

const LARGE: usize = 5_000_003;

/// A directory with something small and something large to serve.
fn documents() -> Directory {
    let directory = Directory::new();
    std::fs::write(directory.join("small.txt"), "small\n").unwrap();
    let large: Vec<u8> = (0..LARGE).map(|n| ((n * 7) >> 5) as u8).collect();
    std::fs::write(directory.join("large.bin"), large).unwrap();
    directory
}

/// A client that asks the endpoint for both documents, again and again on one connection.
fn check_endpoint(name: &str, server: &Server, documents: &Directory) {
    let mut proxy = Setup::of("http", &[&server.address]).start();
    let mut client = Client::new(&proxy);
    let large = std::fs::read(documents.join("large.bin")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/small.txt").text(), "small\n", "{name}");
        assert!(client.get("/large.bin").body == large, "{name}");
        client.send("HEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.response_to("HEAD").unwrap();
        assert_eq!((head.status(), head.body.len()), (200, 0), "{name}");
        assert_eq!(client.get("/none.txt").status(), 404, "{name}");
    }
    assert!(proxy.until_log(12).iter().all(|line| line.get("reason").is_empty()), "{name}");
    proxy.assert_sound();
}

#[test]
fn python_serves_through_us() {
    let Some(python) = program("python3") else { return };
    let documents = documents();
    for protocol in ["HTTP/1.0", "HTTP/1.1"] {
        let address = free_address();
        let arguments = ["-m", "http.server", "--bind", "127.0.0.1", "--protocol", protocol];
        let mut command = Command::new(&python);
        command.args(arguments).arg(port_of(&address)).current_dir(documents.path());
        check_endpoint(protocol, &Server::start(address, &mut command), &documents);
    }
}

#[test]
fn php_serves_through_us() {
    let Some(php) = program("php") else { return };
    let documents = documents();
    let address = free_address();
    let mut command = Command::new(php);
    // A router that says 404; by itself it would serve an index for everything.
    let router = "<?php if (!is_file(__DIR__ . $_SERVER['SCRIPT_NAME'])) { http_response_code(404); } else { return false; }";
    std::fs::write(documents.join("router.php"), router).unwrap();
    command.args(["-S", &address, "-t"]).arg(documents.path()).arg(documents.join("router.php"));
    check_endpoint("php", &Server::start(address, &mut command), &documents);
}

#[test]
fn node_serves_through_us() {
    let Some(node) = program("node") else { return };
    let documents = documents();
    let address = free_address();
    let script = "const fs = require('fs'), http = require('http');
        http.createServer((request, response) => {
            const path = '.' + request.url;
            if (request.method === 'POST') {
                response.writeHead(200); request.pipe(response); return;
            }
            if (!fs.existsSync(path)) { response.writeHead(404); response.end('no'); return; }
            response.writeHead(200); fs.createReadStream(path).pipe(response);
        }).listen(process.argv[1], '127.0.0.1');";
    let mut command = Command::new(node);
    command.args(["-e", script, port_of(&address)]).current_dir(documents.path());
    let server = Server::start(address, &mut command);
    check_endpoint("node", &server, &documents);
    // What it streams back while it is being sent.
    let proxy = Setup::of("http", &[&server.address]).start();
    let mut client = Client::new(&proxy);
    let body = "z".repeat(200_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response_to("POST").unwrap().text(), body);
}

pub(crate) fn nginx(directory: &Directory, address: &str, location: &str) -> Option<Command> {
    let nginx = program("nginx")?;
    let path = directory.path().display();
    let text = format!(
        "daemon off; master_process off; pid {path}/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p;\n\
         fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
         server {{ listen {address}; client_max_body_size 0; {location} }} }}\n"
    );
    std::fs::write(directory.join("nginx.conf"), text).unwrap();
    let mut command = Command::new(nginx);
    command
        .arg("-e")
        .arg("stderr")
        .arg("-p")
        .arg(directory.path())
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    Some(command)
}

#[test]
fn nginx_serves_through_us() {
    let (documents, address) = (documents(), free_address());
    let location = format!("root {};", documents.path().display());
    let Some(mut command) = nginx(&documents, &address, &location) else { return };
    check_endpoint("nginx", &Server::start(address, &mut command), &documents);
}

/// Another proxy in front of us: what it sends is what we take.
fn check_front(name: &str, front: &str, endpoint: &Endpoint) {
    let mut client = Client::connect(front);
    for n in 0..20 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("e: GET /{n} 0\n"), "{name}");
    }
    let body = "z".repeat(LARGE);
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n{body}"));
    assert_eq!(
        client.response_to("POST").unwrap().text(),
        format!("e: POST /up {LARGE}\n"),
        "{name}"
    );
    assert_eq!(endpoint.errors(), Vec::<String>::new(), "{name}");
    assert!(endpoint.requests().last().unwrap().body == body.as_bytes(), "{name}");
}

#[test]
fn nginx_stands_in_front_of_us() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let (directory, address) = (Directory::new(), free_address());
    let location = format!(
        "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}",
        proxy.address
    );
    let Some(mut command) = nginx(&directory, &address, &location) else { return };
    check_front("nginx", &Server::start(address, &mut command).address, &endpoint);
    proxy.assert_sound();
}

fn haproxy(directory: &Directory, front: &str, back: &str) -> Option<Command> {
    let haproxy = program("haproxy")?;
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         frontend f\n bind {front}\n default_backend b\n\
         backend b\n server s {back}\n"
    );
    std::fs::write(directory.join("haproxy.cfg"), text).unwrap();
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(directory.join("haproxy.cfg"));
    Some(command)
}

#[test]
fn haproxy_stands_in_front_of_us_and_behind() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let (directory, address) = (Directory::new(), free_address());
    let Some(mut command) = haproxy(&directory, &address, &proxy.address) else { return };
    check_front("haproxy", &Server::start(address, &mut command).address, &endpoint);
    proxy.assert_sound();

    let (directory, address) = (Directory::new(), free_address());
    let Some(mut command) = haproxy(&directory, &address, &endpoint.address) else { return };
    let server = Server::start(address, &mut command);
    let proxy = Setup::of("http", &[&server.address]).start();
    check_front("behind", &proxy.address, &endpoint);
}

fn output(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", program.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_asks_us() {
    let Some(curl) = program("curl") else { return };
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    assert_eq!(output(&curl, &["-sS", &url("/a"), &url("/b")]), "e: GET /a 0\ne: GET /b 0\n");
    assert_eq!(output(&curl, &["-sS", "-0", &url("/old")]), "e: GET /old 0\n");
    assert!(output(&curl, &["-sSI", &url("/head")]).starts_with("HTTP/1.1 200 OK\r\n"));
    let documents = documents();
    let file = format!("@{}", documents.join("large.bin").display());
    let posted = output(&curl, &["-sS", "--data-binary", &file, &url("/up")]);
    assert_eq!(posted, format!("e: POST /up {LARGE}\n"));
    let chunked =
        ["-sS", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary", &file];
    let posted = output(&curl, &[&chunked[..], &[&url("/chunked")]].concat());
    assert_eq!(posted, format!("e: POST /chunked {LARGE}\n"));
    let requests = endpoint.requests();
    let sent = std::fs::read(documents.join("large.bin")).unwrap();
    assert!(requests[requests.len() - 2..].iter().all(|request| request.body == sent));
    let socket = format!("{}", proxy.directory().join("admin.sock").display());
    let status = output(&curl, &["-sS", "--unix-socket", &socket, "http://fairwater/status"]);
    assert!(status.contains("\"requests_total\":6"), "{status}");
    proxy.assert_sound();
}

#[test]
fn ab_asks_us() {
    let Some(ab) = program("ab") else { return };
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let url = format!("http://{}/x", proxy.address);
    for arguments in [&["-q", "-k"][..], &["-q"]] {
        let said = output(&ab, &[arguments, &["-n", "2000", "-c", "20", &url]].concat());
        assert!(said.contains("Complete requests:      2000"), "{said}");
        assert!(said.contains("Failed requests:        0"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
        if arguments.contains(&"-k") {
            assert!(said.contains("Keep-Alive requests:    2000"), "{said}");
        }
    }
    proxy.until_log(4000);
    assert_eq!(endpoint.requests().len(), 4000);
    proxy.assert_sound();
}
