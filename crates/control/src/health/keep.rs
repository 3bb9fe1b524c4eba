//! Asks every endpoint when it is due, and puts into force what follows.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use fairwater_net::clock;

use super::probe::probe;
use super::target::Target;
use super::{Outcomes, words};
use crate::Steward;
use crate::lookups::Shared;

/// For what comes at the same time.
const TOGETHER: Duration = Duration::from_millis(2);
/// From one look at failures to the next.
const CALM: Duration = Duration::from_millis(20);

/// Asks, and watches what becomes of requests, for ever.
pub(crate) async fn keep(shared: Shared) {
    drop(tokio::task::spawn_local(watch(shared.clone())));
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
        if tokio::time::timeout(wait, shared.bell.notified()).await.is_ok() {
            // More may come at the same time, and is looked at together.
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

/// Looks at endpoints when one of them fails too often.
async fn watch(shared: Shared) {
    let alarm = shared.steward.borrow().registry.alarm();
    loop {
        poll_fn(|cx| alarm.poll(cx)).await;
        shared.steward.borrow_mut().alarmed();
        shared.bell.notify_waiters();
        // Where nothing can be done about it, it rings again and again.
        tokio::time::sleep(CALM).await;
    }
}

impl Steward {
    /// An endpoint has failed too often.
    fn alarmed(&mut self) {
        let now_ms = clock::coarse_ms();
        for (upstream, change) in self.registry.breaker_news() {
            (self.outside.say)(&words::circuit(upstream, change));
        }
        let Self { config, roster, registry, .. } = self;
        let is_news = self.health.eject_failing(&Outcomes { config, roster, registry }, now_ms);
        self.health.is_stale |= is_news;
    }

    /// What to ask now, and after how many milliseconds to look again.
    fn health_turn(&mut self) -> (Vec<(String, Arc<Target>)>, u64) {
        let now_ms = clock::coarse_ms();
        let Self { config, roster, registry, .. } = self;
        let outcomes = Outcomes { config, roster, registry };
        self.health.is_stale |= self.health.next_ms <= now_ms;
        if let Some(sources) = self.sources.as_ref().filter(|_| self.health.rates_ms <= now_ms) {
            let is_news = self.health.compare_rates(&outcomes, sources, now_ms);
            self.health.is_stale |= is_news;
        }
        if self.health.is_stale && self.health.rests_until_ms <= now_ms {
            let begun_us = clock::precise_us();
            self.refresh();
            let taken_ms = clock::precise_us().saturating_sub(begun_us) / 1000;
            // A decision about thousands of endpoints takes its time: others have as much.
            self.health.rests_until_ms = clock::coarse_ms() + taken_ms;
        }
        if self.health.is_to_be_kept(now_ms) {
            self.snapshot();
        }
        self.health.due(now_ms)
    }

    /// Takes in what came of a probe.
    fn probed(&mut self, key: &str, target: &Target, outcome: &super::probe::Outcome) {
        let (now_ms, random) = (clock::coarse_ms(), (self.outside.random)());
        let at = (now_ms, random);
        let is_news = self.health.probed(&self.config, (key, target), outcome, at);
        self.health.is_stale |= is_news;
    }
}
