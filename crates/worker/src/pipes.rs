//! The pipes of a thread, for splicing: some are kept for later, and only so many are out at a
//! time, since each may hold a quarter of a megabyte of the kernel's memory for a slow reader.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use fairwater_sys::pipe::Pipe;

use crate::limits;

#[derive(Debug, Default)]
pub(crate) struct Pipes {
    spare: RefCell<Vec<Pipe>>,
    out: Cell<usize>,
}

/// A pipe on loan: dropped, it comes back if it is empty, and is closed if not.
#[derive(Debug)]
pub(crate) struct LentPipe {
    /// Taken by drop alone.
    pipe: Option<Pipe>,
    pipes: Rc<Pipes>,
}

impl Pipes {
    /// A pipe to splice through, or `None` when there is none to be had; then bytes are copied.
    pub(crate) fn take(self: &Rc<Self>) -> Option<LentPipe> {
        if self.out.get() >= limits::PIPES_OUT_MAX {
            return None;
        }
        let kept = self.spare.borrow_mut().pop();
        let pipe = kept.or_else(|| Pipe::new(limits::PIPE_BYTES).ok())?;
        self.out.set(self.out.get() + 1);
        Some(LentPipe { pipe: Some(pipe), pipes: Rc::clone(self) })
    }
}

impl Deref for LentPipe {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        self.pipe.as_ref().expect("a lent pipe is there until it is dropped")
    }
}

impl DerefMut for LentPipe {
    fn deref_mut(&mut self) -> &mut Pipe {
        self.pipe.as_mut().expect("a lent pipe is there until it is dropped")
    }
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        self.pipes.out.set(self.pipes.out.get() - 1);
        let mut spare = self.pipes.spare.borrow_mut();
        if let Some(pipe) = self.pipe.take().filter(|pipe| pipe.held() == 0)
            && spare.len() < limits::PIPES_KEPT
        {
            spare.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_out_and_so_many_are_kept() {
        let pipes = Rc::new(Pipes::default());
        let lent: Vec<_> = (0..limits::PIPES_OUT_MAX).map(|_| pipes.take().unwrap()).collect();
        assert!(pipes.take().is_none());
        drop(lent);
        assert_eq!(pipes.spare.borrow().len(), limits::PIPES_KEPT);
        assert!(pipes.take().is_some());
        assert_eq!(pipes.out.get(), 0);
    }
}
