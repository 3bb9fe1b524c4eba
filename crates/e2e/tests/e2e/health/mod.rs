//! Which endpoints get traffic: by checks, by what becomes of requests, and by what they ask for.

mod checks;
mod ejection;
mod peers;
mod roles;
mod surviving;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use fairwater_e2e::{Caller, Client, Endpoint, Proxy, Setup, until};

/// Checks that come quickly after one another.
const OFTEN: &str =
    "health = { path = \"/healthz\", interval = \"50ms\", fast_interval = \"20ms\" }";
/// Checks of which there is one, at the start.
const ONCE: &str = "health = { path = \"/healthz\", interval = \"1h\", fast_interval = \"1h\" }";

/// An endpoint that answers with its name, and with statuses of the test's choice: one for checks,
/// and one for other requests. 0 is to close without an answer.
struct Patient {
    endpoint: Endpoint,
    health: Arc<AtomicU16>,
    answer: Arc<AtomicU16>,
}

impl Patient {
    fn new(name: &'static str, health: u16) -> Self {
        let (health, answer) = (Arc::new(AtomicU16::new(health)), Arc::new(AtomicU16::new(200)));
        let endpoint = Endpoint::new(script(name, &health, &answer));
        Self { endpoint, health, answer }
    }

    fn is_now(&self, health: u16) {
        self.health.store(health, Ordering::Release);
    }

    fn answers(&self, status: u16) {
        self.answer.store(status, Ordering::Release);
    }

    fn checks(&self) -> usize {
        self.endpoint.requests().iter().filter(|one| one.target().starts_with("/healthz")).count()
    }
}

fn script(
    name: &'static str,
    health: &Arc<AtomicU16>,
    answer: &Arc<AtomicU16>,
) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    let (health, answer) = (Arc::clone(health), Arc::clone(answer));
    move |caller| {
        while let Some(request) = caller.request() {
            let is_check = request.target().starts_with("/healthz");
            let status = if is_check { &health } else { &answer }.load(Ordering::Acquire);
            let (len, head) = (name.len(), request.method() == "HEAD");
            let body = if head { "" } else { name };
            if status == 0 {
                return;
            }
            caller.send(format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n\r\n{body}"));
        }
    }
}

fn setup(patients: &[&Patient]) -> Setup {
    let endpoints: Vec<_> = patients.iter().map(|patient| &patient.endpoint).collect();
    Setup::http(&endpoints)
}

/// The text of a field of an endpoint, as the admin socket has it.
fn field(proxy: &Proxy, endpoint: &Endpoint, name: &str) -> String {
    field_of(proxy, &endpoint.address, name)
}

fn field_of(proxy: &Proxy, address: &str, name: &str) -> String {
    let all = proxy.ask("/endpoints/app").text();
    let start = format!("\"address\":\"{address}\"");
    let own = all.split(&start).nth(1).unwrap_or_else(|| panic!("{start}: {all}"));
    let own = own.split(&format!("\"{name}\":")).nth(1).unwrap();
    let quoted = own.strip_prefix('"').map(|rest| rest.split('"').next().unwrap());
    quoted.unwrap_or_else(|| own.split([',', '}']).next().unwrap()).to_owned()
}

fn state(proxy: &Proxy, endpoint: &Endpoint) -> String {
    field(proxy, endpoint, "state")
}

#[track_caller]
fn until_state(proxy: &Proxy, endpoint: &Endpoint, expected: &str) {
    until(&format!("{} to be {expected}", endpoint.address), || state(proxy, endpoint) == expected);
}

/// Who answers the next requests, each over a connection of its own.
fn answering(proxy: &Proxy, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| Client::new(proxy).get("/").text()).collect()
}

#[track_caller]
fn until_answering(proxy: &Proxy, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|name| (*name).to_owned()).collect();
    until(&format!("{expected:?} to answer"), || answering(proxy, 8) == expected);
}
