//! Waiting for conditions: never for a time to pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a socket waits for: long enough for a machine that does much else at the same time.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long anything else may take, on a machine that is busy with a dozen other tests.
const LONG: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until the condition holds.
///
/// # Panics
/// When it still does not after a minute.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Waits until there is a value.
///
/// # Panics
/// When there is none after a minute.
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(begun.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until there is a value, for as long as something moves meanwhile: what `look` gives in its
/// place is how far it has come.
///
/// # Panics
/// When nothing moves for a minute.
#[track_caller]
pub fn while_moving<T>(what: &str, mut look: impl FnMut() -> Result<T, usize>) -> T {
    let (mut since, mut before) = (Instant::now(), 0);
    loop {
        let far = match look() {
            Ok(value) => return value,
            Err(far) => far,
        };
        if far != before {
            (since, before) = (Instant::now(), far);
        }
        assert!(since.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Says that it is over when it is dropped, also by a test that fails: a scope waits for all of its
/// threads, and those go on until then.
#[derive(Debug)]
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
