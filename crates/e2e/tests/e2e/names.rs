//! Endpoints by name: looked up at the start and again and again, while requests run.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fairwater_e2e::endpoint::echo;
use fairwater_e2e::{Client, Endpoint, Manner, NameServer, Proxy, Setup, until};

/// A port that is free on several addresses of loopback. The kernel gives ports of 32768 and more
/// to those who ask for any, so that nobody takes this one before the caller does.
pub(crate) fn common_port(addresses: &[&str]) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 200) as u16 * 100;
    let port = || first + NEXT.fetch_add(1, Ordering::Relaxed);
    let is_free = |port: u16| addresses.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok());
    (0..100).map(|_| port()).find(|&port| is_free(port)).unwrap()
}

/// Endpoints that answer with their names, at one port of 127.0.0.1, 127.0.0.2 and so on.
fn row<const N: usize>(names: [&'static str; N]) -> (u16, [Endpoint; N]) {
    let ips: Vec<_> = (1..=N).map(|n| format!("127.0.0.{n}")).collect();
    let port = common_port(&ips.iter().map(String::as_str).collect::<Vec<_>>());
    let mut ips = ips.iter();
    (port, names.map(|name| Endpoint::at(&format!("{}:{port}", ips.next().unwrap()), echo(name))))
}

fn setup(names: &NameServer, address: &str) -> Setup {
    Setup::of("http", &[address]).more(&names.table())
}

fn status_of(proxy: &Proxy) -> String {
    proxy.ask("/status").text()
}

/// Who answers the next requests.
fn answering(proxy: &Proxy, requests: usize) -> BTreeSet<String> {
    let mut client = Client::new(proxy);
    let name = |text: String| text.split(':').next().unwrap().to_owned();
    (0..requests).map(|_| name(client.get("/").text())).collect()
}

#[track_caller]
fn until_answering(proxy: &Proxy, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|name| (*name).to_owned()).collect();
    until(&format!("{expected:?} to answer"), || answering(proxy, 8) == expected);
}

/// Requests without a pause, over new connections and old ones, until it is dropped; all of them
/// must be answered with 200.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Load {
    pub(crate) fn on(proxy: &Proxy, clients: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |n: usize| {
            let (is_over, address) = (Arc::clone(&is_over), proxy.address.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(&address);
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    if count % 50 == n {
                        client = Client::connect(&address);
                    }
                    // Sent at most once: what is lost shows.
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
                    let answer = client.response_to("POST").unwrap();
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    count += 1;
                    if answer.closes() {
                        client = Client::connect(&address);
                    }
                }
                count
            })
        };
        let threads = (0..clients).map(client).collect();
        Self { is_over, threads }
    }

    /// How many requests there were.
    pub(crate) fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

#[test]
fn addresses_come_and_go_and_no_request_is_lost() {
    let (port, endpoints) = row(["1", "2", "3"]);
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1"]);
    let mut proxy = setup(&names, &format!("app.test:{port}")).threads(2).start();
    let load = Load::on(&proxy, 4);
    until_answering(&proxy, &["1"]);
    names.set("app.test", 1, &["127.0.0.2", "127.0.0.1", "127.0.0.3"]);
    until_answering(&proxy, &["1", "2", "3"]);
    names.set("app.test", 1, &["127.0.0.3"]);
    until_answering(&proxy, &["3"]);
    names.set("app.test", 1, &["127.0.0.1", "127.0.0.2"]);
    until_answering(&proxy, &["1", "2"]);
    assert!(load.end() > 100);
    let log = proxy.log();
    assert!(log.iter().all(|line| line.number("status") == 200));
    let identities: BTreeSet<_> = log.iter().map(|line| line.get("endpoint").to_owned()).collect();
    let expected = ["/127.0.0.1", "/127.0.0.2", "/127.0.0.3", ""];
    let expected = expected.map(|end| format!("app.test:{port}{end}")).into_iter().collect();
    assert_eq!(identities, expected);
    // Pooled connections to whom is gone are gone too.
    until("connections to the third to end", || endpoints[2].closed() == endpoints[2].accepted());
    proxy.assert_sound();
}

