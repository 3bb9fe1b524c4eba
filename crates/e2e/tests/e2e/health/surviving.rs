//! What is known of endpoints outlives reloads, crashes and upgrades.

use std::fs;

use fairwater_e2e::proxy::signal_to;
use rustix::process::Signal;

use super::*;

/// What the master keeps of its worker.
fn kept(proxy: &Proxy) -> String {
    let folder = format!("/proc/{}/fd", proxy.process_id());
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_state = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains("fairwater-state"))
    };
    let texts = entries.filter(is_state).filter_map(|path| fs::read_to_string(path).ok());
    texts.collect()
}

/// One whose check has failed at the start, and would not any more; nobody looks again for an hour.
fn known_to_be_bad(line: &str) -> (Patient, Patient, Proxy) {
    let [bad, good] = [Patient::new("1", 503), Patient::new("2", 200)];
    let proxy = setup(&[&bad, &good]).upstream(line).upgradable().threads(2).start();
    until_state(&proxy, &bad.endpoint, "failing");
    until_state(&proxy, &good.endpoint, "active");
    until("the master to know", || kept(&proxy).contains("\tdown\t"));
    bad.is_now(200);
    (bad, good, proxy)
}

#[track_caller]
fn assert_only_the_good_one(proxy: &Proxy, bad: &Patient) {
    assert_eq!(answering(proxy, 12), ["2".to_owned()].into());
    assert_eq!(state(proxy, &bad.endpoint), "failing");
    assert_eq!(bad.endpoint.requests().iter().filter(|one| one.target() == "/").count(), 0);
}

#[test]
fn checks_outlive_a_crash_and_an_upgrade() {
    let (bad, _good, mut proxy) = known_to_be_bad(ONCE);
    let first = proxy.worker_id();
    signal_to(first, Signal::KILL);
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != first));
    // It asks at once, and one good answer is not enough.
    until("its check", || bad.checks() == 2);
    assert_only_the_good_one(&proxy, &bad);
    proxy.upgrade_well();
    assert_only_the_good_one(&proxy, &bad);
    proxy.assert_sound();
}

#[test]
fn checks_outlive_a_reload() {
    let (bad, _good, mut proxy) = known_to_be_bad(ONCE);
    let worker = proxy.worker_id();
    proxy.edit("[upstreams.app]", "[upstreams.app]\nretries = 1");
    proxy.reload_well();
    proxy.assert_sound();
    assert_eq!(proxy.worker_id(), worker);
    assert_only_the_good_one(&proxy, &bad);
    // And one that takes another process.
    proxy.edit("threads = 2", "threads = 1");
    proxy.reload_well();
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != worker));
    assert_only_the_good_one(&proxy, &bad);
}

#[test]
fn a_reload_with_another_check_lets_that_decide() {
    let (bad, _good, proxy) = known_to_be_bad(ONCE);
    proxy.edit("/healthz", "/healthz?deep=1");
    proxy.reload_well();
    until_answering(&proxy, &["1", "2"]);
    assert_eq!(bad.checks(), 2);
}

#[test]
fn ejections_outlive_a_crash_and_an_upgrade() {
    let [first, second] = [Patient::new("1", 200), Patient::new("2", 200)];
    let line = "outlier = { ejection = \"1h\", max_ejection = \"1h\" }";
    let mut proxy = setup(&[&first, &second]).upstream(line).upgradable().start();
    first.answers(500);
    until("it to be ejected", || {
        let mut client = Client::new(&proxy);
        client.get("/");
        state(&proxy, &first.endpoint) == "ejected"
    });
    until("the master to know", || kept(&proxy).contains("requests in a row"));
    first.answers(200);
    signal_to(proxy.worker_id(), Signal::KILL);
    until_state(&proxy, &first.endpoint, "ejected");
    assert_eq!(answering(&proxy, 8), ["2".to_owned()].into());
    proxy.upgrade_well();
    assert_eq!(answering(&proxy, 8), ["2".to_owned()].into());
    assert_eq!(field(&proxy, &first.endpoint, "ejections_total"), "1");
    proxy.reload_well();
    assert_eq!(state(&proxy, &first.endpoint), "ejected");
    proxy.assert_sound();
}
