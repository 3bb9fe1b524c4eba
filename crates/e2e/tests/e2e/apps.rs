//! Apps: processes that the master starts, watches, replaces and ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fairwater_e2e::proxy::{binary, listen_to, signal_to, text};
use fairwater_e2e::{Client, Proxy, Setup, until, until_some};
use rustix::process::Signal;

use crate::names::Load;
use crate::peers::program;

/// A command that answers with its name and process id.
fn hello(name: &str) -> String {
    let program = binary();
    format!(
        "command = [{program:?}, \"demo-endpoint\", \"--socket\", \"{{socket}}\", \"--name\", {name:?}]\n"
    )
}

fn answer(proxy: &Proxy) -> String {
    let answer = Client::new(proxy).get("/");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.text()
}

/// The same of an app that may take longer to start than the first worker waits for it.
fn first_answer(proxy: &Proxy) -> String {
    until("it to be ready", || Client::new(proxy).get("/").status() == 200);
    answer(proxy)
}

/// Who answered, of `Hello from NAME, process ID.`
fn name(answer: &str) -> &str {
    answer.split(['m', ',']).nth(1).unwrap_or(answer).trim()
}

fn id(answer: &str) -> u32 {
    answer.split("process ").nth(1).unwrap().split('.').next().unwrap().parse().unwrap()
}

fn exists(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

fn status(proxy: &Proxy) -> String {
    proxy.tell_master("status").1
}

/// The answers of all processes that serve, once there are so many.
fn answers(proxy: &Proxy, count: usize) -> Vec<String> {
    first_answer(proxy);
    until_some("all processes to answer", || {
        let all: BTreeSet<_> = (0..2 * count).map(|_| answer(proxy)).collect();
        let all: Vec<_> = all.into_iter().collect();
        (all.len() == count).then_some(all)
    })
}

#[test]
fn processes_answer_each_on_a_socket_of_its_own_and_end_with_the_master() {
    let lines = hello("w{index}") + "instances = 3\n";
    let mut proxy = Setup::app(&lines).start();
    let all = answers(&proxy, 3);
    assert_eq!(all.iter().map(|one| name(one)).collect::<Vec<_>>(), ["w0", "w1", "w2"]);
    let status = status(&proxy);
    for (index, answer) in all.iter().enumerate() {
        let line = format!("app app.{index} ready, process {}, 0 restarts\n", id(answer));
        assert!(status.contains(&line), "{status}");
    }
    until("the log", || proxy.log().iter().any(|line| line.get("endpoint") == "app.2"));
    let sockets = proxy.directory().join("run/app-app");
    assert_eq!(fs::read_dir(&sockets).unwrap().count(), 3);
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!all.iter().any(|answer| exists(id(answer))), "none is left behind");
    assert_eq!(fs::read_dir(&sockets).map_or(0, Iterator::count), 0);
}

#[test]
fn a_process_that_dies_is_started_again() {
    let proxy = Setup::app(&(hello("w{index}") + "instances = 2\n")).start();
    let before = answers(&proxy, 2);
    let victim = id(&before[0]);
    signal_to(victim, Signal::KILL);
    until("it to be seen", || !exists(victim));
    let after = until_some("another one", || {
        let after = answers(&proxy, 2);
        (after[0] != before[0]).then_some(after)
    });
    assert_eq!(after[1], before[1]);
    assert_eq!(name(&after[0]), "w0");
    let line =
        format!("app app.0 (process {victim}) was killed by signal 9; the next one starts in");
    assert!(proxy.said().contains(&line), "{}", proxy.said());
    assert!(status(&proxy).contains("1 restarts, the last one was killed by signal 9\n"));
}

