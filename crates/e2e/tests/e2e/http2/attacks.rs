//! Clients of HTTP/2 that are slow, or silent, or do not hear (B06, B25 to B36).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

use super::{judge, setup};
use crate::tls::{LOCAL, Pki};

/// A call of `attacks.py`.
struct Attack {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Attack {
    fn start(proxy: &Proxy, words: &[&str]) -> Option<Self> {
        let mut command: Command = judge(include_str!("attacks.py"), &proxy.address, words)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Some(Self { input: child.stdin.take(), child, lines })
    }

    /// The next line that it says.
    #[track_caller]
    fn says(&mut self) -> String {
        self.lines.recv().expect("it has ended, and said why")
    }

    /// Lets it go on.
    fn tell(&mut self) {
        self.tell_it("");
    }

    fn tell_it(&mut self, word: &str) {
        writeln!(self.input.as_mut().unwrap(), "{word}").unwrap();
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Answers to all but `/wait`, whose bodies it reads, and `/large`, which has no end.
fn endpoint() -> Endpoint {
    Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            match request.target() {
                "/wait" => return caller.until_closed(),
                _ => caller.reply(request.method(), &format!("{}", request.body.len())),
            };
        }
    })
}

/// What it says in the end, of a proxy with these lines for its listener.
fn said(lines: &str, what: &str) -> Option<(String, Proxy, Endpoint)> {
    let endpoint = endpoint();
    let proxy = setup(&endpoint).listener(lines).start();
    let said = Attack::start(&proxy, &[what])?.says();
    Some((said, proxy, endpoint))
}

/// The endpoint has the head when it turns out that the body is too short: it never has a request
/// that is whole, and that connection carries no other.
#[test]
fn a_body_that_ends_early_is_no_request() {
    let endpoint = endpoint();
    let mut proxy = setup(&endpoint).start();
    let Some(mut attack) = Attack::start(&proxy, &["late end"]) else { return };
    until("the request to come", || endpoint.accepted() == 1);
    attack.tell();
    assert_eq!(attack.says(), "reset 1");
    until("the canary to come", || endpoint.accepted() == 2);
    endpoint.until_closed(1);
    // Nothing of it, where the end came as soon as there was a connection.
    let partial = endpoint.partial_requests();
    assert!(partial.len() <= 1 && partial.iter().all(|one| one.body.is_empty()), "{partial:?}");
    assert_eq!(endpoint.requests().len(), 1);
    assert_eq!(proxy.until_log(2)[0].get("reason"), "client_aborted");
    proxy.assert_sound();
}

#[test]
fn a_head_that_is_refused_has_nothing_of_the_one_before() {
    let Some((said, mut proxy, _)) = said("", "refused") else { return };
    assert_eq!(said, "200 400 200 400 200 400 200 400 200 501");
    for pair in proxy.until_log(10).chunks(2) {
        assert_eq!(pair[0].get("target").len(), 301);
        assert_eq!(
            (pair[1].get("method"), pair[1].get("target"), pair[1].get("host")),
            ("", "", "")
        );
    }
    proxy.assert_sound();
}

#[test]
fn a_client_need_not_acknowledge_settings() {
    let Some((said, mut proxy, _)) = said("", "never acknowledges") else { return };
    assert_eq!(said, "200");
    proxy.assert_sound();
}

/// What the windows of a connection are taken up by is given back, padding and all.
#[test]
fn padding_and_streams_that_are_reset_take_no_room() {
    let Some((found, mut proxy, _)) = said("", "padded") else { return };
    assert_eq!(found, "200 b'4000'");
    proxy.assert_sound();
    let Some((found, mut proxy, endpoint)) = said("", "behind resets") else { return };
    assert_eq!(found, "served");
    let lines = proxy.until_log(81);
    assert_eq!(lines.iter().filter(|line| line.get("reason") == "client_aborted").count(), 80);
    until("all to be given up", || endpoint.closed() >= endpoint.accepted() - 1);
    proxy.assert_sound();
}

/// A stream of small messages waits for its endpoint as one of large ones does, however small they
/// are: they take the room of their bytes.
#[test]
fn small_messages_wait_as_large_ones_do() {
    let endpoint = endpoint();
    let full = format!(
        "[[routes]]\nlistener = \"web\"\npath = \"/full\"\nupstream = \"full\"\n\
         [upstreams.full]\nendpoints = [{:?}]\nmax_connections = 1\nqueue_timeout = \"20s\"",
        endpoint.address
    );
    let mut proxy = setup(&endpoint).more(&full).start();
    let before = proxy.resident();
    let Some(mut attack) = Attack::start(&proxy, &["messages"]) else { return };
    assert_eq!(attack.says(), "served", "5200 frames of 50 bytes");
    assert_eq!(attack.says(), "served", "and 2000 of one");
    let risen = proxy.resident().saturating_sub(before);
    assert!(risen < 6 << 20, "the memory rose by {risen} bytes");
    attack.tell();
    assert_eq!(attack.says(), "served");
    proxy.assert_sound();
}

