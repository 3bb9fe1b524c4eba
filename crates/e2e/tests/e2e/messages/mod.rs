//! Messages over TCP: each goes its own way, over connections that all clients share.

mod attacks;
mod exchange;
mod failures;
mod forms;
mod law;
mod moves;
mod peers;
mod pools;

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use fairwater_e2e::{Caller, Client, Endpoint, Proxy, Setup};

/// Of a listener with a text for everything that can go wrong.
const ERRORS: &str =
    "on_error = { connect = \"down\", full = \"busy\", timeout = \"late\", closed = \"gone\" }";
/// Those that clients get with it.
const TEXTS: [&str; 4] = ["down", "busy", "late", "gone"];

/// A message as `frame = "swoole"` has it.
fn framed(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// What a client does.
trait Messages {
    fn say(&mut self, body: impl AsRef<[u8]>);
    fn hear(&mut self) -> Vec<u8>;

    fn ask(&mut self, body: impl AsRef<[u8]>) -> String {
        self.say(body);
        String::from_utf8(self.hear()).unwrap()
    }
}

impl Messages for Client {
    fn say(&mut self, body: impl AsRef<[u8]>) {
        self.send(framed(body));
    }

    fn hear(&mut self) -> Vec<u8> {
        let length = self.read_exactly(4).try_into().unwrap();
        self.read_exactly(u32::from_be_bytes(length) as usize)
    }
}

fn clients(proxy: &Proxy, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::new(proxy)).collect()
}

/// Each says this, and whose it is.
fn say_all(clients: &mut [Client], text: &str) {
    for (n, client) in clients.iter_mut().enumerate() {
        client.say(format!("{text} of {n}"));
    }
}

/// Each hears the reply to that: the same, perhaps behind the name of an endpoint.
#[track_caller]
fn hear_all(clients: &mut [Client], text: &str) -> Vec<String> {
    let mut replies = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        let reply = String::from_utf8(client.hear()).unwrap();
        let own = format!("{text} of {n}");
        let head = reply.strip_suffix(&own);
        assert!(head.is_some_and(|head| head.is_empty() || head.ends_with(' ')), "{own}: {reply}");
        replies.push(reply);
    }
    replies
}

#[track_caller]
fn ask_all(clients: &mut [Client], text: &str) -> Vec<String> {
    say_all(clients, text);
    hear_all(clients, text)
}

/// The next message at an endpoint; `None` at the end.
fn heard(caller: &mut Caller) -> Option<Vec<u8>> {
    let length = <[u8; 4]>::try_from(caller.read_exactly(4)).ok()?;
    let length = u32::from_be_bytes(length) as usize;
    let body = caller.read_exactly(length);
    (body.len() == length).then_some(body)
}

/// Answers each message with its name, the number of the connection, and the message.
fn answering(name: &'static str) -> Endpoint {
    Endpoint::new(answer(name))
}

fn answer(name: &'static str) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    move |caller| {
        while let Some(body) = heard(caller) {
            let head = format!("{name}{} ", caller.number);
            if !caller.send(framed([head.as_bytes(), &body].concat())) {
                return;
            }
        }
    }
}

/// Sends each message back. Those that it holds wait until they are let go, each by one word, or
/// all by the end of whoever says it.
fn gated(holds: fn(&[u8]) -> bool) -> (Sender<()>, Endpoint) {
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(body) = heard(caller) {
            if holds(&body) {
                gate.lock().unwrap().recv().ok();
            }
            if !caller.send(framed(body)) {
                return;
            }
        }
    });
    (go, endpoint)
}

/// A listener for messages in front of these endpoints.
fn setup(endpoints: &[&Endpoint]) -> Setup {
    let addresses: Vec<_> = endpoints.iter().map(|one| one.address.as_str()).collect();
    Setup::of("framed", &addresses).listener("frame = \"swoole\"")
}
