//! Programs that others have written, as clients and as endpoints of messages: PHP and Python with
//! their own ways to write a length, Redis and memcached with commands that are one line each way.

use std::process::Command;

use fairwater_e2e::{Client, Directory, Peer, Proxy, Setup};

use crate::peers::{Server, free_address, port_of, program};

/// Takes: address, code of `pack()`, bytes of the length, the longest body, clients.
const PHP_CLIENTS: &str = r#"
[, $address, $code, $size, $longest, $count] = $argv;
function take($stream, int $length): string {
    for ($bytes = ''; strlen($bytes) < $length;) {
        $piece = fread($stream, $length - strlen($bytes));
        if ($piece === false || $piece === '') exit("cut off after $bytes\n");
        $bytes .= $piece;
    }
    return $bytes;
}
for ($n = 0; $n < $count; $n++) $clients[] = stream_socket_client("tcp://$address");
for ($round = 0; $round < 20; $round++) {
    foreach ($clients as $n => $client) {
        $body = str_pad("$round of $n", intdiv($longest * $round, 19), chr(65 + $n));
        $sent[$n] = substr($body, 0, (int) $longest);
        fwrite($client, pack($code, strlen($sent[$n])) . $sent[$n]);
    }
    foreach ($clients as $n => $client) {
        $length = unpack($code, take($client, (int) $size))[1];
        if (take($client, $length) !== strrev($sent[$n])) exit("not its own\n");
    }
}
echo "done\n";
"#;

/// Takes: address, code, bytes of the length. Sends bodies back with their last byte first.
const PHP_ENDPOINT: &str = r#"
[, $address, $code, $size] = $argv;
$server = stream_socket_server("tcp://$address");
$streams = [$server];
$buffers = [];
while (true) {
    [$ready, $none] = [$streams, null];
    stream_select($ready, $none, $none, null);
    foreach ($ready as $stream) {
        if ($stream === $server) {
            $new = stream_socket_accept($server);
            $streams[(int) $new] = $new;
            $buffers[(int) $new] = '';
            continue;
        }
        $piece = fread($stream, 65536);
        if ($piece === false || $piece === '') {
            unset($streams[(int) $stream]);
            fclose($stream);
            continue;
        }
        $buffer = &$buffers[(int) $stream];
        $buffer .= $piece;
        while (strlen($buffer) >= $size) {
            $length = unpack($code, $buffer)[1];
            if (strlen($buffer) < $size + $length) break;
            $body = strrev(substr($buffer, (int) $size, $length));
            $buffer = substr($buffer, $size + $length);
            fwrite($stream, pack($code, $length) . $body);
        }
        unset($buffer);
    }
}
"#;

/// As those of PHP, with formats of `struct`.
const PYTHON_CLIENTS: &str = r#"
import socket, struct, sys
address, code, size, longest, count = sys.argv[1:]
host, port = address.split(':')
clients = [socket.create_connection((host, int(port))) for _ in range(int(count))]
readers = [client.makefile('rb') for client in clients]
for turn in range(20):
    sent = []
    for n, client in enumerate(clients):
        body = f'{turn} of {n}'.ljust(int(longest) * turn // 19, chr(65 + n)).encode()
        sent.append(body[:int(longest)])
        client.sendall(struct.pack(code, len(sent[n])) + sent[n])
    for n, reader in enumerate(readers):
        length, = struct.unpack(code, reader.read(int(size)))
        assert reader.read(length) == sent[n][::-1], n
print('done')
"#;

const PYTHON_ENDPOINT: &str = r#"
import socketserver, struct, sys
address, code, size = sys.argv[1:]
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(int(size)):
            body = self.rfile.read(struct.unpack(code, head)[0])
            self.wfile.write(struct.pack(code, len(body)) + body[::-1])
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
host, port = address.split(':')
Server((host, int(port)), Handler).serve_forever()
"#;

/// The code of `pack()`, that of `struct`, its bytes, and the longest body.
const CODES: [(&str, &str, usize, usize); 7] = [
    ("N", ">I", 4, 150_000),
    ("V", "<I", 4, 20_000),
    ("n", ">H", 2, 65_535),
    ("v", "<H", 2, 20_000),
    ("J", ">Q", 8, 20_000),
    ("P", "<Q", 8, 20_000),
    ("C", "B", 1, 255),
];

#[derive(Clone, Copy, PartialEq)]
enum Language {
    Php,
    Python,
}

impl Language {
    fn command(self, php: &str, python: &str) -> Option<Command> {
        let (name, flags, script): (_, &[&str], _) = match self {
            Self::Php => ("php", &["-d", "display_errors=stdout", "-r"], php),
            Self::Python => ("python3", &["-c"], python),
        };
        let mut command = Command::new(program(name)?);
        command.args(flags).arg(script);
        if self == Self::Php {
            command.arg("--");
        }
        Some(command)
    }
}

/// Clients in one language and an endpoint in another or the same, with lengths of all kinds.
fn check_languages(clients: Language, endpoint: Language) {
    for (pack, format, size, longest) in CODES {
        let of = |language| if language == Language::Php { pack } else { format };
        let Some(mut serving) = endpoint.command(PHP_ENDPOINT, PYTHON_ENDPOINT) else { return };
        let Some(mut asking) = clients.command(PHP_CLIENTS, PYTHON_CLIENTS) else { return };
        let address = free_address();
        serving.args([&address, of(endpoint), &size.to_string()]);
        let server = Server::start(address, &mut serving);
        let mut proxy = Setup::of("framed", &[&server.address])
            .listener(&format!("frame = {{ length = {pack:?} }}"))
            .upstream("max_connections = 2")
            .start();
        let [size, longest] = [size, longest].map(|number| number.to_string());
        asking.args([&proxy.address, of(clients), &size, &longest, "8"]);
        assert_eq!(Peer::run(&mut asking), "done\n", "{pack}");
        assert_eq!(proxy.metric("fairwater_requests_total", &[]), 160, "{pack}");
        assert_eq!(proxy.metric("fairwater_endpoint_connects_total", &[]), 2, "{pack}");
        proxy.assert_sound();
    }
}

#[test]
fn php_asks_php() {
    check_languages(Language::Php, Language::Php);
}

#[test]
fn python_asks_python() {
    check_languages(Language::Python, Language::Python);
}

#[test]
fn php_asks_python() {
    check_languages(Language::Php, Language::Python);
}

#[test]
fn python_asks_php() {
    check_languages(Language::Python, Language::Php);
}

/// Lines both ways, over two connections.
fn lines_to(server: &Server) -> Proxy {
    Setup::of("framed", &[&server.address])
        .listener("frame = \"line\"")
        .listener("on_error = { timeout = \"-late\\r\\n\" }")
        .upstream("max_connections = 2")
        .upstream("response_timeout = \"500ms\"")
        .start()
}

/// Sends a command, and reads one line.
fn ask(client: &mut Client, command: &str) -> String {
    client.send(format!("{command}\r\n"));
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend(client.read_exactly(1));
    }
    String::from_utf8(line).unwrap().strip_suffix("\r\n").unwrap().to_owned()
}

