//! All sockets that the master listens on, and how one set of them follows another.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use crate::bind::{BindError, Listening, Manner, bind_private};
use crate::inherit::Inherited;
use crate::link::Address;
use crate::part::{Bind, Part};
use crate::record::LoadedRecord;

/// The sockets of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// In the order of the configuration.
    places: Vec<Place>,
    admin: Option<(PathBuf, Rc<Listening>)>,
}

#[derive(Debug)]
struct Place {
    bind: Bind,
    listening: Rc<Listening>,
    /// The set before had it already.
    is_kept: bool,
}

/// A place as a worker is told of it: its sockets are for one that does not have them.
pub(crate) struct Share<'a> {
    pub address: Address,
    pub sockets: Vec<BorrowedFd<'a>>,
    pub is_kept: bool,
}

impl Sockets {
    /// The sockets of another configuration: those that are here already stay, the others are
    /// bound.
    ///
    /// # Errors
    /// Why one cannot be bound. Then nothing stays bound that is not here.
    pub(crate) fn followed_by(
        &self,
        part: &Part,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        let mut next = Self::default();
        let result = self.fill(&mut next, part, inherited);
        if result.is_err() {
            next.clean_up_unless(self);
        }
        result.map(|()| next)
    }

    fn fill(
        &self,
        next: &mut Self,
        part: &Part,
        inherited: &mut Inherited,
    ) -> Result<(), BindError> {
        let mut before: Vec<&Place> = self.places.iter().collect();
        for one in &part.binds {
            let (threads, backlog, freebind) = (part.threads, one.backlog, one.freebind);
            let manner = Manner { threads, backlog, freebind, is_udp: one.is_udp };
            let known = before.iter().position(|place| {
                place.bind.address == one.address && place.bind.is_udp == one.is_udp
            });
            let (listening, is_kept) = match known.map(|at| before.remove(at)) {
                Some(place) => (Rc::clone(&place.listening), true),
                None => (Rc::new(inherited.bind(&one.address, manner)?), false),
            };
            if !is_kept {
                listening.tune(one.backlog, one.waits_for_data);
            }
            next.places.push(Place { bind: one.clone(), listening, is_kept });
        }
        if let Some(path) = &part.admin {
            let known = self.admin.as_ref().filter(|(known, _)| known == path);
            let listening = match known {
                Some((_, listening)) => Rc::clone(listening),
                None => Rc::new(bind_private(path)?),
            };
            next.admin = Some((path.clone(), listening));
        }
        Ok(())
    }

    /// As they are written down for the next master: places with their numbers in `all`, where
    /// those go that are not in it yet, and the number of the admin socket.
    pub(crate) fn record(
        &self,
        all: &mut Vec<Rc<Listening>>,
    ) -> (Vec<(usize, bool)>, Option<usize>) {
        let mut number = |listening: &Rc<Listening>| number_in(all, listening);
        let places = self.places.iter().map(|place| (number(&place.listening), place.is_kept));
        let places = places.collect();
        (places, self.admin.as_ref().map(|(_, listening)| number(listening)))
    }

    /// Those that the master before had for a configuration with this part.
    pub(crate) fn of(record: &LoadedRecord, part: &Part, all: &[Rc<Listening>]) -> Option<Self> {
        let place = |(bind, (at, is_kept)): (&Bind, &(usize, bool))| {
            Some(Place { bind: bind.clone(), listening: all.get(*at)?.clone(), is_kept: *is_kept })
        };
        let places =
            part.binds.iter().zip(&record.places).map(place).collect::<Option<Vec<_>>>()?;
        let admin = part.admin.clone().zip(record.admin.and_then(|at| all.get(at).cloned()));
        (places.len() == part.binds.len()).then_some(Self { places, admin })
    }

    /// Puts the settings of sockets into force that were there before.
    pub(crate) fn tune(&self) {
        for place in self.places.iter().filter(|place| place.is_kept) {
            place.listening.tune(place.bind.backlog, place.bind.waits_for_data);
        }
    }