#[test]
fn an_exchange_outlives_its_address() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let port = common_port(&["127.0.0.1", "127.0.0.2"]);
    let slow = Endpoint::at(&format!("127.0.0.1:{port}"), move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/slow" {
                gate.lock().unwrap().recv().ok();
            }
            caller.reply(request.method(), "slow: ");
        }
    });
    let _other = Endpoint::at(&format!("127.0.0.2:{port}"), echo("other"));
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1"]);
    let mut proxy = setup(&names, &format!("app.test:{port}")).start();
    let mut waiting = Client::new(&proxy);
    waiting.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.until_requests(1);
    names.set("app.test", 1, &["127.0.0.2"]);
    until("the new address", || status_of(&proxy).contains("\"found\":[\"127.0.0.2\"]"));
    until_answering(&proxy, &["other"]);
    go.send(()).unwrap();
    assert_eq!(waiting.response().unwrap().text(), "slow: ");
    // Its connection is not kept: nothing would ever use it.
    until("its connections to end", || slow.closed() == slow.accepted());
    proxy.assert_sound();
}

#[test]
fn names_are_asked_for_when_their_time_is_over_and_not_before() {
    let (port, _endpoints) = row(["1", "2"]);
    let names = NameServer::new();
    names.set("short.test", 1, &["127.0.0.1"]);
    names.set("long.test", 600, &["127.0.0.2"]);
    names.set("none.test", 0, &["127.0.0.2"]);
    let addresses = ["short", "long", "none"].map(|name| format!("{name}.test:{port}"));
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let proxy = Setup::of("http", &addresses).more(&names.table()).start();
    names.until_asked("short.test", 3);
    let passed = begun.elapsed();
    assert!(passed > Duration::from_millis(2900), "{passed:?}");
    assert_eq!(names.asked("long.test"), 1);
    let seconds = passed.as_secs() as usize + 1;
    assert!(names.asked("none.test") <= seconds + 1, "at most once a second");
    assert!(status_of(&proxy).contains("\"name\":\"long.test\",\"state\":\"good\""));
}

/// The order of an answer changes with each: nothing is done about it.
#[test]
fn the_order_of_addresses_means_nothing() {
    let (port, endpoints) = row(["1", "2", "3"]);
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    names.answer("app.test", Manner::Turning);
    let mut proxy =
        setup(&names, &format!("app.test:{port}")).upstream("idle_timeout = \"1m\"").start();
    for _ in 0..2 {
        until_answering(&proxy, &["1", "2", "3"]);
        names.until_asked("app.test", 1);
    }
    assert!(endpoints.iter().all(|endpoint| endpoint.accepted() == 1), "connections stay");
    proxy.assert_sound();
}

#[test]
fn failures_keep_the_last_good_answer() {
    let (port, _endpoints) = row(["1", "2"]);
    let manners = [
        Manner::NoName,
        Manner::Empty,
        Manner::Failing,
        Manner::Silent,
        Manner::Garbage,
        Manner::Slow(Duration::from_secs(1)),
    ];
    std::thread::scope(|scope| {
        for manner in manners {
            scope.spawn(move || check_failure(port, manner));
        }
    });
}

fn check_failure(port: u16, manner: Manner) {
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1"]);
    let mut proxy = setup(&names, &format!("app.test:{port}")).start();
    names.answer("app.test", manner);
    until(&format!("{manner:?} to show"), || {
        status_of(&proxy).contains("\"state\":\"stale\",\"found\":[\"127.0.0.1\"]")
    });
    names.until_asked("app.test", 2);
    until_answering(&proxy, &["1"]);
    let lines = |text: &str| proxy.said().lines().filter(|line| line.contains(text)).count();
    until("the failure to be told", || lines("app.test cannot be looked up: ") > 0);
    assert_eq!(lines("app.test cannot be looked up: "), 1, "{manner:?}: {}", proxy.said());
    names.set("app.test", 600, &["127.0.0.2"]);
    until_answering(&proxy, &["2"]);
    until("the end of it to be told", || lines("app.test can be looked up again") > 0);
    assert_eq!(lines("app.test can be looked up again"), 1, "{manner:?}: {}", proxy.said());
    proxy.assert_sound();
}

