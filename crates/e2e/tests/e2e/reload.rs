//! Another configuration for processes that run: what it changes, and what it leaves alone.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

use crate::names::Load;
use crate::tls::{LOCAL, Pki};

fn answer(proxy: &Proxy) -> String {
    Client::new(proxy).get("/").text()
}

fn addresses(endpoints: &[&Endpoint]) -> String {
    let quoted: Vec<_> = endpoints.iter().map(|one| format!("{:?}", one.address)).collect();
    format!("endpoints = [{}]", quoted.join(", "))
}

/// A port that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn endpoints_change_under_load_and_nothing_is_lost() {
    let all = ["1", "2", "3"].map(Endpoint::echo);
    let [first, second, third] = &all;
    let sets = [[first, second], [second, third], [third, first]].map(|set| addresses(&set));
    let mut proxy = Setup::http(&[first, second]).reloadable().threads(2).start();
    let load = Load::on(&proxy, 4);
    for turn in 0..12 {
        proxy.edit(&sets[turn % 3], &sets[(turn + 1) % 3]);
        proxy.reload_well();
    }
    let worker = proxy.worker_id();
    assert!(load.end() > 100);
    // Whom nobody changes keeps his connections, as one who stays from set to set does.
    proxy.edit("[access_log]", "# nothing\n[access_log]");
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    let accepted: Vec<_> = all.iter().map(Endpoint::accepted).collect();
    proxy.reload_well();
    for _ in 0..10 {
        assert_eq!(Client::new(&proxy).get("/").status(), 200);
    }
    let after: Vec<_> = all.iter().map(Endpoint::accepted).collect();
    let new: usize = after.iter().zip(&accepted).map(|(after, before)| after - before).sum();
    assert!(new <= 2, "{accepted:?} {after:?}: a connection for each thread at the most");
    assert_eq!(proxy.worker_id(), worker);
    proxy.assert_sound();
}

#[test]
fn a_bad_file_changes_nothing() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    let mut open = Client::new(&proxy);
    open.get("/");
    proxy.edit("[access_log]", "threats = 2\n[access_log]");
    let (code, said) = proxy.reload();
    assert_eq!(code, 1);
    assert!(said.contains("error[E0101]") && said.contains("`threads`?"), "{said}");
    assert!(said.contains("all is as before"), "{said}");
    // The same is said where the master speaks.
    until("it to be said", || proxy.said().contains("error[E0101]"));
    assert_eq!(open.get("/").status(), 200);
    proxy.signal(Signal::HUP);
    until("it to be said again", || proxy.said().matches("error[E0101]").count() == 2);
    proxy.edit("threats = 2", "");
    proxy.signal(Signal::HUP);
    until("it to be in force", || proxy.said().contains("is in force"));
    assert_eq!(open.get("/").status(), 200);
}

