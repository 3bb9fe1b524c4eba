//! What others notice of clients that flood, or hold on to what they have: how long somebody waits
//! who asks for one thing after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// To wait so long is good in any case.
const GOOD: Duration = Duration::from_millis(5);
/// One of so many has to be good: what is wrong with the program is so each time.
const ROUNDS: usize = 5;

/// Of each hundred waits the one that took longest, of a proxy that is pressed, and meanwhile of
/// another one that is not: that waits for the machine alone, and whatever else it does.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    pub pressed: Duration,
    pub free: Duration,
}

impl Waits {
    /// Asks both in turn, until it is over.
    ///
    /// # Panics
    /// When there were too few answers to say anything.
    pub fn until<T>(is_over: &AtomicBool, mut asked: [T; 2], ask: impl Fn(&mut T)) -> Self {
        let mut took = [Vec::new(), Vec::new()];
        while !is_over.load(Ordering::Relaxed) {
            for (one, took) in asked.iter_mut().zip(&mut took) {
                std::thread::sleep(PAUSE);
                let begun = Instant::now();
                ask(one);
                took.push(begun.elapsed());
            }
        }
        let [pressed, free] = took.map(p99);
        Self { pressed, free }
    }

    /// An error when it took more than so many times what it took while all was quiet, or what it
    /// takes who is not pressed, and longer than is good anyway.
    ///
    /// # Errors
    /// What is to be said about it.
    pub fn judge(self, quiet: Self, times: f64) -> Result<(), String> {
        let may_take = quiet.pressed.max(self.free).mul_f64(times).max(GOOD);
        if self.pressed <= may_take {
            return Ok(());
        }
        Err(format!("others wait {self:?}, and {quiet:?} without"))
    }
}

/// Of each hundred the one that took longest.
///
/// # Panics
/// When there are too few to say anything.
pub fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    assert!(took.len() > 50, "only {} were answered", took.len());
    took[took.len() * 99 / 100]
}

/// Repeats what is measured until it is good. It says something of a program that is optimised, on
/// a machine that does nothing else: then it is named by `FAIRWATER_BIN`, as `cargo xtask test
/// --slow` does.
///
/// # Panics
/// When no round was good.
pub fn measure(mut round: impl FnMut() -> Result<(), String>) {
    let is_measured = std::env::var_os("FAIRWATER_BIN").is_some();
    let mut bad = Vec::new();
    while let Err(error) = round() {
        eprintln!("{error}");
        bad.push(error);
        assert!(bad.len() < ROUNDS || !is_measured, "no round was good: {bad:#?}");
        if !is_measured {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_too_long_is_not_the_one_for_whom_all_wait() {
        let waits = |pressed, free| Waits {
            pressed: Duration::from_millis(pressed),
            free: Duration::from_millis(free),
        };
        let quiet = waits(4, 1);
        assert!(waits(5, 1).judge(waits(1, 1), 2.0).is_ok(), "it is good anyway");
        assert!(waits(8, 1).judge(quiet, 2.0).is_ok());
        assert!(waits(9, 1).judge(quiet, 2.0).is_err());
        assert!(waits(20, 10).judge(quiet, 2.0).is_ok(), "the machine does something else");
        assert!(waits(21, 10).judge(quiet, 2.0).is_err());
    }
}