#[test]
fn a_name_without_an_address_gets_traffic_when_it_has_one() {
    let (port, _endpoints) = row(["1", "2"]);
    let names = NameServer::new();
    names.set("good.test", 600, &["127.0.0.1"]);
    let addresses = [format!("late.test:{port}"), format!("good.test:{port}")];
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut proxy = Setup::of("http", &addresses).more(&names.table()).start();
    let said = "warning: late.test has no address: there is no such name; its endpoints take no";
    assert!(proxy.said().contains(said), "{}", proxy.said());
    let status = status_of(&proxy);
    let unresolved = format!("\"address\":\"late.test:{port}\",\"state\":\"unresolved\"");
    assert!(status.contains(&unresolved), "{status}");
    until_answering(&proxy, &["1"]);
    assert!(proxy.log().iter().all(|line| line.number("attempts") == 1), "it takes no traffic");
    names.set("late.test", 600, &["127.0.0.2"]);
    until_answering(&proxy, &["1", "2"]);
    assert!(proxy.said().contains("late.test has an address now"), "{}", proxy.said());
    proxy.assert_sound();
}

/// A start does not wait for servers that do not answer, and names are looked up side by side.
#[test]
fn a_start_has_an_end() {
    let (port, _endpoints) = row(["1"]);
    let names = NameServer::new();
    let hosts: Vec<_> = (0..40).map(|n| format!("n{n}.test")).collect();
    for host in &hosts {
        names.set(host, 600, &["127.0.0.1"]);
        names.answer(host, Manner::Silent);
    }
    let addresses: Vec<_> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let mut proxy = Setup::of("http", &addresses).more(&names.table()).start();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    names.answer("n7.test", Manner::Good);
    until("the first answer", || Client::new(&proxy).get("/").status() == 200);
    proxy.assert_sound();
}

#[test]
fn a_service_has_ports_weights_and_priorities() {
    let [first, second, third] = [Endpoint::echo("1"), Endpoint::echo("2"), Endpoint::echo("3")];
    let port = |endpoint: &Endpoint| endpoint.address.rsplit(':').next().unwrap().parse().unwrap();
    let names = NameServer::new();
    names.set("n1.test", 600, &["127.0.0.1"]);
    names.set("n2.test", 600, &["127.0.0.1"]);
    let service = "_http._tcp.app.test";
    let (one, two, three) = (port(&first), port(&second), port(&third));
    let records = [(1, 30, one, "n1.test"), (1, 10, two, "n2.test"), (2, 90, three, "n1.test")];
    names.set_service(service, 1, &records);
    let mut proxy =
        setup(&names, &format!("srv://{service}")).upstream("host = \"endpoint\"").start();
    let mut client = Client::new(&proxy);
    (0..40).for_each(|_| assert_eq!(client.get("/").status(), 200));
    let counts = [&first, &second, &third].map(|endpoint| endpoint.requests().len());
    assert_eq!(counts, [30, 10, 0]);
    let host = first.requests()[0].field("host").map(str::to_owned);
    assert_eq!(host, Some(format!("n1.test:{one}")));
    assert_eq!(proxy.until_log(40)[0].get("endpoint"), format!("srv://{service}/n1.test:{one}"));
    // Only the next priority is left: the hosts of the first are gone, and then its records.
    names.set("n3.test", 1, &["127.0.0.1"]);
    let gone = [(1, 1, one, "gone.test"), (2, 1, three, "n3.test")];
    names.set_service(service, 1, &gone);
    until_answering(&proxy, &["3"]);
    names.set_service(service, 1, &records[..2]);
    until_answering(&proxy, &["1", "2"]);
    names.set_service(service, 1, &records[2..]);
    until_answering(&proxy, &["3"]);
    names.set_service(service, 1, &[]);
    names.until_asked(service, 2);
    until_answering(&proxy, &["3"]);
    assert!(status_of(&proxy).contains("\"state\":\"stale\""));
    proxy.assert_sound();
}

