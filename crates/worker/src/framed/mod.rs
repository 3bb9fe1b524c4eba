//! Messages over TCP: each goes to an endpoint of its own, over connections that all clients share.
//!
//! `client` tells the messages of a client apart (`input`) and gives it its replies in their order
//! (`order`). A message on its way is a `job`. The `desk` finds a connection for it, at once or
//! when one comes free (`keeper`, `dial`). `wire` is such a connection: who is owed what on it is
//! in its `ledger`, and nowhere else.

mod client;
mod desk;
mod dial;
mod identity;
mod input;
mod job;
mod keeper;
mod ledger;
#[cfg(test)]
mod model;
mod order;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fairwater_message::FaultKind;
use fairwater_message::pack::Packer;
use fairwater_plan::{FrameRules, Framed, Listener, Plan, Protocol, Upstream, key_hash};
use fairwater_proto::client_hello::Alert;

use crate::accept::Accepted;
use crate::in_force::InForce;
use crate::moving::{Door, Kind};
use crate::server_name::{self, Nowhere};
use crate::shard::Shard;
use crate::work::Buffer;
use crate::{limits, rate, respond};
use client::{Client, Ending};
use desk::Desk;

/// All desks of a thread.
#[derive(Debug, Default)]
pub(crate) struct Desks(RefCell<Vec<Rc<Desk>>>);

impl Desks {
    /// The desk for messages to an upstream under these rules.
    fn of(&self, upstream: &Arc<Upstream>, rules: &Arc<FrameRules>) -> Rc<Desk> {
        let mut desks = self.0.borrow_mut();
        let name = &upstream.settings.name;
        let fits = |desk: &&Rc<Desk>| {
            (Arc::ptr_eq(&desk.rules, rules) || desk.rules == *rules)
                && desk.upstream().settings.name == *name
        };
        if let Some(desk) = desks.iter().find(fits) {
            return Rc::clone(desk);
        }
        let desk = Rc::new(Desk::new(upstream, rules));
        desks.push(Rc::clone(&desk));
        desk
    }

    /// All that there are now.
    fn all(&self) -> Vec<Rc<Desk>> {
        self.0.borrow().clone()
    }

    /// Follows another plan: what leads to endpoints that are gone is closed when it is idle.
    pub(crate) fn adopt(&self, plan: &Plan) {
        self.0.borrow_mut().retain(|desk| {
            let has_rules = |listener: &Arc<Listener>| match &listener.protocol {
                Protocol::Framed(framed) => framed.rules == desk.rules,
                _ => false,
            };
            desk.is_current.set(plan.listeners.iter().any(has_rules));
            let before = desk.upstream();
            let name = &before.settings.name;
            match plan.upstreams.iter().find(|upstream| upstream.settings.name == *name) {
                Some(upstream) => desk.follow(upstream),
                None => desk.close_idle(usize::MAX, Duration::ZERO),
            }
            !desk.is_unused()
        });
    }

    /// To be called some times a second: gives way to other threads, and opens connections ahead.
    pub(crate) fn tend(&self, shard: &Rc<Shard>) {
        if self.0.borrow().is_empty() && !has_framed(&shard.in_force().plan) {
            return;
        }
        self.open_ahead(shard);
        for desk in self.0.borrow().iter() {
            desk.trim();
            let others = desk.others_waiting(&desk.upstream());
            match shard.is_draining() {
                true => desk.close_idle(usize::MAX, Duration::ZERO),
                // Another thread needs what this one does not.
                false => desk.close_idle(others, limits::YIELD_AFTER),
            }
        }
    }

    /// The thread ends, and with it what is under way.
    pub(crate) fn end(&self) {
        // Connections hold their desk and the thread's parts, which hold them.
        self.0.take().iter().for_each(|desk| desk.end());
    }

    fn open_ahead(&self, shard: &Rc<Shard>) {
        let in_force = shard.in_force();
        if shard.is_draining() {
            return;
        }
        for listener in in_force.plan.listeners.iter() {
            let Protocol::Framed(framed) = &listener.protocol else { continue };
            for id in framed.upstreams.values() {
                let upstream = &in_force.plan.upstreams[id.0 as usize];
                if upstream.settings.connections_kept > 0 {
                    self.of(upstream, &framed.rules).keep_some(shard);
                }
            }
        }
    }
}

fn has_framed(plan: &Plan) -> bool {
    plan.listeners.iter().any(|listener| matches!(listener.protocol, Protocol::Framed(_)))
}

/// The desk for the next message of a client.
fn desk_of(shard: &Shard, in_force: &InForce, client: &Client) -> Option<Rc<Desk>> {
    let listener = in_force.plan.listener(client.accepted.listener);
    let Protocol::Framed(framed) = &listener.protocol else { return None };
    let name = client.server_name.as_deref().unwrap_or_default();
    desk_for(shard, in_force, framed, name)
}

