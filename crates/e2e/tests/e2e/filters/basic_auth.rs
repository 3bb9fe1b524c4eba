//! Names and passwords.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::proxy::binary;
use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup, until};

/// Of `open sesame` for ada, of `pä:ss` for zoë.
const USERS: &str = "users = { \
     ada = \"$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\", \
     \"zoë\" = \"$2y$04$MMhyxQ/71i1EsLCi36vkbOET1JT0e7j2JyzPUapdpC1v90QVXw5w.\", \
     linus = \"$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/\" }";

/// Takes a quarter of a second: of `open sesame` for ada.
const SLOW: &str =
    "users = { ada = \"$2b$12$abcdefghijklmnopqrstuuq2uHH4t8IjTa8PV9VUUF1vssBH6WaR2\" }";

fn base64(text: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * n) & 63) as usize]);
            out.push(if n <= group.len() { letter } else { '=' });
        }
    }
    out
}

/// The field that a browser would send.
fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(format!("{name}:{password}").as_bytes()))
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Message {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response().unwrap()
}

fn guarded(endpoint: &Endpoint, auth: &str) -> Proxy {
    Setup::http(&[endpoint]).listener(&format!("basic_auth = {{ {auth} }}")).start()
}

#[test]
fn clients_are_asked_and_let_in() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = guarded(&endpoint, &format!("{USERS}, realm = \"the \\\"cave\\\"\""));
    let mut client = Client::new(&proxy);
    let reply = ask(&mut client, "/", "");
    assert_eq!((reply.status(), reply.text().as_str()), (401, "401 Unauthorized\n"));
    let challenge = "Basic realm=\"the \\\"cave\\\"\", charset=\"UTF-8\"";
    assert_eq!(reply.field("www-authenticate"), Some(challenge));
    assert!(!reply.closes());
    // On the same connection.
    for (name, password, status) in [
        ("ada", "open sesame", 200),
        ("ada", "open sesam", 401),
        ("ada", "", 401),
        ("ada", "open sesame", 200),
        ("Ada", "open sesame", 401),
        ("nobody", "open sesame", 401),
        ("zoë", "pä:ss", 200),
        ("zoë", "open sesame", 401),
        ("linus", "open sesame", 200),
        ("linus", "pä:ss", 401),
    ] {
        let reply = ask(&mut client, "/", &basic(name, password));
        assert_eq!(reply.status(), status, "{name}:{password}");
        assert_eq!(reply.field("www-authenticate").is_some(), status == 401);
    }
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.field("authorization").is_none()));
    let log = proxy.until_log(11);
    assert_eq!((log[0].get("reason"), log[0].get("detail")), ("unauthorized", "no_credentials"));
    assert_eq!(log[2].get("detail"), "wrong_credentials");
    client.send(format!("HEAD / HTTP/1.0\r\n{}\r\n", basic("ada", "no")));
    assert_eq!(client.response_to("HEAD").unwrap().status(), 401);
    proxy.assert_sound();
}

#[test]
fn odd_credentials_are_none() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = guarded(&endpoint, USERS);
    let mut client = Client::new(&proxy);
    let good = base64(b"linus:open sesame");
    let huge = base64(format!("ada:{}", "x".repeat(20_000)).as_bytes());
    let field = |value: &str| format!("Authorization: {value}\r\n");
    for fields in [
        field(""),
        field("Basic"),
        field(&format!("Bearer {good}")),
        field(&good),
        field(&format!("Basic {good}, Basic {good}")),
        field(&format!("Basic {good} {good}")),
        field(&format!("Basic {}", good.trim_end_matches('='))),
        field(&format!("Basic {good}====")),
        field("Basic linus:open sesame"),
        field(&format!("Basic {}", base64(b"ada"))),
        field(&format!("Basic {}", base64(b"ada open sesame"))),
        field(&format!("Basic {}", base64(b":open sesame"))),
        field(&format!("Basic {}", base64(b"ada:open sesame\0"))),
        field(&format!("Basic {}", base64(b"ada\0:open sesame"))),
        field(&format!("Basic {}", base64(b"ada:open sesame\n"))),
        field(&format!("Basic {}", base64(b"zo\xeb:p\xe4:ss"))),
        field(&format!("Basic {huge}")),
        format!("{}{}", basic("ada", "open sesame"), basic("ada", "open sesame")),
        format!("{}{}", basic("ada", "open sesame"), field("Basic eDp5")),
        format!("Connection: authorization\r\n{}", basic("ada", "no")),
        format!("Proxy-{}", basic("ada", "open sesame")),
    ] {
        assert_eq!(ask(&mut client, "/", &fields).status(), 401, "{fields}");
    }
    let more_blanks = field(&format!("bASIC    {good}  "));
    assert_eq!(ask(&mut client, "/", &more_blanks).status(), 200);
    assert_eq!(endpoint.requests().len(), 1);
    proxy.assert_sound();
}

