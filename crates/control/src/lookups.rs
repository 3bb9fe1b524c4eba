//! Has names looked up: all of them at the start, each again when its time is over.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use fairwater_net::clock;
use tokio::sync::Notify;

use crate::dns::{Failure, Resolver};
use crate::{Steward, control};

/// A start waits for names no longer than this; those without an address follow later.
const START: Duration = Duration::from_secs(5);

/// The steward, where several tasks of one thread have it, and a bell for questions that are new
/// or answered.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub steward: Rc<RefCell<Steward>>,
    pub bell: Rc<Notify>,
}

impl Shared {
    pub(crate) fn new(steward: Steward) -> Self {
        Self { steward: Rc::new(RefCell::new(steward)), bell: Rc::default() }
    }
}

/// Looks up every name once, for a few seconds at the most. Says what has no address yet.
///
/// # Errors
/// When there is no runtime to do it with.
pub fn look_up_names(steward: Steward) -> io::Result<Steward> {
    if !steward.has_names() {
        return Ok(steward);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Shared::new(steward);
    let local = tokio::task::LocalSet::new();
    let until_known = async {
        let lookups = tokio::task::spawn_local(keep(shared.clone()));
        control::until_known(&shared).await;
        lookups.abort();
    };
    // What takes longer goes on beside the traffic.
    local.block_on(&runtime, async { tokio::time::timeout(START, until_known).await }).ok();
    drop(local);
    drop(runtime);
    let steward = Rc::into_inner(shared.steward).map(RefCell::into_inner);
    let mut steward = steward.ok_or_else(|| io::Error::other("a look-up does not end"))?;
    for question in steward.names.asked() {
        let failure = Failure::Silent("the answer takes longer than a start may".to_owned());
        steward.told(&question, Err(failure));
    }
    Ok(steward)
}

/// Asks every question when it is due, for ever.
pub(crate) async fn keep(shared: Shared) {
    let resolver = {
        let steward = shared.steward.borrow();
        Rc::new(Resolver::new(steward.resolver_settings(), steward.outside.random))
    };
    loop {
        let (due, wait_ms) = shared.steward.borrow_mut().names.due(clock::coarse_ms());
        for question in due {
            let (shared, resolver) = (shared.clone(), Rc::clone(&resolver));
            drop(tokio::task::spawn_local(async move {
                let result = resolver.look_up(&question).await;
                shared.steward.borrow_mut().told(&question, result);
                shared.bell.notify_waiters();
            }));
        }
        let wait = Duration::from_millis(wait_ms);
        tokio::time::timeout(wait, shared.bell.notified()).await.ok();
    }
}