#[test]
fn a_worker_that_dies_takes_no_app_with_it() {
    let proxy = Setup::app(&hello("w")).start();
    let before = answer(&proxy);
    let worker = proxy.worker_id();
    signal_to(worker, Signal::KILL);
    until("it to end", || !exists(worker));
    let after = until_some("the next one", || {
        let mut client = Client::connect(&proxy.address);
        Some(client.get("/")).filter(|answer| answer.status() == 200).map(|answer| answer.text())
    });
    assert_eq!(after, before);
}

#[test]
fn an_app_that_crashes_at_every_start_leaves_others_alone() {
    let broken = "[apps.broken]\ncommand = [\"sh\", \"-c\", \"echo no luck today; exit 3\"]\n\
                  [apps.daemon]\ncommand = [\"true\"]\n\
                  [upstreams.daemon]\napps = \"daemon\"\n\
                  [[routes]]\nlistener = \"web\"\npath = \"/daemon\"\nupstream = \"daemon\"\n\
                  [upstreams.broken]\napps = \"broken\"\n\
                  [[routes]]\nlistener = \"web\"\npath = \"/broken\"\nupstream = \"broken\"\n";
    let mut proxy = Setup::app(&hello("w")).more(broken).start();
    let said = "broken.0: no luck today";
    until("it to be tried again and again", || proxy.said().matches(said).count() > 3);
    let whole = status(&proxy);
    let line = whole.lines().find(|line| line.starts_with("app broken.0 ")).unwrap();
    assert!(line.contains("problem: it has ended with exit code 3 before it was ready"), "{line}");
    // Also one that ends well: nobody is there.
    assert!(whole.contains("problem: it has ended before it was ready"), "{whole}");
    let mut client = Client::new(&proxy);
    assert_eq!(client.get("/broken").status(), 503);
    assert_eq!(client.get("/").status(), 200);
    assert!(whole.contains("app app.0 ready"), "{whole}");
    proxy.assert_sound();
}

#[test]
fn a_restart_loses_nothing_and_waits_for_its_end() {
    let mut proxy = Setup::app(&(hello("w{index}") + "instances = 3\n")).threads(2).start();
    let before = answers(&proxy, 3);
    let load = Load::on(&proxy, 4);
    for _ in 0..3 {
        let (code, said) = proxy.tell_master("restart app");
        assert_eq!((code, &*said), (0, "fairwater: 3 processes of app are new\n"));
    }
    until("those of before to be gone", || !before.iter().any(|answer| exists(id(answer))));
    assert!(load.end() > 50);
    let after = answers(&proxy, 3);
    assert!(!after.iter().any(|answer| before.contains(answer)));
    assert!(status(&proxy).contains("app app.1 ready"));
    proxy.assert_sound();
}

