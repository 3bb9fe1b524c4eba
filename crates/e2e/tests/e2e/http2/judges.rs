//! Clients that nobody here wrote: nghttp and h2load, curl, and Chromium.

use std::process::Command;

use fairwater_e2e::{Directory, Endpoint, Line, Proxy, Setup};

use crate::peers::{Server, free_address, program};
use crate::tls::{LOCAL, Pki};

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One in clear and one over TLS.
fn both(endpoint: &Endpoint, pki: &Pki) -> [(Proxy, String); 2] {
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let start = |setup: Setup, scheme: &str| {
        let proxy = setup.start();
        let url = format!("{scheme}://{}", proxy.address);
        (proxy, url)
    };
    let setup = || Setup::http(&[endpoint]).listener("http2 = true");
    [start(setup(), "http"), start(setup().listener(&tls), "https")]
}

/// An endpoint that answers with as many bytes as the target says, or how many it got.
fn sized() -> Endpoint {
    Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let body = match request.target().trim_start_matches('/').parse::<usize>() {
                Ok(len) => "x".repeat(len),
                Err(_) => format!("{} {}\n", request.body.len(), request.trailers.len()),
            };
            caller.reply(request.method(), &body);
        }
    })
}

/// Frames that others do not make: padding, continuations, priorities, other tables and windows.
#[test]
fn nghttp_gets_what_it_asks_for() {
    let Some(nghttp) = program("nghttp") else { return };
    let (pki, endpoint) = (Pki::new(), sized());
    for (mut proxy, url) in both(&endpoint, &pki) {
        let mut count = 0;
        for words in [
            "",
            "--padding=255",
            "--continuation",
            "--no-dep",
            "--window-bits=12 --connection-window-bits=12",
            "--window-bits=30 --connection-window-bits=30",
            "--header-table-size=0",
            "--header-table-size=65536 --encoder-header-table-size=0",
            "--max-concurrent-streams=1",
            "--trailer=x-sum:5",
            "--expect-continue",
        ] {
            // Three requests for each, all at once.
            let mut command = Command::new(&nghttp);
            command.args(["-n", "-s", "-m", "3"]).args(words.split_whitespace());
            let is_upload = words.contains("trailer") || words.contains("expect");
            if is_upload {
                command.args(["-d", &pki.file("ca.pem")]);
            }
            command.args([format!("{url}/100000"), format!("{url}/1")]);
            let said = said(&mut command);
            let is_good = |line: &&str| line.split_whitespace().nth(4) == Some("200");
            let good = said.lines().filter(is_good).count();
            assert_eq!(good, 6, "{words}: {said}");
            count += good;
        }
        let lines = proxy.until_log(count);
        let is_good = lines.iter().all(|line| line.get("protocol") == "HTTP/2");
        assert!(is_good && lines.iter().all(|line| line.get("reason").is_empty()), "{lines:?}");
        proxy.assert_sound();
    }
    let pem = std::fs::read(pki.file("ca.pem")).unwrap();
    let requests = endpoint.requests();
    let uploads: Vec<_> = requests.iter().filter(|request| request.body == pem).collect();
    assert_eq!(uploads.len(), 24);
    assert_eq!(endpoint.errors(), Vec::<String>::new());
}

#[test]
fn h2load_loses_nothing() {
    let Some(h2load) = program("h2load") else { return };
    let (pki, endpoint) = (Pki::new(), sized());
    let large = Directory::new();
    std::fs::write(large.join("body"), vec![b'x'; 100_000]).unwrap();
    let body = large.join("body").display().to_string();
    for (mut proxy, url) in both(&endpoint, &pki) {
        for (words, target, count) in [
            ("-n 600 -c 3 -m 100", "/1", 600),
            ("-n 60 -c 3 -m 20", "/200000", 60),
            ("-n 60 -c 3 -m 20 -w 14 -W 14", "/200000", 60),
            (&*format!("-n 40 -c 2 -m 20 -d {body}"), "/up", 40),
            // More at a time than there may be: those beyond wait for the others.
            ("-n 600 -c 1 -m 500", "/1", 600),
        ] {
            let mut command = Command::new(&h2load);
            command.args(words.split_whitespace()).arg(format!("{url}{target}"));
            let said = said(&mut command);
            let wanted = format!("{count} succeeded, 0 failed, 0 errored, 0 timeout");
            assert!(said.contains(&wanted), "{words}: {said}");
        }
        assert_eq!(proxy.metric("fairwater_requests_total", &["\"2xx\""]), 1360);
        proxy.assert_sound();
    }
}

