//! Messages over TCP: each goes its own way, over connections that all clients share.

mod attacks;
mod exchange;
mod failures;
mod forms;
mod law;
mod moves;
mod peers;
mod pools;

use fairwater_e2e::{Caller, Client, Endpoint, Setup};

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

/// A listener for messages in front of these endpoints.
fn setup(endpoints: &[&Endpoint]) -> Setup {
    let addresses: Vec<_> = endpoints.iter().map(|one| one.address.as_str()).collect();
    Setup::of("framed", &addresses).listener("frame = \"swoole\"")
}