#[test]
fn other_lines_replace_the_processes_of_their_app_alone() {
    let other = format!(
        "[apps.other]\n{}[upstreams.other]\napps = \"other\"\n\
         [[routes]]\nlistener = \"web\"\npath = \"/other\"\nupstream = \"other\"\n",
        hello("other")
    );
    let mut proxy = Setup::app(&hello("first")).more(&other).threads(2).start();
    let other_before = Client::new(&proxy).get("/other").text();
    let load = Load::on(&proxy, 2);
    proxy.edit("\"first\"", "\"second\"");
    proxy.reload_well();
    until("another to answer", || name(&answer(&proxy)) == "second");
    assert_eq!(Client::new(&proxy).get("/other").text(), other_before);
    // More of them.
    proxy.edit("[upstreams.other]", "instances = 2\n[upstreams.other]");
    proxy.reload_well();
    until("two", || status(&proxy).contains("app other.1 ready"));
    // One that comes is there when its configuration is, and one that goes ends.
    let third = format!("[apps.third]\n{}[upstreams.third]\napps = \"third\"\n", hello("third"));
    proxy.edit("[apps.other]", &format!("{third}[apps.other]"));
    proxy
        .edit("path = \"/other\"\nupstream = \"other\"", "path = \"/other\"\nupstream = \"third\"");
    proxy.reload_well();
    let third = Client::new(&proxy).get("/other");
    assert_eq!((third.status(), name(&third.text())), (200, "third"));
    proxy.edit("apps = \"other\"", "endpoints = [\"127.0.0.1:1\"]");
    let path = proxy.directory().join("fairwater.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (start, rest) = text.split_once("[apps.other]").unwrap();
    let (_, end) = rest.split_once("[upstreams.other]").unwrap();
    fs::write(&path, format!("{start}[upstreams.other]{end}")).unwrap();
    proxy.reload_well();
    until("its processes to be gone", || !status(&proxy).contains("app other."));
    assert!(!exists(id(&other_before)));
    assert!(load.end() > 20);
    proxy.assert_sound();
}

#[test]
fn a_restart_that_fails_leaves_what_serves() {
    let script =
        "test -f good && exec \\\"$0\\\" demo-endpoint --socket $FAIRWATER_SOCKET --name w";
    let setup = Setup::app("");
    let good = setup.directory().join("good");
    fs::write(&good, "").unwrap();
    let lines = format!(
        "command = [\"sh\", \"-c\", \"{script}\", {:?}]\ndirectory = {:?}\n",
        binary(),
        setup.directory().path()
    );
    let proxy = setup.more(&lines).start();
    let before = answer(&proxy);
    fs::remove_file(&good).unwrap();
    let (code, said) = proxy.tell_master("restart app");
    assert_eq!(code, 1);
    let expected =
        "app app.0: it has ended with exit code 1 before it was ready; what served before";
    assert!(said.contains(expected), "{said}");
    assert_eq!(answer(&proxy), before);
    fs::write(&good, "").unwrap();
    until("the next attempt", || answer(&proxy) != before);
    let (code, said) = proxy.tell_master("restart nobody");
    assert_eq!((code, &*said), (1, "fairwater: there is no app `nobody`, only app\n"));
}

/// The process of an instance, by the master's word.
fn process_of(proxy: &Proxy, instance: &str) -> u32 {
    until_some("the process", || {
        let status = status(proxy);
        let line = status.lines().find(|line| line.starts_with(&format!("app {instance} ")))?;
        line.split("process ").nth(1)?.split(',').next()?.parse().ok()
    })
}

fn command(lines: &str, words: &[&str]) -> String {
    format!("command = {words:?}\n{lines}\n")
}

/// A script that runs the demonstration's endpoint, after its own lines.
fn script(before: &str, more: &str) -> String {
    let program = binary().display().to_string();
    let text =
        format!("{before}\nexec {program} demo-endpoint --socket $FAIRWATER_SOCKET --name w");
    command(more, &["sh", "-c", &text])
}

#[test]
fn a_process_gets_no_traffic_before_it_says_that_it_is_ready() {
    let setup = Setup::app("");
    let go = setup.directory().join("go");
    let before = format!(
        "(while ! test -f {}; do sleep 0.02; done; echo server: now listening) &",
        go.display()
    );
    let lines = script(&before, "ready = { line = \"now listening\" }");
    let proxy = setup.more(&lines).start();
    // The master waits for its apps, though not for ever.
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    assert!(status(&proxy).contains("app app.0 starting"), "{}", status(&proxy));
    assert_eq!(proxy.metric("fairwater_app_up", &["app=\"app\"", "index=\"0\""]), 0);
    fs::write(&go, "").unwrap();
    until("it to be ready", || Client::new(&proxy).get("/").status() == 200);
    assert!(proxy.said().contains("app.0: server: now listening"));
    assert_eq!(proxy.metric("fairwater_app_up", &["app=\"app\"", "index=\"0\""]), 1);
}

#[test]
fn one_that_never_becomes_ready_is_stopped_and_started_again() {
    let words = command("start_timeout = \"200ms\"", &["sleep", "1000"]);
    let proxy = Setup::app(&words).start();
    let first = process_of(&proxy, "app.0");
    until("it to be replaced", || process_of(&proxy, "app.0") != first);
    assert!(!exists(first));
    assert!(status(&proxy).contains("problem: it was not ready within 200ms"));
    proxy.until_metric("fairwater_app_up", &["app=\"app\""], 0);
}

#[test]
fn all_that_a_process_has_started_ends_with_it() {
    let lines = script("sleep 1000 &\nnohup sleep 1000 & echo child $!", "");
    let mut proxy = Setup::app(&lines).start();
    let child = |proxy: &Proxy| {
        let said = proxy.said();
        let (_, rest) = said.rsplit_once("app.0: child ").unwrap();
        rest.lines().next().unwrap().parse::<u32>().unwrap()
    };
    let first = child(&proxy);
    assert!(exists(first));
    // Without its parent it serves nobody.
    signal_to(id(&answer(&proxy)), Signal::KILL);
    until("the next one", || child(&proxy) != first && status(&proxy).contains("app.0 ready"));
    assert!(!exists(first));
    let second = child(&proxy);
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!exists(second));
}