/// Over TLS: in clear this curl (7.88) loses count of them, with whatever server.
#[test]
fn curl_asks_for_many_at_once() {
    let Some(curl) = program("curl") else { return };
    let (pki, endpoint) = (Pki::new(), sized());
    let [_, (mut proxy, url)] = both(&endpoint, &pki);
    let mut command = Command::new(&curl);
    command.args(["-sS", "--max-time", "20", "-Z", "--parallel-max", "50", "--cacert"]);
    command.arg(pki.file("ca.pem")).args(["--http2", "-w", "%{http_version} "]);
    command.args(["-o", "/dev/null"]).arg(format!("{url}/1000[000-099]"));
    let said = said(&mut command);
    assert_eq!(said.split_whitespace().filter(|version| *version == "2").count(), 100, "{said}");
    let lines = proxy.until_log(100);
    let bytes: u64 = lines.iter().map(|line| line.number("bytes_out")).sum();
    assert_eq!(bytes, (1_000_000..1_000_100).sum::<u64>());
    proxy.assert_sound();
}

/// Numbers, so that no two places are alike.
fn numbered(from: usize) -> String {
    (from..from + 1_200_000).map(|number| format!("{number:09} ")).collect()
}

/// More than sockets take at once, for readers that take less than comes.
#[test]
fn large_bodies_come_whole() {
    let Some(curl) = program("curl") else { return };
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            let from = request.target().trim_start_matches('/').parse().unwrap();
            caller.reply(request.method(), &numbered(from));
        }
    });
    let (pki, directory) = (Pki::new(), Directory::new());
    for (mut proxy, url) in both(&endpoint, &pki) {
        // See above for the one in clear.
        let numbers =
            if url.starts_with("https") { &["1", "20", "300", "4000"][..] } else { &["5"] };
        let versions = ["--http2-prior-knowledge", "--http1.1"];
        for (version, rate) in versions.map(|version| [(version, "40M"), (version, "1G")]).concat()
        {
            let mut command = Command::new(&curl);
            command.args(["-sS", "--max-time", "20", version, "-Z"]);
            command.args(["--limit-rate", rate, "--cacert", &pki.file("ca.pem"), "-o"]);
            command.arg(directory.join("#1")).arg(format!("{url}/{{{}}}", numbers.join(",")));
            said(&mut command);
            for number in numbers {
                let body = std::fs::read(directory.join(number)).unwrap();
                let expected = numbered(number.parse().unwrap());
                assert!(
                    body == expected.as_bytes(),
                    "{url} {version} {rate} {number}: {}",
                    body.len()
                );
            }
        }
        proxy.assert_sound();
    }
}

/// A page of a hundred and forty parts, uploads, and WebSockets, over HTTP/2 alone.
#[test]
#[ignore = "slow: a browser starts, 4 s"]
fn chromium_loads_a_page() {
    let (Some(chromium), Some(node)) = (program("chromium"), program("node")) else { return };
    let (pki, directory) = (Pki::new(), Directory::new());
    std::fs::write(directory.join("page.js"), include_str!("page.js")).unwrap();
    let address = free_address();
    let mut command = Command::new(node);
    command.arg(directory.join("page.js")).arg(address.rsplit(':').next().unwrap());
    let server = Server::start(address, &mut command);
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let mut proxy = Setup::of("http", &[&server.address]).listener(&tls).start();
    let mut command = Command::new("timeout");
    command.arg("60").arg(chromium).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--ignore-certificate-errors",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", directory.join("browser").display()));
    let page = said(command.arg(format!("https://{}/", proxy.address)));
    assert!(page.contains("seen: h2 140 true."), "{page}");
    let lines = proxy.until_log(146);
    let is_socket = |line: &Line| line.get("target").starts_with("/socket/");
    for line in &lines {
        assert_eq!(line.get("protocol"), "HTTP/2", "{line:?}");
        // Behind the close of a WebSocket the browser resets a stream that has no end yet.
        let is_reset = is_socket(line) && line.get("reason") == "client_aborted";
        assert!(is_reset || line.get("reason").is_empty(), "{line:?}");
    }
    let sockets = lines.iter().filter(|line| is_socket(line));
    let moved = sockets.map(|line| (line.number("bytes_in"), line.number("bytes_out")));
    assert_eq!(moved.collect::<Vec<_>>(), [(19, 11); 3], "a message and a close each");
    // One connection for the page; the browser may open another that it does not use.
    let ports: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line.get("client_port")).collect();
    assert!(ports.len() <= 2, "{ports:?}");
    proxy.assert_sound();
}