#[test]
fn listeners_come_move_and_go() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let proxy = Setup::http(&[&first]).reloadable().threads(2).start();
    let mut idle = Client::new(&proxy);
    assert_eq!(idle.get("/").status(), 200);
    let (tcp, unix) = (free_address(), proxy.directory().join("in.sock"));
    let other = format!(
        "[listeners.other]\nbind = [{tcp:?}, \"unix:{}\"]\nupstream = \"other\"\n\
         [upstreams.other]\nendpoints = [{:?}]\n",
        unix.display(),
        second.address
    );
    proxy.edit("[upstreams.app]", &format!("{other}[upstreams.app]"));
    proxy.reload_well();
    let line = format!("other listens on {tcp}");
    until("the new address to be said", || proxy.said().contains(&line));
    let mut at_other = Client::connect(&tcp);
    assert!(at_other.get("/").text().starts_with('2'));
    for mut client in [Client::connect(&tcp), Client::connect(&format!("unix:{}", unix.display()))]
    {
        assert!(client.get("/").text().starts_with('2'));
    }
    // The address is the first listener's from now on.
    let moved = format!("[listeners.web]\nbind = [\"127.0.0.1:0\", {tcp:?}]");
    proxy.edit("[listeners.web]\nbind = \"127.0.0.1:0\"", &moved);
    proxy.edit(&format!("bind = [{tcp:?}, "), "bind = [");
    proxy.reload_well();
    assert!(Client::connect(&tcp).get("/").text().starts_with('1'));
    assert!(at_other.get("/").text().starts_with('2'), "who was there before stays with it");
    assert!(idle.get("/").text().starts_with('1'));
    // Gone: nobody is let in, who is idle is closed, and the file is away.
    proxy.edit(&other.replace(&format!("{tcp:?}, "), ""), "");
    proxy.reload_well();
    assert!(Client::connect(&tcp).get("/").text().starts_with('1'));
    assert!(!unix.exists());
    assert_eq!(at_other.end(), End::Closed);
    assert!(!proxy.ask("/status").text().contains("other"), "{}", proxy.ask("/status").text());
    // Under the same name, for another protocol.
    proxy.edit("protocol = \"http\"", "protocol = \"tcp\"");
    proxy.reload_well();
    let mut raw = Client::connect(&tcp);
    assert!(raw.get("/").text().starts_with('1'));
    assert_eq!(idle.end(), End::Closed);
    assert!(proxy.metric("fairwater_connections_active", &["listener=\"web\""]) == 1);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, unix) = (holder.local_addr().unwrap(), proxy.directory().join("in.sock"));
    let addresses = format!("bind = [\"127.0.0.1:0\", \"unix:{}\", \"{taken}\"]", unix.display());
    proxy.edit("bind = \"127.0.0.1:0\"", &addresses);
    let (code, said) = proxy.reload();
    assert_eq!(code, 1);
    assert!(said.contains(&format!("{taken} is in use by process")), "{said}");
    assert!(!unix.exists());
    assert!(answer(&proxy).starts_with('e'));
    // Who watches the metrics sees it, until it is mended, and over crashes.
    let is = |name: &str, labels: &[&str], value: u64| {
        until(name, || proxy.metric(name, labels) == value);
    };
    is("fairwater_last_reload_good", &[], 0);
    signal_to(proxy.worker_id(), Signal::KILL);
    until("another worker", || proxy.ask("/status").status() == 200);
    is("fairwater_workers_lost_total", &[], 1);
    is("fairwater_last_reload_good", &[], 0);
    drop(holder);
    proxy.reload_well();
    is("fairwater_last_reload_good", &[], 1);
    is("fairwater_reloads_total", &["result=\"bad\""], 1);
    is("fairwater_reloads_total", &["result=\"good\""], 1);
}

/// What no process can change in itself takes another one; the one before finishes what runs.
#[test]
fn fewer_threads_leave_no_socket_alone() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().threads(3).start();
    let second = free_address();
    proxy.edit(
        "upstream = \"app\"\n",
        &format!("upstream = \"app\"\n[listeners.second]\nbind = {second:?}\nupstream = \"app\"\n"),
    );
    proxy.reload_well();
    proxy.edit("threads = 3", "threads = 1");
    proxy.reload_well();
    // The kernel spreads connections over all sockets of an address.
    for _ in 0..60 {
        assert!(answer(&proxy).starts_with('e'));
        assert!(Client::connect(&second).get("/").text().starts_with('e'));
    }
}

