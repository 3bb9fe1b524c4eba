//! Backups, priorities, weights, panic and slow starts; and what is said of them.

use std::process::Command;

use rustix::process::Signal;

use super::*;

/// Endpoints with what is set for each beside its address.
fn with(patients: &[(&Patient, &str)]) -> Setup {
    let one = |(patient, more): &(&Patient, &str)| {
        format!("{{ address = \"{}\"{more} }}", patient.endpoint.address)
    };
    let list: Vec<_> = patients.iter().map(one).collect();
    Setup::of("http", &[]).endpoints(&list.join(", ")).upstream(OFTEN)
}

#[test]
fn a_backup_serves_while_no_other_does() {
    let [first, second, backup] = trio();
    let mut proxy =
        with(&[(&first, ""), (&second, ""), (&backup, ", backup = true")]).threads(2).start();
    until_state(&proxy, &backup.endpoint, "standby");
    until_answering(&proxy, &["1", "2"]);
    first.is_now(503);
    until_answering(&proxy, &["2"]);
    second.is_now(503);
    until_answering(&proxy, &["3"]);
    second.is_now(200);
    until_answering(&proxy, &["2"]);
    proxy.assert_sound();
}

#[test]
fn the_next_priority_takes_over() {
    let [first, second, third] = trio();
    let list = [(&first, ""), (&second, ", priority = 1"), (&third, ", priority = 2, weight = 9")];
    let proxy = with(&list).start();
    until_answering(&proxy, &["1"]);
    first.is_now(0);
    until_answering(&proxy, &["2"]);
    second.is_now(0);
    until_answering(&proxy, &["3"]);
    first.is_now(200);
    until_answering(&proxy, &["1"]);
}

#[test]
fn weight_0_drains() {
    let [first, second, _] = trio();
    let proxy = with(&[(&first, ", weight = 0"), (&second, "")]).start();
    until_state(&proxy, &first.endpoint, "no_weight");
    until_answering(&proxy, &["2"]);
}

#[test]
fn too_few_good_ones_are_not_left_alone_with_the_load() {
    let [first, second, third] = trio();
    let list = [(&first, ""), (&second, ""), (&third, "")];
    let proxy = with(&list).upstream("panic_threshold = 50").start();
    until_answering(&proxy, &["1", "2", "3"]);
    first.is_now(503);
    until_answering(&proxy, &["2", "3"]);
    second.is_now(503);
    until("the panic", || proxy.said().contains("too few good endpoints: all get traffic"));
    until_answering(&proxy, &["1", "2", "3"]);
    assert!(field(&proxy, &first.endpoint, "why").contains("whatever its check says"));
    second.is_now(200);
    until_answering(&proxy, &["2", "3"]);
    assert!(proxy.said().contains("app has good endpoints again"), "{}", proxy.said());
}

#[test]
fn without_a_threshold_nobody_is_nobody() {
    let [first, second, _] = trio();
    let proxy = with(&[(&first, ""), (&second, "")]).start();
    first.is_now(503);
    second.is_now(503);
    until("an answer without an endpoint", || Client::new(&proxy).get("/").status() == 503);
    until("its reason", || proxy.log().last().unwrap().get("reason") == "no_endpoint");
    first.is_now(200);
    until_answering(&proxy, &["1"]);
}

#[test]
fn one_that_comes_back_has_little_at_first() {
    let [first, second, _] = trio();
    let list = [(&first, ""), (&second, "")];
    let proxy = with(&list).upstream("slow_start = \"1h\"").start();
    until_answering(&proxy, &["1", "2"]);
    first.is_now(503);
    until_answering(&proxy, &["2"]);
    first.is_now(200);
    until_state(&proxy, &first.endpoint, "active");
    let why = field(&proxy, &first.endpoint, "why");
    assert!(why.contains("6% of its share (slow start)"), "{why}");
    until("one of seventeen", || {
        let mut client = Client::new(&proxy);
        (0..34).filter(|_| client.get("/").text() == "1").count() == 2
    });
}

#[test]
fn who_asks_is_told_why() {
    let [first, second, third] = trio();
    let list = [(&first, ", weight = 2"), (&second, ""), (&third, ", backup = true")];
    let mut proxy = with(&list).start();
    second.is_now(404);
    until_state(&proxy, &second.endpoint, "failing");
    let file = proxy.directory().join("fairwater.toml");
    let explain = || {
        let mut command = Command::new(fairwater_e2e::proxy::binary());
        let output = command.args(["explain", "http://a/", "-c"]).arg(&file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = explain();
    for (patient, why) in [
        (&first, "gets requests: weight 2, its check is good"),
        (&second, "gets none: its check fails: it answers with status 404"),
        (&third, "gets none: it is a backup, and others are good"),
    ] {
        let line = format!("endpoint   {} {why}", patient.endpoint.address);
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
    let status = Command::new(fairwater_e2e::proxy::binary())
        .args(["status", "-c"])
        .arg(&file)
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("standby") && status.contains("check down: it answers"), "{status}");
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    // Nobody can be asked: as it is written.
    let address = &third.endpoint.address;
    assert!(
        explain().contains(&format!("endpoint   {address}, weight 1, backup")),
        "{}",
        explain()
    );
}