/// B29: what a client takes no part of stays with the endpoint.
#[test]
fn a_client_without_a_window_holds_nothing_up_but_itself() {
    let sent = Arc::new(AtomicU64::new(0));
    let of_script = Arc::clone(&sent);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/large" {
                caller.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
                while caller.send([b'x'; 65_536]) {
                    of_script.fetch_add(65_536, Ordering::Relaxed);
                }
                return;
            }
            caller.reply("GET", "here");
        }
    });
    let mut proxy = setup(&endpoint).listener("body_timeout = \"300ms\"").start();
    let before = proxy.resident();
    let Some(mut attack) = Attack::start(&proxy, &["no window"]) else { return };
    assert_eq!(attack.says(), "200", "a byte for each that it asked for");
    assert_eq!(Client::new(&proxy).get("/").text(), "here");
    let risen = proxy.resident().saturating_sub(before);
    assert!(risen < 2 << 20, "the memory rose by {risen} bytes");
    assert_eq!(attack.says(), "reset 2");
    assert_eq!(attack.says(), "reset 2", "and the connection goes on");
    // What the kernel takes for both sides.
    assert!(sent.load(Ordering::Relaxed) < 20 << 20, "{sent:?}");
    let lines = proxy.until_log(3);
    let line = lines.iter().find(|line| line.get("target") == "/large").unwrap();
    assert_eq!(line.get("reason"), "client_stalled");
    proxy.assert_sound();
}

/// B30
#[test]
fn uploads_that_are_stuck_end_and_hold_nobody_up() {
    let endpoint = endpoint();
    let mut proxy = setup(&endpoint).listener("body_timeout = \"500ms\"").start();
    let Some(mut attack) = Attack::start(&proxy, &["stuck uploads"]) else { return };
    assert_eq!(attack.says(), "stuck");
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_eq!(attack.says(), "408 100 served");
    let lines = proxy.until_log(102);
    let of = |reason: &str| lines.iter().filter(|line| line.get("reason") == reason).count();
    assert_eq!((of("request_body_timeout"), of("")), (100, 2));
    until("all to be given up", || endpoint.closed() >= 100);
    proxy.assert_sound();
}

/// B31: a client that was told to go elsewhere and does not. What it has asked for is answered,
/// what it asks for then is not, and it keeps the process for no longer than any other.
#[test]
fn a_client_that_does_not_hear_is_answered_no_more() {
    for ends in [true, false] {
        let (is_over, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (of_script, hears) = (Arc::clone(&is_over), Arc::clone(&heard));
        let endpoint = Endpoint::new(move |caller| {
            caller.read_until(b"\r\n\r\n");
            hears.fetch_add(1, Ordering::SeqCst);
            until("the word", || of_script.load(Ordering::SeqCst) > 0);
            caller.reply("GET", "here");
        });
        let mut proxy = setup(&endpoint).top("drain_timeout = \"1s\"").start();
        let Some(mut attack) = Attack::start(&proxy, &["deaf"]) else { return };
        assert_eq!(attack.says(), "asked");
        until("the request to come", || heard.load(Ordering::SeqCst) == 1);
        proxy.signal(Signal::TERM);
        assert_eq!(attack.says(), "told");
        attack.tell();
        assert_eq!(attack.says(), "asked again");
        if ends {
            is_over.store(1, Ordering::SeqCst);
            assert_eq!(attack.says(), "200 [1]");
        } else {
            assert_eq!(attack.says(), "ended []");
        }
        assert!(proxy.until_ended().success());
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        is_over.store(1, Ordering::SeqCst);
    }
}

/// What waits for the socket belongs to no exchange any more, and is still on its way.
#[test]
#[ignore = "slow: 15 s"]
fn who_reads_slowly_is_not_idle() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            caller.reply(request.method(), &"x".repeat(60_000));
        }
    });
    let mut proxy = setup(&endpoint).listener("idle_timeout = \"500ms\"").start();
    let Some(mut attack) = Attack::start(&proxy, &["slow reader"]) else { return };
    proxy.until_log(100);
    attack.tell();
    assert_eq!(attack.says(), "100");
    proxy.assert_sound();
}

/// Streams take turns, also where one could take all that there is.
#[test]
fn large_replies_leave_room_for_others() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/large" {
                caller.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
                while caller.send([b'x'; 65_536]) {}
                return;
            }
            caller.reply("GET", "here");
        }
    });
    let mut proxy = setup(&endpoint).start();
    let Some(mut attack) = Attack::start(&proxy, &["large replies"]) else { return };
    assert_eq!(attack.says(), "answered");
    proxy.assert_sound();
}

