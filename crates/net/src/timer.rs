//! Coarse deadlines: one wheel per thread, one entry per connection. Setting a deadline later than
//! the one before is one store; the wheel finds out when it comes by (lazy re-arming, as HAProxy
//! does it). Firing is at most one tick late and never early.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fairwater_sys::clock::coarse_ms;
use fairwater_sys::ticker::Ticker;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Length of a tick: deadlines are seconds, and nobody notices 50 ms.
const TICK_MS: u64 = 50;
/// Ticks that the wheel spans; what is due later waits in the last bucket and is looked at again.
const TICKS: u64 = 512;
const NEVER: u64 = u64::MAX;

/// The deadlines of one thread.
#[derive(Debug)]
pub struct Wheel {
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
    buckets: RefCell<Vec<Vec<u32>>>,
    /// The last tick that was looked at.
    tick: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    at_ms: u64,
    /// The tick of the bucket that this entry waits in; copies in other buckets are stale.
    queued_at: u64,
    waker: Option<Waker>,
    /// Nothing is lost if it comes early.
    is_idle: bool,
}

/// A deadline that has come before its time.
const SHED: u64 = 0;

impl Wheel {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            entries: RefCell::default(),
            free: RefCell::default(),
            buckets: RefCell::new((0..TICKS).map(|_| Vec::new()).collect()),
            tick: Cell::new(coarse_ms() / TICK_MS),
        })
    }

    /// Wakes all whose deadline has come.
    pub fn advance(&self, now_ms: u64) {
        let mut due = Vec::new();
        while self.tick.get() < now_ms / TICK_MS {
            let tick = self.tick.get() + 1;
            self.tick.set(tick);
            let bucket = std::mem::take(&mut self.buckets.borrow_mut()[(tick % TICKS) as usize]);
            for slot in bucket {
                self.look_at(slot, tick, now_ms, &mut due);
            }
        }
        for waker in due {
            waker.wake();
        }
    }

    /// Wakes everyone who waits for a deadline, due or not: something else has changed. They go on
    /// waiting for it: not everyone looks at it whenever it is woken.
    pub fn wake_all(&self) {
        let entries = self.entries.borrow();
        let wakers: Vec<_> = entries.iter().filter_map(|entry| entry.waker.clone()).collect();
        drop(entries);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets deadlines of who is idle come now, those first that are next anyway. `choose` says how
    /// many, of how many that there are. Returns how many it were.
    pub fn shed(&self, choose: impl FnOnce(usize) -> usize) -> usize {
        let mut entries = self.entries.borrow_mut();
        let idle = entries.iter().filter(|entry| entry.is_idle);
        let mut deadlines: Vec<u64> = idle.map(|entry| entry.at_ms).collect();
        let count = choose(deadlines.len()).min(deadlines.len());
        let Some(last) = count.checked_sub(1) else { return 0 };
        let (_, last_ms, _) = deadlines.select_nth_unstable(last);
        let oldest = entries.iter_mut().filter(|entry| entry.is_idle && entry.at_ms <= *last_ms);
        let mut wakers = Vec::with_capacity(count);
        for entry in oldest.take(count) {
            (entry.at_ms, entry.is_idle) = (SHED, false);
            wakers.extend(entry.waker.take());
        }
        drop(entries);
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    fn look_at(&self, slot: u32, tick: u64, now_ms: u64, due: &mut Vec<Waker>) {
        let mut entries = self.entries.borrow_mut();
        let entry = &mut entries[slot as usize];
        if entry.queued_at != tick {
            return;
        }
        entry.queued_at = NEVER;
        if entry.at_ms <= now_ms {
            due.extend(entry.waker.take());
        } else if entry.at_ms != NEVER {
            entry.queued_at = self.enqueue(slot, entry.at_ms);
        }
    }

    /// Puts a slot into the bucket of its deadline, or into the last one. Returns the tick.
    fn enqueue(&self, slot: u32, at_ms: u64) -> u64 {
        let tick = self.tick.get();
        let due = at_ms.div_ceil(TICK_MS).clamp(tick + 1, tick + TICKS - 1);
        self.buckets.borrow_mut()[(due % TICKS) as usize].push(slot);
        due
    }
}

/// One deadline, which can be moved and waited for.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    slot: u32,
}