#[test]
fn answers_come_over_tcp_and_through_noise() {
    let (port, _endpoints) = row(["1"]);
    for manner in [Manner::OverTcp, Manner::NoisyGood, Manner::WithoutSix] {
        let names = NameServer::new();
        names.set("app.test", 600, &["127.0.0.1"]);
        names.answer("app.test", manner);
        let mut proxy = setup(&names, &format!("app.test:{port}")).start();
        assert_eq!(answering(&proxy, 3).len(), 1, "{manner:?}");
        assert!(!proxy.said().contains("warning"), "{manner:?}: {}", proxy.said());
        proxy.assert_sound();
    }
    // More than one datagram holds, and more than one server.
    let (dead, names) = (NameServer::new(), NameServer::new());
    dead.set("app.test", 1, &[]);
    dead.answer("app.test", Manner::Silent);
    let many: Vec<_> = (1..=250).map(|n| format!("127.0.1.{n}")).collect();
    let mut many: Vec<_> = many.iter().map(String::as_str).collect();
    many.push("127.0.0.1");
    names.set("app.test", 600, &many);
    names.answer("app.test", Manner::OverTcp);
    let table = format!(
        "[resolver]\nservers = [{:?}, {:?}]\ntimeout = \"100ms\"\n",
        dead.address, names.address
    );
    let proxy = Setup::of("http", &[&format!("app.test:{port}")]).more(&table).start();
    let status = status_of(&proxy);
    assert_eq!(status.matches(&format!("\"address\":\"app.test:{port}/")).count(), 251);
}

/// A pooled connection to the address before is never taken for one to the new address.
#[test]
fn a_name_that_moves_takes_its_connections_along() {
    let (port, endpoints) = row(["1", "2"]);
    let names = NameServer::new();
    names.set("app.test", 1, &["127.0.0.1"]);
    let mut proxy =
        setup(&names, &format!("app.test:{port}")).upstream("idle_timeout = \"1m\"").start();
    let mut client = Client::new(&proxy);
    assert!(client.get("/").text().starts_with("1:"));
    names.set("app.test", 600, &["127.0.0.2"]);
    endpoints[0].until_closed(1);
    until_answering(&proxy, &["2"]);
    let identity = format!("\"address\":\"app.test:{port}\"");
    assert!(status_of(&proxy).contains(&identity), "one address: the name as it was written");
    proxy.assert_sound();
}

#[test]
fn addresses_of_the_other_family_stand_in() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let _six = Endpoint::at(&format!("[::1]:{port}"), echo("6"));
    let names = NameServer::new();
    names.set("app.test", 600, &["::1", "127.0.0.1"]);
    names.set("six.test", 600, &["::1"]);
    let mut proxy = setup(&names, &format!("app.test:{port}")).start();
    assert_eq!(status_of(&proxy).matches("\"state\":\"active\"").count(), 1);
    assert!(Client::new(&proxy).get("/").text().starts_with("6:"));
    assert_eq!(proxy.until_log(1)[0].get("endpoint"), format!("app.test:{port}"));
    proxy.assert_sound();
    let mut proxy = setup(&names, &format!("six.test:{port}")).start();
    until_answering(&proxy, &["6"]);
    proxy.assert_sound();
}

/// Found in /etc/hosts, or known without: no server is asked.
#[test]
fn localhost_is_one_endpoint() {
    let endpoint = Endpoint::echo("e");
    let port = endpoint.address.rsplit(':').next().unwrap();
    let names = NameServer::new();
    let mut proxy = setup(&names, &format!("localhost:{port}")).start();
    assert_eq!(status_of(&proxy).matches("\"state\":\"active\"").count(), 1);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_eq!(proxy.until_log(1)[0].get("endpoint"), format!("localhost:{port}"));
    assert_eq!(names.asked("localhost"), 0);
    proxy.assert_sound();
}