fn desk_for(shard: &Shard, in_force: &InForce, framed: &Framed, name: &str) -> Option<Rc<Desk>> {
    let any = || framed.upstreams.any().copied();
    let id = framed.upstreams.find(name.as_bytes(), |id| Some(*id)).or_else(any)?;
    let upstream = in_force.plan.upstreams.get(id.0 as usize)?;
    Some(shard.desks.of(upstream, &framed.rules))
}

/// What balancing goes by in a message, if it goes by the message.
fn key_of(rules: &FrameRules, upstream: &Upstream, message: &[u8]) -> Option<u64> {
    let key = rules.key.as_ref().filter(|_| upstream.hashes_keys())?;
    let end = message.len().min(key.end as usize);
    message.get(key.start as usize..end).filter(|bytes| !bytes.is_empty()).map(key_hash)
}

/// Serves a client, in a task, until its connection ends, or another process does. `held` was read
/// before.
pub(crate) fn serve(accepted: Accepted, held: Vec<u8>) {
    let in_force = accepted.shard.in_force();
    let listener = in_force.plan.listener(accepted.listener);
    let Protocol::Framed(framed) = &listener.protocol else { return };
    if framed.upstreams.are_alike() || accepted.stream.agreed().is_some() {
        let agreed = accepted.stream.agreed();
        let name = agreed.as_deref().map(|agreed| Box::from(&*agreed.server_name));
        return begin(accepted, name, held);
    }
    drop(in_force);
    // A task of its own: that of an idle client is smaller.
    drop(tokio::task::spawn_local(begin_by_name(accepted, held)));
}

/// Finds out first which host the client asks for.
async fn begin_by_name(accepted: Accepted, held: Vec<u8>) {
    let in_force = accepted.shard.in_force();
    let listener = in_force.plan.listener(accepted.listener);
    let Protocol::Framed(framed) = &listener.protocol else { return };
    match server_name::choose(&accepted, &framed.upstreams).await {
        Ok((_, name)) => begin(accepted, name.map(String::into_boxed_str), held),
        Err(Nowhere { fault, alert, .. }) => {
            fault.inspect(|&kind| accepted.count_fault(kind));
            refuse(accepted, alert).await;
        }
    }
}

fn begin(accepted: Accepted, name: Option<Box<str>>, held: Vec<u8>) {
    let shard = Rc::clone(&accepted.shard);
    let in_force = shard.in_force();
    let listener = in_force.plan.listener(accepted.listener);
    let Protocol::Framed(framed) = &listener.protocol else { return };
    let name = name.filter(|name| !name.is_empty());
    let asked = name.as_deref().unwrap_or_default();
    let Some(desk) = desk_for(&shard, &in_force, framed, asked) else {
        return accepted.count_fault(FaultKind::NoRoute);
    };
    let meter = rate::meter_of(listener, accepted.peer().ip());
    let desk = (Rc::clone(&in_force), desk);
    let client = Rc::new(Client::new(accepted, name, desk, meter, held));
    drop(tokio::task::spawn_local(run(client)));
}

async fn run(client: Rc<Client>) {
    loop {
        match client.run().await {
            Ending::Moves => {
                if Box::pin(give_away(&client)).await {
                    return;
                }
            }
            Ending::Closed => return,
            Ending::Over | Ending::Lost => return Box::pin(linger(client)).await,
            Ending::Torn => {
                // An end in order would pass for the end of the reply.
                return client.accepted.stream.reset_on_close();
            }
            Ending::Fault(fault) => {
                client.ends_by(fault);
                return Box::pin(linger(client)).await;
            }
        }
    }
}

/// Gives a client, which has nothing under way, to the process that serves in place of this one.
async fn give_away(client: &Client) -> bool {
    let accepted = &client.accepted;
    let (Some(heir), Some(held)) = (accepted.shard.heir(), client.held()) else { return false };
    let mut parcel = Packer::default();
    Door::of(accepted).pack(Kind::Framed, &mut parcel);
    parcel.bytes(&held);
    let is_taken = heir.give(parcel.into_vec(), &accepted.stream, None).await;
    client.stays.set(!is_taken);
    is_taken
}

/// Lets the last reply get there: unread bytes would turn the close into a reset.
async fn linger(client: Rc<Client>) {
    let mut rest = Buffer::default();
    respond::linger(&client.accepted.stream, client.accepted.patience(), &mut rest).await;
}

async fn refuse(accepted: Accepted, alert: Option<Alert>) {
    let Some(alert) = alert else { return accepted.stream.reset_on_close() };
    let record = alert.record();
    let mut parts = [std::io::IoSlice::new(&record)];
    let patience = accepted.patience();
    if crate::write::write_all(&accepted.stream, patience, &mut parts, &mut 0).await.is_ok() {
        respond::linger(&accepted.stream, accepted.patience(), &mut Buffer::default()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function makes.
    fn size_of_future<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// With a socket, its registration and the runtime's own bytes this makes some 1200.
    #[test]
    fn an_idle_client_is_small() {
        let sizes = (size_of_future(run), size_of::<Client>());
        assert!(sizes.0 <= 64 && sizes.1 <= 520, "{sizes:?}");
    }
}