    /// What a worker is told.
    pub(crate) fn shares(&self) -> impl Iterator<Item = Share<'_>> {
        self.places.iter().map(|place| {
            let address = Address {
                configured: place.bind.configured(),
                bound: place.listening.address.to_string(),
            };
            let sockets = place.listening.fds().collect();
            Share { address, sockets, is_kept: place.is_kept }
        })
    }

    pub(crate) fn admin(&self) -> std::io::Result<Option<OwnedFd>> {
        let sockets = self.admin.as_ref().map(|(_, listening)| listening.sockets()).transpose()?;
        Ok(sockets.and_then(|mut sockets| sockets.pop()))
    }

    /// Listener and address of each place that `before` does not have.
    pub(crate) fn beyond<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a str, String)> {
        let is_new = |place: &&Place| !before.has(&place.listening);
        let named =
            |place: &'a Place| (place.bind.listener.as_str(), place.listening.address.to_string());
        self.places.iter().filter(is_new).map(named)
    }

    /// Lets go of all sockets: an address that nobody will serve any more must not take
    /// connections.
    pub(crate) fn release(&mut self) {
        for place in &mut self.places {
            if let Some(listening) = Rc::get_mut(&mut place.listening) {
                listening.release();
            }
        }
    }

    /// Removes the files of sockets that `others` do not have.
    pub(crate) fn clean_up_unless(&self, others: &Self) {
        let own = self.places.iter().map(|place| &place.listening);
        let all = own.chain(self.admin.iter().map(|(_, listening)| listening));
        all.filter(|listening| !others.has(listening)).for_each(|listening| listening.clean_up());
    }

    fn has(&self, listening: &Rc<Listening>) -> bool {
        let own = self.places.iter().map(|place| &place.listening);
        let mut all = own.chain(self.admin.iter().map(|(_, listening)| listening));
        all.any(|other| Rc::ptr_eq(other, listening))
    }
}

/// The number of these sockets in `all`; they are its last from now on if they were not in it.
pub(crate) fn number_in(all: &mut Vec<Rc<Listening>>, listening: &Rc<Listening>) -> usize {
    let known = all.iter().position(|other| Rc::ptr_eq(other, listening));
    known.unwrap_or_else(|| {
        all.push(Rc::clone(listening));
        all.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use fairwater_message::address::Listen;

    use super::*;

    fn part(addresses: &[String]) -> Part {
        let bind = |address: &String| Bind {
            listener: "web".to_owned(),
            address: Listen::parse(address).unwrap(),
            backlog: 16,
            waits_for_data: false,
            freebind: false,
            is_udp: false,
        };
        Part { threads: 2, binds: addresses.iter().map(bind).collect(), ..Part::default() }
    }

    #[test]
    fn a_set_follows_another_or_leaves_no_trace() {
        let directory = std::env::temp_dir().join(format!("fairwater-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        let unix = |name: &str| format!("unix:{}", path(name).display());
        let any = "127.0.0.1:0".to_owned();
        let none = &mut Inherited::default();
        let first = Sockets::default().followed_by(&part(&[any.clone(), unix("a")]), none).unwrap();
        let addresses = |sockets: &Sockets| -> Vec<String> {
            sockets.shares().map(|share| share.address.bound).collect()
        };
        let of_first = addresses(&first);
        assert_eq!(first.shares().next().unwrap().sockets.len(), 2);

        let broken = [unix("b"), format!("{}/x", unix("a")), any.clone()];
        assert!(first.followed_by(&part(&broken), none).is_err());
        assert!(path("a").exists() && !path("b").exists());

        let second = first.followed_by(&part(&[unix("b"), any.clone(), any]), none).unwrap();
        let of_second = addresses(&second);
        assert_eq!(of_second[1], of_first[0], "the port that was chosen stays");
        assert_ne!(of_second[2], of_first[0]);
        let kept: Vec<_> = second.shares().map(|share| share.is_kept).collect();
        assert_eq!(kept, [false, true, false]);
        assert_eq!(second.beyond(&first).count(), 2);
        first.clean_up_unless(&second);
        assert!(!path("a").exists() && path("b").exists());
        second.clean_up_unless(&Sockets::default());
        std::fs::remove_dir(&directory).unwrap();
    }
}
