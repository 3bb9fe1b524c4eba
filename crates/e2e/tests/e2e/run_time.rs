//! Endpoints that are added, removed, weighted and rested over the admin socket, while requests
//! run.

use std::fs;
use std::sync::{Mutex, mpsc};

use fairwater_e2e::endpoint::echo;
use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Client, Directory, Endpoint, Manner, NameServer, Proxy, Setup, until};
use rustix::process::Signal;

use crate::names::Load;

/// An order that is carried out.
#[track_caller]
fn order(proxy: &Proxy, method: &str, target: &str, form: &str) -> String {
    let answer = proxy.order(method, target, form);
    assert_eq!(answer.status(), 200, "{method} {target} {form}: {}", answer.text());
    assert_eq!(answer.field("content-type"), Some("application/json"));
    answer.text()
}

/// Who answers the next requests, in turn.
fn answering(proxy: &Proxy, requests: usize) -> String {
    let mut client = Client::new(proxy);
    let name = |text: String| text.split(':').next().unwrap().to_owned();
    (0..requests).map(|_| name(client.get("/").text())).collect()
}

#[track_caller]
fn check_share(proxy: &Proxy, name: char, expected: usize) {
    let names = answering(proxy, 12);
    assert_eq!(names.matches(name).count(), expected, "{names}");
}

fn path(endpoint: &Endpoint) -> String {
    format!("/endpoints/app/{}", endpoint.address.replace('/', "%2F").replace(' ', "%20"))
}

#[test]
fn endpoints_come_and_go_and_no_request_is_lost() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let directory = Directory::new();
    let third = Endpoint::on_unix(&directory.join("a 3.sock"), echo("3"));
    let mut proxy = Setup::http(&[&first]).threads(2).start();
    let load = Load::on(&proxy, 4);
    for _ in 0..5 {
        let added = order(&proxy, "POST", "/endpoints/app", &format!("address={}", second.address));
        assert!(added.contains("\"state\":\"active\"") && added.contains("\"warnings\":[]"));
        let form = format!("address={}&weight=2", third.address.replace(' ', "%20"));
        order(&proxy, "POST", "/endpoints/app", &form);
        assert!(answering(&proxy, 12).contains('3'));
        order(&proxy, "DELETE", &path(&first), "");
        assert!(!answering(&proxy, 12).contains('1'));
        order(&proxy, "POST", "/endpoints/app", &format!("address={}", first.address));
        order(&proxy, "DELETE", &path(&second), "");
        order(&proxy, "DELETE", &path(&third), "");
        // Once it is answered, nothing new goes there.
        let before = second.requests().len();
        assert_eq!(answering(&proxy, 12), "111111111111");
        assert_eq!(second.requests().len(), before);
    }
    assert!(load.end() > 100);
    assert!(proxy.log().iter().all(|line| line.number("status") == 200));
    until("the connections to those who are gone to end", || {
        second.closed() == second.accepted() && third.closed() == third.accepted()
    });
    proxy.assert_sound();
}

/// Numbers of endpoints are given out again; what was counted under one before is not the next
/// one's, and nothing is counted down twice.
#[test]
fn counts_begin_anew_with_each_endpoint() {
    let endpoints = ["1", "2", "3", "4"].map(Endpoint::echo);
    let [first, others @ ..] = &endpoints;
    let mut proxy = Setup::http(&[first]).threads(2).start();
    let load = Load::on(&proxy, 4);
    for endpoint in others.iter().cycle().take(30) {
        let form = format!("address={}", endpoint.address);
        let before = endpoint.requests().len();
        let added = order(&proxy, "POST", "/endpoints/app", &form);
        // It may have had its first requests while the order was carried out, and no more; four at
        // most are on their way.
        let attempts = added.split("\"attempts_total\":").nth(1).unwrap();
        let attempts = attempts.split(',').next().unwrap().parse::<usize>().unwrap();
        assert!(attempts <= endpoint.requests().len() - before + 4, "{added}");
        answering(&proxy, 4);
        order(&proxy, "DELETE", &path(endpoint), "");
    }
    load.end();
    for endpoint in others {
        order(&proxy, "POST", "/endpoints/app", &format!("address={}", endpoint.address));
    }
    let gauges = ["_in_flight", "_connections", "_connections_idle"];
    for endpoint in &endpoints {
        for gauge in gauges {
            let name = format!("fairwater_endpoint{gauge}");
            let value = proxy.metric(&name, &[&endpoint.address]);
            assert!(value < 10, "{name} of {}: {value}", endpoint.address);
        }
    }
    proxy.assert_sound();
}

