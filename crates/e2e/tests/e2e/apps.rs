//! Apps: processes that the master starts, watches, replaces and ends.

use std::collections::BTreeSet;
use std::fs;

use fairwater_e2e::proxy::{binary, signal_to};
use fairwater_e2e::{Client, Proxy, Setup, until, until_some};
use rustix::process::Signal;

use crate::names::Load;

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
    let log = proxy.until_log(6);
    assert!(log.iter().any(|line| line.get("endpoint") == "app.2"));
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
                  [upstreams.broken]\napps = \"broken\"\n\
                  [[routes]]\nlistener = \"web\"\npath = \"/broken\"\nupstream = \"broken\"\n";
    let mut proxy = Setup::app(&hello("w")).more(broken).start();
    let said = "broken.0: no luck today";
    until("it to be tried again and again", || proxy.said().matches(said).count() > 3);
    let whole = status(&proxy);
    let line = whole.lines().find(|line| line.starts_with("app broken.0 ")).unwrap();
    assert!(line.contains("problem: it has ended with exit code 3 before it was ready"), "{line}");
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
