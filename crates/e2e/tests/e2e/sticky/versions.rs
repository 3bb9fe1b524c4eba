//! Whatever clients and endpoints speak.

use std::process::Command;

use fairwater_e2e::peer::node;
use fairwater_e2e::{Endpoint, Peer};

use super::*;

/// What curl gets over HTTP/2 in clear, heads included.
fn curl(proxy: &Proxy, words: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sSi", "--max-time", "20", "--http2-prior-knowledge"]).args(words);
    let output = command.arg(format!("http://{}/", proxy.address)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The cookie in a reply that curl has shown.
fn told(reply: &str) -> Option<String> {
    let line = reply.lines().find_map(|line| line.strip_prefix("set-cookie: seat="))?;
    Some(format!("seat={}", line.split(';').next().unwrap()))
}

#[test]
fn sessions_stay_over_http2() {
    let seats = trio();
    let mut proxy = setup(&seats).listener("http2 = true").start();
    for call in [&[][..], &["-H", "content-type: application/grpc", "-H", "te: trailers"]] {
        let first = curl(&proxy, call);
        let cookie = told(&first).unwrap();
        assert!(first.contains("cache-control: private\r\n"), "{first}");
        let name = first.chars().last().unwrap();
        for _ in 0..6 {
            let field = format!("cookie: a=1; {cookie}; b=2");
            let reply = curl(&proxy, &[call, &["-H", &field]].concat());
            assert!(reply.ends_with(name) && told(&reply).is_none(), "{reply}");
            let place = usize::from(name as u8 - b'1');
            assert_eq!(seats[place].last().field("cookie"), Some("a=1; b=2"));
        }
    }
    check_counts(&proxy, [2, 12, 0, 0]);
    proxy.assert_sound();
}

#[test]
fn sessions_stay_where_handshakes_of_websocket_lead() {
    let accept = |name: &'static str| {
        Endpoint::new(move |caller| {
            while let Some(request) = caller.request() {
                assert_eq!(request.field("cookie"), None);
                caller.send(format!(
                    "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-name: {name}\r\n\r\n"
                ));
            }
        })
    };
    let endpoints = [accept("1"), accept("2"), accept("3")];
    let mut proxy = Setup::http(&endpoints.each_ref()).upstream(SEAT).start();
    let shake = |cookie: &str| {
        let mut client = Client::new(&proxy);
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {cookie}\r\n"
        ));
        let reply = client.response().unwrap();
        assert_eq!(reply.status(), 101, "{reply:?}");
        (reply.field("x-name").unwrap().to_owned(), set(&reply))
    };
    let (name, lines) = shake("");
    let pair = lines[0].split(';').next().unwrap();
    for _ in 0..6 {
        assert_eq!(shake(&format!("Cookie: {pair}\r\n")), (name.clone(), Vec::new()));
    }
    check_counts(&proxy, [1, 6, 0, 0]);
    proxy.assert_sound();
}

#[test]
fn sessions_stay_at_endpoints_of_http2() {
    const SERVER: &str = "
        const server = require('http2').createServer((request, response) => {
            response.setHeader('set-cookie', ['seat=stolen', 'own=1']);
            response.end(process.argv[1] + ' ' + (request.headers.cookie ?? 'none'));
        });
        const tell = () => console.log('listens on 127.0.0.1:' + server.address().port);
        server.listen(0, '127.0.0.1', tell);
        process.stdin.resume().on('end', () => process.exit());";
    let mut servers = Vec::new();
    for name in ["1", "2", "3"] {
        let Some(mut command) = node(SERVER) else { return };
        let peer = Peer::start(command.arg(name));
        let address = peer.word("listens on ");
        servers.push((peer, address));
    }
    let addresses: Vec<_> = servers.iter().map(|(_, address)| address.as_str()).collect();
    let mut proxy = Setup::of("http", &addresses).upstream("http2 = true").upstream(SEAT).start();
    let mut session = Session::default();
    let first = session.ask(&proxy.address, "/").text();
    let cookie = session.cookie.clone().unwrap();
    assert!(first.ends_with(" none"), "{first}");
    for _ in 0..6 {
        let reply = session.ask(&proxy.address, "/");
        assert_eq!((reply.text(), set(&reply)), (first.clone(), vec!["own=1".to_owned()]));
        let mut with = Session { cookie: Some(format!("a=1; {cookie}; b=2")) };
        assert_eq!(with.ask(&proxy.address, "/").text(), first.replace("none", "a=1; b=2"));
    }
    check_counts(&proxy, [1, 12, 0, 0]);
    proxy.assert_sound();
}