impl Timer {
    pub fn new(wheel: &Rc<Wheel>) -> Self {
        // A slot that was used before still waits in its bucket: an early look for the new owner.
        let slot = wheel.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut entries = wheel.entries.borrow_mut();
            entries.push(Entry { at_ms: NEVER, queued_at: NEVER, waker: None, is_idle: false });
            (entries.len() - 1) as u32
        });
        Self { wheel: Rc::clone(wheel), slot }
    }

    /// Sets the deadline to `after` from now.
    #[inline]
    pub fn set(&self, after: Duration) {
        self.set_at(coarse_ms() + after.as_millis() as u64);
    }

    /// Sets the deadline, in milliseconds of the coarse clock.
    #[inline]
    pub fn set_at(&self, at_ms: u64) {
        self.set_as(at_ms, false);
    }

    #[inline]
    fn set_as(&self, at_ms: u64, is_idle: bool) {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.slot as usize];
        (entry.at_ms, entry.is_idle) = (at_ms, is_idle);
        if entry.queued_at == NEVER || at_ms.div_ceil(TICK_MS) < entry.queued_at {
            entry.queued_at = self.wheel.enqueue(self.slot, at_ms);
        }
    }

    /// Sets the deadline of who is idle until then: it may come before its time (see
    /// [`Wheel::shed`]).
    #[inline]
    pub fn set_idle(&self, after: Duration) {
        self.set_as(coarse_ms() + after.as_millis() as u64, true);
    }

    /// The same, in milliseconds of the coarse clock.
    #[inline]
    pub fn set_idle_at(&self, at_ms: u64) {
        self.set_as(at_ms, true);
    }

    /// Whether the deadline has come before its time.
    pub fn is_shed(&self) -> bool {
        self.deadline_ms() == SHED
    }

    /// Moves the deadline to `after` from now if it is later than that. Returns the one before.
    #[inline(always)]
    pub fn set_no_later(&self, after: Duration) -> u64 {
        let before_ms = self.wheel.entries.borrow()[self.slot as usize].at_ms;
        let at_ms = coarse_ms() + after.as_millis() as u64;
        if at_ms < before_ms {
            self.set_at(at_ms);
        }
        before_ms
    }

    /// There is nothing to wait for.
    pub fn unset(&self) {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.slot as usize];
        (entry.at_ms, entry.is_idle) = (NEVER, false);
    }

    pub fn is_set(&self) -> bool {
        self.deadline_ms() != NEVER
    }

    /// The deadline, for `set_at` after something else has used the timer.
    pub fn deadline_ms(&self) -> u64 {
        self.wheel.entries.borrow()[self.slot as usize].at_ms
    }

    /// Ready once the deadline has come.
    #[inline]
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.slot as usize];
        if entry.at_ms != NEVER && coarse_ms() >= entry.at_ms {
            return Poll::Ready(());
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for a time to pass.
    pub async fn pass(&self, time: Duration) {
        self.set(time);
        poll_fn(|cx| self.poll_expired(cx)).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.slot as usize];
        (entry.at_ms, entry.waker, entry.is_idle) = (NEVER, None, false);
        drop(entries);
        self.wheel.free.borrow_mut().push(self.slot);
    }
}

/// Turns the wheel of this thread, and calls `each_tick` with the time, until that returns true.
/// The runtime needs no timers of its own for it, which would cost each of its waits some looks at
/// the clock.
///
/// # Errors
/// When the process may have no further descriptor.
pub async fn drive(wheel: Rc<Wheel>, mut each_tick: impl FnMut(u64) -> bool) -> io::Result<()> {
    #[allow(deprecated, reason = "a ticker keeps its descriptor for as long as it lives")]
    let ticker = AsyncFd::new(Ticker::every(Duration::from_millis(TICK_MS))?)?;
    loop {
        // However many ticks were missed, they are one.
        ticker.async_io(Interest::READABLE, Ticker::passed).await?;
        let now_ms = coarse_ms();
        wheel.advance(now_ms);
        if each_tick(now_ms) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn check(timer: &Timer, waker: &Waker) {
        assert!(timer.poll_expired(&mut Context::from_waker(waker)).is_pending());
    }

    #[test]
    fn deadlines_fire_once_late_and_never_early() {
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let wheel = Wheel::new();
        let start = wheel.tick.get() * TICK_MS;
        let timer = Timer::new(&wheel);
        timer.set_at(start + 60_000);
        check(&timer, &waker);
        // Later by one store, earlier by moving.
        timer.set_at(start + 90_000);
        wheel.advance(start + 89_990);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        wheel.advance(start + 90_000);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        timer.set_at(start + 200_000);
        check(&timer, &waker);
        timer.set_at(start + 91_000);
        wheel.advance(start + 91_050);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        wheel.advance(start + 300_000);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_is_idle_for_longest_is_shed_first() {
        let wheel = Wheel::new();
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let timers: Vec<_> = (0..10).map(|_| Timer::new(&wheel)).collect();
        for (index, timer) in timers.iter().enumerate() {
            // Every second one has something to do.
            match index % 2 {
                0 => timer.set_idle(Duration::from_secs(100 - index as u64)),
                _ => timer.set(Duration::from_secs(10)),
            }
            check(timer, &waker);
        }
        let shed = || -> Vec<usize> { (0..10).filter(|&index| timers[index].is_shed()).collect() };
        let choose = |there: usize| move |count: usize| if count == there { 2 } else { 99 };
        assert_eq!(wheel.shed(choose(5)), 2);
        assert_eq!((shed(), count.0.load(Ordering::Relaxed)), (vec![6, 8], 2));
        assert!(timers[6].poll_expired(&mut Context::from_waker(&waker)).is_ready());
        // Who has begun something since is none of them.
        timers[4].set(Duration::from_secs(1));
        timers[6].set_idle(Duration::from_secs(1000));
        assert_eq!(wheel.shed(choose(3)), 2);
        assert_eq!(shed(), [0, 2, 8]);
        drop(timers);
        assert_eq!(wheel.shed(|count| count), 0);
    }

    /// A relay that bytes come for in that moment does not look at its timer.
    #[test]
    fn who_was_woken_for_another_reason_is_woken_by_its_deadline_as_well() {
        let count = Arc::new(Count(AtomicU32::new(0)));
        let wheel = Wheel::new();
        let start = wheel.tick.get() * TICK_MS;
        let timer = Timer::new(&wheel);
        timer.set_at(start + 60_000);
        check(&timer, &Waker::from(Arc::clone(&count)));
        wheel.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        wheel.advance(start + 60_000);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn slots_are_used_again_and_start_clean() {
        let wheel = Wheel::new();
        let start = wheel.tick.get() * TICK_MS;
        let count = Arc::new(Count(AtomicU32::new(0)));
        let first = Timer::new(&wheel);
        first.set_at(start + 100);
        check(&first, &Waker::from(Arc::clone(&count)));
        drop(first);
        let second = Timer::new(&wheel);
        assert_eq!(second.slot, 0);
        wheel.advance(start + 1_000);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert!(!second.is_set());
    }
}
