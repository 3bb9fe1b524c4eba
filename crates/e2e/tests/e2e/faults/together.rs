//! All endpoints fail.

use std::time::Instant;

use super::*;

#[test]
fn all_are_dead_and_back() {
    let (mut all, setup) = three();
    let mut proxy = setup.upstream("health = \"/healthz\"").start();
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME);
    all.iter_mut().for_each(Unsound::kill);
    clients.until_asked(SOME);
    all.iter_mut().for_each(Unsound::revive);
    let back = Instant::now();
    until("an answer", || all.iter().any(|one| one.asked() > 0) && back.elapsed() > RECOVERY_MAX);
    clients.until_asked(SOME);
    let seen = clients.end();
    // Those that were sent and not answered when they died, and after that nobody is asked.
    let failed = seen.failed();
    assert!(failed.keys().all(|word| ["502", "503"].contains(word)), "{failed:?}");
    assert!(failed["503"] > SOME / 2, "{failed:?}");
    assert!(failed.get("502").is_none_or(|count| *count <= ROW), "{failed:?}");
    let last = seen.last_failure().unwrap();
    let late = last.saturating_duration_since(back);
    assert!(late <= RECOVERY_MAX, "something failed {late:?} after all were back");
    proxy.assert_sound();
}