/// Who reads what the process says shall see why traffic moves.
#[test]
fn each_change_is_said() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let mut proxy = Setup::http(&[&first]).start();
    let (one, two) = (&first.address, &second.address);
    order(&proxy, "POST", "/endpoints/app", &format!("address={two}&weight=3"));
    order(&proxy, "POST", &path(&first), "weight=5&state=drain");
    order(&proxy, "POST", &path(&first), "weight=5");
    order(&proxy, "POST", &path(&first), "state=active");
    order(&proxy, "DELETE", &path(&second), "");
    assert_eq!(proxy.order("POST", &path(&first), "weight=x").status(), 400);
    let over = "over the admin socket";
    let removed = format!("app: {two} is removed {over}, until the next reload\n");
    until("the last line", || proxy.said().contains(&removed));
    let said = proxy.said();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("admin socket:")).collect();
    for (line, expected) in lines.iter().zip([
        format!("app: {two} is added {over}: weight=3, until the next reload"),
        format!("app: {one} is set {over}: weight=5 state=drain, until the next reload"),
        format!("app: {one} is set {over}: state=active, until the next reload"),
    ]) {
        assert!(line.ends_with(&expected), "{expected}\n{said}");
    }
    assert_eq!(lines.len(), 3, "what changes nothing is not said: {said}");
    proxy.assert_sound();
}

#[test]
fn weights_are_set_and_taken_back() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let mut proxy = Setup::http(&[&first, &second]).start();
    for (form, share) in [("weight=5", 10), ("weight=0", 0), ("weight=2", 8), ("weight=default", 6)]
    {
        order(&proxy, "POST", &path(&first), form);
        check_share(&proxy, '1', share);
    }
    // Parameters may stand in the query as well, as curl -X POST has them.
    order(&proxy, "POST", &format!("{}?weight=0", path(&first)), "");
    check_share(&proxy, '1', 0);
    proxy.assert_sound();
}

#[test]
fn who_rests_finishes_what_runs() {
    for state in ["drain", "maintenance"] {
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let first = Endpoint::new(move |caller| {
            while let Some(request) = caller.request() {
                if request.target() == "/slow" {
                    gate.lock().unwrap().recv().ok();
                }
                caller.reply(request.method(), "1: ");
            }
        });
        let second = Endpoint::echo("2");
        let mut proxy = Setup::http(&[&first, &second]).upstream("idle_timeout = \"10m\"").start();
        // One connection in the pool, one in use.
        assert_eq!(answering(&proxy, 2), "12");
        let mut waiting = Client::new(&proxy);
        let mut pooled = Client::new(&proxy);
        waiting.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        first.until_requests(2);
        answering(&proxy, 1);
        assert!(pooled.get("/").text().starts_with("1:"));
        assert_eq!(first.accepted(), 2);
        // A client may have its answer a moment before the exchange is over.
        let runs = |count: u32| {
            proxy.ask(&path(&first)).text().contains(&format!("\"in_flight\":{count}"))
        };
        until("one to run there", || runs(1));

        let reply = order(&proxy, "POST", &path(&first), &format!("state={state}"));
        assert!(reply.contains(&format!("\"state\":\"{state}\"")), "{reply}");
        assert!(reply.contains("\"in_flight\":1"), "{reply}");
        assert_eq!(answering(&proxy, 6), "222222");
        if state == "maintenance" {
            first.until_closed(1);
        } else {
            assert_eq!(first.closed(), 0, "idle ones may stay");
        }
        go.send(()).unwrap();
        assert_eq!(waiting.response().unwrap().text(), "1: ");
        until("nothing to run there", || runs(0));
        if state == "maintenance" {
            first.until_closed(2);
        }
        order(&proxy, "POST", &path(&first), "state=active");
        check_share(&proxy, '1', 6);
        proxy.assert_sound();
    }
}

