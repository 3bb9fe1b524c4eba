//! Those who wait for something that only so many may have at a time: a bounded queue, urgent ones
//! first, and within one urgency by arrival.
//!
//! A permit that comes back calls the first one who was not called yet. Who is called keeps the
//! place until the permit is taken, so that newcomers do not push in; who finds nothing passes the
//! call on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The most that wait where nothing else is said; further ones fail at once.
pub(crate) const WAITERS_MAX: u32 = 4096;

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// A place in a queue: they are served in this order.
type Place = (Priority, u64);

#[derive(Debug)]
pub struct Queue {
    /// How many wait, readable without the lock.
    waiting: AtomicUsize,
    max: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiters: BTreeMap<Place, Waiting>,
    last_id: u64,
    /// The latest that anybody knows of.
    generation: u64,
}

#[derive(Debug)]
struct Waiting {
    waker: Waker,
    is_called: bool,
    is_picky: bool,
    generation: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            max: AtomicUsize::new(WAITERS_MAX as usize),
            state: Mutex::default(),
        }
    }
}

impl Queue {
    /// Lets so many wait. Those that wait beyond it go on waiting.
    pub fn set_max(&self, max: u32) {
        self.max.store(max as usize, Ordering::Relaxed);
    }

    /// How many may wait.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place in the queue, taken when it is first polled.
    pub fn waiter(&self, priority: Priority) -> Waiter<'_> {
        Waiter {
            queue: self,
            priority,
            place: None,
            is_picky: false,
            generation: 0,
            is_over: false,
        }
    }

    /// Calls who is next: something came back. To be called after that was given back, which must
    /// be sequentially consistent: who gives looks for waiters, and who waits looks for permits
    /// after it has said so. In whatever order the two come, one of them sees the other.
    pub fn call(&self) {
        if !self.is_empty() {
            self.call_behind(None);
        }
    }

    /// Calls all of them, where nobody knows how much has come back.
    pub(crate) fn call_all(&self) {
        if self.is_empty() {
            return;
        }
        let mut state = self.lock();
        let all = state.waiters.values_mut();
        let wakers: Vec<Waker> = all
            .map(|waiting| {
                waiting.is_called = true;
                waiting.waker.clone()
            })
            .collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Calls who is next behind a place.
    fn call_behind(&self, place: Option<Place>) {
        let next = self.lock().next_behind(place);
        if let Some(waker) = next {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if, the queue is as good as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        self.waiting.store(state.waiters.len(), Ordering::SeqCst);
    }
}

impl State {
    /// Marks the first one behind a place that was not called.
    fn next_behind(&mut self, place: Option<Place>) -> Option<Waker> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = place.map_or(Unbounded, Excluded);
        let mut behind = self.waiters.range_mut((from, Unbounded));
        let (_, next) = behind.find(|(_, waiting)| !waiting.is_called)?;
        next.is_called = true;
        Some(next.waker.clone())
    }

    /// Whether nobody is before this place who was not called and would take whatever there is.
    fn is_next(&self, place: Place) -> bool {
        let is_current = |waiting: &Waiting| waiting.generation >= self.generation;
        let holds =
            |waiting: &Waiting| !waiting.is_called && !waiting.is_picky && is_current(waiting);
        let first = self.waiters.iter().find(|(_, waiting)| holds(waiting));
        first.is_none_or(|(first, _)| *first >= place)
    }
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<T> {
    /// This was taken.
    Enter(T),
    Wait,
    /// Too many wait already.
    Refused,
}

/// One who waits. Leaves the queue when it is dropped, and passes on a call that it has not used.
#[derive(Debug)]
pub struct Waiter<'a> {
    queue: &'a Queue,
    priority: Priority,
    place: Option<Place>,
    is_picky: bool,
    generation: u64,
    is_over: bool,
}

