//! Clients that ask one thing after the other, and count what they saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fairwater_e2e::onlooker::p99;
use fairwater_e2e::{Broken, Client, Proxy, Socket, until};

pub(super) const CLIENTS: usize = 8;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Clients {
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<Call>>>,
}

/// One request: when it began, how long it took, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) begun: Instant,
    pub(super) took: Duration,
    pub(super) word: String,
}

/// All that the clients saw.
#[derive(Debug)]
pub(super) struct Seen(pub(super) Vec<Call>);

impl Clients {
    /// They go on until `end`.
    pub(super) fn start(proxy: &Proxy) -> Self {
        Self::after(proxy, (CLIENTS, Duration::ZERO), |_| PAUSE)
    }

    /// Each asks as often as this, however long answers take, if they take no longer; one after
    /// the other, or all would ask at once and nobody in between.
    pub(super) fn every(proxy: &Proxy, count: usize, every: Duration) -> Self {
        Self::after(proxy, (count, every), move |took| every.saturating_sub(took))
    }

    fn after(
        proxy: &Proxy,
        (count, spread): (usize, Duration),
        pause: impl Fn(Duration) -> Duration + Copy + Send + 'static,
    ) -> Self {
        let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..count)
            .map(|number| {
                let first = spread * number as u32 / count as u32;
                let address = proxy.address.clone();
                let (is_over, asked) = (Arc::clone(&is_over), Arc::clone(&asked));
                std::thread::spawn(move || {
                    std::thread::sleep(first);
                    ask_on(&address, pause, &is_over, &asked)
                })
            })
            .collect();
        Self { is_over, asked, threads }
    }

    /// Waits for so many more requests.
    #[track_caller]
    pub(super) fn until_asked(&self, more: usize) {
        let enough = self.asked.load(Ordering::Acquire) + more;
        until("clients to ask", || self.asked.load(Ordering::Acquire) >= enough);
    }

    pub(super) fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Release);
        Seen(self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect())
    }
}

fn ask_on(
    address: &str,
    pause: impl Fn(Duration) -> Duration,
    is_over: &AtomicBool,
    asked: &AtomicUsize,
) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut client: Option<Client> = None;
    while !is_over.load(Ordering::Acquire) {
        let begun = Instant::now();
        let open = client.take().or_else(|| Socket::connect(address).ok().map(Client::of));
        let word = match open {
            None => "refused".to_owned(),
            Some(mut open) => {
                open.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let answer = open.response();
                let stays = answer.as_ref().is_ok_and(|answer| !answer.closes());
                client = Some(open).filter(|_| stays);
                word(answer)
            }
        };
        let took = begun.elapsed();
        calls.push(Call { begun, took, word });
        asked.fetch_add(1, Ordering::AcqRel);
        std::thread::sleep(pause(took));
    }
    calls
}

fn word(answer: Result<fairwater_e2e::Message, Broken>) -> String {
    match answer {
        Ok(answer) => answer.status().to_string(),
        Err(Broken::Closed | Broken::Reset) => "ended".to_owned(),
        Err(Broken::ClosedWithin(_) | Broken::ResetWithin(_)) => "cut".to_owned(),
        Err(Broken::TimedOut(_)) => "late".to_owned(),
        Err(Broken::Grammar(error)) => error,
    }
}

impl Seen {
    /// How many failed in which way.
    pub(super) fn failed(&self) -> BTreeMap<&str, usize> {
        let mut failed = BTreeMap::new();
        for call in self.0.iter().filter(|call| call.word != "200") {
            *failed.entry(call.word.as_str()).or_default() += 1;
        }
        failed
    }

    #[track_caller]
    pub(super) fn assert_none_failed(&self) {
        assert!(self.failed().is_empty(), "{:?} of {}", self.failed(), self.0.len());
    }

    /// How many took longer than this.
    pub(super) fn slower_than(&self, limit: Duration) -> usize {
        self.0.iter().filter(|call| call.took > limit).count()
    }

    /// Only those that failed in this way, and no more than so many.
    #[track_caller]
    pub(super) fn assert_failed(&self, word: &str, most: usize) {
        let failed = self.failed();
        assert!(failed.keys().all(|other| *other == word), "{failed:?}");
        let count = failed.get(word).copied().unwrap_or_default();
        assert!(count <= most, "{failed:?} of {}", self.0.len());
    }

    /// When the last of those began that did not go well.
    pub(super) fn last_failure(&self) -> Option<Instant> {
        self.0.iter().filter(|call| call.word != "200").map(|call| call.begun).max()
    }

    /// How long they waited, of each hundred the one that waited longest.
    pub(super) fn p99(&self) -> Duration {
        p99(self.0.iter().map(|call| call.took).collect())
    }
}