#[test]
fn a_raw_connection_outlives_its_endpoint() {
    let script = |caller: &mut fairwater_e2e::Caller| {
        while !caller.read_until(b"\n").is_empty() && caller.send("1\n") {}
    };
    let [first, second] = [Endpoint::new(script), Endpoint::echo("2")];
    let mut proxy = Setup::tcp(&[&first]).start();
    let mut client = Client::new(&proxy);
    let talk = |client: &mut Client| {
        client.send("x\n");
        assert_eq!(client.read_exactly(2), b"1\n");
    };
    talk(&mut client);
    order(&proxy, "POST", "/endpoints/app", &format!("address={}", second.address));
    order(&proxy, "DELETE", &path(&first), "");
    assert!(Client::new(&proxy).get("/").text().starts_with("2:"));
    talk(&mut client);
    // Taken in again, it is the same endpoint, with the connection that it still has.
    let added = order(&proxy, "POST", "/endpoints/app", &format!("address={}", first.address));
    assert!(added.contains("\"connections\":1"), "{added}");
    talk(&mut client);
    proxy.assert_sound();
}

#[test]
fn the_last_endpoint_may_go_and_is_missed() {
    for balance in ["round_robin", "random", "least_connections", "source_hash"] {
        check_last(balance);
    }
}

fn check_last(balance: &str) {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upstream(&format!("balance = \"{balance}\"")).start();
    let reply = order(&proxy, "DELETE", &path(&endpoint), "");
    assert!(reply.contains("has no endpoint left that takes traffic"), "{reply}");
    assert!(reply.contains(&format!("\"removed\":[\"{}\"]", endpoint.address)), "{reply}");
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    order(&proxy, "POST", "/endpoints/app", &format!("address=tcp://{}", endpoint.address));
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    let all = proxy.ask("/endpoints").text();
    assert!(all.contains("\"removed\":[]") && all.contains("\"change\":null"), "{all}");
    proxy.assert_sound();
}

#[test]
fn names_can_be_added_and_their_addresses_rested() {
    let endpoint = Endpoint::echo("e");
    let names = NameServer::new();
    let port = crate::names::common_port(&["127.0.0.1", "127.0.0.2"]);
    let _named = [("127.0.0.1", "1"), ("127.0.0.2", "2")]
        .map(|(ip, name)| Endpoint::at(&format!("{ip}:{port}"), echo(name)));
    let mut proxy = Setup::http(&[&endpoint]).more(&names.table()).start();
    let added = order(&proxy, "POST", "/endpoints/app", &format!("address=app.test:{port}"));
    assert!(added.contains("\"state\":\"unresolved\""), "{added}");
    names.set("app.test", 600, &["127.0.0.1", "127.0.0.2"]);
    until("the name to be found", || proxy.ask("/status").text().contains("\"state\":\"good\""));
    until("both addresses", || answering(&proxy, 12).matches('2').count() == 4);
    let name = format!("/endpoints/app/app.test:{port}");
    assert_eq!(proxy.ask(&name).text().matches("\"state\":\"active\"").count(), 2);
    order(&proxy, "POST", &format!("{name}/127.0.0.2"), "state=drain");
    assert!(!answering(&proxy, 12).contains('2'));
    let refused = proxy.order("DELETE", &format!("{name}/127.0.0.2"), "");
    assert_eq!(refused.status(), 409, "{}", refused.text());
    order(&proxy, "POST", &name, "weight=4");
    let names_of = answering(&proxy, 20);
    assert_eq!((names_of.matches('1').count(), names_of.matches('e').count()), (16, 4));
    order(&proxy, "DELETE", &name, "");
    assert_eq!(answering(&proxy, 3), "eee");
    assert!(proxy.ask("/status").text().contains("\"names\":[]"), "nobody asks any more");
    names.answer("app.test", Manner::Silent);
    proxy.assert_sound();
}

