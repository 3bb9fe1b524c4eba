//! The listening sockets of one thread, which come and go while it runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use fairwater_net::{Acceptor, Datagrams, takes_datagrams};
use fairwater_plan::ListenerId;
use socket2::Socket;

use crate::accept;
use crate::moving::{Estate, Heir, take_from};
use crate::shard::Shard;
use crate::udp;

/// A number that all sockets of one address have, over all threads and plans.
pub type SocketKey = u32;

/// What becomes of a socket.
#[derive(Debug)]
pub enum SocketOrder {
    /// Connections are accepted for this listener from now on.
    Listen { sockets: Vec<OwnedFd>, listener: ListenerId },
    /// Those that come from now on are another listener's.
    Turn { listener: ListenerId },
    /// No more.
    Close,
}

/// What a thread is told.
#[derive(Debug)]
pub(crate) enum ThreadOrder {
    Socket(SocketKey, SocketOrder),
    /// Connections go to the process at the other end.
    Give(OwnedFd, Arc<Estate>),
    /// Connections come from the process at the other end.
    Take(OwnedFd),
}

/// Orders that a thread has not carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    orders: Mutex<Vec<ThreadOrder>>,
    /// Whether there are any, to be read without the lock.
    is_full: AtomicBool,
}

impl Inbox {
    pub(crate) fn put(&self, order: ThreadOrder) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(order);
        self.is_full.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_full.load(Ordering::Acquire)
    }

    /// Carries out all orders, in their turn.
    pub(crate) fn carry_out(&self, one: impl FnMut(ThreadOrder)) {
        if self.is_empty() {
            return;
        }
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.drain(..).for_each(one);
        // Not before they are: who sees that there are none takes them for carried out.
        self.is_full.store(false, Ordering::Release);
    }
}

/// Where connections come in, for the one who accepts them there.
#[derive(Debug)]
pub(crate) struct Place {
    listener: Cell<ListenerId>,
    is_closing: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Place {
    pub(crate) fn listener(&self) -> ListenerId {
        self.listener.get()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Ready when the socket closes.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_closing() {
            return Poll::Ready(());
        }
        self.waker.borrow_mut().clone_from(cx.waker());
        Poll::Pending
    }
}

/// All places of one thread.
#[derive(Debug, Default)]
pub(crate) struct Listening(HashMap<SocketKey, Vec<Rc<Place>>>);

impl Listening {
    /// Begins to accept from a socket.
    pub(crate) fn listen(
        &mut self,
        shard: &Rc<Shard>,
        key: SocketKey,
        socket: OwnedFd,
        listener: ListenerId,
    ) -> io::Result<()> {
        let socket: Socket = socket.into();
        let place = Rc::new(Place {
            listener: Cell::new(listener),
            is_closing: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        });
        let shard = Rc::clone(shard);
        let own = Rc::clone(&place);
        drop(match takes_datagrams(&socket) {
            true => {
                let pump = udp::Pump::new(shard, Datagrams::new(socket)?, place)?;
                tokio::task::spawn_local(udp::run(pump))
            }
            false => tokio::task::spawn_local(accept::run(shard, Acceptor::new(socket)?, place)),
        });
        self.0.entry(key).or_default().push(own);
        Ok(())
    }

    /// Carries out an order. What the runtime cannot take is left out.
    pub(crate) fn obey(&mut self, shard: &Rc<Shard>, order: ThreadOrder) {
        match order {
            ThreadOrder::Socket(key, order) => self.place(shard, key, order),
            ThreadOrder::Give(socket, estate) => {
                drop(Heir::new(socket, estate, &shard.wheel).map(|heir| shard.has_heir(heir)));
            }
            ThreadOrder::Take(socket) => {
                drop(tokio::task::spawn_local(take_from(socket, Rc::clone(shard))));
            }
        }
    }

    /// A socket that the runtime cannot take is counted as a failed accept.
    fn place(&mut self, shard: &Rc<Shard>, key: SocketKey, order: SocketOrder) {
        match order {
            SocketOrder::Listen { sockets, listener } => {
                for socket in sockets {
                    if self.listen(shard, key, socket, listener).is_err() {
                        shard.counters.accept_failures.add(1);
                    }
                }
            }
            SocketOrder::Turn { listener } => {
                let places = self.0.get(&key).into_iter().flatten();
                places.for_each(|place| place.listener.set(listener));
            }
            SocketOrder::Close => {
                for place in self.0.remove(&key).into_iter().flatten() {
                    place.is_closing.set(true);
                    place.waker.borrow().wake_by_ref();
                }
            }
        }
    }
}
