//! Sessions that stay with their endpoint: which one a client's cookie names, and what becomes of
//! the session with each endpoint that is picked.

mod base64url;
mod cookie;

pub use cookie::{Claim, Secure, SessionCookie};

use xxhash_rust::xxh3::xxh3_64;

/// What an endpoint is known by in cookies: a number that its full name makes, the same on all
/// nodes and after each restart. Cookies never show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl SessionId {
    pub fn of(full_name: &str) -> Self {
        Self(xxh3_64(full_name.as_bytes()))
    }
}

/// The endpoints of an upstream that may serve sessions of theirs: those that take traffic, and
/// those that only finish what they have.
#[derive(Debug, Default)]
pub struct Seats(Vec<(SessionId, u32)>);

impl Seats {
    /// Of endpoints with their places.
    pub fn new(seats: impl IntoIterator<Item = (SessionId, usize)>) -> Self {
        let mut seats: Vec<_> = seats.into_iter().map(|(id, place)| (id, place as u32)).collect();
        seats.sort_unstable();
        Self(seats)
    }

    fn find(&self, id: SessionId) -> Option<u32> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.0[at].1)
    }
}

/// What has become of the session of a request; counted by these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It begins.
    New,
    /// The request goes to the endpoint of its session.
    Kept,
    /// That one cannot serve: the session goes on at another.
    Moved,
    /// The cookie is none of ours: another session begins.
    Refused,
}

/// The session of an exchange, through all of its attempts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    claim: Claim,
    seat: Option<u32>,
    outcome: Option<Outcome>,
}

impl Session {
    pub fn new(claim: Claim, seats: &Seats) -> Self {
        let seat = match claim {
            Claim::Of(id) => seats.find(id),
            Claim::None | Claim::Refused => None,
        };
        Self { claim, seat, outcome: None }
    }

    /// The place of the endpoint that the session is at, if that may serve it.
    pub fn seat(&self) -> Option<u32> {
        self.seat
    }

    /// Takes in which endpoint gets the request now. Returns what is to be counted: a session that
    /// is tried at one endpoint after another moves once.
    pub fn picked(&mut self, id: SessionId) -> Option<Outcome> {
        let outcome = match self.claim {
            Claim::None => Outcome::New,
            Claim::Refused => Outcome::Refused,
            Claim::Of(own) if own == id => Outcome::Kept,
            Claim::Of(_) => Outcome::Moved,
        };
        let is_news = match self.outcome {
            None => true,
            Some(before) => before == Outcome::Kept && outcome == Outcome::Moved,
        };
        self.outcome = Some(outcome);
        is_news.then_some(outcome)
    }

    /// Whether the client has to be told where its session is.
    pub fn is_told(&self) -> bool {
        !matches!(self.outcome, None | Some(Outcome::Kept))
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(7);
    const B: SessionId = SessionId(3);

    fn seats() -> Seats {
        Seats::new([(A, 0), (B, 4)])
    }

    #[test]
    fn a_session_stays_at_its_endpoint() {
        let mut session = Session::new(Claim::Of(B), &seats());
        assert_eq!(session.seat(), Some(4));
        assert_eq!(session.picked(B), Some(Outcome::Kept));
        assert!(!session.is_told());
    }

    #[test]
    fn a_session_moves_once_however_often_it_is_tried() {
        let mut session = Session::new(Claim::Of(SessionId(9)), &seats());
        assert_eq!(session.seat(), None);
        assert_eq!(session.picked(A), Some(Outcome::Moved));
        assert_eq!(session.picked(B), None);
        assert!(session.is_told());
        // One that failed in the hands of its own endpoint.
        let mut session = Session::new(Claim::Of(A), &seats());
        assert_eq!(session.picked(A), Some(Outcome::Kept));
        assert_eq!(session.picked(B), Some(Outcome::Moved));
        assert_eq!(session.picked(SessionId(1)), None);
        assert!(session.is_told());
    }

    #[test]
    fn who_has_no_cookie_of_ours_gets_one() {
        for (claim, outcome) in [(Claim::None, Outcome::New), (Claim::Refused, Outcome::Refused)] {
            let mut session = Session::new(claim, &seats());
            assert_eq!((session.seat(), session.is_told()), (None, false));
            assert_eq!(session.picked(A), Some(outcome));
            assert_eq!(session.picked(B), None);
            assert!(session.is_told());
        }
    }

    #[test]
    fn endpoints_are_known_by_their_names_alone() {
        assert_eq!(SessionId::of("10.0.0.1:80"), SessionId::of("10.0.0.1:80"));
        assert_ne!(SessionId::of("10.0.0.1:80"), SessionId::of("10.0.0.1:81"));
    }
}
