//! What is known of each key of a limit, for all threads, in memory that does not grow.
//!
//! A key has a place in one bucket, which its hash says: eight places, each with the whole hash and
//! one time, that at which the key is made up for. A place whose time is over says as much as an
//! empty one, and is anybody's. So nothing has to be cleaned up.
//!
//! Where a bucket is full of keys that are not made up for, a new one takes over the place whose
//! time comes first, *with that time*: it begins with what another has used. The one before is
//! treated alike when it comes again. So no key is ever known by an earlier time than is right, and
//! nobody can make himself forgotten by coming under many names: all that a table lets in is what
//! its places may have. Who pays are new keys in a crowded table, which have less than their due.
//!
//! Who has a place needs no lock: one time is compared and swapped. The times of a place only grow
//! when it changes hands, and are swapped for a mark meanwhile, so that nobody charges a key that
//! has gone. Taking a place takes the lock of its part of the table, for some fifty loads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::gcra::{Gcra, Wait};

/// Places of a bucket: hashes and times fill a line of the cache each.
const PLACES: usize = 8;

/// Threads that bring new keys seldom meet.
const PARTS: usize = 64;

/// The place changes hands.
const MOVING: u64 = u64::MAX;

/// Places for each key that the table is made for: at that many, one in fifty finds its bucket
/// full.
const PLACES_PER_KEY: usize = 2;

#[derive(Debug)]
pub(crate) struct Table {
    parts: Box<[Part]>,
    buckets_per_part: usize,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    buckets: OnceLock<Box<[Bucket]>>,
    /// Held by who brings a new key.
    entry: Mutex<()>,
    let_in: AtomicU64,
    denied: AtomicU64,
    crowded: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Bucket {
    /// 0 for nobody.
    keys: [AtomicU64; PLACES],
    made_up_ns: [AtomicU64; PLACES],
}

/// What came of all that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub let_in: u64,
    pub denied: u64,
    /// New keys that began with what another had used.
    pub crowded: u64,
}

/// A place as it was seen.
#[derive(Clone, Copy)]
struct Seen {
    place: usize,
    made_up_ns: u64,
}

impl Table {
    /// For so many keys that are in use at a time. Takes its memory when the first keys come.
    pub(crate) fn new(keys: usize) -> Self {
        let buckets = (keys * PLACES_PER_KEY).div_ceil(PLACES).next_power_of_two();
        let buckets_per_part = buckets.div_ceil(PARTS).max(1);
        Self { parts: (0..PARTS).map(|_| Part::default()).collect(), buckets_per_part }
    }

    /// Bytes of all of it.
    pub(crate) fn memory(&self) -> usize {
        PARTS * (size_of::<Part>() + self.buckets_per_part * size_of::<Bucket>())
    }

    fn part(&self, key: u64) -> &Part {
        &self.parts[(key >> 58) as usize % PARTS]
    }

