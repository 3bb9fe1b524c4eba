//! Endpoints that are well, or are not, as a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use fairwater_e2e::{Caller, Endpoint, Message};

/// An endpoint that answers with its name, and with statuses of the test's choice: one for checks,
/// and one for other requests. 0 is to close without an answer.
pub(crate) struct Patient {
    pub(crate) endpoint: Endpoint,
    health: Arc<AtomicU16>,
    answer: Arc<AtomicU16>,
}

impl Patient {
    pub(crate) fn new(name: &'static str, health: u16) -> Self {
        let (health, answer) = (Arc::new(AtomicU16::new(health)), Arc::new(AtomicU16::new(200)));
        let endpoint = Endpoint::new(script(name, &health, &answer));
        Self { endpoint, health, answer }
    }

    pub(crate) fn is_now(&self, health: u16) {
        self.health.store(health, Ordering::Release);
    }

    pub(crate) fn answers(&self, status: u16) {
        self.answer.store(status, Ordering::Release);
    }

    pub(crate) fn address(&self) -> &str {
        &self.endpoint.address
    }

    pub(crate) fn checks(&self) -> usize {
        self.endpoint.requests().iter().filter(|one| is_check(one)).count()
    }

    /// The last request that it got.
    pub(crate) fn last(&self) -> Message {
        self.endpoint.requests().pop().unwrap()
    }
}

/// Those at which all are well.
pub(crate) fn trio() -> [Patient; 3] {
    ["1", "2", "3"].map(|name| Patient::new(name, 200))
}

fn is_check(request: &Message) -> bool {
    request.target().starts_with("/healthz")
}

pub(crate) fn script(
    name: &'static str,
    health: &Arc<AtomicU16>,
    answer: &Arc<AtomicU16>,
) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    let (health, answer) = (Arc::clone(health), Arc::clone(answer));
    move |caller| {
        while let Some(request) = caller.request() {
            let status = if is_check(&request) { &health } else { &answer };
            let status = status.load(Ordering::Acquire);
            let (len, head) = (name.len(), request.method() == "HEAD");
            let body = if head { "" } else { name };
            // As an application does that has a cookie of the same name.
            let own = match request.target() {
                "/sets" => "set-cookie: seat=stolen; Path=/\r\nset-cookie: own=1\r\n",
                _ => "",
            };
            if status == 0 {
                return;
            }
            caller.send(format!("HTTP/1.1 {status} X\r\n{own}content-length: {len}\r\n\r\n{body}"));
        }
    }
}
