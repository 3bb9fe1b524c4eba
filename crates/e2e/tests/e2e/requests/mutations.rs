//! Inputs that nobody thought of: good messages with random changes, checked by what must hold
//! whatever they are. The seed is printed by a failure.

use std::sync::Mutex;

use fairwater_e2e::chance::given_seed;
use fairwater_e2e::client::End;
use fairwater_e2e::{Broken, Chance, Client, Endpoint, Setup, until};

/// What makes changes by chance.
struct Random(Chance);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }

    /// Changes a message in one to four places.
    fn mutate(&mut self, message: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n\t \0:;,\"0\x7f\x80"[self.below(12)]),
                3 => drop(bytes.splice(at..at, self.pick(pieces).iter().copied())),
                4 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(b'\r');
            }
        }
        bytes
    }
}

const REQUESTS: &[&[u8]] = &[
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
    b"POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nX: y\r\n\r\nhello world",
    b"POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade, x\r\nX: z\r\n\r\n",
    b"PUT /cut HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n",
    b"0\r\n\r\n",
    b" HTTP/1.1\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"\r\n ",
];

/// What reaches the endpoint is canonical, what reaches the client is a response or an end, and the
/// canary hears its own voice.
#[test]
fn mutated_requests_confuse_nobody() {
    let seed = given_seed().unwrap_or(0x5eed_0001);
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut canary = Client::new(&proxy);
    let mut random = Random(Chance::new(seed));
    let mut canaries = 0;
    for round in 0..3000 {
        let bytes = random.mutate(random_of(REQUESTS, round), PIECES);
        let mut client = Client::new(&proxy);
        let cut = random.below(bytes.len());
        client.send_segments(&[&bytes[..cut], &bytes[cut..]]);
        client.half_close();
        let shown = || format!("seed {seed}, round {round}: {}", bytes.escape_ascii());
        let (answer, end) = client.read_to_end();
        assert_ne!(end, End::Open, "{}", shown());
        let is_http = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
        assert!(is_http, "{}: {}", shown(), answer.escape_ascii());
        if round % 10 == 0 {
            canaries += 1;
            let target = format!("/canary/{round}");
            assert_eq!(canary.get(&target).text(), format!("e: GET {target} 0\n"), "{}", shown());
        }
    }
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    proxy.until_metric("fairwater_connections_active", &[], 1);
    let requests = proxy.metric("fairwater_requests_total", &[]) as usize;
    let log = proxy.until_log(requests);
    let forwarded = log.iter().filter(|line| line.get("reason").is_empty()).count();
    let answered = log.iter().filter(|line| line.number("status") == 204).count();
    assert!(forwarded - answered <= endpoint.requests().len(), "answers without a request");
    assert!(forwarded > canaries + 100, "too few were good: {forwarded}");
    assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
    proxy.assert_sound();
}

fn random_of<'a>(from: &[&'a [u8]], round: usize) -> &'a [u8] {
    from[round % from.len()]
}

const REPLIES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nServer: x\r\n\r\nhello world",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n",
];

const REPLY_PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"0\r\n\r\n",
    b"Connection: close\r\n",
    b"\r\n ",
];

/// Whatever an endpoint answers, the client gets canonical HTTP, or a visible break.
#[test]
fn mutated_replies_confuse_nobody() {
    let seed = given_seed().unwrap_or(0x5eed_0002);
    let random = Mutex::new((Random(Chance::new(seed)), 0));
    let last = std::sync::Arc::new(Mutex::new(Vec::new()));
    let of_endpoint = std::sync::Arc::clone(&last);
    let endpoint = Endpoint::new(move |caller| {
        if caller.request().is_some() {
            let (random, round) = &mut *random.lock().unwrap();
            let reply = random.mutate(random_of(REPLIES, *round), REPLY_PIECES);
            *round += 1;
            of_endpoint.lock().unwrap().clone_from(&reply);
            caller.send(&reply);
        }
    });
    let mut proxy = Setup::http(&[&endpoint]).start();
    let mut complete = 0;
    for round in 0..2000 {
        let mut client = Client::new(&proxy);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = loop {
            match client.response_to("POST") {
                Ok(interim) if (100..200).contains(&interim.status()) => {}
                answer => break answer,
            }
        };
        let sent = last.lock().unwrap().escape_ascii().to_string();
        match answer {
            Ok(answer) => {
                complete += usize::from(answer.status() == 200);
                assert_ne!(client.end(), End::Open, "seed {seed}, round {round}: {sent}");
            }
            Err(Broken::ClosedWithin(_) | Broken::ResetWithin(_)) => {}
            Err(broken) => panic!("seed {seed}, round {round}: {broken:?} for {sent}"),
        }
    }
    assert!(complete > 100, "too few were good: {complete}");
    until("all to be over", || proxy.metric("fairwater_connections_active", &[]) == 0);
    proxy.until_log(2000);
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 0);
    proxy.assert_sound();
}
