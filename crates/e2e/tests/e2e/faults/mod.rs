//! Endpoints that fail in every manner while clients ask, and clients that are too many: what they
//! saw of it, counted. `cargo xtask faults` compares the same with nginx and
//! HAProxy.

mod clients;
mod network;
mod one_of_three;
mod together;
mod too_many;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use fairwater_e2e::{Caller, Endpoint, Setup, until};

use self::clients::{CLIENTS, Clients};

/// One check interval of two seconds, plus one: later than this behind a fault nothing is wrong.
const RECOVERY_MAX: Duration = Duration::from_secs(3);
/// What one endpoint that fails may cost: the five that complete a row, and what clients ask until
/// all threads have looked for another plan, which they do every 50 ms; on a busy machine later.
const ROW: usize = 5 + 10 * CLIENTS;
/// Requests that are enough to see that something goes on.
const SOME: usize = 400;

/// How an endpoint behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Manner {
    Good,
    /// Answers 500 at once.
    Error,
    /// Sends half of a body and a reset.
    Reset,
    /// Reads, and says nothing.
    Silent,
    /// Takes ten times as long.
    Slow,
    /// Every second request is answered with the end of the connection.
    Half,
}

/// An endpoint that can be told how to behave, be ended, and start again at the same address.
struct Unsound {
    endpoint: Option<Endpoint>,
    address: String,
    manner: Arc<AtomicU8>,
    /// Requests but for those of checks.
    asked: Arc<AtomicU64>,
}

const TAKES: Duration = Duration::from_millis(2);

impl Unsound {
    fn new() -> Self {
        let (manner, asked) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU64::new(0)));
        let endpoint = Endpoint::new(script(&manner, &asked));
        let address = endpoint.address.clone();
        Self { endpoint: Some(endpoint), address, manner, asked }
    }

    fn is_now(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::Release);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// Its connections end, and nobody listens any more.
    fn kill(&mut self) {
        self.endpoint = None;
    }

    fn revive(&mut self) {
        let mut endpoint = None;
        until("the port to be free", || {
            let script = script(&self.manner, &self.asked);
            let address = self.address.clone();
            let start = std::panic::AssertUnwindSafe(move || Endpoint::at(&address, script));
            endpoint = std::panic::catch_unwind(start).ok();
            endpoint.is_some()
        });
        self.endpoint = endpoint;
    }
}

fn script(
    manner: &Arc<AtomicU8>,
    asked: &Arc<AtomicU64>,
) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    let (manner, asked) = (Arc::clone(manner), Arc::clone(asked));
    move |caller| {
        while let Some(request) = caller.request() {
            let manner = manner.load(Ordering::Acquire);
            if request.target() == "/healthz" {
                if manner == Manner::Silent as u8 {
                    return caller.until_closed();
                }
                caller.reply(request.method(), "well");
                continue;
            }
            let count = asked.fetch_add(1, Ordering::AcqRel);
            std::thread::sleep(TAKES);
            match manner {
                manner if manner == Manner::Error as u8 => {
                    caller.send("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n");
                    continue;
                }
                manner if manner == Manner::Reset as u8 => {
                    caller.send("HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nhello");
                    return caller.reset();
                }
                manner if manner == Manner::Silent as u8 => return caller.until_closed(),
                manner if manner == Manner::Half as u8 && count.is_multiple_of(2) => return,
                manner if manner == Manner::Slow as u8 => std::thread::sleep(TAKES * 9),
                _ => {}
            }
            caller.reply(request.method(), "good");
        }
    }
}

/// Three endpoints, one of which will fail.
fn three() -> ([Unsound; 3], Setup) {
    let all = [Unsound::new(), Unsound::new(), Unsound::new()];
    let addresses: Vec<_> = all.iter().map(|one| one.address.as_str()).collect();
    let setup = Setup::of("http", &addresses).threads(2);
    (all, setup)
}
