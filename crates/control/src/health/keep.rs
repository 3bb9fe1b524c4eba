//! Asks every endpoint when it is due, and puts into force what follows.

use std::sync::Arc;
use std::time::Duration;

use fairwater_net::clock;

use super::probe::probe;
use super::target::Target;
use crate::Steward;
use crate::lookups::Shared;

/// Asks for ever.
pub(crate) async fn keep(shared: Shared) {
    loop {
        let (due, wait_ms) = shared.steward.borrow_mut().health_turn();
        for (key, target) in due {
            let shared = shared.clone();
            drop(tokio::task::spawn_local(async move {
                let outcome = probe(&target).await;
                shared.steward.borrow_mut().probed(&key, &target, &outcome);
                shared.bell.notify_waiters();
            }));
        }
        let wait = Duration::from_millis(wait_ms);
        tokio::time::timeout(wait, shared.bell.notified()).await.ok();
    }
}

impl Steward {
    /// What to ask now, and after how many milliseconds to look again.
    fn health_turn(&mut self) -> (Vec<(String, Arc<Target>)>, u64) {
        let now_ms = clock::coarse_ms();
        if self.health.next_ms <= now_ms {
            self.refresh();
        }
        self.health.due(now_ms)
    }

    /// Takes in what came of a probe.
    fn probed(&mut self, key: &str, target: &Target, outcome: &super::probe::Outcome) {
        let (now_ms, random) = (clock::coarse_ms(), (self.outside.random)());
        if self.health.probed(&self.config, (key, target), outcome, (now_ms, random)) {
            self.refresh();
        }
    }
}
