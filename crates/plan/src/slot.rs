//! Numbers of endpoints: small, for counters and pools to be found by, and used again only when
//! nothing of the endpoint before is left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of one process.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    given_back: Vec<usize>,
    /// All numbers so far are below it.
    end: usize,
}

/// A number that nobody else has until this is dropped.
#[derive(Debug)]
pub struct Slot {
    number: usize,
    slots: Arc<Slots>,
}

impl Slots {
    pub fn take(self: &Arc<Self>) -> Slot {
        let mut numbers = self.lock();
        let number = numbers.given_back.pop().unwrap_or_else(|| {
            numbers.end += 1;
            numbers.end - 1
        });
        Slot { number, slots: Arc::clone(self) }
    }

    /// All numbers that were ever taken are below this one.
    pub fn end(&self) -> usize {
        self.lock().end
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().given_back.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_when_they_are_free() {
        let slots = Arc::new(Slots::default());
        let (first, second) = (slots.take(), slots.take());
        assert_eq!((first.number(), second.number(), slots.end()), (0, 1, 2));
        drop(first);
        let (third, fourth) = (slots.take(), slots.take());
        assert_eq!((third.number(), fourth.number(), slots.end()), (0, 2, 3));
    }
}
