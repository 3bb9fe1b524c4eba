//! The plan in force, as threads share it. Each thread holds the one that it serves by, and looks
//! now and then whether there is a newer one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Plan;

#[derive(Debug)]
pub struct CurrentPlan {
    plan: Mutex<Arc<Plan>>,
    /// Those before that somebody may still hold. The last one to hold a plan takes it apart, which
    /// takes long for thousands of endpoints: that shall be nobody who serves.
    before: Mutex<Vec<Arc<Plan>>>,
    /// Counts the plans so far.
    generation: AtomicU64,
    /// The generation that each reader serves by.
    readers: Mutex<Vec<Arc<AtomicU64>>>,
}

/// What a thread looks through for newer plans.
#[derive(Debug)]
pub struct PlanReader {
    current: Arc<CurrentPlan>,
    taken: u64,
    serves_by: Arc<AtomicU64>,
}

/// No generation: nothing was taken yet.
const NONE: u64 = u64::MAX;

impl CurrentPlan {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan: Mutex::new(Arc::new(plan)),
            before: Mutex::default(),
            generation: AtomicU64::new(0),
            readers: Mutex::default(),
        }
    }

    pub fn get(&self) -> Arc<Plan> {
        Arc::clone(&lock(&self.plan))
    }

    pub fn set(&self, plan: Plan) {
        let before = std::mem::replace(&mut *lock(&self.plan), Arc::new(plan));
        self.generation.fetch_add(1, Ordering::Release);
        lock(&self.before).push(before);
        self.forget();
    }

    /// Takes plans apart that nobody holds any more.
    fn forget(&self) {
        let mut before = lock(&self.before);
        let is_free = |plan: &mut Arc<Plan>| Arc::strong_count(plan) == 1;
        let gone: Vec<_> = before.extract_if(.., is_free).collect();
        drop(before);
        drop(gone);
    }

    pub fn reader(self: &Arc<Self>) -> PlanReader {
        let serves_by = Arc::new(AtomicU64::new(NONE));
        lock(&self.readers).push(Arc::clone(&serves_by));
        PlanReader { current: Arc::clone(self), taken: NONE, serves_by }
    }

    /// Whether every reader serves by the newest plan.
    pub fn is_adopted(&self) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        let mut readers = lock(&self.readers);
        // Those of threads that have ended are forgotten.
        readers.retain(|serves_by| Arc::strong_count(serves_by) > 1);
        let all = readers.iter().all(|serves_by| serves_by.load(Ordering::Acquire) == generation);
        drop(readers);
        if all {
            self.forget();
        }
        all
    }
}

impl PlanReader {
    /// The newest plan, if it is newer than the one before. What the last call gave counts as
    /// adopted from now on.
    pub fn newer(&mut self) -> Option<Arc<Plan>> {
        self.serves_by.store(self.taken, Ordering::Release);
        let generation = self.current.generation.load(Ordering::Acquire);
        (generation != self.taken).then(|| {
            self.taken = generation;
            self.current.get()
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(slots_end: usize) -> Plan {
        let drain = std::time::Duration::ZERO;
        Plan {
            listeners: Vec::new().into(),
            upstreams: Vec::new(),
            limits: Vec::new(),
            drain,
            slots_end,
            replaced: drain,
        }
    }

    #[test]
    fn readers_get_each_plan_once_and_tell_when_they_serve_by_it() {
        let current = Arc::new(CurrentPlan::new(plan(1)));
        let (mut first, mut second) = (current.reader(), current.reader());
        assert!(first.newer().is_some() && second.newer().is_some());
        assert!(first.newer().is_none() && second.newer().is_none());
        assert!(current.is_adopted());
        current.set(plan(2));
        assert_eq!(first.newer().unwrap().slots_end, 2);
        assert!(!current.is_adopted(), "it may not yet have done anything with it");
        assert!(first.newer().is_none());
        assert!(!current.is_adopted(), "the other one has not looked");
        drop(second);
        assert!(current.is_adopted());
    }

    #[test]
    fn who_serves_is_never_the_last_to_hold_a_plan() {
        let current = Arc::new(CurrentPlan::new(plan(1)));
        let mut reader = current.reader();
        let first = reader.newer().unwrap();
        let kept = Arc::downgrade(&first);
        current.set(plan(2));
        drop((first, reader.newer()));
        assert!(kept.upgrade().is_some(), "it is left to others");
        reader.newer();
        assert!(current.is_adopted());
        assert!(kept.upgrade().is_none());
    }
}
