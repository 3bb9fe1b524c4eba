//! Endpoints that take only so much at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

/// An endpoint that lets nobody go before it is told to, and counts those it has.
struct Busy {
    endpoint: Endpoint,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// How many may go.
    passes: Arc<AtomicUsize>,
}

impl Busy {
    fn new(name: &'static str) -> Self {
        let [inside, most, passes] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let of_script = (Arc::clone(&inside), Arc::clone(&most), Arc::clone(&passes));
        let endpoint = Endpoint::new(move |caller| {
            let (inside, most, passes) = &of_script;
            while let Some(request) = caller.request() {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let less = |left: usize| left.checked_sub(1);
                while passes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                inside.fetch_sub(1, Ordering::SeqCst);
                let body = format!("{name}: {}", request.target());
                caller.reply("GET", &body);
            }
        });
        Self { endpoint, inside, most, passes }
    }

    fn until_inside(&self, count: usize) {
        until(&format!("{count} at the endpoint"), || self.inside.load(Ordering::SeqCst) == count);
    }

    fn lets_go(&self, count: usize) {
        self.passes.fetch_add(count, Ordering::SeqCst);
    }
}

/// Clients that have sent a request each, once all of them have come to where they wait.
fn clients(proxy: &Proxy, targets: &[&str]) -> Vec<Client> {
    let waiting = || proxy.metric("fairwater_upstream_waiting", &["app"]);
    let send = |target: &&str| {
        let (mut client, before) = (Client::new(proxy), waiting());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        until("it waits", || waiting() == before + 1);
        client
    };
    targets.iter().map(send).collect()
}

fn first(proxy: &Proxy, busy: &Busy) -> Client {
    let mut client = Client::new(proxy);
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.until_inside(1);
    client
}

fn limited(busy: &Busy, max: u32) -> Setup {
    let address = &busy.endpoint.address;
    Setup::http(&[]).endpoints(&format!("{{ address = {address:?}, max_concurrency = {max} }}"))
}

#[test]
fn who_is_one_too_many_waits_for_his_turn() {
    let busy = Busy::new("b");
    let mut proxy = limited(&busy, 1).threads(2).start();
    let mut before = first(&proxy, &busy);
    let others = clients(&proxy, &["/2", "/3", "/4"]);
    busy.lets_go(1);
    assert_eq!(before.response().unwrap().text(), "b: /first");
    for (mut client, target) in others.into_iter().zip(["/2", "/3", "/4"]) {
        busy.until_inside(1);
        busy.lets_go(1);
        assert_eq!(client.response().unwrap().text(), format!("b: {target}"));
    }
    assert_eq!(busy.most.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.metric("fairwater_upstream_waiting", &["app"]), 0);
    proxy.assert_sound();
}