impl Waiter<'_> {
    /// Whether it takes one certain thing alone: others do not wait behind it for what it leaves.
    #[must_use]
    pub fn picky(self, is_picky: bool) -> Self {
        Self { is_picky, ..self }
    }

    /// Which state of things it knows: those who know of a later one, and of more that can be
    /// taken, do not wait behind it.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// Takes something if it is this one's turn, or sees to it that the waker is woken when it is.
    pub fn poll<T>(&mut self, waker: &Waker, take: impl FnOnce() -> Option<T>) -> Turn<T> {
        let (turn, others) = {
            let mut state = self.queue.lock();
            // Said before the look at what there is: see `Queue::call`.
            self.queue.waiting.store(state.waiters.len() + 1, Ordering::SeqCst);
            let result = self.turn(&mut state, waker, take);
            self.queue.publish(&state);
            result
        };
        others.into_iter().for_each(Waker::wake);
        turn
    }

    /// Also who is to be woken: there is a place for somebody else, or none for him any more.
    fn turn<T>(
        &mut self,
        state: &mut State,
        waker: &Waker,
        take: impl FnOnce() -> Option<T>,
    ) -> (Turn<T>, Option<Waker>) {
        state.generation = state.generation.max(self.generation);
        let (is_called, may_take) = match self.place {
            Some(place) => match state.waiters.get(&place) {
                Some(waiting) => (waiting.is_called, waiting.is_called || state.is_next(place)),
                None => {
                    // Somebody more urgent has taken the place.
                    self.is_over = true;
                    return (Turn::Refused, None);
                }
            },
            None => (false, state.is_next((self.priority, u64::MAX))),
        };
        if may_take && let Some(taken) = take() {
            self.place.inspect(|place| drop(state.waiters.remove(place)));
            self.is_over = true;
            return (Turn::Enter(taken), None);
        }
        let Some(place) = self.place else { return self.join(state, waker) };
        if let Entry::Occupied(mut waiting) = state.waiters.entry(place) {
            waiting.get_mut().waker.clone_from(waker);
            waiting.get_mut().is_called = false;
        }
        // What came back is of no use here.
        let next = if is_called { state.next_behind(Some(place)) } else { None };
        (Turn::Wait, next)
    }

    /// Takes a place, which may be that of somebody less urgent.
    fn join<T>(&mut self, state: &mut State, waker: &Waker) -> (Turn<T>, Option<Waker>) {
        let mut loser = None;
        if state.waiters.len() >= self.queue.max.load(Ordering::Relaxed) {
            match state.waiters.last_entry().filter(|last| last.key().0 > self.priority) {
                Some(last) => loser = Some(last.remove().waker),
                None => {
                    self.is_over = true;
                    return (Turn::Refused, None);
                }
            }
        }
        state.last_id += 1;
        let place = (self.priority, state.last_id);
        state.waiters.insert(
            place,
            Waiting {
                waker: waker.clone(),
                is_called: false,
                is_picky: self.is_picky,
                generation: self.generation,
            },
        );
        self.place = Some(place);
        (Turn::Wait, loser)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.filter(|_| !self.is_over) else { return };
        let next = {
            let mut state = self.queue.lock();
            let was_called = state.waiters.remove(&place).is_some_and(|one| one.is_called);
            let next = if was_called { state.next_behind(Some(place)) } else { None };
            self.queue.publish(&state);
            next
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    /// How often somebody was woken.
    #[derive(Default)]
    pub(crate) struct Count(AtomicU32);

    impl Count {
        pub(crate) fn get(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    /// A thread that waits.
    pub(crate) struct Parked(std::thread::Thread);

    impl Parked {
        pub(crate) fn waker() -> Waker {
            Waker::from(Arc::new(Self(std::thread::current())))
        }
    }

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Somebody who waits, and how often he was woken.
    struct One<'a> {
        waiter: Waiter<'a>,
        count: Arc<Count>,
        waker: Waker,
    }

    impl<'a> One<'a> {
        fn new(queue: &'a Queue, priority: Priority) -> Self {
            let (count, waker) = waker();
            Self { waiter: queue.waiter(priority), count, waker }
        }

        fn poll(&mut self, has: bool) -> Turn<()> {
            self.waiter.poll(&self.waker, || has.then_some(()))
        }

        fn woken(&self) -> u32 {
            self.count.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn urgent_ones_go_first_and_others_by_arrival() {
        let queue = Queue::default();
        use Priority::{High, Low, Normal};
        let mut all = [Low, Normal, High, Normal].map(|one| One::new(&queue, one));
        assert!(all.iter_mut().all(|one| one.poll(false) == Turn::Wait));
        let mut order = Vec::new();
        for _ in 0..4 {
            queue.call();
            let place = all.iter().position(|one| one.woken() > 0).unwrap();
            assert_eq!(all[place].poll(true), Turn::Enter(()));
            order.push(place);
        }
        assert_eq!(order, [2, 1, 3, 0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_is_not_called_takes_nothing_unless_it_is_next() {
        let queue = Queue::default();
        let mut all = [Priority::Normal; 3].map(|one| One::new(&queue, one));
        assert!(all.iter_mut().all(|one| one.poll(false) == Turn::Wait));
        assert_eq!(all[1].poll(true), Turn::Wait);
        queue.call();
        assert_eq!(all[0].woken(), 1);
        // A newcomer does not push in, and one that is urgent does.
        assert_eq!(One::new(&queue, Priority::Normal).poll(true), Turn::Wait);
        assert_eq!(One::new(&queue, Priority::High).poll(true), Turn::Enter(()));
        assert_eq!(all[0].poll(true), Turn::Enter(()));
        assert_eq!(all[1].poll(true), Turn::Enter(()), "it is next");
    }

    #[test]
    fn nobody_waits_behind_who_wants_something_else() {
        let queue = Queue::default();
        let mut picky = One::new(&queue, Priority::Normal);
        picky.waiter = queue.waiter(Priority::Normal).picky(true);
        assert_eq!(picky.poll(false), Turn::Wait);
        assert_eq!(One::new(&queue, Priority::Normal).poll(true), Turn::Enter(()));
        // It is the first to be called all the same, and passes on what it does not want.
        let mut other = One::new(&queue, Priority::Normal);
        assert_eq!(other.poll(false), Turn::Wait);
        queue.call();
        assert_eq!((picky.woken(), other.woken()), (1, 0));
        assert_eq!(picky.poll(false), Turn::Wait);
        assert_eq!(other.woken(), 1);
        queue.call();
        assert_eq!(picky.poll(true), Turn::Enter(()));
    }

    #[test]
    fn a_call_that_is_of_no_use_is_passed_on() {
        let queue = Queue::default();
        let mut all = [Priority::Normal; 3].map(|one| One::new(&queue, one));
        assert!(all.iter_mut().all(|one| one.poll(false) == Turn::Wait));
        queue.call();
        assert_eq!(all[0].poll(false), Turn::Wait);
        assert_eq!((all[1].woken(), all[2].woken()), (1, 0));
        assert_eq!(all[1].poll(true), Turn::Enter(()));
        // And so is that of one who leaves.
        queue.call();
        let [first, _, third] = all;
        drop(first);
        assert_eq!(third.woken(), 1);
        drop(third);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_refuses_or_gives_up_who_is_less_urgent() {
        let queue = Queue::default();
        queue.set_max(2);
        let mut all = [Priority::Low, Priority::Normal].map(|one| One::new(&queue, one));
        assert!(all.iter_mut().all(|one| one.poll(false) == Turn::Wait));
        assert_eq!(One::new(&queue, Priority::Low).poll(false), Turn::Refused);
        let mut urgent = One::new(&queue, Priority::High);
        assert_eq!(urgent.poll(false), Turn::Wait);
        assert_eq!(all[0].woken(), 1);
        assert_eq!(all[0].poll(true), Turn::Refused);
        assert_eq!(queue.len(), 2);
        queue.set_max(0);
        assert_eq!(One::new(&queue, Priority::Low).poll(false), Turn::Refused);
    }
}