/// What one asks for who never listens is not even read: the answers would have to be kept.
#[test]
fn nothing_is_kept_for_a_client_that_never_listens() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\n", "y".repeat(8000));
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            match request.method() {
                "HEAD" => caller.send(&head),
                _ => caller.reply("GET", "here"),
            };
        }
    });
    let mut proxy = setup(&endpoint).start();
    let before = proxy.resident();
    let Some(mut attack) = Attack::start(&proxy, &["never listens"]) else { return };
    let mut asked = 0;
    // It goes on for as long as all that was asked for is answered.
    let is_answered = |asked: usize| {
        let begun = Instant::now();
        let is_logged = || proxy.log_text().lines().count() >= asked;
        while !is_logged() && begun.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(2));
        }
        is_logged()
    };
    while asked < 3000 && is_answered(asked) {
        attack.tell_it("more");
        assert_eq!(attack.says(), "asked");
        asked += 60;
    }
    let risen = proxy.resident().saturating_sub(before);
    assert!(risen < 8 << 20, "the memory rose by {risen} bytes with {asked} requests");
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    attack.tell_it("listen");
    assert_eq!(attack.says(), format!("True {asked}"));
    proxy.assert_sound();
}

#[test]
fn heads_one_behind_the_other_are_not_slow() {
    let Some((said, mut proxy, _)) =
        said("request_head_timeout = \"300ms\"", "heads without a gap")
    else {
        return;
    };
    assert_eq!(said, "status 200 41");
    proxy.assert_sound();
}

#[test]
fn slow_heads_end() {
    let endpoint = endpoint();
    let lines = "request_head_timeout = \"300ms\"\nidle_timeout = \"60s\"";
    let mut proxy = setup(&endpoint).listener(lines).start();
    for (count, what) in
        ["a slow frame", "slow continuations", "a slow priority"].into_iter().enumerate()
    {
        let Some(mut attack) = Attack::start(&proxy, &[what]) else { return };
        assert_eq!(attack.says(), "11 True", "{what}");
        let count = count as u64 + 1;
        proxy.until_metric("fairwater_faults_total", &["request_head_timeout"], count);
    }
    // And one that does not even get through the preface.
    let mut client = Client::new(&proxy);
    client.send("PRI * HTTP/2.0\r\n\r\nSM");
    assert_eq!(client.read_to_end().1, fairwater_e2e::client::End::Closed);
    proxy.until_metric("fairwater_faults_total", &["request_head_timeout"], 4);
    proxy.assert_sound();
}

/// B34: over TLS is spoken what the handshake has chosen.
#[test]
fn over_tls_the_handshake_decides() {
    let (pki, endpoint) = (Pki::new(), endpoint());
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let mut proxy = Setup::http(&[&endpoint]).listener(&tls).start();
    for (what, expected) in [
        ("h2", "h2 b'\\x00\\x00"),
        ("h1 with h2", "h2 b'"),
        ("h2 with h1", "http/1.1 b''"),
        ("h2 with nothing", "None b''"),
        ("h1", "http/1.1 b'HTTP/1.1 200'"),
    ] {
        let Some(mut attack) = Attack::start(&proxy, &[what, &pki.file("ca.pem")]) else { return };
        let said = attack.says();
        assert!(said.starts_with(expected), "{what}: {said}");
        assert!(!said.contains("400") && !said.contains("HTTP/1.1 2") || what == "h1", "{said}");
    }
    assert_eq!(endpoint.requests().len(), 1);
    proxy.assert_sound();
}

/// B14: browsers send requests for other names of a certificate over the connection that they have.
/// Routes go by the request, and what is asked of clients is the same for all of a listener.
#[test]
fn a_connection_is_good_for_all_names_of_its_listener() {
    let (pki, one, other) = (Pki::new(), Endpoint::echo("one"), Endpoint::echo("other"));
    pki.pair("one", "DNS:one.test,DNS:other.test").pair("other", "DNS:other.test");
    let route = |host: &str, upstream: &str| {
        format!("[[routes]]\nlistener = \"web\"\nhost = {host:?}\nupstream = {upstream:?}\n")
    };
    let tls = format!(
        "tls = [{}, {}]\nclient_auth = {{ ca = {:?} }}",
        pki.table("one"),
        pki.table("other"),
        pki.file("ca.pem")
    );
    let upstream = format!("[upstreams.other]\nendpoints = [{:?}]", other.address);
    let routes = route("one.test", "app") + &route("other.test", "other") + &upstream;
    let mut proxy = Setup::http(&[&one]).without_route().listener(&tls).more(&routes).start();
    let port = proxy.address.rsplit(':').next().unwrap();
    let ask = |host: &str, words: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &pki.file("ca.pem"), "--http2"]);
        command.args(["--resolve", &format!("one.test:{port}:127.0.0.1")]).args(words);
        // The handshake is for one.test.
        command.args(["-H", &format!("Host: {host}"), "-w", " %{http_version} %{http_code}"]);
        let output = command.arg(format!("https://one.test:{port}/")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (cert, key) = (pki.file("one.pem"), pki.file("one.key"));
    let known = ["--cert", &*cert, "--key", &*key];
    assert_eq!(ask("one.test", &known), "one: GET / 0\n 2 200");
    assert_eq!(ask("other.test", &known), "other: GET / 0\n 2 200");
    assert!(ask("third.test", &known).ends_with(" 2 404"));
    // Nobody comes in by another name.
    assert!(ask("other.test", &[]).ends_with(" 000"));
    proxy.assert_sound();
}