    fn bucket<'p>(&self, part: &'p Part, key: u64) -> &'p Bucket {
        let make = || (0..self.buckets_per_part).map(|_| Bucket::default()).collect();
        &part.buckets.get_or_init(make)[(key >> 32) as usize & (self.buckets_per_part - 1)]
    }

    /// When a key is made up for.
    pub(crate) fn look(&self, key: u64) -> u64 {
        let part = self.part(key);
        if part.buckets.get().is_none() {
            return 0;
        }
        let bucket = self.bucket(part, key);
        match bucket.find(key) {
            Some(seen) if seen.made_up_ns != MOVING => seen.made_up_ns,
            _ => bucket.first_made_up().made_up_ns,
        }
    }

    /// Takes one for a key, if it may have it. Who may not is charged nothing.
    pub(crate) fn take(&self, key: u64, gcra: &Gcra, now_ns: u64) -> Result<(), Wait> {
        self.change(key, now_ns, |made_up_ns| gcra.take(made_up_ns, now_ns))
    }

    /// Charges a key for what it has taken.
    pub(crate) fn charge(&self, key: u64, gcra: &Gcra, now_ns: u64, amount: u64) {
        let charge = |made_up_ns| Ok(gcra.charge(made_up_ns, now_ns, amount));
        let charged = self.change(key, now_ns, charge);
        debug_assert!(charged.is_ok(), "a charge is never refused");
    }

    /// Gives one back that was taken, if the key still has its place.
    pub(crate) fn give_back(&self, key: u64, gcra: &Gcra) {
        let bucket = self.bucket(self.part(key), key);
        let Some(seen) = bucket.find(key) else { return };
        let give_back = |made_up_ns| Ok(gcra.give_back(made_up_ns));
        // Whose place it has become meanwhile has what it had.
        let _is_given = bucket.swap(key, seen, &give_back);
    }

    pub(crate) fn count(&self, key: u64, is_let_in: bool) {
        let part = self.part(key);
        let count = if is_let_in { &part.let_in } else { &part.denied };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> Tally {
        let add = |all: Tally, part: &Part| Tally {
            let_in: all.let_in + part.let_in.load(Ordering::Relaxed),
            denied: all.denied + part.denied.load(Ordering::Relaxed),
            crowded: all.crowded + part.crowded.load(Ordering::Relaxed),
        };
        self.parts.iter().fold(Tally::default(), add)
    }

    /// Sets the time of a key to what `next` makes of it.
    fn change(
        &self,
        key: u64,
        now_ns: u64,
        next: impl Fn(u64) -> Result<u64, Wait>,
    ) -> Result<(), Wait> {
        let part = self.part(key);
        let bucket = self.bucket(part, key);
        if let Some(seen) = bucket.find(key)
            && let Some(result) = bucket.swap(key, seen, &next)
        {
            return result;
        }
        Self::enter(part, bucket, key, now_ns, &next)
    }

    #[cold]
    fn enter(
        part: &Part,
        bucket: &Bucket,
        key: u64,
        now_ns: u64,
        next: &impl Fn(u64) -> Result<u64, Wait>,
    ) -> Result<(), Wait> {
        // Places change hands under this lock alone.
        let _entry = part.entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = bucket.find(key)
            && let Some(result) = bucket.swap(key, seen, next)
        {
            return result;
        }
        loop {
            let Seen { place, made_up_ns } = bucket.first_made_up();
            let after = next(made_up_ns)?;
            let time = &bucket.made_up_ns[place];
            let (order, failed) = (Ordering::AcqRel, Ordering::Relaxed);
            if time.compare_exchange(made_up_ns, MOVING, order, failed).is_err() {
                continue; // its key has come just now
            }
            bucket.keys[place].store(key, Ordering::Release);
            time.store(after.min(MOVING - 1), Ordering::Release);
            if made_up_ns > now_ns {
                part.crowded.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(());
        }
    }
}

impl Bucket {
    #[inline]
    fn find(&self, key: u64) -> Option<Seen> {
        let place = self.keys.iter().position(|one| one.load(Ordering::Acquire) == key)?;
        Some(Seen { place, made_up_ns: self.made_up_ns[place].load(Ordering::Acquire) })
    }

    /// The place that is anybody's first.
    fn first_made_up(&self) -> Seen {
        let times = self.made_up_ns.iter().map(|time| time.load(Ordering::Acquire));
        let first = times.enumerate().min_by_key(|(_, made_up_ns)| *made_up_ns);
        let (place, made_up_ns) = first.unwrap_or_default();
        Seen { place, made_up_ns }
    }

    /// Sets the time of a key in its place; nothing, if that has changed hands.
    fn swap(
        &self,
        key: u64,
        seen: Seen,
        next: &impl Fn(u64) -> Result<u64, Wait>,
    ) -> Option<Result<(), Wait>> {
        let Seen { place, mut made_up_ns } = seen;
        let time = &self.made_up_ns[place];
        loop {
            // The time came first: if it is that of another, so is the key.
            if made_up_ns == MOVING || self.keys[place].load(Ordering::Acquire) != key {
                return None;
            }
            let after = match next(made_up_ns) {
                Ok(after) => after.min(MOVING - 1),
                Err(wait) => return Some(Err(wait)),
            };
            let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
            match time.compare_exchange_weak(made_up_ns, after, order, failed) {
                Ok(_) => return Some(Ok(())),
                Err(other) => made_up_ns = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use proptest::prelude::*;

    use super::super::gcra::{Quota, SECOND_NS};
    use super::*;

    const START: u64 = 1_000 * SECOND_NS;

    fn gcra(count: u64, burst: u64) -> Gcra {
        Gcra::of_units(Quota { count, period_ns: SECOND_NS, burst })
    }

    /// Numbers as evenly spread as hashes are.
    fn hash(number: u64) -> u64 {
        let mut x = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).max(1)
    }

    #[test]
    fn each_key_has_its_own_and_the_denied_are_not_charged() {
        let (table, gcra) = (Table::new(1_000), gcra(10, 3));
        for key in (0..100).map(hash) {
            assert_eq!((0..9).filter(|_| table.take(key, &gcra, START).is_ok()).count(), 3);
            let made_up = table.look(key);
            assert!(table.take(key, &gcra, START).is_err());
            assert_eq!(table.look(key), made_up);
            table.give_back(key, &gcra);
            assert!(table.take(key, &gcra, START).is_ok());
        }
        assert_eq!(table.tally().crowded, 0);
    }

    #[test]
    fn at_its_number_of_keys_few_are_crowded_and_none_has_too_much() {
        const KEYS: u64 = 10_000;
        let (table, gcra) = (Table::new(KEYS as usize), gcra(10, 1));
        let let_in = (0..KEYS).filter(|key| table.take(hash(*key), &gcra, START).is_ok()).count();
        assert!(let_in as u64 >= KEYS * 95 / 100, "{let_in}");
        // Once all are made up for, everybody's place is free.
        let later = START + SECOND_NS;
        let keys = KEYS..2 * KEYS;
        let let_in = keys.filter(|key| table.take(hash(*key), &gcra, later).is_ok()).count();
        assert!(let_in as u64 >= KEYS * 95 / 100, "{let_in}");
    }

    #[test]
    fn many_names_make_nobody_forgotten() {
        let (table, gcra) = (Table::new(1), gcra(1, 10));
        let own = hash(0);
        while table.take(own, &gcra, START).is_ok() {}
        let places = PARTS * PLACES;
        let let_in = (1..1_000_000).filter(|n| table.take(hash(*n), &gcra, START).is_ok()).count();
        assert!(let_in <= places * 10, "{let_in}");
        assert!(table.take(own, &gcra, START).is_err(), "it is known yet, or as bad as that");
        assert!(table.tally().crowded > 0);
    }

    #[test]
    fn threads_that_race_are_let_in_no_more_often() {
        // Few places, so that they change hands all the time.
        let (table, gcra) = (Table::new(1), gcra(1_000, 50));
        let let_in: Vec<AtomicUsize> = (0..4096).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|scope| {
            for thread in 0..4 {
                let (table, let_in) = (&table, &let_in);
                scope.spawn(move || {
                    for step in 0..200_000_u64 {
                        let number = hash(step * 4 + thread) % 4096;
                        let now = START + step * 1_000;
                        if table.take(hash(number), &gcra, now).is_ok() {
                            let_in[number as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // 200 ms: the burst and 200 more for each place, and for no key more than that.
        let due = 50 + 200;
        assert!(let_in.iter().all(|count| count.load(Ordering::Relaxed) <= due));
        let all: usize = let_in.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert!(all <= PARTS * PLACES * due, "{all}");
    }

    #[test]
    fn a_race_for_a_new_key_gives_it_one_place() {
        let gcra = gcra(1, 5);
        for round in 0..2_000 {
            let (table, let_in) = (Table::new(16), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let taken =
                            (0..5).filter(|_| table.take(hash(round), &gcra, START).is_ok());
                        let_in.fetch_add(taken.count(), Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(let_in.into_inner(), 5);
        }
    }

    proptest! {
        /// Against one that has room for everybody: no key is ever let in more.
        #[test]
        fn a_small_table_is_never_more_generous(
            steps in prop::collection::vec((0_u64..2_000, 0_u64..50_000_000), 1..2_000),
        ) {
            let (table, gcra) = (Table::new(1), gcra(5, 4));
            let mut exact: HashMap<u64, u64> = HashMap::new();
            let mut now = START;
            for (number, gap) in steps {
                now += gap;
                let key = hash(number);
                let own = exact.entry(key).or_default();
                if table.take(key, &gcra, now).is_ok() {
                    let next = gcra.take(*own, now);
                    prop_assert!(next.is_ok());
                    *own = next.unwrap();
                }
            }
        }
    }
}