#[test]
fn a_process_that_ignores_its_signal_is_killed() {
    // The shell stays, and takes no notice.
    let program = binary().display().to_string();
    let text = format!(
        "trap '' TERM\n{program} demo-endpoint --socket $FAIRWATER_SOCKET --name w &\n\
         while :; do sleep 1; done"
    );
    let lines = command("stop_timeout = \"100ms\"\nstop_signal = \"TERM\"", &["sh", "-c", &text]);
    let mut proxy = Setup::app(&lines).start();
    let shell = process_of(&proxy, "app.0");
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!exists(shell));
    assert!(proxy.said().contains("was killed by signal 9, since it did not stop"));
}

#[test]
fn processes_are_replaced_after_their_requests() {
    let lines = hello("w") + "max_requests = 20\n";
    let mut proxy = Setup::app(&lines).start();
    let first = id(&answer(&proxy));
    let load = Load::on(&proxy, 2);
    until("three to have had their requests", || {
        proxy.metric("fairwater_app_restarts_total", &["app=\"app\""]) >= 3
    });
    assert!(load.end() >= 60);
    until("the first one to be gone", || !exists(first));
    assert!(proxy.said().contains("app app.0 has had its requests, and is replaced"));
    proxy.assert_sound();
}

#[test]
fn a_process_that_takes_too_much_memory_is_replaced() {
    // A variable of the shell, of a size that nobody else has.
    let program = binary().display().to_string();
    let text = format!(
        "if test ! -f grown; then touch grown; x=$(head -c 40000000 /dev/zero | tr '\\0' x); fi\n\
         {program} demo-endpoint --socket $FAIRWATER_SOCKET --name w & wait"
    );
    let setup = Setup::app("");
    let directory = format!("max_memory = \"32MiB\"\ndirectory = {:?}", setup.directory().path());
    let proxy = setup.more(&command(&directory, &["sh", "-c", &text])).start();
    until("another one", || {
        proxy.metric("fairwater_app_exits_total", &["app=\"app\"", "how=\"stopped\""]) == 1
    });
    assert!(proxy.said().contains("MiB, and is replaced"), "{}", proxy.said());
    assert_eq!(answer(&proxy), answer(&proxy));
}

#[test]
fn apps_live_on_without_a_master_and_the_next_one_ends_them() {
    let line = "ready = { line = \"up\" }";
    let words = command(line, &["sh", "-c", "echo up; exec sleep 1000"]);
    let setup = Setup::app(&words);
    let file = setup.directory().join("fairwater.toml");
    let mut proxy = setup.start();
    let (worker, process) = (proxy.worker_id(), process_of(&proxy, "app.0"));
    proxy.signal(Signal::KILL);
    proxy.until_ended();
    assert!(exists(process) && exists(worker));
    signal_to(worker, Signal::KILL);
    until("the worker to be gone", || !exists(worker));
    let mut next = std::process::Command::new(binary());
    next.args(["run", "-c"]).arg(file).stderr(std::process::Stdio::piped());
    let mut next = next.spawn().unwrap();
    let said = listen_to(next.stderr.take());
    until("it to end them", || text(&said).contains("ended 1 processes of apps without a master"));
    assert!(!exists(process));
    until("its own", || text(&said).contains("app app.0 is ready"));
    signal_to(next.id(), Signal::TERM);
    next.wait().unwrap();
}

