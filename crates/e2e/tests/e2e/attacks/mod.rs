//! What a hostile or unlucky peer can bring about, found by attacking the binary: requests that are
//! delivered twice, bytes that are taken for others, replies that are lost on their way, and
//! processes that neither start nor end.

mod closing;
mod delivery;
mod early;
mod edits;
mod endpoints;
mod files;
mod heads;
mod pace;
mod process;
mod queue;
mod resilience;
mod slow;
mod stopping;
mod tcp;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use fairwater_e2e::{Caller, Client, Endpoint};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Longer than the test waits for anything: a script that is stuck must not outlive it by much.
const GATE_PATIENCE: Duration = Duration::from_secs(60);

/// Where a script waits until the test lets it go on: each opening lets one pass.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let openings = self.0.0.lock().unwrap();
        let is_shut = |openings: &mut usize| *openings == 0;
        let waited = self.0.1.wait_timeout_while(openings, GATE_PATIENCE, is_shut);
        let (mut openings, _) = waited.unwrap();
        *openings = openings.saturating_sub(1);
    }
}

/// Answers each request with its target, once the gate lets it.
fn held(gate: &Gate) -> Endpoint {
    let gate = gate.clone();
    Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            gate.pass();
            caller.reply(request.method(), request.target());
        }
    })
}

/// What comes up to this text and not a byte more, so that the rest stays unread; empty at the end.
fn read_up_to(caller: &mut Caller, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(text) {
        let byte = caller.read_exactly(1);
        if byte.is_empty() {
            return Vec::new();
        }
        bytes.extend(byte);
    }
    bytes
}

/// The same for a client.
#[track_caller]
fn client_reads_up_to(client: &mut Client, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(text) {
        bytes.extend(client.read_exactly(1));
    }
    bytes
}