#[test]
fn whichever_endpoint_comes_free_is_taken() {
    for balance in ["round_robin", "random", "least_connections", "source_hash"] {
        let [one, two] = [Busy::new("one"), Busy::new("two")];
        let list = [&one, &two].map(|busy| {
            format!("{{ address = {:?}, max_concurrency = 2 }}", busy.endpoint.address)
        });
        let mut proxy = Setup::http(&[])
            .endpoints(&list.join(", "))
            .upstream(&format!("balance = {balance:?}"))
            .start();
        let mut all: Vec<_> = (0..4).map(|_| Client::new(&proxy)).collect();
        for client in &mut all {
            client.send("GET /early HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        one.until_inside(2);
        two.until_inside(2);
        let mut late = clients(&proxy, &["/late"]).pop().unwrap();
        two.lets_go(1);
        two.endpoint.until_requests(3);
        one.lets_go(2);
        two.lets_go(2);
        assert_eq!(late.response().unwrap().text(), "two: /late", "{balance}");
        assert!(all.iter_mut().all(|client| client.response().unwrap().status() == 200));
        proxy.assert_sound();
    }
}

#[test]
fn an_upstream_has_a_limit_over_all_endpoints() {
    let [one, two] = [Busy::new("one"), Busy::new("two")];
    let mut proxy =
        Setup::http(&[&one.endpoint, &two.endpoint]).upstream("max_concurrency = 1").start();
    let mut early = Client::new(&proxy);
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let inside = || one.inside.load(Ordering::SeqCst) + two.inside.load(Ordering::SeqCst);
    until("one is inside", || inside() == 1);
    let mut late = clients(&proxy, &["/late"]).pop().unwrap();
    assert_eq!(inside(), 1);
    one.lets_go(2);
    two.lets_go(2);
    assert_eq!(early.response().unwrap().status(), 200);
    assert_eq!(late.response().unwrap().status(), 200);
    proxy.assert_sound();
}

#[test]
fn the_queue_has_an_end_and_a_deadline() {
    let busy = Busy::new("b");
    let mut proxy = limited(&busy, 1).upstream("max_queue = 1\nqueue_timeout = \"400ms\"").start();
    let mut before = first(&proxy, &busy);
    let begun = Instant::now();
    let mut waiting = clients(&proxy, &["/2"]).pop().unwrap();
    let reply = Client::new(&proxy).get("/3");
    assert_eq!((reply.status(), reply.field("retry-after")), (503, Some("1")));
    assert!(begun.elapsed() < Duration::from_millis(400), "it was refused at once");
    let line = proxy.until_log(1).pop().unwrap();
    assert_eq!((line.get("reason"), line.get("detail")), ("upstream_full", "queue_full"));
    assert_eq!(waiting.response().unwrap().status(), 503);
    assert!(begun.elapsed() >= Duration::from_millis(390));
    let line = proxy.until_log(2).pop().unwrap();
    assert_eq!(line.get("reason"), "upstream_full");
    assert!(line.number("queue_us") >= 390_000 && line.get("connect_us").is_empty(), "{line:?}");
    busy.lets_go(1);
    assert_eq!(before.response().unwrap().status(), 200);
    assert_eq!(busy.endpoint.requests().len(), 1, "no other has come so far");
    proxy.assert_sound();
    let mut proxy = limited(&busy, 1).upstream("max_queue = 0").start();
    let _before = first(&proxy, &busy);
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    busy.lets_go(1);
    proxy.assert_sound();
}

#[test]
fn clients_that_go_away_leave_the_queue() {
    let busy = Busy::new("b");
    let mut proxy = limited(&busy, 1).start();
    let mut before = first(&proxy, &busy);
    let mut all = clients(&proxy, &["/resets", "/closes", "/stays"]);
    let mut stays = all.pop().unwrap();
    drop(all.pop());
    all.pop().unwrap().reset();
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    busy.lets_go(2);
    assert_eq!(before.response().unwrap().status(), 200);
    assert_eq!(stays.response().unwrap().text(), "b: /stays");
    assert_eq!(busy.endpoint.requests().len(), 2);
    let lines = proxy.until_log(4);
    let gone = lines.iter().filter(|line| line.get("reason") == "client_aborted");
    assert_eq!(gone.count(), 2);
    proxy.assert_sound();
}

/// Who waits for room waits for no endpoint and for no network.
#[test]
fn waiting_for_room_is_told_apart_in_the_log() {
    const LONG: Duration = Duration::from_millis(50);
    for limit in ["max_concurrency = 1", "max_connections = 1"] {
        let busy = Busy::new("b");
        let mut proxy = Setup::http(&[&busy.endpoint]).upstream(limit).start();
        let mut before = first(&proxy, &busy);
        let mut late = clients(&proxy, &["/late"]).pop().unwrap();
        let since = Instant::now();
        until("it has waited", || since.elapsed() >= LONG);
        busy.lets_go(2);
        assert_eq!(before.response().unwrap().status(), 200);
        assert_eq!(late.response().unwrap().status(), 200);
        let lines = proxy.until_log(2);
        assert_eq!(lines[0].get("queue_us"), "", "{:?}", lines[0]);
        lines[1].assert_waited(LONG);
        proxy.assert_sound();
    }
}

#[test]
fn urgent_requests_go_first() {
    let busy = Busy::new("b");
    let route = |path: &str, priority: &str| {
        format!(
            "[[routes]]\nlistener = \"web\"\npath = \"/{path}\"\nupstream = \"app\"\npriority = \
             {priority:?}\n"
        )
    };
    let mut proxy = limited(&busy, 1)
        .upstream("max_queue = 3")
        .more(&(route("high", "high") + &route("low", "low")))
        .start();
    let mut before = first(&proxy, &busy);
    let mut all = clients(&proxy, &["/low", "/normal", "/high"]);
    // One more, and the least urgent one has lost its place.
    let mut last = Client::new(&proxy);
    last.send("GET /normal2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut low = all.remove(0);
    assert_eq!(low.response().unwrap().status(), 503);
    busy.lets_go(4);
    assert_eq!(before.response().unwrap().status(), 200);
    for client in all.iter_mut().chain([&mut last]) {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    let requests = busy.endpoint.requests();
    let order: Vec<_> = requests.iter().map(|one| one.target()).collect();
    assert_eq!(order, ["/first", "/high", "/normal", "/normal2"]);
    proxy.assert_sound();
}

#[test]
fn connections_count_on_tcp_and_tunnels_over_http() {
    let endpoint = Endpoint::mirror();
    let list = format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address);
    let mut proxy = Setup::tcp(&[]).endpoints(&list).start();
    let mut one = Client::new(&proxy);
    one.send("one");
    assert_eq!(one.read_exactly(3), b"one");
    let mut two = Client::new(&proxy);
    two.send("two");
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    // One that resets leaves.
    let gone = Client::new(&proxy);
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 2);
    gone.reset();
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    one.half_close();
    assert_eq!(one.end(), End::Closed);
    assert_eq!(two.read_exactly(3), b"two");
    drop(two);
    let line = proxy.until_log(3).pop().unwrap();
    let [queue, connect, total] =
        ["queue_us", "connect_us", "total_us"].map(|name| line.number(name));
    assert!(queue > 0 && queue + connect <= total, "{line:?}");
    proxy.assert_sound();
    let endpoint = Endpoint::new(|caller| {
        caller.read_until(b"\r\n\r\n");
        caller.send("HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        caller.until_closed();
    });
    let list = format!("{{ address = {:?}, max_concurrency = 1 }}", endpoint.address);
    let mut proxy = Setup::http(&[]).endpoints(&list).start();
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut one = Client::new(&proxy);
    one.send(upgrade);
    assert!(String::from_utf8(one.read_exactly(12)).unwrap().contains("101"));
    let mut two = Client::new(&proxy);
    two.send(upgrade);
    proxy.until_metric("fairwater_upstream_waiting", &["app"], 1);
    drop(one);
    assert!(String::from_utf8(two.read_exactly(12)).unwrap().contains("101"));
    drop(two);
    proxy.assert_sound();
}

#[test]
fn a_reload_sets_other_limits() {
    let busy = Busy::new("b");
    let mut proxy = limited(&busy, 1).reloadable().start();
    let mut before = first(&proxy, &busy);
    proxy.edit("max_concurrency = 1", "max_concurrency = 2");
    proxy.reload_well();
    let mut second = Client::new(&proxy);
    second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.until_inside(2);
    let mut third = clients(&proxy, &["/3"]).pop().unwrap();
    busy.lets_go(3);
    for client in [&mut before, &mut second, &mut third] {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    proxy.edit(", max_concurrency = 2", "");
    proxy.reload_well();
    busy.lets_go(1);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.assert_sound();
}
