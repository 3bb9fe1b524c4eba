//! The program as a process, and questions to its listeners.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use fairwater_config::Surroundings;
use fairwater_sys::process::{INT, signal, terminate};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fairwater");

pub(crate) struct Program {
    /// Where it listens, as it says itself.
    pub(crate) addresses: Vec<String>,
    child: Child,
    /// Kept open: a program whose words nobody takes would fail by saying them.
    said: BufReader<ChildStderr>,
}

impl Program {
    /// Starts it and waits until it has said of each of its addresses that it listens there.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut program = Self { addresses: Vec::new(), child, said };
        for _ in 0..addresses_of(arguments) {
            let mut line = String::new();
            while line.is_empty() || is_by_the_way(&line) {
                line.clear();
                assert!(program.said.read_line(&mut line).unwrap() > 0, "{arguments:?}: it ended");
            }
            let Some((_, address)) = line.trim_end().split_once(" listens on ") else {
                panic!("{arguments:?}: {line}");
            };
            program.addresses.push(address.to_owned());
        }
        program
    }

    /// Has it finish what runs and end, without another word.
    pub(crate) fn stop(mut self) {
        terminate(self.child.id()).unwrap();
        let status = self.child.wait().unwrap();
        let mut last_words = String::new();
        self.said.read_to_string(&mut last_words).unwrap();
        let is_quiet = last_words.lines().all(is_by_the_way);
        assert!(status.success() && is_quiet, "{status}: {last_words}");
    }
}

/// What is said while all goes well.
fn is_by_the_way(line: &str) -> bool {
    let rest = line.strip_prefix("fairwater: ").unwrap_or_default();
    let is_of_app = rest.starts_with("app ")
        && (rest.contains(" is ready (") || rest.trim_end().ends_with(" as it was told to"));
    // Of the application of Node.
    // Tests may run as root, and nobody minds.
    let is_as_root = rest.starts_with("warning: traffic is served as root");
    is_of_app
        || is_as_root
        || rest.starts_with("room for ")
        || rest.trim_end().ends_with(".0: listening")
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only a test that fails comes here before the program has ended. Told to end, it ends its
        // worker as well; killed, it cannot.
        signal(self.child.id(), INT).ok();
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The files beside one.
struct Beside;

impl Surroundings for Beside {
    fn expand(&self, name: &str, from: &str) -> Result<Vec<String>, String> {
        Ok(vec![Path::new(from).with_file_name(name).display().to_string()])
    }

    fn read(&self, name: &str, _: usize) -> Result<Vec<u8>, String> {
        std::fs::read(name).map_err(|error| error.to_string())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// How many addresses a command or the file that it names will listen on.
fn addresses_of(arguments: &[&str]) -> usize {
    if arguments[0] == "proxy" {
        return arguments.iter().filter(|word| **word == "--listen").count();
    }
    let file = arguments.last().unwrap();
    let text = std::fs::read(file).unwrap();
    let (config, diagnostics) = fairwater_config::load(file, &text, &Beside);
    let config = config.unwrap_or_else(|| panic!("{}", fairwater_config::render(&diagnostics)));
    config.listeners.iter().map(|listener| listener.bind.len()).sum()
}

/// What `fairwater check` finds, and says.
pub(crate) fn check(path: &Path) -> (bool, String) {
    let output = Command::new(PROGRAM).args(["check", "-c"]).arg(path).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The answer to a GET, head and all; `address` may be a Unix socket.
pub(crate) fn get(address: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    if let Some(address) = address.strip_prefix("udp:") {
        return get_by_datagram(address);
    }
    match address.strip_prefix("unix:") {
        Some(path) => ask(UnixStream::connect(path).unwrap(), &request),
        None => ask(TcpStream::connect(address).unwrap(), &request),
    }
}

/// What comes back for a datagram, as if a GET had been answered so.
fn get_by_datagram(address: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.send_to(b"HTTP/1.1 200 OK", address).unwrap();
    let mut buffer = [0; 4096];
    let (len, _) = socket.recv_from(&mut buffer).unwrap();
    format!("{} ", String::from_utf8_lossy(&buffer[..len]))
}

/// A message with a length of four bytes, which its endpoint sends back.
pub(crate) const MESSAGE: &str = "\0\0\0\x07a thing";

/// The answer to a message, twice on one connection.
pub(crate) fn ask_in_message(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let mut answer = vec![0; MESSAGE.len()];
    for _ in 0..2 {
        connection.write_all(MESSAGE.as_bytes()).unwrap();
        connection.read_exact(&mut answer).unwrap();
    }
    String::from_utf8(answer).unwrap()
}

/// The answer to a GET over TLS, whoever it is that answers, with the certificate of a client.
pub(crate) fn get_by_tls(address: &str, files: &Path) -> String {
    let mut command = Command::new("curl");
    command.arg("--cert").arg(files.join("client.pem"));
    command.arg("--key").arg(files.join("client.key"));
    let output = command.args(["-sik", &format!("https://{address}/")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ask(mut connection: impl Read + Write, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}