#[test]
fn bodies_of_refused_requests_do_not_become_requests() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = guarded(&endpoint, USERS);
    let smuggled = format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("ada", "open sesame"));
    let mut client = Client::new(&proxy);
    let (len, head) = (smuggled.len(), "POST / HTTP/1.1\r\nHost: a\r\n");
    for request in [
        format!("{head}Content-Length: {len}\r\n\r\n{smuggled}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n{smuggled}\r\n0\r\n\r\n"),
    ] {
        client.send(request);
        let reply = client.response_to("POST").unwrap();
        assert_eq!((reply.status(), reply.closes()), (401, false));
    }
    assert_eq!(ask(&mut client, "/good", &basic("ada", "open sesame")).status(), 200);
    // What is too long to be skipped, and what waits for a word, ends the connection.
    for more in ["Content-Length: 1000000\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n"] {
        let mut client = Client::new(&proxy);
        client.send(format!("{head}{more}\r\n"));
        let reply = client.response_to("POST").unwrap();
        assert_eq!((reply.status(), reply.closes()), (401, true), "{more}");
    }
    let targets: Vec<_> = endpoint.requests().iter().map(|one| one.target().to_owned()).collect();
    assert_eq!(targets, ["/good"]);
    proxy.assert_sound();
}

#[test]
fn the_endpoint_is_told_who_it_is() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .listener(&format!("basic_auth = {{ {USERS}, user_header = \"X-User\" }}"))
        .listener("request_headers = { add = { x-user = \"root\", x-as = \"<{user}>\" } }")
        .listener("response_headers = { set = { x-you = \"{user}\" } }")
        .more(&format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/all\"\nupstream = \"app\"\n\
             basic_auth = false\n\
             [[routes]]\nlistener = \"web\"\npath = \"/told\"\nupstream = \"app\"\n\
             basic_auth = {{ {USERS}, forward = true }}\n\
             [[routes]]\nlistener = \"web\"\npath = \"/other\"\nupstream = \"app\"\n\
             basic_auth = {{ {USERS} }}\n\
             request_headers = {{ set = {{ authorization = \"Bearer {{user}}\" }} }}\n"
        ))
        .start();
    let forged = "X-User: root\r\nx_user: root\r\nX_USER: root\r\n";
    let mut client = Client::new(&proxy);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: x-user\r\n{forged}{}\
         Transfer-Encoding: chunked\r\n\r\n0\r\nX-User: root\r\nX_User: root\r\nX-Sum: 1\r\n\r\n",
        basic("ada", "open sesame")
    ));
    let reply = client.response_to("POST").unwrap();
    assert_eq!((reply.status(), reply.field("x-you")), (200, Some("ada")));
    let request = endpoint.requests().pop().unwrap();
    assert_eq!((request.field("x-user"), request.field("x-as")), (Some("ada"), Some("<ada>")));
    assert_eq!(request.field("x_user"), None);
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert_eq!(ask(&mut client, "/", "").field("x-you"), Some(""));
    // Nor can it where nobody asks for a password: what is there is from the configuration.
    ask(&mut client, "/all", "X-User: ada\r\nX_User: ada\r\n");
    let request = endpoint.requests().pop().unwrap();
    assert_eq!((request.field("x-user"), request.field("x_user")), (Some("root"), None));
    let ada = basic("ada", "open sesame");
    for (target, fields, authorization) in [
        ("/all", "", None),
        ("/told", &*ada, Some("Basic YWRhOm9wZW4gc2VzYW1l")),
        ("/other", &*ada, Some("Bearer ada")),
    ] {
        assert_eq!(ask(&mut client, target, fields).status(), 200, "{target}");
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.field("authorization"), authorization, "{target}");
    }
}

#[test]
fn a_request_that_is_tried_again_is_not_asked_again() {
    let dead = Endpoint::new(|caller| drop(caller.request()));
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&dead, &endpoint])
        .listener(&format!("basic_auth = {{ {USERS}, user_header = \"x-user\" }}"))
        .start();
    let mut client = Client::new(&proxy);
    for _ in 0..4 {
        assert_eq!(ask(&mut client, "/", &basic("ada", "open sesame")).status(), 200);
    }
    assert!(!dead.requests().is_empty());
    for request in dead.requests().iter().chain(&endpoint.requests()) {
        let fields = (request.field("x-user"), request.field("authorization"));
        assert_eq!(fields, (Some("ada"), None));
    }
}

#[test]
fn what_was_right_is_remembered_and_what_was_wrong_is_not() {
    let endpoint = Endpoint::echo("e");
    let proxy = guarded(&endpoint, SLOW);
    let mut client = Client::new(&proxy);
    let mut timed = |password: &str, status| {
        let begun = Instant::now();
        assert_eq!(ask(&mut client, "/", &basic("ada", password)).status(), status);
        begun.elapsed()
    };
    let once = timed("open sesame", 200);
    let more: Duration = (0..20).map(|_| timed("open sesame", 200)).sum();
    assert!(more < once * 5, "20 took {more:?}, the first {once:?}");
    assert!(timed("open sesam", 401) > once / 5);
    assert!(timed("open sesam", 401) > once / 5, "a wrong one is checked again");
}

