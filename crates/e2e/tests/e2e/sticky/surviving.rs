//! Sessions outlive whatever becomes of the process that serves.

use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::until;
use rustix::process::Signal;

use super::*;

/// Sessions with who answers them.
fn begun(proxy: &Proxy) -> Vec<(Session, String)> {
    (0..6).map(|_| Session::begun(proxy)).collect()
}

#[track_caller]
fn assert_kept(proxy: &Proxy, sessions: &mut [(Session, String)]) {
    for (session, name) in sessions {
        let before = session.cookie.clone();
        assert_eq!((session.get(proxy), &session.cookie), (name.clone(), &before));
    }
}

#[test]
fn sessions_outlive_crashes_upgrades_and_reloads() {
    let seats = trio();
    let mut proxy = setup(&seats).upgradable().threads(2).start();
    let mut sessions = begun(&proxy);
    for _ in 0..2 {
        let first = proxy.worker_id();
        signal_to(first, Signal::KILL);
        until("another worker", || proxy.worker_ids().iter().any(|id| *id != first));
        assert_kept(&proxy, &mut sessions);
    }
    proxy.upgrade_well();
    assert_kept(&proxy, &mut sessions);
    until("one worker to be left", || proxy.worker_ids().len() == 1);
    // In the process that serves.
    let worker = proxy.worker_id();
    proxy.edit("[upstreams.app]", "[upstreams.app]\nretries = 1");
    proxy.reload_well();
    assert_eq!(proxy.worker_id(), worker);
    assert_kept(&proxy, &mut sessions);
    // And in another.
    proxy.edit("threads = 2", "threads = 1");
    proxy.reload_well();
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != worker));
    assert_kept(&proxy, &mut sessions);
    signal_to(proxy.worker_id(), Signal::KILL);
    assert_kept(&proxy, &mut sessions);
    proxy.assert_sound();
}

#[test]
fn sessions_that_begin_with_a_reload_outlive_a_crash() {
    let seats = trio();
    let endpoints: Vec<_> = seats.iter().map(|seat| &seat.endpoint).collect();
    let proxy = Setup::http(&endpoints).reloadable().start();
    assert!(set(&Client::new(&proxy).get("/")).is_empty());
    proxy.edit("[upstreams.app]", &format!("[upstreams.app]\n{SEAT}"));
    proxy.reload_well();
    let mut sessions = begun(&proxy);
    let first = proxy.worker_id();
    signal_to(first, Signal::KILL);
    until("another worker", || proxy.worker_ids().iter().any(|id| *id != first));
    assert_kept(&proxy, &mut sessions);
}

#[test]
fn endpoints_that_come_and_go_leave_sessions_where_they_are() {
    let seats = trio();
    let proxy = setup(&seats).reloadable().start();
    let mut sessions = begun(&proxy);
    let first = format!("{:?}, ", seats[0].address());
    proxy.edit(&first, "");
    proxy.reload_well();
    let gone = sessions.iter().filter(|(_, name)| name == "1").count() as u64;
    for (session, name) in &mut sessions {
        let now = session.get(&proxy);
        assert!(if name == "1" { now != "1" } else { now == *name });
        *name = now;
    }
    assert_eq!(counts(&proxy)["moved"], gone);
    let answer = proxy.order("POST", "/endpoints/app", &format!("address={}", seats[0].address()));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_kept(&proxy, &mut sessions);
}

#[test]
fn sessions_outlive_a_restart_where_there_is_a_place_for_their_secret() {
    let seats = trio();
    let state = fairwater_e2e::Directory::new();
    let start = || setup(&seats).top(&format!("state_dir = {:?}", state.path())).start();
    let first = start();
    let mut sessions = begun(&first);
    drop(first);
    let key = state.join("sticky.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let second = start();
    assert_kept(&second, &mut sessions);
    drop(second);
    // A broken one is replaced, and said so.
    std::fs::write(&key, "broken").unwrap();
    let third = start();
    assert!(third.said().contains("the secret of sticky sessions in"), "{}", third.said());
    let mut sessions = begun(&third);
    drop(third);
    assert_kept(&start(), &mut sessions);
}

#[test]
fn without_such_a_place_they_end_with_the_service() {
    let seats = trio();
    let first = setup(&seats).start();
    let (mut session, _) = Session::begun(&first);
    drop(first);
    let second = setup(&seats).start();
    session.get(&second);
    check_counts(&second, [0, 0, 0, 1]);
}
