//! Sessions that stay with their endpoint.

mod cookies;
mod moves;
mod surviving;
mod versions;

use std::collections::BTreeMap;

use fairwater_e2e::{Client, Message, Proxy, Setup};

use crate::patient::{Patient, trio};

/// The name of the cookie in most tests.
const SEAT: &str = "sticky = { cookie = \"seat\" }";

fn setup(seats: &[Patient]) -> Setup {
    let endpoints: Vec<_> = seats.iter().map(|seat| &seat.endpoint).collect();
    Setup::http(&endpoints).upstream(SEAT)
}

/// The lines in which a reply sets cookies.
fn set(reply: &Message) -> Vec<String> {
    reply.all("set-cookie").map(str::to_owned).collect()
}

/// A client with a memory for the one cookie.
#[derive(Default)]
struct Session {
    cookie: Option<String>,
}

impl Session {
    /// One that has begun, and who answers it.
    fn begun(proxy: &Proxy) -> (Self, String) {
        let mut session = Self::default();
        let name = session.get(proxy);
        assert!(session.cookie.is_some());
        (session, name)
    }

    /// One that is at this endpoint.
    fn at(proxy: &Proxy, name: &str) -> Self {
        let found = (0..100).map(|_| Self::begun(proxy)).find(|(_, own)| own == name);
        found.unwrap_or_else(|| panic!("nobody is at {name}")).0
    }

    /// Sends a request over a connection of its own. Returns who has answered it.
    #[track_caller]
    fn get(&mut self, proxy: &Proxy) -> String {
        let reply = self.ask(&proxy.address, "/");
        assert_eq!(reply.status(), 200, "{reply:?}");
        reply.text()
    }

    #[track_caller]
    fn ask(&mut self, address: &str, target: &str) -> Message {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n"));
        let mut client = Client::connect(address);
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\n{}\r\n",
            cookie.unwrap_or_default()
        ));
        let reply = client.response().unwrap();
        let pairs = set(&reply).into_iter().map(|line| line.split(';').next().unwrap().to_owned());
        if let Some(pair) = pairs.into_iter().find(|pair| pair.starts_with("seat=")) {
            assert_ne!(Some(&pair), self.cookie.as_ref(), "it is told again");
            self.cookie = Some(pair);
        }
        reply
    }
}

/// What has become of sessions, in the words of the metric.
fn counts(proxy: &Proxy) -> BTreeMap<&'static str, u64> {
    let count = |what: &'static str| {
        let label = format!("session=\"{what}\"");
        let all = ["upstream=\"app\"", &label];
        (what, proxy.metric("fairwater_sticky_requests_total", &all))
    };
    ["new", "kept", "moved", "refused"].map(count).into()
}

#[track_caller]
fn check_counts(proxy: &Proxy, expected: [u64; 4]) {
    let [new, kept, moved, refused] = expected;
    let expected = [("new", new), ("kept", kept), ("moved", moved), ("refused", refused)];
    assert_eq!(counts(proxy), expected.into());
}

#[test]
fn sessions_stay_over_a_thousand_requests() {
    let seats = trio();
    let mut proxy = setup(&seats).threads(2).start();
    let mut sessions: Vec<_> = (0..30).map(|_| Session::begun(&proxy)).collect();
    for name in ["1", "2", "3"] {
        assert!(sessions.iter().any(|(_, own)| own == name), "nobody is at {name}");
    }
    for round in 0..1000 {
        let (session, name) = &mut sessions[round % 30];
        let before = session.cookie.clone();
        assert_eq!(session.get(&proxy), *name);
        assert_eq!(session.cookie, before);
    }
    check_counts(&proxy, [30, 1000, 0, 0]);
    proxy.assert_sound();
}

#[test]
fn clients_stay_by_their_address_over_http_and_tcp() {
    let seats = trio();
    let addresses = seats.iter().map(|seat| format!("{:?}", seat.address())).collect::<Vec<_>>();
    let tcp = format!(
        "[listeners.tcp]\nprotocol = \"tcp\"\nbind = \"127.0.0.1:0\"\nupstream = \"raw\"\n\
         [upstreams.raw]\nsticky = \"address\"\nendpoints = [{}]\n",
        addresses.join(", ")
    );
    let endpoints: Vec<_> = seats.iter().map(|seat| &seat.endpoint).collect();
    let mut setup = Setup::http(&endpoints).upstream("sticky = \"address\"").more(&tcp);
    setup = setup.listener("trusted_proxies = [\"127.0.0.1\"]");
    let mut proxy = setup.start();
    let raw = proxy.address_of("tcp");
    let by_http = |client: usize| {
        let mut own = Client::new(&proxy);
        own.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{client}\r\n\r\n"));
        let reply = own.response().unwrap();
        assert!(set(&reply).is_empty());
        reply.text()
    };
    let found: Vec<_> = (0..30).map(by_http).collect();
    for name in ["1", "2", "3"] {
        assert!(found.iter().any(|own| own == name), "nobody is at {name}");
    }
    for _ in 0..3 {
        assert_eq!((0..30).map(by_http).collect::<Vec<_>>(), found);
    }
    let by_tcp = |own: &str| {
        let socket =
            fairwater_e2e::Socket::connect_from(own.parse().unwrap(), raw.parse().unwrap());
        Client::of(socket.unwrap()).get("/").text()
    };
    for own in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        let first = by_tcp(own);
        assert!((0..4).all(|_| by_tcp(own) == first));
    }
    proxy.assert_sound();
}
