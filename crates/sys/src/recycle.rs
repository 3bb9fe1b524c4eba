//! Memory for futures that is used again: a connection that turns busy takes a block for the future
//! of its exchange and gives it back when it turns idle, so that a request costs no allocation and
//! an idle connection holds none of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A free list of equal blocks, owned by one thread.
#[derive(Debug)]
pub struct Recycler {
    free: RefCell<Vec<NonNull<u8>>>,
    /// The layout of all blocks: that of the first future that was placed.
    layout: Cell<Option<Layout>>,
    /// The fewest free blocks since the last trim: so many were not needed.
    spare: Cell<usize>,
}

impl Recycler {
    pub const fn new() -> Self {
        Self { free: RefCell::new(Vec::new()), layout: Cell::new(None), spare: Cell::new(0) }
    }

    /// Gives back half of the blocks that nobody needed since the last call, so that what a burst
    /// took is returned within some calls and steady work keeps what it uses.
    pub fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let Some(layout) = self.layout.get() else { return };
        let keep = free.len() - self.spare.get().min(free.len()).div_ceil(2);
        for block in free.drain(keep..) {
            // SAFETY: blocks on the free list have this layout and hold nothing.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
        self.spare.set(free.len());
    }

    /// Places a future on the heap, in a block that was used before if there is one. All futures
    /// of one recycler should be of one type; others work, but are allocated each time.
    pub fn place<F: Future>(&self, make: impl FnOnce() -> F) -> Placed<'_, F> {
        let layout = Layout::new::<F>();
        let block = self.take(layout);
        let future = block.cast::<F>();
        // SAFETY: `take` returned a block of this layout that nothing else points to. Should `make`
        // panic, the block leaks, which is safe.
        unsafe { future.as_ptr().write(make()) };
        Placed { future, recycler: self }
    }

    fn take(&self, layout: Layout) -> NonNull<u8> {
        if self.layout.get() == Some(layout) {
            let mut free = self.free.borrow_mut();
            let block = free.pop();
            self.spare.set(self.spare.get().min(free.len()));
            if let Some(block) = block {
                return block;
            }
        }
        if self.layout.get().is_none() {
            self.layout.set(Some(layout));
        }
        if layout.size() == 0 {
            return NonNull::dangling();
        }
        // SAFETY: the size is not zero.
        let block = unsafe { alloc(layout) };
        NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
    }

    fn give_back(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        if self.layout.get() == Some(layout) {
            self.free.borrow_mut().push(block);
            return;
        }
        // SAFETY: the block was allocated in `take` with this layout, and its future is dropped.
        unsafe { dealloc(block.as_ptr(), layout) };
    }
}

impl Default for Recycler {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Recycler {
    fn drop(&mut self) {
        if let Some(layout) = self.layout.get().filter(|layout| layout.size() > 0) {
            for block in self.free.get_mut().drain(..) {
                // SAFETY: blocks on the free list have this layout and hold nothing.
                unsafe { dealloc(block.as_ptr(), layout) };
            }
        }
    }
}

/// A future in a block of a [`Recycler`].
#[derive(Debug)]
pub struct Placed<'a, F> {
    future: NonNull<F>,
    recycler: &'a Recycler,
}

impl<F: Future> Future for Placed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the pointer is valid and ours alone until drop, and the future behind it is never
        // moved: `Placed` may move, the block does not.
        unsafe { Pin::new_unchecked(self.get_mut().future.as_mut()) }.poll(cx)
    }
}

impl<F> Drop for Placed<'_, F> {
    fn drop(&mut self) {
        // SAFETY: the future was written in `place` and is dropped here only.
        unsafe { self.future.as_ptr().drop_in_place() };
        self.recycler.give_back(self.future.cast(), Layout::new::<F>());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    fn run<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    async fn answer(value: Rc<u64>) -> u64 {
        *value
    }

    #[test]
    fn a_block_is_used_again() {
        let recycler = Recycler::new();
        let value = Rc::new(7);
        let first = recycler.place(|| answer(Rc::clone(&value)));
        let block = first.future;
        assert_eq!(run(first), Poll::Ready(7));
        assert_eq!(Rc::strong_count(&value), 1, "what the future held is dropped");
        let second = recycler.place(|| answer(Rc::clone(&value)));
        assert_eq!(second.future, block);
        drop(second);
        assert_eq!(recycler.free.borrow().len(), 1);
    }

    #[test]
    fn what_a_burst_took_is_given_back() {
        let recycler = Recycler::new();
        let burst: Vec<_> = (0..100).map(|_| recycler.place(|| answer(Rc::new(1)))).collect();
        drop(burst);
        recycler.trim();
        assert_eq!(recycler.free.borrow().len(), 100, "all were in use since the last trim");
        for _ in 0..8 {
            drop(recycler.place(|| answer(Rc::new(1))));
            recycler.trim();
        }
        assert_eq!(recycler.free.borrow().len(), 1);
    }

    #[test]
    fn other_layouts_work_too() {
        let recycler = Recycler::new();
        assert_eq!(run(recycler.place(|| answer(Rc::new(1)))), Poll::Ready(1));
        assert_eq!(run(recycler.place(|| async { [7_u8; 300].len() })), Poll::Ready(300));
        assert_eq!(run(recycler.place(|| std::future::ready(()))), Poll::Ready(()));
    }
}