#[test]
fn what_is_set_to_stay_stays() {
    let [first, second, third] = [Endpoint::echo("1"), Endpoint::echo("2"), Endpoint::echo("3")];
    let state = Directory::new();
    // The directory is made at the start.
    let path_of_state = state.join("state");
    let line = format!("state_dir = \"{}\"", path_of_state.display());
    let setup = || Setup::http(&[&first, &second]).top(&line);
    let proxy = setup().start();
    let form = |more: &str| format!("address={}{more}", third.address);
    let kept = order(&proxy, "POST", "/endpoints/app", &form("&weight=4&persist=true"));
    assert!(kept.contains("\"change\":\"kept\""), "{kept}");
    order(&proxy, "DELETE", &format!("{}?persist=true", path(&second)), "");
    let passing = order(&proxy, "POST", &path(&first), "state=drain");
    assert!(passing.contains("\"change\":\"until_reload\""), "{passing}");
    assert_eq!(answering(&proxy, 3), "333");
    drop(proxy);

    let proxy = setup().start();
    let names = answering(&proxy, 10);
    assert_eq!((names.matches('1').count(), names.matches('3').count()), (2, 8), "{names}");
    drop(proxy);

    let file = path_of_state.join("endpoints.toml");
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path_of_state), mode(&file)), (0o700, 0o600));
    fs::write(&file, "version = 1\n[[endpoints]]\nupstream = ").unwrap();
    let mut proxy = setup().start();
    assert!(proxy.said().contains("endpoints.toml cannot be used: "), "{}", proxy.said());
    assert!(path_of_state.join("endpoints.toml.broken").exists());
    check_share(&proxy, '1', 6);
    // What cannot be written changes nothing.
    fs::remove_dir_all(&path_of_state).unwrap();
    let refused = proxy.order("POST", &path(&first), "weight=0&persist=true");
    assert_eq!(refused.status(), 500, "{}", refused.text());
    check_share(&proxy, '1', 6);
    proxy.assert_sound();
}

#[test]
fn a_state_dir_that_cannot_be_is_said() {
    let state = Directory::new();
    fs::write(state.join("file"), "").unwrap();
    let line = format!("state_dir = \"{}\"", state.join("file").display());
    let said = Setup::of("http", &["127.0.0.1:1"]).top(&line).try_start().unwrap_err();
    assert!(said.contains("is no directory"), "{said}");
}

#[test]
fn wrong_orders_are_told_what_to_do() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).start();
    let here = path(&endpoint);
    let taken = format!("address={}", endpoint.address);
    let long = format!("address={}", "x".repeat(20_000));
    for (method, target, form, status, part) in [
        ("GET", "/nowhere", "", 404, "there is no page /nowhere"),
        ("GET", "/endpoints/nobody", "", 404, "there is no upstream `nobody`"),
        ("GET", "/endpoints/app/1.2.3.4:5", "", 404, "has no endpoint `1.2.3.4:5`"),
        ("POST", "/endpoints/nobody", "address=a:1", 404, "there is no upstream `nobody`"),
        ("POST", "/endpoints/app", "", 400, "-d address=127.0.0.1:9001"),
        ("POST", "/endpoints/app", "address=a", 400, "add the port, as in `a:8080`"),
        ("POST", "/endpoints/app", &*taken, 409, "already"),
        ("POST", "/endpoints/app", "address=a:1&persist=true", 409, "set `state_dir`"),
        ("POST", "/endpoints/app", "address=a:1&weight=9999", 400, "from 0 to 1000"),
        ("POST", "/endpoints/app", "addres=a:1", 400, "there is no parameter `addres`"),
        ("POST", "/endpoints/app", &*long, 413, "more than 16384 bytes"),
        ("POST", &*here, "", 400, "there is nothing to change"),
        ("POST", &*here, "state=up", 400, "`active`, `drain` and `maintenance`"),
        ("POST", &*here, "address=b:1&weight=1", 400, "cannot be changed"),
        ("POST", "/endpoints/app/1.2.3.4:5", "weight=1", 404, "has no endpoint"),
        ("DELETE", "/endpoints/app/1.2.3.4:5", "", 404, "GET /endpoints/app lists them"),
        ("POST", "/endpoints/app/%zz", "weight=1", 400, "broken escape"),
        ("DELETE", "/endpoints/app", "", 405, "this page takes GET, HEAD, POST"),
        ("POST", "/status", "", 405, "this page takes GET, HEAD"),
    ] {
        let answer = proxy.order(method, target, form);
        let text = answer.text();
        assert_eq!(answer.status(), status, "{method} {target} {form}: {text}");
        assert!(text.contains(part) && text.starts_with("{\"error\":"), "{text}");
        assert!(text.contains("\"help\":\""), "{text}");
    }
    assert_eq!(answering(&proxy, 3), "eee");
    proxy.assert_sound();
}