#[track_caller]
fn check_commands(client: &mut Client, commands: &[(&str, &str)]) {
    for (command, reply) in commands {
        assert_eq!(ask(client, command), *reply, "{command}");
    }
}

/// Many clients count, each for itself.
fn check_counting(proxy: &mut Proxy, command: impl Fn(usize) -> String, colon: &str) {
    let mut clients: Vec<_> = (0..30).map(|_| Client::new(proxy)).collect();
    for round in 1..=20 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(format!("{}\r\n", command(n)));
        }
        let reply = format!("{colon}{round}\r\n").into_bytes();
        for client in &mut clients {
            assert_eq!(client.read_exactly(reply.len()), reply);
        }
    }
    assert!(proxy.metric("fairwater_endpoint_connections", &[]) <= 2);
    proxy.assert_sound();
}

fn redis(directory: &Directory) -> Option<Server> {
    let address = free_address();
    let mut command = Command::new(program("redis-server")?);
    let port = port_of(&address);
    command.args(["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory.path());
    Some(Server::start(address.clone(), &mut command))
}

/// Inline commands are lines. Replies are where they are a state, an error or a number.
#[test]
fn redis_answers_inline_commands() {
    let directory = Directory::new();
    let Some(server) = redis(&directory) else { return };
    let mut proxy = lines_to(&server);
    let mut client = Client::new(&proxy);
    let one_line = [
        ("PING", "+PONG"),
        ("SET color red", "+OK"),
        ("APPEND color dish", ":7"),
        ("STRLEN color", ":7"),
        ("INCRBY hits 41", ":41"),
        ("EXPIRE hits 100", ":1"),
        ("LPUSH jobs a b", ":2"),
        ("SADD tags x", ":1"),
        ("DEL jobs", ":1"),
        ("GET nothing", "$-1"),
    ];
    check_commands(&mut client, &one_line);
    assert!(ask(&mut client, "GETS").starts_with("-ERR unknown command"));
    check_counting(&mut proxy, |n| format!("INCR of{n}"), ":");
    // A value takes two lines. The second one is nobody's: that connection ends.
    assert_eq!(ask(&mut client, "GET color"), "$7");
    proxy.until_metric("fairwater_endpoint_unsolicited_total", &[], 1);
    check_commands(&mut client, &one_line[..1]);
    proxy.assert_sound();
}

/// Commands with one line each way; a value, which has lines of its own, cannot pass.
#[test]
fn memcached_answers_commands_of_one_line() {
    let Some(memcached) = program("memcached") else { return };
    let address = free_address();
    let mut command = Command::new(memcached);
    command.args(["-l", "127.0.0.1", "-p", port_of(&address), "-U", "0", "-u", "nobody"]);
    let server = Server::start(address, &mut command);
    // Whoever stores something goes there directly.
    let mut direct = Client::connect(&server.address);
    for n in 0..31 {
        direct.send(format!("set of{n} 0 0 1\r\n0\r\n"));
        assert_eq!(direct.read_exactly(8), b"STORED\r\n");
    }
    let mut proxy = lines_to(&server);
    let mut client = Client::new(&proxy);
    assert!(ask(&mut client, "version").starts_with("VERSION "));
    let one_line = [
        ("incr of1 5", "5"),
        ("decr of1 5", "0"),
        ("incr none 1", "NOT_FOUND"),
        ("touch of1 100", "TOUCHED"),
        ("get none", "END"),
        ("mn", "MN"),
        ("mg none v", "EN"),
        ("mg of1", "HD"),
        ("ma none", "NF"),
        ("md none", "NF"),
        ("delete of30", "DELETED"),
        ("bogus", "ERROR"),
    ];
    check_commands(&mut client, &one_line);
    check_counting(&mut proxy, |n| format!("incr of{n} 1"), "");
    // The first line of two is no message by itself: its reply is waited for in vain.
    assert_eq!(ask(&mut client, "set two 0 0 1"), "-late");
    // A value has lines that are nobody's.
    assert_eq!(ask(&mut client, "get of1").split(' ').next(), Some("VALUE"));
    proxy.until_metric("fairwater_endpoint_unsolicited_total", &[], 1);
    assert_eq!(ask(&mut client, "mn"), "MN");
    proxy.assert_sound();
}