#[test]
fn people_restart_and_look_by_the_command_line() {
    let more = "preset = \"workerman\"\n";
    let lines = command(
        more,
        &[
            "sh",
            "-c",
            "trap 'echo renewed' USR2\ntrap 'echo bye; exit' QUIT\necho up\nwhile :; do sleep 0.05; done",
        ],
    );
    let proxy = Setup::app(&(lines + "ready = { line = \"up\" }\ninstances = 2\n")).start();
    let file = proxy.directory().join("fairwater.toml");
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(binary());
        let output = command.args(words).arg("-c").arg(&file).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        (output.status.code(), said.into_owned())
    };
    let before = process_of(&proxy, "app.1");
    assert_eq!(
        run(&["restart", "--renew", "app"]),
        (Some(0), "fairwater: told 2 processes of app\n".to_owned())
    );
    until("both to be told", || proxy.said().matches(": renewed").count() == 2);
    assert_eq!(process_of(&proxy, "app.1"), before);
    assert_eq!(
        run(&["restart", "app"]),
        (Some(0), "fairwater: 2 processes of app are new\n".to_owned())
    );
    until("both to say good-bye", || proxy.said().matches(": bye").count() == 2);
    let process = process_of(&proxy, "app.1");
    assert_ne!(process, before);
    let (code, table) = run(&["status"]);
    assert_eq!(code, Some(0));
    let row = table.lines().find(|line| line.contains(&format!(" {process} "))).unwrap();
    assert!(row.contains("ready"), "{table}");
    let (code, said) = run(&["run", "--single"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("run it without `--single`"), "{said}");
}

/// GETs over connections that are kept, and ones that are not, until it is told to end.
fn load_of(proxy: &Proxy, path: &'static str, is_over: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (address, is_over) = (proxy.address.clone(), Arc::clone(is_over));
    std::thread::spawn(move || {
        let (mut client, mut count) = (Client::connect(&address), 0);
        while !is_over.load(Ordering::Relaxed) {
            let answer = client.get(path);
            assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
            count += 1;
            if count % 20 == 0 || answer.closes() {
                client = Client::connect(&address);
            }
        }
        count
    })
}