/// Ends a flood, also where the test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps more passwords waiting than may, until it is told to stop.
fn flood(proxy: &Proxy, is_over: &AtomicBool) {
    let mut clients: Vec<_> = (0..80).map(|_| Client::new(proxy)).collect();
    let send = |client: &mut Client, number: usize| {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            basic("ada", &number.to_string())
        ));
    };
    clients.iter_mut().enumerate().for_each(|(number, client)| send(client, number));
    let mut further = Client::new(proxy);
    while !is_over.load(Ordering::Relaxed) {
        assert!(matches!(ask(&mut further, "/", &basic("nobody", "x")).status(), 401 | 503));
    }
}

/// The longest but one in a hundred of so many plain requests.
fn p99(proxy: &Proxy, count: usize) -> Duration {
    let mut client = Client::new(proxy);
    let one = |_| {
        let begun = Instant::now();
        assert_eq!(client.get("/plain").status(), 200);
        begun.elapsed()
    };
    let mut times: Vec<_> = (0..count).map(one).collect();
    times.sort();
    times[count - 1 - count / 100]
}

#[test]
fn a_flood_of_passwords_slows_nobody_else() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener(&format!("basic_auth = {{ {SLOW} }}"))
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/plain\"\nupstream = \"app\"\n\
             basic_auth = false\n",
        )
        .start();
    let quiet = p99(&proxy, 500);
    let is_over = AtomicBool::new(false);
    let flooded = std::thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| flood(&proxy, &is_over));
        until("the queue to be full", || {
            proxy.metric("fairwater_faults_total", &["passwords_busy"]) > 4
        });
        let flooded = p99(&proxy, 500);
        // Another client has its turn soon, whoever floods.
        let mut client = Client::from_address("127.0.0.2", &proxy);
        let reply = ask(&mut client, "/", &basic("ada", "open sesame"));
        assert_eq!(reply.status(), 200);
        flooded
    });
    eprintln!("p99 of plain requests: {quiet:?}, under the flood {flooded:?}");
    // A single check on the data thread would take more than that.
    assert!(flooded < Duration::from_millis(100), "{quiet:?} became {flooded:?}");
    let mut log = Vec::new();
    until("a refusal in the log", || {
        log = proxy.log();
        log.iter().any(|line| line.get("reason") == "passwords_busy")
    });
    proxy.assert_sound();
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let endpoint = Endpoint::echo("e");
    let proxy = guarded(&endpoint, SLOW);
    let mut clients: Vec<_> = (0..70).map(|_| Client::new(&proxy)).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("ada", "x"));
    clients.iter_mut().for_each(|client| client.send(&request));
    until("the queue to be full", || {
        proxy.metric("fairwater_faults_total", &["passwords_busy"]) > 0
    });
    let mut client = Client::new(&proxy);
    let reply = ask(&mut client, "/", &basic("ada", "open sesame"));
    assert_eq!((reply.status(), reply.field("retry-after")), (503, Some("1")));
    assert!(!reply.closes());
    // Those who go away make room: their passwords are checked no more.
    clients.into_iter().for_each(Client::reset);
    until("room in the queue", || {
        ask(&mut client, "/", &basic("ada", "open sesame")).status() == 200
    });
}

#[test]
fn hashes_are_made_from_standard_input() {
    let endpoint = Endpoint::echo("e");
    let make = |password: &[u8]| {
        let mut child = Command::new(binary())
            .arg("hash-password")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password).unwrap();
        child.wait_with_output().unwrap()
    };
    let made = make("pä:ss wörd\r\n".as_bytes());
    let hash = String::from_utf8(made.stdout).unwrap();
    assert_ne!(hash, String::from_utf8(make("pä:ss wörd".as_bytes()).stdout).unwrap());
    let proxy = guarded(&endpoint, &format!("users = {{ ada = {:?} }}", hash.trim_end()));
    let mut client = Client::new(&proxy);
    assert_eq!(ask(&mut client, "/", &basic("ada", "pä:ss wörd")).status(), 200);
    assert_eq!(ask(&mut client, "/", &basic("ada", "pä:ss word")).status(), 401);
    for wrong in [&b""[..], b"\n", b"a\nb\n", b"\xff\n", b"a\0b\n", &[b'x'; 73], &[b'x'; 200]] {
        let output = make(wrong);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(output.stderr.starts_with(b"fairwater: the password "));
    }
}

#[test]
fn users_come_from_a_file_beside_the_configuration() {
    let endpoint = Endpoint::echo("e");
    let setup = || Setup::http(&[&endpoint]).listener("basic_auth = { file = \"users/htpasswd\" }");
    let said = setup().try_start().unwrap_err();
    assert!(said.contains("E0219"), "{said}");
    let setup = setup();
    std::fs::create_dir(setup.directory().join("users")).unwrap();
    let line = "ada:$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\n";
    std::fs::write(setup.directory().join("users/htpasswd"), line).unwrap();
    let proxy = setup.start();
    let mut client = Client::new(&proxy);
    assert_eq!(ask(&mut client, "/", &basic("ada", "open sesame")).status(), 200);
    assert_eq!(ask(&mut client, "/", "").status(), 401);
}
