//! Who is owed what on a connection to an endpoint. An endpoint answers in the order in which it
//! was asked, and nothing in its bytes says whom: this list does, and so it alone keeps the law
//! that no client gets a byte which was made for another.

use std::collections::VecDeque;

/// The messages that were sent over a connection and are not answered, the oldest one first.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Ledger<T> {
    debts: VecDeque<Debt<T>>,
    /// A part of the reply to the oldest one has come.
    is_begun: bool,
    /// The last message was not sent to its end.
    is_torn: bool,
}

/// A reply that is to come. Whoever waits for it no longer is struck out, and it is dropped: it
/// must not be taken for that of the next one.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
struct Debt<T> {
    owner: Option<T>,
    /// Where the message begins and ends in all that goes over the connection.
    start: u64,
    end: u64,
}

/// The end of a message that is sent piece by piece.
pub(super) const OPEN_END: u64 = u64::MAX;

/// What becomes of bytes from the endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim<T> {
    /// They belong to this one.
    Of(T),
    /// They belong to somebody who has gone.
    Nobody,
    /// Nothing is owed: they were not asked for.
    Excess,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { debts: VecDeque::new(), is_begun: false, is_torn: false }
    }
}

impl<T> Ledger<T> {
    /// A message of this one goes out behind all others, from one byte of what goes over the
    /// connection to another.
    pub(super) fn owe(&mut self, owner: T, start: u64, end: u64) {
        self.debts.push_back(Debt { owner: Some(owner), start, end });
    }

    /// Whose message goes out last, and where it ends, once that is known.
    pub(super) fn last(&mut self) -> Option<(Option<&mut T>, &mut u64)> {
        let debt = self.debts.back_mut()?;
        Some((debt.owner.as_mut(), &mut debt.end))
    }

    /// Whether another message may go out, of so many whose replies may be owed. Behind one that is
    /// torn none may: it would be taken for the rest of that.
    pub(super) fn has_room(&self, depth: u32) -> bool {
        !self.is_torn && self.debts.len() < depth as usize
    }

    /// Whether a byte of the oldest message has gone out, when so many have in all. What comes
    /// before that is no reply to it.
    pub(super) fn is_asked(&self, written: u64) -> bool {
        self.debts.front().is_some_and(|debt| debt.start < written)
    }

    /// Whether all of the oldest message has gone out.
    pub(super) fn is_sent(&self, written: u64) -> bool {
        self.debts.front().is_some_and(|debt| debt.end <= written)
    }

    /// Whether the oldest message has all been given out to be sent.
    pub(super) fn is_whole(&self) -> bool {
        self.debts.front().is_some_and(|debt| debt.end != OPEN_END)
    }

    /// Replies that are to come, whoever waits for them.
    pub(super) fn len(&self) -> usize {
        self.debts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.debts.is_empty()
    }

    /// Whether a part of the oldest reply has come.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Takes in some bytes of the oldest reply, and not the last ones.
    pub(super) fn part(&mut self) -> Claim<&mut T> {
        match self.debts.front_mut() {
            Some(debt) => {
                self.is_begun = true;
                debt.owner.as_mut().map_or(Claim::Nobody, Claim::Of)
            }
            None => Claim::Excess,
        }
    }

    /// Takes in the last bytes of the oldest reply.
    pub(super) fn settle(&mut self) -> Claim<T> {
        self.is_begun = false;
        match self.debts.pop_front() {
            Some(debt) => debt.owner.map_or(Claim::Nobody, Claim::Of),
            None => Claim::Excess,
        }
    }

    /// All who wait.
    pub(super) fn owners(&self) -> impl Iterator<Item = &T> {
        self.debts.iter().filter_map(|debt| debt.owner.as_ref())
    }

    /// Whether all that is owed is the reply to a torn message, which nobody waits for.
    pub(super) fn has_only_torn(&self) -> bool {
        self.is_torn && self.debts.len() <= 1
    }

    /// Some wait no longer. Returns whether the connection has to end for that; one that others use
    /// goes on: their replies are still to come.
    #[must_use]
    pub(super) fn forsake(&mut self, depth: u32, mut has_gone: impl FnMut(&T) -> bool) -> bool {
        if depth == 1 {
            return self.owners().any(has_gone);
        }
        for debt in &mut self.debts {
            debt.owner.take_if(|owner| has_gone(owner));
        }
        false
    }

    /// The last message will not end: strikes out whose it was.
    pub(super) fn tear_last(&mut self) -> Option<T> {
        self.is_torn = true;
        self.debts.back_mut()?.owner.take()
    }

    /// The oldest one has waited too long. It is struck out where others wait behind it for replies
    /// that may yet come; if nothing is given out, the connection has to end.
    pub(super) fn give_up_first(&mut self, depth: u32) -> Option<T> {
        if depth == 1 { None } else { self.debts.front_mut()?.owner.take() }
    }

    /// The connection has ended: nobody gets anything more. Gives out those who wait, whether a
    /// part of the reply has come, and where the message begins.
    pub(super) fn close(&mut self) -> impl Iterator<Item = (T, bool, u64)> {
        let mut is_begun = std::mem::take(&mut self.is_begun);
        let debts = std::mem::take(&mut self.debts);
        debts.into_iter().filter_map(move |debt| {
            let was_begun = std::mem::take(&mut is_begun);
            debt.owner.map(|owner| (owner, was_begun, debt.start))
        })
    }
}