/// Programs of the languages that people write apps in, as the example has them: all their
/// processes are replaced under load, twice.
#[test]
fn real_programs_are_restarted_and_no_request_fails() {
    if ["php", "python3", "node"].map(program).contains(&None) {
        return;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let text = fs::read_to_string(examples.join("managed-apps.toml")).unwrap();
    let (_, apps) = text.split_once("[[routes]]").unwrap();
    let directory = format!("directory = {:?}", examples.join("apps"));
    let apps = apps.replace("directory = \"/srv/app\"", &directory);
    let setup = Setup::of("http", &[]).reloadable().upstream("apps = \"php\"").threads(2);
    let mut proxy = setup.more(&format!("[[routes]]{apps}")).start();
    let paths = [("/", "PHP"), ("/python", "Python"), ("/node", "Node")];
    let mut all = BTreeSet::new();
    for (path, language) in paths {
        until("it to answer", || Client::new(&proxy).get(path).status() == 200);
        let answer = Client::new(&proxy).get(path).text();
        assert!(answer.starts_with(&format!("Hello from {language} ")), "{answer}");
        all.insert(id(&answer));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let loads = paths.map(|(path, _)| load_of(&proxy, path, &is_over));
    for app in ["php", "python", "node", "php"] {
        let (code, said) = proxy.tell_master(&format!("restart {app}"));
        assert_eq!(code, 0, "{said}");
    }
    until("those of before to be gone", || !all.iter().any(|process| exists(*process)));
    is_over.store(true, Ordering::Relaxed);
    for load in loads {
        assert!(load.join().unwrap() > 20);
    }
    proxy.assert_sound();
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

/// A server that answers `/slow` once there is a file `go` in its directory.
fn slow_app(directory: &Path, more: &str) -> String {
    let script = "import os, sys, time\n\
        sys.argv = ['', os.environ['FAIRWATER_SOCKET']]\n\
        exec(open(os.environ['SERVER']).read().replace('def do_GET(self):', \
        'def do_GET(self):\\n        while self.path == \"/slow\" and not os.path.exists(\"go\"): \
        __import__(\"time\").sleep(0.02)'))";
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/apps/server.py");
    let lines = format!("directory = {directory:?}\nenv = {{ SERVER = {server:?} }}\n{more}");
    command(&lines, &["python3", "-c", script])
}

/// Asks for what takes until `go` is there.
fn slow_request(proxy: &Proxy) -> Client {
    let mut client = Client::new(proxy);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.until_metric("fairwater_endpoint_in_flight", &["upstream=\"app\""], 1);
    client
}

#[test]
fn what_runs_is_finished_before_a_process_is_stopped() {
    if program("python3").is_none() {
        return;
    }
    let setup = Setup::app("");
    let directory = setup.directory().path().to_owned();
    let proxy = setup.more(&slow_app(&directory, "")).start();
    let first = id(&first_answer(&proxy));
    let mut slow = slow_request(&proxy);
    assert_eq!(proxy.tell_master("restart app").0, 0);
    assert_ne!(id(&answer(&proxy)), first);
    assert!(proxy.ask("/status").text().contains("\"state\":\"drain\""));
    assert!(exists(first));
    fs::write(directory.join("go"), "").unwrap();
    assert_eq!(id(&slow.response_to("GET").unwrap().text()), first);
    until("it to be stopped", || !exists(first));
    // The same when its app is gone altogether.
    fs::remove_file(directory.join("go")).unwrap();
    let second = id(&first_answer(&proxy));
    let mut slow = slow_request(&proxy);
    proxy.edit("apps = \"app\"", "endpoints = [\"127.0.0.1:1\"]");
    proxy.edit("[apps.app]", "[apps.other]");
    proxy.edit("[upstreams.app]", "[upstreams.other]\napps = \"other\"\n[upstreams.app]");
    proxy.reload_well();
    until("the other one", || status(&proxy).contains("app other.0 ready"));
    assert!(exists(second));
    fs::write(directory.join("go"), "").unwrap();
    assert_eq!(id(&slow.response_to("GET").unwrap().text()), second);
    until("it to be stopped", || !exists(second));
}

#[test]
fn what_does_not_end_in_time_is_not_waited_for() {
    if program("python3").is_none() {
        return;
    }
    let setup = Setup::app("");
    let directory = setup.directory().path().to_owned();
    let proxy = setup.more(&slow_app(&directory, "drain_timeout = \"100ms\"")).start();
    let first = id(&first_answer(&proxy));
    let mut slow = slow_request(&proxy);
    assert_eq!(proxy.tell_master("restart app").0, 0);
    let answer = slow.response_to("GET").unwrap();
    assert!(answer.status() >= 500, "{}", answer.status());
    until("it to be stopped", || !exists(first));
}

#[test]
fn processes_have_the_rights_of_their_user() {
    let is_root = rustix::process::geteuid().is_root();
    let Some(php) = program("php").filter(|_| is_root) else {
        eprintln!("skipped: it takes root and php");
        return;
    };
    // That of the app, or else of all.
    for (of_all, of_app) in [("", "user = \"nobody\"\n"), ("user = \"nobody\"", "")] {
        check_rights(&php, of_all, of_app);
    }
}

#[track_caller]
fn check_rights(php: &Path, of_all: &str, of_app: &str) {
    let setup = Setup::app("").top(of_all).log("format = \"off\"");
    let server = setup.directory().join("server.php");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    fs::copy(examples.join("apps/server.php"), &server).unwrap();
    let words = [php.to_str().unwrap(), server.to_str().unwrap(), "{socket}"];
    let lines = command(&format!("{of_app}instances = 2\n"), &words);
    let proxy = setup.more(&lines).start();
    let all = answers(&proxy, 2);
    let status = fs::read_to_string(format!("/proc/{}/status", id(&all[0]))).unwrap();
    let ids = |word: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids("Uid:"), BTreeSet::from(["65534".to_owned()]));
    assert!(!ids("Gid:").contains("0") && !ids("Groups:").contains("0"), "{status}");
    let environment = fs::read(format!("/proc/{}/environ", id(&all[0]))).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("\0USER=nobody\0"));
    // The next one finds its place as well.
    assert_eq!(proxy.tell_master("restart app").0, 0);
    assert!(!answers(&proxy, 2).iter().any(|answer| all.contains(answer)));
}

#[test]
fn a_worker_that_dies_during_a_restart_holds_nobody_up() {
    if program("python3").is_none() {
        return;
    }
    let setup = Setup::app("");
    let directory = setup.directory().path().to_owned();
    let proxy = setup.more(&slow_app(&directory, "")).start();
    let first = id(&first_answer(&proxy));
    let _slow = slow_request(&proxy);
    assert_eq!(proxy.tell_master("restart app").0, 0);
    assert!(exists(first));
    signal_to(proxy.worker_id(), Signal::KILL);
    until("the old process to be stopped", || !exists(first));
    let second = process_of(&proxy, "app.0");
    until("the next worker", || {
        let mut client = Client::connect(&proxy.address);
        client.get("/").text().contains(&format!("process {second}."))
    });
}

#[test]
fn one_that_writes_without_end_keeps_nobody_from_anything() {
    let noisy = "[apps.noisy]\ncommand = [\"yes\", \"noise\"]\nready = { line = \"noise\" }\n\
                 [upstreams.noisy]\napps = \"noisy\"\n\
                 [[routes]]\nlistener = \"web\"\npath = \"/noisy\"\nupstream = \"noisy\"\n";
    let mut proxy = Setup::app(&hello("w")).more(noisy).start();
    let process = process_of(&proxy, "noisy.0");
    for _ in 0..3 {
        assert_eq!(Client::new(&proxy).get("/").status(), 200);
        assert_eq!(proxy.tell_master("restart app").0, 0);
    }
    assert!(exists(process));
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!exists(process));
}

