//! Clients that are too many: what becomes of those who are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::onlooker::{measure, p99};
use fairwater_e2e::{Client, Endpoint, Over, Proxy, Setup, until};

use super::clients::Clients;

/// Endpoints of so many slots and so much time.
const SLOTS: usize = 10;
const SERVICE: Duration = Duration::from_millis(20);
/// Of the most that both together do, which is less than a thousand a second by what it takes until
/// a slot has its next request.
const GOODPUT_MIN: f64 = 0.95;
/// Clients that each ask twenty times a second, if they are answered: 70 %, and twice as much.
const CLIENTS_QUIET: usize = 35;
const CLIENTS_TOO_MANY: usize = 100;
const EVERY: Duration = Duration::from_millis(50);
const LASTING: Duration = Duration::from_secs(5);
/// Who waits for a slot waits two times [`SERVICE`] with the queue full: what the machine adds to
/// both is not the proxy's.
const JITTER_MAX: Duration = Duration::from_millis(5);

/// Good answers in a second, and what those waited who got them.
fn goodput(proxy: &Proxy, (clients, every): (usize, Duration)) -> (f64, Duration) {
    let begun = Instant::now();
    let clients = Clients::every(proxy, clients, every);
    until("the time to be over", || begun.elapsed() > LASTING);
    let mut seen = clients.end();
    let time = begun.elapsed();
    assert!(seen.failed().keys().all(|word| *word == "503"), "{:?}", seen.failed());
    seen.0.retain(|call| call.word == "200");
    (seen.0.len() as f64 / time.as_secs_f64(), seen.p99())
}

/// Those that count how many requests each has at a time, and the most of them.
fn endpoints() -> ([Endpoint; 2], Arc<AtomicU64>) {
    let most = Arc::new(AtomicU64::new(0));
    let endpoints = [(); 2].map(|()| {
        let (inside, most) = (AtomicU64::new(0), Arc::clone(&most));
        Endpoint::new(move |caller| {
            while let Some(request) = caller.request() {
                most.fetch_max(inside.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                std::thread::sleep(SERVICE);
                inside.fetch_sub(1, Ordering::AcqRel);
                caller.reply(request.method(), "good");
            }
        })
    });
    (endpoints, most)
}

/// What `run` gives, and what a service takes meanwhile that has no proxy, nor a queue.
fn beside_a_service<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let ([endpoint, _], _) = endpoints();
    let (mut client, is_over) = (Client::connect(&endpoint.address), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let service = scope.spawn(|| {
            let mut took = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(client.get("/").status(), 200);
                took.push(begun.elapsed());
            }
            p99(took)
        });
        let value = run();
        drop(over);
        (value, service.join().unwrap())
    })
}

/// Endpoints never have more than they can do at a time, and those who are served are served as if
/// there were no others.
#[test]
#[ignore = "slow: 20 s"]
fn those_who_are_served_do_not_notice_that_there_are_too_many() {
    measure(too_many);
}

fn too_many() -> Result<(), String> {
    let (endpoints, most) = endpoints();
    let list = endpoints.each_ref().map(|endpoint| {
        let address = &endpoint.address;
        format!("{{ address = {address:?}, max_concurrency = {SLOTS} }}")
    });
    let setup = Setup::http(&endpoints.each_ref()).endpoints(&list.join(", ")).threads(2);
    let mut proxy = setup.upstream("max_queue = 20").start();
    let (_, quiet) = goodput(&proxy, (CLIENTS_QUIET, EVERY));
    // One for each slot, which asks again at once.
    let peak = || goodput(&proxy, (2 * SLOTS, Duration::ZERO)).0;
    let before = peak();
    let ((good, busy), service) = beside_a_service(|| goodput(&proxy, (CLIENTS_TOO_MANY, EVERY)));
    let peak = before.min(peak());
    eprintln!(
        "{good:.0} of {peak:.0} a second, waiting {busy:?}, and {quiet:?} at 70 %, with a service \
         of {service:?}"
    );
    assert!(most.load(Ordering::Acquire) <= SLOTS as u64, "{most:?} at a time");
    proxy.assert_sound();
    let is_good = good >= peak * GOODPUT_MIN && busy <= quiet.max(service) * 2 + JITTER_MAX;
    let error = || format!("{good:.0} of {peak:.0} a second, waiting {busy:?}, before {quiet:?}");
    is_good.then_some(()).ok_or_else(error)
}
