//! How many connections are open to an upstream, over all threads, and who waits for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The most exchanges that wait for a connection of a full upstream; further ones fail at once.
const WAITERS_MAX: usize = 4096;

/// The permits of an upstream. Admission is one compare-and-swap; only a full upstream takes a
/// lock.
#[derive(Debug)]
pub struct Admission {
    open: AtomicU32,
    max: AtomicU32,
    /// Length of the queue, readable without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiters: VecDeque<(u64, Waker)>,
    last_id: u64,
}

impl Admission {
    /// At most so many connections at a time; `None` for as many as there may be.
    pub fn new(max: Option<u32>) -> Self {
        Self {
            open: AtomicU32::new(0),
            max: AtomicU32::new(max.unwrap_or(u32::MAX)),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    /// Sets another limit. Those that are open beyond it stay open.
    pub fn set_max(&self, max: Option<u32>) {
        let max = max.unwrap_or(u32::MAX);
        let before = self.max.swap(max, Ordering::SeqCst);
        // One permit for each that may enter now.
        for _ in before..max.min(before.saturating_add(WAITERS_MAX as u32)) {
            if !self.has_waiters() {
                return;
            }
            self.wake_one();
        }
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes the permit for one more connection, unless others wait for one; `leave` gives it back.
    pub fn enter(&self) -> bool {
        !self.has_waiters() && self.take_permit()
    }

    fn take_permit(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let one_more = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Gives a permit back. Who gives looks for waiters after that, and who waits looks for permits
    /// after it has said so: in whatever order the two come, one of them sees the other.
    pub fn leave(&self) {
        let before = self.open.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "every leave follows its enter");
        self.wake_one();
    }

    /// Whether exchanges wait, so that idle connections should make room.
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// A place in the queue, taken when it is first polled.
    pub fn waiter(&self) -> Waiter<'_> {
        Waiter { admission: self, id: None, is_served: false }
    }

    /// Wakes who has waited longest: a permit came back.
    fn wake_one(&self) {
        if !self.has_waiters() {
            return;
        }
        let next = {
            let mut queue = self.lock();
            let next = queue.waiters.pop_front();
            self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
            next
        };
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock; and if, the queue is as good as before.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange that waits for a permit. Leaves the queue when it is dropped, and passes on a wake
/// that it has not used.
#[derive(Debug)]
pub struct Waiter<'a> {
    admission: &'a Admission,
    id: Option<u64>,
    is_served: bool,
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The permit is taken.
    Enter,
    Wait,
    /// Too many wait already.
    Refused,
}

impl Waiter<'_> {
    /// Takes a permit, or sees to it that the waker is woken when one comes back.
    pub fn poll(&mut self, waker: &Waker) -> Turn {
        let mut queue = self.admission.lock();
        // Said before the look at the permits: see `leave`.
        self.admission.waiting.store(queue.waiters.len() + 1, Ordering::SeqCst);
        let turn = self.turn(&mut queue, waker);
        self.admission.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        turn
    }

    fn turn(&mut self, queue: &mut Queue, waker: &Waker) -> Turn {
        let is_next = match self.id {
            // Woken, and so out of the queue, or never in it.
            Some(id) => queue.waiters.iter().all(|(other, _)| *other != id),
            None => queue.waiters.is_empty(),
        };
        if is_next && self.admission.take_permit() {
            self.is_served = true;
            return Turn::Enter;
        }
        let was_queued = self.id.is_some();
        let id = *self.id.get_or_insert_with(|| {
            queue.last_id += 1;
            queue.last_id
        });
        if let Some(place) = queue.waiters.iter_mut().find(|(other, _)| *other == id) {
            place.1.clone_from(waker);
        } else if was_queued {
            queue.waiters.push_front((id, waker.clone())); // keeps its turn
        } else if queue.waiters.len() >= WAITERS_MAX {
            self.is_served = true;
            return Turn::Refused;
        } else {
            queue.waiters.push_back((id, waker.clone()));
        }
        Turn::Wait
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.filter(|_| !self.is_served) else { return };
        let was_woken = {
            let mut queue = self.admission.lock();
            let before = queue.waiters.len();
            queue.waiters.retain(|(other, _)| *other != id);
            self.admission.waiting.store(queue.waiters.len(), Ordering::SeqCst);
            queue.waiters.len() == before
        };
        if was_woken {
            self.admission.wake_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn permits_are_limited_and_come_back() {
        let admission = Admission::new(Some(2));
        assert!(admission.enter() && admission.enter() && !admission.enter());
        admission.leave();
        assert!(admission.enter());
        assert_eq!(admission.open(), 2);
    }

    #[test]
    fn who_waited_longest_is_next_and_newcomers_do_not_push_in() {
        let admission = Admission::new(Some(1));
        assert!(admission.enter());
        let ((first_count, first_waker), (second_count, second_waker)) = (waker(), waker());
        let (mut first, mut second) = (admission.waiter(), admission.waiter());
        for _ in 0..3 {
            assert_eq!(first.poll(&first_waker), Turn::Wait);
            assert_eq!(second.poll(&second_waker), Turn::Wait);
        }
        admission.leave();
        assert!(!admission.enter(), "the second still waits");
        assert_eq!(first_count.0.load(Ordering::Relaxed), 1);
        assert_eq!(second_count.0.load(Ordering::Relaxed), 0);
        assert_eq!(first.poll(&first_waker), Turn::Enter);
        drop(first);
        assert_eq!(second_count.0.load(Ordering::Relaxed), 0);
        admission.leave();
        assert_eq!(second_count.0.load(Ordering::Relaxed), 1);
        assert_eq!(second.poll(&second_waker), Turn::Enter);
    }

    #[test]
    fn a_waiter_that_gives_up_passes_its_wake_on() {
        let admission = Admission::new(Some(1));
        assert!(admission.enter());
        let ((_, first_waker), (second_count, second_waker)) = (waker(), waker());
        let (mut first, mut second) = (admission.waiter(), admission.waiter());
        assert_eq!(first.poll(&first_waker), Turn::Wait);
        assert_eq!(second.poll(&second_waker), Turn::Wait);
        admission.leave();
        drop(first);
        assert_eq!(second_count.0.load(Ordering::Relaxed), 1);
        drop(second);
        assert!(!admission.has_waiters());
        assert!(admission.enter());
    }

    struct Parked(std::thread::Thread);

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// A wake-up that gets lost leaves a thread parked for ever, and everybody behind it.
    #[test]
    fn threads_that_fight_for_permits_all_get_one() {
        for max in [1, 2] {
            let admission = Admission::new(Some(max));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let waker = Waker::from(Arc::new(Parked(std::thread::current())));
                        for _ in 0..20_000 {
                            if !admission.enter() {
                                let mut waiter = admission.waiter();
                                while waiter.poll(&waker) != Turn::Enter {
                                    std::thread::park();
                                }
                            }
                            assert!(admission.open() <= max);
                            admission.leave();
                        }
                    });
                }
            });
            assert_eq!(admission.open(), 0);
            assert!(!admission.has_waiters());
        }
    }
}
