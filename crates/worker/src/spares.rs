//! Things that are used again: a stack of them, the last one used on top, since the processor has
//! that one near.

use std::cell::{Cell, RefCell};

#[derive(Debug)]
pub(crate) struct Spares<T> {
    free: RefCell<Vec<T>>,
    /// The fewest that lay idle since the last trim: so many were not needed.
    idle: Cell<usize>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self { free: RefCell::default(), idle: Cell::new(0) }
    }
}

impl<T: Default> Spares<T> {
    #[inline(always)]
    pub(crate) fn take(&self) -> T {
        let mut free = self.free.borrow_mut();
        let one = free.pop();
        self.idle.set(self.idle.get().min(free.len()));
        one.unwrap_or_default()
    }

    #[inline]
    pub(crate) fn give_back(&self, one: T) {
        self.free.borrow_mut().push(one);
    }

    /// Gives back memory that was not needed since the last call: half of it at a time, so that a
    /// burst is forgotten in seconds and steady work keeps what it uses.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let keep = free.len() - self.idle.get().min(free.len()).div_ceil(2);
        free.truncate(keep);
        self.idle.set(free.len());
    }
}