#[test]
fn a_setting_of_the_process_takes_a_new_one() {
    let endpoint = Endpoint::echo("e");
    let raw = Endpoint::new(|caller| {
        while let [byte] = *caller.read_exactly(1) {
            caller.send([byte]);
        }
    });
    let address = free_address();
    let more = format!(
        "[listeners.raw]\nbind = {address:?}\nprotocol = \"tcp\"\nupstream = \"raw\"\n\
         [upstreams.raw]\nendpoints = [{:?}]",
        raw.address
    );
    let mut proxy = Setup::http(&[&endpoint]).reloadable().more(&more).start();
    let mut tunnel = std::net::TcpStream::connect(&address).unwrap();
    let mut echo = |byte: u8| {
        tunnel.write_all(&[byte]).unwrap();
        let mut back = [0];
        tunnel.read_exact(&mut back).unwrap();
        assert_eq!(back, [byte]);
    };
    echo(1);
    let first = proxy.worker_id();
    proxy.edit("threads = 1", "threads = 3");
    let said = proxy.reload_well();
    assert!(said.contains("`threads` takes a new process"), "{said}");
    echo(2);
    // The old one answers at the admin socket until it hears that it is replaced.
    let threads = || proxy.ask("/status").text().matches("{\"connections\":").count();
    until("the new process to answer", || threads() == 3);
    assert!(answer(&proxy).starts_with('e'));
    // The replacement has all sockets, and so has one in its place.
    proxy.edit("threads = 3", "threads = 1");
    proxy.reload_well();
    for _ in 0..20 {
        assert!(answer(&proxy).starts_with('e'));
    }
    echo(3);
    drop(tunnel);
    until("the first one to end", || !fs::exists(format!("/proc/{first}")).unwrap());
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

#[test]
fn a_new_process_that_cannot_serve_changes_nothing() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    let worker = proxy.worker_id();
    proxy.edit("[access_log]", "max_connections = 4000000000\n[access_log]");
    let (code, said) = proxy.reload();
    assert_eq!(code, 1);
    assert!(said.contains("max_connections = 4000000000 needs"), "{said}");
    assert!(answer(&proxy).starts_with('e'));
    proxy.edit("max_connections = 4000000000", "");
    proxy.reload_well();
    assert_eq!(proxy.worker_id(), worker);
}

/// Files appear as Kubernetes puts them there: a link that another one replaces.
#[test]
fn files_that_are_watched_are_taken_in_by_themselves() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).without_route();
    let setup = setup.top("watch = true\ninclude = \"maps/now/*.toml\"");
    let map = |name: &str, text: &str| {
        let directory = setup.directory().join("maps").join(name);
        fs::create_dir_all(&directory).unwrap();
        let route = "[[routes]]\nlistener = \"web\"\nrespond";
        let text = format!("{route} = {{ status = 200, body = \"{text}\" }}\n");
        fs::write(directory.join("a.toml"), text).unwrap();
    };
    map("first", "one");
    map("second", "two");
    let now = setup.directory().join("maps").join("now");
    symlink("first", &now).unwrap();
    let proxy = setup.start();
    assert_eq!(answer(&proxy), "one");
    let next = proxy.directory().join("maps").join("next");
    symlink("second", &next).unwrap();
    fs::rename(&next, &now).unwrap();
    until("the other one", || answer(&proxy) == "two");
    // A file of its own, broken and mended.
    proxy.edit("[access_log]", "threats = 2\n[access_log]");
    until("it to be said", || proxy.said().contains("error[E0101]"));
    proxy.edit("threats = 2", "");
    until("it to be in force", || proxy.said().matches("is in force").count() == 2);
    fs::remove_file(now.join("a.toml")).unwrap();
    until("it to be said", || proxy.said().contains("leads nowhere"));
    assert_eq!(answer(&proxy), "two");
}

#[test]
fn limits_change_for_those_who_are_there() {
    let endpoint = Endpoint::echo("e");
    let limits = "max_connections = 1\nwhen_full = \"reject\"\nmax_connections_per_client = 9";
    let proxy = Setup::http(&[&endpoint]).reloadable().listener(limits).start();
    let mut first = Client::new(&proxy);
    assert_eq!(first.get("/").status(), 200);
    let status = || Client::new(&proxy).response().map(|reply| reply.status());
    assert_eq!(status(), Ok(503));
    proxy.edit("max_connections = 1\n", "max_connections = 3\n");
    proxy.reload_well();
    let mut second = Client::new(&proxy);
    assert_eq!((first.get("/").status(), second.get("/").status()), (200, 200));
    proxy.edit("max_connections_per_client = 9", "max_connections_per_client = 2");
    proxy.reload_well();
    assert_eq!(status(), Ok(503));
    proxy.edit("max_connections_per_client = 2", "");
    proxy.reload_well();
    let mut third = Client::new(&proxy);
    assert_eq!((first.get("/").status(), third.get("/").status()), (200, 200));
    // Those who came without a limit do not count as those who came with one.
    proxy.edit("max_connections = 3\n", "max_connections = 9\nmax_connections_per_client = 1\n");
    proxy.reload_well();
    let mut fourth = Client::new(&proxy);
    assert_eq!(fourth.get("/").status(), 200);
    assert_eq!(status(), Ok(503));
    drop((first, second, third));
    until("them to be gone", || proxy.metric("fairwater_connections_active", &[]) <= 1);
    assert_eq!(fourth.get("/").status(), 200);
    assert_eq!(status(), Ok(503));
}

