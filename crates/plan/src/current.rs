//! The plan in force, as threads share it. Each thread holds the one that it serves by, and looks
//! now and then whether there is a newer one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Plan;

#[derive(Debug)]
pub struct CurrentPlan {
    plan: Mutex<Arc<Plan>>,
    /// Counts the plans so far.
    generation: AtomicU64,
}

impl CurrentPlan {
    pub fn new(plan: Plan) -> Self {
        Self { plan: Mutex::new(Arc::new(plan)), generation: AtomicU64::new(0) }
    }

    pub fn get(&self) -> Arc<Plan> {
        Arc::clone(&self.lock())
    }

    pub fn set(&self, plan: Plan) {
        *self.lock() = Arc::new(plan);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The newest plan, if it is newer than that of `seen`, which is brought up to date.
    pub fn newer(&self, seen: &mut u64) -> Option<Arc<Plan>> {
        let generation = self.generation.load(Ordering::Acquire);
        (generation != *seen).then(|| {
            *seen = generation;
            self.get()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