/// A server on the socket that it is given, which finishes what it has accepted before it ends.
const ON_DESCRIPTOR_3: &str = r#"
import os, signal, socket, socketserver, threading
from http.server import BaseHTTPRequestHandler

class Server(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        return self.socket.accept()[0], ("", 0)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"Hello from {os.environ['FAIRWATER_INDEX']}, process {os.getpid()}.".encode())
    def log_message(self, *words):
        pass

assert os.environ["LISTEN_FDS"] == "1" and int(os.environ["LISTEN_PID"]) == os.getpid()
server = Server(os.environ["FAIRWATER_SOCKET"], Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
stop = lambda *_: threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
server.serve_forever(0.05)
server.server_close()
"#;

#[test]
fn processes_may_share_one_socket() {
    if program("python3").is_none() {
        return;
    }
    let setup = Setup::app("");
    let script = setup.directory().join("server.py");
    fs::write(&script, ON_DESCRIPTOR_3).unwrap();
    let lines = "address = \"shared\"\ninstances = 2\nready = { line = \"listening\" }\n";
    let mut proxy = setup.more(&command(lines, &["python3", script.to_str().unwrap()])).start();
    let before = [process_of(&proxy, "app.0"), process_of(&proxy, "app.1")];
    assert!(before.contains(&id(&first_answer(&proxy))));
    let is_over = Arc::new(AtomicBool::new(false));
    let loads = [0; 2].map(|_| load_of(&proxy, "/", &is_over));
    for _ in 0..2 {
        let (code, said) = proxy.tell_master("restart app");
        assert_eq!(code, 0, "{said}");
    }
    until("those of before to be gone", || !before.iter().any(|process| exists(*process)));
    assert!(!before.contains(&id(&answer(&proxy))));
    is_over.store(true, Ordering::Relaxed);
    for load in loads {
        assert!(load.join().unwrap() > 20);
    }
    let socket = proxy.directory().join("run/app-app/socket");
    assert!(socket.exists());
    proxy.assert_sound();
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!socket.exists());
}