#[test]
fn what_was_set_at_run_time_survives_a_reload_or_not() {
    let [first, second, third] = ["1", "2", "3"].map(Endpoint::echo);
    let setup = Setup::http(&[&first, &second, &third]).reloadable();
    let state = setup.directory().join("state");
    let proxy = setup.top(&format!("state_dir = {state:?}")).start();
    let set = |endpoint: &Endpoint, form: &str| {
        let target = format!("/endpoints/app/{}", endpoint.address);
        assert_eq!(proxy.order("POST", &target, form).status(), 200);
    };
    set(&first, "state=drain");
    set(&second, "state=drain&persist=true");
    let names = |proxy: &Proxy| {
        let mut names: Vec<_> = (0..6).map(|_| answer(proxy)[..1].to_owned()).collect();
        names.sort();
        names.dedup();
        names.concat()
    };
    assert_eq!(names(&proxy), "3");
    proxy.reload_well();
    assert_eq!(names(&proxy), "13");
}

/// A worker that dies while it takes in another configuration is replaced with the one before.
#[test]
fn a_death_in_the_midst_of_it_changes_nothing() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    for _ in 0..3 {
        let worker = proxy.worker_id();
        signal_to(worker, Signal::STOP);
        let reload = std::thread::scope(|scope| {
            let reload = scope.spawn(|| proxy.reload());
            // It has no way to end before the worker does.
            std::thread::sleep(Duration::from_millis(400));
            signal_to(worker, Signal::KILL);
            reload.join().unwrap()
        });
        assert!(reload.0 == 1 && reload.1.contains("was killed by signal 9"), "{reload:?}");
        assert!(answer(&proxy).starts_with('e'));
    }
    proxy.reload_well();
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().start();
    let socket = proxy.directory().join("run").join("master.sock");
    let ask = |text: &[u8]| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(text).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok();
        answer
    };
    assert!(ask(b"nonsense\n").starts_with("2\nthere is no command"));
    assert_eq!(ask(&[0xff; 1000]), "");
    assert!(ask(b"status\n").starts_with("0\nmaster "));
    // Many who say nothing do not keep one who does.
    let idle: Vec<_> =
        (0..16).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    assert!(ask(b"status\n").starts_with("0\nmaster "));
    drop(idle);
    proxy.reload_well();
}

#[test]
fn no_connection_of_other_rules_for_tls_is_used_again() {
    let (pki, other, endpoint) = (Pki::new(), Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let behind = Setup::http(&[&endpoint]).listener(&tls).listener("http2 = false").start();
    let (ca, other_ca) = (pki.file("ca.pem"), other.file("ca.pem"));
    let own = format!("tls = {{ ca = {ca:?} }}");
    let front = Setup::of("http", &[&behind.address]).upstream(&own).reloadable().start();
    let mut before = own;
    for (after, status) in [
        (format!("tls = {{ ca = {other_ca:?} }}"), 502),
        ("tls = { insecure_skip_verify = true }".to_owned(), 200),
        (format!("tls = {{ ca = {ca:?}, server_name = \"app.inside\" }}"), 502),
        (format!("tls = {{ ca = {ca:?} }}"), 200),
        // What it says to a request in clear is no reply.
        (String::new(), 502),
    ] {
        let mut client = Client::new(&front);
        if client.get("/").status() == 200 {
            front.until_metric("fairwater_endpoint_connections_idle", &[], 1);
        }
        front.edit(&before, &after);
        front.reload_well();
        assert_eq!(client.get("/").status(), status, "{after}");
        before = after;
    }
}
