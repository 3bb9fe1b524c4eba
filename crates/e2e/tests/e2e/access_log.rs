//! The access log in formats of the user's own, over sockets, and without anybody's secrets.

use std::io::{BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Line, Proxy, Setup, until, until_some};
use rustix::process::Signal;

/// Answers each request with a few headers.
fn with_headers() -> Endpoint {
    Endpoint::new(|caller| {
        while caller.request().is_some() {
            caller.send(
                "HTTP/1.1 200 OK\r\nX-Cache: hit\r\nVary: a\r\nvary: b\r\nX-Quote: \"a b\"\x09c\r\n\
                 Location: /cb?code=s3cret#x\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    })
}

#[track_caller]
fn until_lines(proxy: &Proxy, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    until("lines in the access log", || {
        lines = proxy.log_text().lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[test]
fn a_template_makes_the_line() {
    let endpoint = with_headers();
    let mut proxy = Setup::http(&[&endpoint])
        .log_as(
            "template = '{listener} {protocol} {method} {host} {target} {status} {bytes_in} \
             {bytes_out} {upstream} {attempts} {reused} {{{request.X-Team}}} {request.x-none} \
             {response.x-cache} [{response.vary}] \"{user_agent}\" {referer} {reason} 100%'",
        )
        .start();
    let mut client = Client::new(&proxy);
    client.send(
        "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nx-team: blue\r\nContent-Length: 3\r\n\
         User-Agent: agent 1.0\r\n\r\nabc",
    );
    assert_eq!(client.response().unwrap().text(), "ok");
    client.get("/");
    let lines = until_lines(&proxy, 2);
    assert_eq!(
        lines[0],
        "web HTTP/1.1 POST a.example /a?b=c 200 3 2 app 1 false {blue} - hit [a, b] \"agent 1.0\" \
         - - 100%"
    );
    assert_eq!(lines[1], "web HTTP/1.1 GET a / 200 0 2 app 1 true {-} - hit [a, b] \"-\" - - 100%");
    proxy.assert_sound();
}

#[test]
fn times_of_a_template_agree() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint])
        .log_as("template = '{time_us} {time_ms} {time_s} {total_us} {total_ms} {total_s} {time} [{time_common}]'")
        .start();
    Client::new(&proxy).get("/");
    let lines = until_lines(&proxy, 1);
    let words: Vec<_> = lines[0].split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    assert_eq!([number(0) / 1_000, number(0) / 1_000_000], [number(1), number(2)]);
    let total_us = number(3);
    assert_eq!(words[4], format!("{}.{:03}", total_us / 1_000, total_us % 1_000));
    assert_eq!(words[5], format!("{}.{:06}", total_us / 1_000_000, total_us % 1_000_000));
    assert!(words[6].ends_with(&format!(".{:06}Z", number(0) % 1_000_000)), "{}", lines[0]);
    assert!(words[7].starts_with('[') && words[8] == "+0000]", "{}", lines[0]);
}

/// The head of the reply is long gone when the line of a tunnel is written, and raw TCP has none.
#[test]
fn what_is_not_there_is_a_dash() {
    let fields = "{protocol} {method} {target} {status} {request.x} {response.x} {user_agent} \
                  {connect_us} {response_us} {reason}";
    let template = format!("template = '{fields}'");
    let switching = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nX: y\r\n\r\n",
        );
        caller.read_to_end();
    });
    let proxy = Setup::http(&[&switching]).log_as(&template).start();
    let mut client = Client::new(&proxy);
    client.send("GET /t HTTP/1.1\r\nHost: a\r\nX: z\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().unwrap().status(), 101);
    client.half_close();
    let line = until_lines(&proxy, 1).remove(0);
    assert!(line.starts_with("HTTP/1.1 GET /t 101 z y - "), "{line}");

    let mut client = Client::new(&proxy);
    client.send("GET /\x01 HTTP/1.1\r\n\r\n");
    client.read_to_end();
    let line = until_lines(&proxy, 2).remove(1);
    assert_eq!(line, "- - - 400 - - - - - bad_request");

    let echo = Endpoint::new(|caller| {
        let bytes = caller.read_exactly(2);
        caller.send(&bytes);
    });
    let proxy = Setup::tcp(&[&echo]).log_as(&template).start();
    let mut client = Client::new(&proxy);
    client.send("hi");
    assert_eq!(client.read_exactly(2), b"hi");
    drop(client);
    let line = until_lines(&proxy, 1).remove(0);
    assert!(line.starts_with("TCP - - - - - - ") && line.ends_with(" - -"), "{line}");
}

#[test]
fn a_reply_of_our_own_has_no_headers_of_an_endpoint() {
    let endpoint = Endpoint::new(|caller| {
        caller.request();
        caller.send("HTTP/1.1 100 Continue\r\nX: interim\r\n\r\nnonsense\r\n\r\n");
    });
    let proxy = Setup::http(&[&endpoint]).log_as("template = '{status} {response.x}'").start();
    Client::new(&proxy).get("/");
    assert_eq!(until_lines(&proxy, 1), ["502 -"]);
}

#[test]
fn no_client_can_add_a_line_or_shift_a_column() {
    let endpoint = with_headers();
    let mut proxy = Setup::http(&[&endpoint])
        .log_as(
            "template = \"{method} {target} {request.x} {status} \\\"{user_agent}\\\" {request.x}|\
             {response.x-quote}\\t{referer},end\"",
        )
        .start();
    let mut client = Client::new(&proxy);
    let hostile = b"a b\" 200 \"x\\n|\t, \xff\xe2\x80\xae$(x)";
    let mut request = b"GET /x?y=\" HTTP/1.1\r\nHost: a\r\n".to_vec();
    for name in ["X: ", "User-Agent: ", "Referer: "] {
        request.extend([name.as_bytes(), hostile, b"\r\n"].concat());
    }
    client.send([&request[..], b"\r\n"].concat());
    assert_eq!(client.response().unwrap().status(), 200);
    let escaped = |sign: &str| {
        let plain = "a b\\u0022 200 \\u0022x\\u005cn|\\u0009, \\u00ff\\u00e2\\u0080\\u00ae$(x)";
        plain.replace(sign, &format!("\\u00{:02x}", sign.as_bytes()[0]))
    };
    let line = until_lines(&proxy, 1).remove(0);
    let expected = format!(
        "GET /x?y=\\u0022 {} 200 \"{}\" {}|\\u0022a b\\u0022\\u0009c\t{},end",
        escaped(" "),
        escaped("\""),
        escaped("|"),
        escaped(","),
    );
    assert_eq!(line, expected);
    proxy.assert_sound();
}

const FORMATS: [&str; 3] = [
    "format = 'json'",
    "format = 'combined'",
    "template = '{time} {target} \"{referer}\" {request.x-original-uri} {response.location}'",
];

#[test]
fn secrets_are_in_no_format() {
    let endpoint = with_headers();
    for format in FORMATS {
        let proxy = Setup::http(&[&endpoint]).log_as(format).start();
        let headers = "Host: a\r\nAuthorization: Bearer s3cret\r\nCookie: sid=s3cret\r\n\
                       X-Original-URI: /a?api_key=s3cret\r\n\
                       Referer: http://me:s3cret@host/?a=1&id_token=s3cret";
        let targets = [
            "/a?b=1&token=s3cret&c=2",
            "/a?%74oken=s3cret",
            "/a?Access-Token=s3cret",
            "/a?user[password]=s3cret",
            "/a?next=%2Fcb%3Fcode%3Ds3cret",
            "/a;jsessionid=s3cret/b",
            "http://a/?X-Amz-Signature=s3cret",
            // These are refused, and logged all the same.
            "http://me:s3cret@a/",
            "me:s3cret@a:80",
            "/a?x=%00&token=s3cret HTTP/1.1\r\nHost: b",
        ];
        for target in targets {
            let mut client = Client::new(&proxy);
            client.send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n\r\n"));
            client.response().unwrap();
        }
        let mut client = Client::new(&proxy);
        client.send(format!("CONNECT me:s3cret@a:80 HTTP/1.1\r\n{headers}\r\n\r\n"));
        client.response().unwrap();
        let lines = until_lines(&proxy, targets.len() + 1);
        for line in &lines {
            assert!(!line.contains("s3cret"), "{format}: {line}");
        }
        assert!(lines[0].contains("/a?b=1&token=***&c=2"), "{}", lines[0]);
        assert!(lines[7].contains("http://***@a/"), "{}", lines[7]);
    }
}

#[test]
fn what_is_hidden_can_be_said() {
    let endpoint = Endpoint::echo("e");
    let log = "template = '{target}'\nhide_query = ['default', 'invite', '*ticket']";
    let proxy = Setup::http(&[&endpoint]).log_as(log).start();
    Client::new(&proxy).get("/?Invite=x&my-ticket=x&token=x&page=2&inviter=y");
    let hidden = "/?Invite=***&my-ticket=***&token=***&page=2&inviter=y";
    assert_eq!(until_lines(&proxy, 1), [hidden]);

    let proxy = Setup::http(&[&endpoint]).log_as("template = '{target}'\nhide_query = '*'").start();
    Client::new(&proxy).get("/?a=b&c=d&e");
    assert_eq!(until_lines(&proxy, 1), ["/?a=***&c=***&e"]);
}

/// A proxy that logs to a socket, and where that is.
fn logging_to_socket(endpoint: &Endpoint) -> (Setup, PathBuf) {
    let setup = Setup::http(&[endpoint]);
    let path = setup.directory().join("log.sock");
    let log = format!("path = \"unix:{}\"", path.display());
    (setup.log(&log), path)
}

fn bind_datagrams(path: &Path) -> UnixDatagram {
    std::fs::remove_file(path).ok();
    let receiver = UnixDatagram::bind(path).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    receiver
}

/// The next datagram, which must be one line.
#[track_caller]
fn line_of(receiver: &UnixDatagram) -> Line {
    let mut datagram = [0; 4096];
    let len = receiver.recv(&mut datagram).unwrap();
    Line::parse(str::from_utf8(&datagram[..len]).unwrap()).unwrap()
}

fn get(proxy: &Proxy, target: &str) {
    assert_eq!(Client::new(proxy).get(target).status(), 200);
}

#[test]
fn a_datagram_is_a_line() {
    let endpoint = Endpoint::echo("e");
    let (setup, path) = logging_to_socket(&endpoint);
    let receiver = bind_datagrams(&path);
    let mut proxy = setup.start();
    let mut client = Client::new(&proxy);
    for n in 0..5 {
        client.get(&format!("/{n}"));
    }
    for n in 0..5 {
        assert_eq!(line_of(&receiver).get("target"), format!("/{n}"));
    }
    proxy.assert_sound();
    assert!(!proxy.said().contains("loses lines"), "{}", proxy.said());
}

#[test]
fn a_receiver_of_datagrams_may_come_late_and_go() {
    let endpoint = Endpoint::echo("e");
    let (setup, path) = logging_to_socket(&endpoint);
    let proxy = setup.start();
    get(&proxy, "/lost");
    proxy.until_metric("fairwater_log_dropped_total", &[], 1);
    let said = until_some("a word about it", || {
        proxy.said().lines().find(|line| line.contains("loses lines")).map(str::to_owned)
    });
    assert!(said.contains("log.sock") && said.contains("No such file"), "{said}");
    // It is looked for from time to time.
    let receiver = bind_datagrams(&path);
    receiver.set_nonblocking(true).unwrap();
    let mut lost = 1;
    until("a line", || {
        get(&proxy, "/maybe");
        lost = proxy.metric("fairwater_log_dropped_total", &[]);
        receiver.recv(&mut [0; 4096]).is_ok()
    });
    receiver.set_nonblocking(false).unwrap();
    get(&proxy, "/last");
    while line_of(&receiver).get("target") != "/last" {}
    // One that is back at once misses nothing.
    drop(receiver);
    let receiver = bind_datagrams(&path);
    get(&proxy, "/again");
    assert_eq!(line_of(&receiver).get("target"), "/again");
    assert!(proxy.metric("fairwater_log_dropped_total", &[]) <= lost + 1);
    let words = proxy.said().lines().filter(|line| line.contains("loses lines")).count();
    assert_eq!(words, 1, "{}", proxy.said());
}

#[test]
fn a_stream_has_the_lines_and_may_be_opened_again() {
    let endpoint = Endpoint::echo("e");
    let (setup, path) = logging_to_socket(&endpoint);
    let listener = UnixListener::bind(&path).unwrap();
    let proxy = setup.start();
    let mut client = Client::new(&proxy);
    for round in 0..3 {
        client.get(&format!("/{round}/0"));
        let stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(&stream).lines();
        for n in 1..50 {
            client.get(&format!("/{round}/{n}"));
        }
        for n in 0..50 {
            let line = Line::parse(&lines.next().unwrap().unwrap()).unwrap();
            assert_eq!(line.get("target"), format!("/{round}/{n}"));
        }
        // All is read, so that nothing is lost with the stream: the next line opens a new one. A
        // process that another test starts may have a copy of it for a moment.
        stream.shutdown(Shutdown::Both).unwrap();
    }
    assert_eq!(proxy.metric("fairwater_log_dropped_total", &[]), 0);
}

/// Neither those whose requests are logged nor the end of the process wait for it.
#[test]
fn a_receiver_that_takes_nothing_stops_nobody() {
    let endpoint = Endpoint::echo("e");
    let (setup, path) = logging_to_socket(&endpoint);
    let receiver = bind_datagrams(&path);
    let mut proxy = setup.start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    let mut sent = 0;
    while proxy.metric("fairwater_log_dropped_total", &[]) == 0 {
        for _ in 0..500 {
            client.get("/");
            sent += 1;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is lost of {sent} lines");
    }
    assert!(proxy.said().contains("takes nothing"), "{}", proxy.said());
    // The best of a few: a busy machine is slow by itself.
    let times = (0..5).map(|_| {
        let asked = Instant::now();
        client.get("/");
        asked.elapsed()
    });
    assert!(times.min() < Some(Duration::from_millis(400)));
    // It wakes up, and has lines again.
    let mut read = 0;
    receiver.set_nonblocking(true).unwrap();
    while receiver.recv(&mut [0; 4096]).is_ok() {
        read += 1;
    }
    assert!(read > 0);
    receiver.set_nonblocking(false).unwrap();
    until("the log to go on", || {
        client.get("/awake");
        line_of(&receiver).get("target") == "/awake"
    });
    for _ in 0..2_000 {
        client.get("/");
    }
    let begun = Instant::now();
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_full_disk_is_told_once() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).log("path = \"/dev/full\"").start();
    for lost in 1..4 {
        get(&proxy, "/");
        proxy.until_metric("fairwater_log_dropped_total", &[], lost);
    }
    until("a word about it", || proxy.said().contains("loses lines"));
    let words = proxy.said().lines().filter(|line| line.contains("No space left")).count();
    assert_eq!(words, 1, "{}", proxy.said());
}

#[test]
fn a_socket_that_is_named_as_a_file_is_explained() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]);
    let path = setup.directory().join("log.sock");
    let _receiver = bind_datagrams(&path);
    let said = setup.log(&format!("path = {path:?}")).try_start().unwrap_err();
    assert!(said.contains(&format!("`unix:{}`", path.display())), "{said}");
}

/// A peer that reads until the end gets the last lines before the process is gone.
#[test]
fn the_end_of_the_process_writes_the_last_lines() {
    let endpoint = Endpoint::echo("e");
    let (setup, path) = logging_to_socket(&endpoint);
    let listener = UnixListener::bind(&path).unwrap();
    let mut proxy = setup.start();
    get(&proxy, "/last");
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(Line::parse(&text).unwrap().get("target"), "/last");
}
