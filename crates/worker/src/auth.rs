//! Names and passwords: what a client says of itself is true, false, or remembered as true. The
//! hash of a password is checked elsewhere (`password.rs`), and the exchange waits.

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::task::Poll;

use fairwater_message::{Fault, FaultKind};
use fairwater_net::clock;
use fairwater_plan::{BasicAuth, Claim};
use fairwater_proto::h1::client_address;

use crate::exchange::Exchange;
use crate::limits;

/// The name of the client, if its password is right.
///
/// # Errors
/// When it is not, there is none, or too many passwords are being checked.
pub(crate) async fn user<'a>(
    exchange: &mut Exchange<'a>,
    auth: &'a BasicAuth,
) -> Result<&'a str, Fault> {
    let claim = auth
        .claim(exchange.head, exchange.bytes)
        .map_err(|detail| Fault::because(FaultKind::Unauthorized, detail))?;
    let remembered = &exchange.shard.remembered;
    let key = remembered.borrow().key(&claim);
    let user = claim.user;
    let is_known = remembered.borrow().has(key, clock::coarse_ms());
    if let Some(user) = user.filter(|_| is_known) {
        return Ok(user);
    }
    let is_right = check(exchange, claim).await?;
    let user = user.filter(|_| is_right);
    let user = user.ok_or(Fault::because(FaultKind::Unauthorized, "wrong_credentials"))?;
    exchange.shard.remembered.borrow_mut().add(key, clock::coarse_ms());
    Ok(user)
}

/// Has the password checked, with an eye on the client.
async fn check(exchange: &mut Exchange<'_>, claim: Claim<'_>) -> Result<bool, Fault> {
    let (listener, head, bytes) = (exchange.listener, exchange.head, exchange.bytes);
    let client = exchange
        .connection
        .peer()
        .ip()
        .map(|peer| client_address(head, bytes, peer, |ip| listener.trusts(ip)));
    let busy = Fault::from(FaultKind::PasswordsBusy);
    let answer = exchange.shard.passwords.ask(claim.hash, claim.password, client).ok_or(busy)?;
    let mut answer = pin!(answer);
    let timer = exchange.timer;
    timer.set(limits::PASSWORD_PATIENCE);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer.map_err(|_| busy));
        }
        if let Poll::Ready(fault) = exchange.source.poll_abort(cx) {
            return Poll::Ready(Err(fault));
        }
        timer.poll_expired(cx).map(|()| Err(busy))
    })
    .await
}

/// Credentials that were right a while ago, so that who comes often is not checked each time.
///
/// None are kept themselves, but 128 bits of SipHash under a key that no other process has. Who
/// does not know the key can neither find a second text with the same bits nor tell from them what
/// the text was. The hash that the password was checked against is a part of the text: with another
/// password for a user, and on another route with users of its own, nothing is remembered.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    key: RandomState,
    /// Until when each is taken for right.
    until_ms: HashMap<u128, u64>,
}

impl Remembered {
    fn key(&self, claim: &Claim<'_>) -> u128 {
        // Two halves that have nothing to do with one another: they differ from the first byte on.
        let half = |number: u8| {
            u128::from(self.key.hash_one((number, claim.hash, &claim.name, &claim.password)))
        };
        half(0) << 64 | half(1)
    }

    fn has(&self, key: u128, now_ms: u64) -> bool {
        self.until_ms.get(&key).is_some_and(|until_ms| now_ms < *until_ms)
    }

    fn add(&mut self, key: u128, now_ms: u64) {
        if self.until_ms.len() >= limits::REMEMBERED_MAX {
            self.until_ms.retain(|_, until_ms| now_ms < *until_ms);
        }
        if self.until_ms.len() >= limits::REMEMBERED_MAX {
            let oldest = self.until_ms.iter().min_by_key(|(_, until_ms)| **until_ms);
            let oldest = oldest.map(|(key, _)| *key);
            oldest.and_then(|key| self.until_ms.remove(&key));
        }
        self.until_ms.insert(key, now_ms + limits::REMEMBERED_FOR.as_millis() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_right_is_remembered_for_a_while() {
        let mut remembered = Remembered::default();
        let end = limits::REMEMBERED_FOR.as_millis() as u64;
        remembered.add(1, 0);
        assert!(remembered.has(1, end - 1));
        assert!(!remembered.has(1, end) && !remembered.has(2, 0));
        for key in 2..=limits::REMEMBERED_MAX as u128 {
            remembered.add(key, 10);
        }
        remembered.add(0, 10);
        assert_eq!(remembered.until_ms.len(), limits::REMEMBERED_MAX);
        assert!(!remembered.has(1, 10) && remembered.has(2, 10) && remembered.has(0, 10));
        remembered.add(1, end + 10);
        assert_eq!(remembered.until_ms.len(), 1, "what is over makes room");
    }

    #[test]
    fn each_part_of_a_claim_counts() {
        let remembered = Remembered::default();
        let key = |hash: &str, name: &str, password: &str| {
            let hash = &Arc::from(hash);
            let (name, password) = (name.as_bytes().to_vec(), password.as_bytes().to_vec());
            remembered.key(&Claim { user: None, hash, name, password })
        };
        let first = key("$a", "name", "password");
        assert_eq!(first, key("$a", "name", "password"));
        for other in [
            key("$b", "name", "password"),
            key("$a", "nam", "epassword"),
            key("$a", "namep", "assword"),
            key("$aname", "", "password"),
            key("$a", "name", "Password"),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(first >> 64, first & u128::from(u64::MAX));
        let elsewhere = Remembered::default();
        assert_ne!(remembered.key.hash_one(1), elsewhere.key.hash_one(1));
    }
}
