//! The flows of a socket: by who sends to where, and in the order in which they were last heard of.
//! Nothing in it grows beyond what is put in.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Who sends, and to which address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub client: SocketAddr,
    pub local: IpAddr,
}

/// The place of a flow, and the how-manieth it is there: no other has the same, also when it is
/// gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowId(u64);

impl FlowId {
    fn new(place: u32, turn: u32) -> Self {
        Self(u64::from(turn) << 32 | u64::from(place))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }

    fn place(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Place<T> {
    flow: Option<T>,
    turn: u32,
    key: Key,
    /// Datagrams of the client come to it; else it waits for replies alone.
    is_found: bool,
    heard_ms: u64,
    older: u32,
    newer: u32,
}

#[derive(Debug)]
pub(super) struct Table<T> {
    by_key: HashMap<Key, u32>,
    places: Vec<Place<T>>,
    free: Vec<u32>,
    /// Where a new place begins to count.
    first_turn: u32,
    oldest: u32,
    newest: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            first_turn: 0,
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flow that datagrams of a client come to.
    pub(super) fn find(&self, key: &Key) -> Option<FlowId> {
        let place = *self.by_key.get(key)?;
        Some(FlowId::new(place, self.places[place as usize].turn))
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        self.there(id)?;
        self.places[id.place()].flow.as_mut()
    }

    fn there(&self, id: FlowId) -> Option<()> {
        let place = self.places.get(id.place())?;
        (FlowId::new(id.place() as u32, place.turn) == id && place.flow.is_some()).then_some(())
    }

    /// The number that the next flow will have, for who has to know it before.
    pub(super) fn next_id(&self) -> FlowId {
        match self.free.last() {
            Some(&place) => FlowId::new(place, self.places[place as usize].turn),
            None => FlowId::new(self.places.len() as u32, self.first_turn),
        }
    }

    /// Puts a flow in. One that was found by this key until now is not any more.
    pub(super) fn insert(&mut self, key: Key, flow: T, now_ms: u64) -> FlowId {
        if let Some(before) = self.find(&key) {
            self.hide(before);
        }
        let id = self.next_id();
        let place = id.place() as u32;
        match self.free.pop() {
            Some(_) => {
                let place = &mut self.places[id.place()];
                (place.flow, place.key, place.is_found) = (Some(flow), key, true);
            }
            None => self.places.push(Place {
                flow: Some(flow),
                turn: self.first_turn,
                key,
                is_found: true,
                heard_ms: now_ms,
                older: NONE,
                newer: NONE,
            }),
        }
        self.by_key.insert(key, place);
        self.append(place, now_ms);
        id
    }

    /// It was heard of right now.
    pub(super) fn hear(&mut self, id: FlowId, now_ms: u64) {
        let place = id.place() as u32;
        if self.newest == place {
            self.places[id.place()].heard_ms = now_ms;
            return;
        }
        self.unlink(place);
        self.append(place, now_ms);
    }

    /// No datagram of its client comes to it from now on.
    pub(super) fn hide(&mut self, id: FlowId) {
        if self.there(id).is_none() {
            return;
        }
        let place = &mut self.places[id.place()];
        if std::mem::take(&mut place.is_found) {
            self.by_key.remove(&place.key);
        }
    }

    pub(super) fn is_found(&self, id: FlowId) -> bool {
        self.there(id).is_some() && self.places[id.place()].is_found
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<T> {
        self.there(id)?;
        self.hide(id);
        self.unlink(id.place() as u32);
        let place = &mut self.places[id.place()];
        place.turn = place.turn.wrapping_add(1);
        let flow = place.flow.take();
        self.free.push(id.place() as u32);
        if self.is_empty() {
            // After a flood nothing stays of it but that no number comes again.
            let last = self.places.iter().map(|place| place.turn).max();
            let first_turn = last.unwrap_or_default().wrapping_add(1);
            *self = Self { first_turn, ..Self::default() };
        }
        flow
    }

    /// Who was silent for the longest, and since when.
    pub(super) fn oldest(&self) -> Option<(FlowId, u64)> {
        let place = self.places.get(self.oldest as usize)?;
        Some((FlowId::new(self.oldest, place.turn), place.heard_ms))
    }

    /// All of them.
    pub(super) fn ids(&self) -> Vec<FlowId> {
        let there = self.places.iter().enumerate().filter(|(_, place)| place.flow.is_some());
        there.map(|(at, place)| FlowId::new(at as u32, place.turn)).collect()
    }

    pub(super) fn key(&self, id: FlowId) -> Option<Key> {
        self.there(id)?;
        Some(self.places[id.place()].key)
    }

    fn append(&mut self, place: u32, now_ms: u64) {
        let newest = std::mem::replace(&mut self.newest, place);
        let one = &mut self.places[place as usize];
        (one.older, one.newer, one.heard_ms) = (newest, NONE, now_ms);
        match self.places.get_mut(newest as usize) {
            Some(before) => before.newer = place,
            None => self.oldest = place,
        }
    }

    fn unlink(&mut self, place: u32) {
        let Place { older, newer, .. } = self.places[place as usize];
        match self.places.get_mut(older as usize) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match self.places.get_mut(newer as usize) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        Key { client: SocketAddr::new([127, 0, 0, 1].into(), number), local: [127, 0, 0, 2].into() }
    }

    fn order(table: &Table<u16>) -> Vec<u16> {
        let mut found = Vec::new();
        let mut at = table.oldest;
        while let Some(place) = table.places.get(at as usize) {
            found.extend(place.flow);
            at = place.newer;
        }
        found
    }

    #[test]
    fn flows_are_in_the_order_of_their_last_word() {
        let mut table = Table::default();
        let ids: Vec<_> = (1..=4).map(|n| table.insert(key(n), n, n.into())).collect();
        assert_eq!((order(&table), table.len()), (vec![1, 2, 3, 4], 4));
        table.hear(ids[1], 5);
        table.hear(ids[1], 6);
        table.hear(ids[0], 7);
        assert_eq!(order(&table), [3, 4, 2, 1]);
        assert_eq!(table.oldest(), Some((ids[2], 3)));
        assert_eq!(table.remove(ids[3]), Some(4));
        assert_eq!(table.remove(ids[2]), Some(3));
        assert_eq!(table.oldest(), Some((ids[1], 6)));
        assert_eq!((table.remove(ids[2]), order(&table)), (None, vec![2, 1]));
        assert_eq!(table.insert(key(9), 9, 8).place(), ids[2].place(), "places are used again");
        assert_eq!(order(&table), [2, 1, 9]);
        assert_eq!((table.find(&key(1)), table.find(&key(3))), (Some(ids[0]), None));
    }

    #[test]
    fn who_has_a_place_after_another_is_somebody_else() {
        let mut table = Table::default();
        let (_kept, first) = (table.insert(key(1), 1, 0), table.insert(key(2), 2, 0));
        table.remove(first);
        let next = table.next_id();
        let second = table.insert(key(2), 3, 0);
        assert_eq!((next, second.place()), (second, first.place()));
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.get_mut(second), Some(&mut 3));
        assert_eq!(table.key(first), None);
        table.hide(first);
        assert_eq!(table.find(&key(2)), Some(second));
    }

    #[test]
    fn who_is_hidden_stays_until_it_is_removed() {
        let mut table = Table::default();
        let first = table.insert(key(1), 1, 0);
        let second = table.insert(key(1), 2, 0);
        assert_eq!((table.find(&key(1)), table.len()), (Some(second), 2));
        assert!(!table.is_found(first) && table.is_found(second));
        assert_eq!(table.get_mut(first), Some(&mut 1));
        table.remove(first);
        assert_eq!(table.find(&key(1)), Some(second));
        table.hide(second);
        assert_eq!((table.find(&key(1)), table.len()), (None, 1));
        table.remove(second);
        assert!(table.is_empty() && table.oldest().is_none());
        let third = table.insert(key(1), 3, 0);
        assert!(third != first && third.place() == first.place());
        assert_eq!(table.get_mut(first), None);
    }
}
