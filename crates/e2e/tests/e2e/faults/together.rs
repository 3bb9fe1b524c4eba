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

/// Each request pays for a fifth of a retry, ten come with each second, and a hundred may have been
/// saved up.
#[test]
fn a_storm_of_retries_is_no_more_than_its_budget() {
    let (all, setup) = three();
    let mut proxy = setup.upstream("outlier = false").start();
    all.iter().for_each(|one| one.is_now(Manner::Half));
    let begun = Instant::now();
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME * 5);
    let requests = clients.end().0.len() as u64;
    let attempts: u64 = all.iter().map(Unsound::asked).sum();
    let most = requests + requests / 5 + 100 + 10 * (begun.elapsed().as_secs() + 1);
    assert!(attempts <= most, "{attempts} attempts for {requests} requests, more than {most}");
    proxy.assert_sound();
}