/// What is in force, from all files, with variables by their names.
#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).top("include = \"more.toml\"");
    let more = "[[routes]]\nlistener = \"web\"\npath = \"/secret\"\nupstream = \"app\"\n\
                request_headers = { set = { authorization = \"Bearer ${PATH}\" } }\n\
                [[routes]]\nlistener = \"web\"\npath = \"/out\"\n\
                redirect = { to = \"https://me:secret@out.example/\" }\n";
    fs::write(setup.directory().join("more.toml"), more).unwrap();
    let mut proxy = setup.start();
    let answer = proxy.ask("/config");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let shown = answer.text();
    for part in [
        "\"authorization\":\"Bearer ${PATH}\"",
        "\"to\":\"https://***@out.example/\"",
        "\"retries\":2",
        "\"access_log\":{\"format\":\"json\",\"path\":",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("include") && !shown.contains(&std::env::var("PATH").unwrap()));
    proxy.assert_sound();
}

/// Directories of ours: made with their modes, and refused where others could put their files.
#[test]
fn directories_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let endpoint = Endpoint::echo("e");
    let setup = || Setup::http(&[&endpoint]);
    let directory = Directory::new();
    let (run, state) = (directory.join("run"), directory.join("state"));
    let lines = |run: &std::path::Path, state: &std::path::Path| {
        format!("run_dir = {run:?}\nstate_dir = {state:?}")
    };
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(setup().top(&lines(&run, &state)).start());
    assert_eq!((mode(&run), mode(&state)), (0o755, 0o700));
    // Once more, over what is there.
    drop(setup().top(&lines(&run, &state)).start());
    fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
    let said = setup().top(&lines(&run, &state)).try_start().err().unwrap();
    assert!(said.contains("run_dir: others may write to"), "{said}");
    let file = directory.join("file");
    fs::write(&file, "").unwrap();
    let said = setup().top(&lines(&file, &state)).try_start().err().unwrap();
    assert!(said.contains("is no directory"), "{said}");
    let deep = directory.join("a/b");
    let said = setup().top(&lines(&deep, &state)).try_start().err().unwrap();
    assert!(said.contains("the directory above it is not there"), "{said}");
}

/// Without `[admin]` the socket is in `run_dir`.
#[test]
fn the_admin_socket_is_in_run_dir() {
    let endpoint = Endpoint::echo("e");
    let directory = Directory::new();
    let run = directory.join("run");
    let text = format!(
        "run_dir = {run:?}\naccess_log.format = \"off\"\n[listeners.web]\nbind = \"127.0.0.1:0\"\n\
         upstream = \"app\"\n[upstreams.app]\nendpoints = [{:?}]\n",
        endpoint.address
    );
    fs::write(directory.join("fairwater.toml"), text).unwrap();
    let file = directory.join("fairwater.toml");
    let _proxy = Proxy::start(directory, &[]).unwrap();
    let mut command = std::process::Command::new(fairwater_e2e::proxy::binary());
    let output = command.args(["status", "-c"]).arg(&file).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("web"));
    assert!(run.join("admin.sock").exists());
}

#[test]
fn what_is_set_outlives_a_crash_and_an_upgrade_but_no_reload() {
    let [first, second] = [Endpoint::echo("1"), Endpoint::echo("2")];
    let proxy = Setup::http(&[&first, &second]).upgradable().start();
    order(&proxy, "POST", &path(&first), "state=drain");
    assert_eq!(answering(&proxy, 4), "2222");
    for _ in 0..2 {
        signal_to(proxy.worker_id(), Signal::KILL);
        assert_eq!(answering(&proxy, 4), "2222");
        proxy.upgrade_well();
        assert_eq!(answering(&proxy, 4), "2222");
    }
    proxy.reload_well();
    assert!(answering(&proxy, 4).contains('1'));
    signal_to(proxy.worker_id(), Signal::KILL);
    assert!(answering(&proxy, 4).contains('1'));
}