#[test]
fn a_process_is_ready_when_it_answers_a_path_well() {
    if program("python3").is_none() {
        return;
    }
    let script = "import os, sys\n\
        sys.argv = ['', os.environ['FAIRWATER_SOCKET']]\n\
        exec(open(os.environ['SERVER']).read().replace('send_response(200)', \
        'send_response(200 if self.path != \"/healthz\" or os.path.exists(\"go\") else 503)'))";
    let setup = Setup::app("");
    let directory = setup.directory().path().to_owned();
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/apps/server.py");
    let lines =
        format!("directory = {directory:?}\nenv = {{ SERVER = {server:?} }}\nready = \"/healthz\"");
    let proxy = setup.more(&command(&lines, &["python3", "-c", script])).start();
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    assert!(status(&proxy).contains("app app.0 starting"), "{}", status(&proxy));
    fs::write(directory.join("go"), "").unwrap();
    until("it to be ready", || Client::new(&proxy).get("/").status() == 200);
}

#[test]
fn an_upgrade_changes_nothing_for_apps() {
    let setup = Setup::app("").upgradable().threads(2);
    let directory = setup.directory().path().display().to_string();
    let before = format!(
        "cd {directory}; if test -f started0 -a $FAIRWATER_INDEX = 0; then\n\
         while ! test -f go; do sleep 0.02; done; fi; touch started$FAIRWATER_INDEX"
    );
    let mut proxy = setup.more(&script(&before, "instances = 2")).start();
    let processes = |proxy: &Proxy| ["app.0", "app.1"].map(|name| process_of(proxy, name));
    let first = processes(&proxy);
    let load = Load::on(&proxy, 2);
    proxy.upgrade_well();
    assert_eq!(processes(&proxy), first);
    assert!(status(&proxy).contains("app app.1 ready"));
    // Somebody waits for a restart when the next one comes.
    let socket = proxy.directory().join("run/master.sock");
    let waits = std::thread::spawn(move || {
        let mut socket = std::os::unix::net::UnixStream::connect(socket).unwrap();
        socket.write_all(b"restart app\n").unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        said
    });
    until("it to begin", || status(&proxy).contains("app app.0 replacing"));
    proxy.upgrade_well();
    assert_eq!(processes(&proxy), first);
    fs::write(proxy.directory().join("go"), "").unwrap();
    assert_eq!(waits.join().unwrap(), "0\nfairwater: 2 processes of app are new\n");
    until("those of before to be gone", || !first.iter().any(|process| exists(*process)));
    let second = processes(&proxy);
    proxy.upgrade_well();
    assert!(load.end() > 20);
    // Ends of processes are seen that the program before has started.
    signal_to(second[1], Signal::KILL);
    until("the next one", || process_of(&proxy, "app.1") != second[1]);
    proxy.assert_sound();
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!exists(second[0]));
}
