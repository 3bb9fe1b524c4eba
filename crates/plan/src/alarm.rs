//! An alarm: threads that serve ring it when an endpoint fails too often, and one task elsewhere
//! hears it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub struct Alarm {
    is_rung: AtomicBool,
    hearer: Mutex<Option<Waker>>,
}

impl Alarm {
    /// Wakes who waits for it, unless that was done already and not heard yet.
    #[cold]
    pub fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel)
            && let Some(hearer) = self.hearer.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            hearer.wake();
        }
    }

    /// Ready once it was rung since the last time. Who hears says first that it waits and looks
    /// then, who rings does it the other way round: one of them sees the other.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let hearer = Some(cx.waker().clone());
        *self.hearer.lock().unwrap_or_else(PoisonError::into_inner) = hearer;
        match self.is_rung.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_heard_once_and_never_missed() {
        let (alarm, woken) = (Alarm::default(), Arc::new(Counting::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        alarm.ring();
        assert!(alarm.poll(&mut cx).is_ready(), "it rang before anybody waited");
        assert!(alarm.poll(&mut cx).is_pending());
        (0..3).for_each(|_| alarm.ring());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(alarm.poll(&mut cx).is_ready() && alarm.poll(&mut cx).is_pending());
    }
}
