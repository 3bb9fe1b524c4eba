//! How many connections are open to an upstream, over all threads, and who waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::queue::WAITERS_MAX;
use crate::{Priority, Queue, Waiter};

/// The permits of an upstream. Admission is one compare-and-swap; only a full upstream takes a
/// lock.
#[derive(Debug)]
pub struct Admission {
    open: AtomicU32,
    max: AtomicU32,
    queue: Queue,
    /// Messages that wait elsewhere, for one that stands in the queue on behalf of them all.
    apart: AtomicUsize,
    /// Those who stand there so.
    keepers: AtomicUsize,
}

/// A place of somebody who waits apart from the queue; given back when it is dropped.
#[derive(Debug)]
pub struct PlaceApart(Arc<Admission>);

impl Drop for PlaceApart {
    fn drop(&mut self) {
        self.0.apart.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// At most so many connections at a time; `None` for as many as there may be.
    pub fn new(max: Option<u32>) -> Self {
        Self {
            open: AtomicU32::new(0),
            max: AtomicU32::new(max.unwrap_or(u32::MAX)),
            queue: Queue::default(),
            apart: AtomicUsize::new(0),
            keepers: AtomicUsize::new(0),
        }
    }

    /// Sets another limit. Those that are open beyond it stay open.
    pub fn set_max(&self, max: Option<u32>) {
        let max = max.unwrap_or(u32::MAX);
        let before = self.max.swap(max, Ordering::SeqCst);
        // One permit for each that may enter now.
        for _ in before..max.min(before.saturating_add(WAITERS_MAX)) {
            if !self.has_waiters() {
                return;
            }
            self.queue.call();
        }
    }

    /// Lets so many wait.
    pub fn set_queue_max(&self, max: u32) {
        self.queue.set_max(max);
    }

    /// Connections that may be open at a time.
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    /// Takes a place of one who waits apart from the queue, if no more wait than may.
    pub fn wait_apart(self: &Arc<Self>) -> Option<PlaceApart> {
        let before = self.apart.fetch_add(1, Ordering::Relaxed);
        let place = PlaceApart(Arc::clone(self));
        (before < self.queue.max()).then_some(place)
    }

    /// Somebody stands in the queue for those who wait apart, or does so no longer.
    pub fn keeper(&self, is_there: bool) {
        match is_there {
            true => self.keepers.fetch_add(1, Ordering::Relaxed),
            false => self.keepers.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// All who wait, each once.
    pub fn waiting_in_all(&self) -> usize {
        let keepers = self.keepers.load(Ordering::Relaxed);
        self.apart.load(Ordering::Relaxed) + self.waiting().saturating_sub(keepers)
    }

    /// Whether there may be one more, at this moment.
    pub fn has_room(&self) -> bool {
        self.open() < self.max()
    }

    /// Connections that are open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes the permit for one more connection, unless others wait for one; `leave` gives it back.
    pub fn enter(&self) -> bool {
        !self.has_waiters() && self.take_permit().is_some()
    }

    /// For a [`Waiter`], who takes it in turn.
    pub fn take_permit(&self) -> Option<()> {
        let max = self.max.load(Ordering::Relaxed);
        let one_more = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok().map(|_| ())
    }

    /// Gives a permit back.
    pub fn leave(&self) {
        let before = self.open.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "every leave follows its enter");
        self.queue.call();
    }

    /// Whether exchanges wait, so that idle connections should make room.
    pub fn has_waiters(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Exchanges that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A place in the queue, taken when it is first polled.
    pub fn waiter(&self, priority: Priority) -> Waiter<'_> {
        self.queue.waiter(priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Turn;
    use crate::queue::tests::{Parked, waker};

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
        let (mut first, mut second) =
            (admission.waiter(Priority::Normal), admission.waiter(Priority::Normal));
        for _ in 0..3 {
            assert_eq!(first.poll(&first_waker, || admission.take_permit()), Turn::Wait);
            assert_eq!(second.poll(&second_waker, || admission.take_permit()), Turn::Wait);
        }
        admission.leave();
        assert!(!admission.enter(), "the second still waits");
        assert_eq!(first_count.get(), 1);
        assert_eq!(second_count.get(), 0);
        assert_eq!(first.poll(&first_waker, || admission.take_permit()), Turn::Enter(()));
        drop(first);
        assert_eq!(second_count.get(), 0);
        admission.leave();
        assert_eq!(second_count.get(), 1);
        assert_eq!(second.poll(&second_waker, || admission.take_permit()), Turn::Enter(()));
    }

    #[test]
    fn a_waiter_that_gives_up_passes_its_wake_on() {
        let admission = Admission::new(Some(1));
        assert!(admission.enter());
        let ((_, first_waker), (second_count, second_waker)) = (waker(), waker());
        let (mut first, mut second) =
            (admission.waiter(Priority::Normal), admission.waiter(Priority::Normal));
        assert_eq!(first.poll(&first_waker, || admission.take_permit()), Turn::Wait);
        assert_eq!(second.poll(&second_waker, || admission.take_permit()), Turn::Wait);
        admission.leave();
        drop(first);
        assert_eq!(second_count.get(), 1);
        drop(second);
        assert!(!admission.has_waiters());
        assert!(admission.enter());
    }

    /// A wake-up that gets lost leaves a thread parked for ever, and everybody behind it.
    #[test]
    fn threads_that_fight_for_permits_all_get_one() {
        for max in [1, 2] {
            let admission = Admission::new(Some(max));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let waker = Parked::waker();
                        for _ in 0..20_000 {
                            if !admission.enter() {
                                let mut waiter = admission.waiter(Priority::Normal);
                                while waiter.poll(&waker, || admission.take_permit())
                                    != Turn::Enter(())
                                {
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
