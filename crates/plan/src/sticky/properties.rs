//! What holds for all cookies and all sets of endpoints.

use fairwater_message::cookie as message_cookie;
use proptest::prelude::*;

use super::cookie::tests::{claim, cookie, pair};
use super::*;

/// Fields that are made of what matters in them, or of anything.
fn cookies() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] = &["seat", "a", "=", ";", "; ", " ", "\t", "\"", "seats", "x=y; "];
    let parts = prop::collection::vec(prop::sample::select(PARTS), 0..20);
    prop_oneof![parts.prop_map(|parts| parts.concat().into_bytes()), any::<Vec<u8>>()]
}

proptest! {
    #[test]
    fn whatever_was_sealed_is_read_again(id: u64, before in "[a-z=; ]{0,40}", after: Vec<u8>) {
        let own = cookie(&["secret"], "app");
        let field = [before.as_bytes(), b";", pair(&own, id).as_bytes(), b";", &after].concat();
        prop_assert_eq!(claim(&own, &[&field]), Claim::Of(SessionId(id)));
    }

    #[test]
    fn whatever_else_a_client_sends_is_no_claim(
        fields: Vec<Vec<u8>>,
        value in "[A-Za-z0-9_-]{0,60}",
    ) {
        let own = cookie(&["secret"], "app");
        let sent: Vec<&[u8]> = fields.iter().map(Vec::as_slice).take(9).collect();
        prop_assert!(!matches!(claim(&own, &sent), Claim::Of(_)));
        prop_assert_eq!(claim(&own, &[format!("seat={value}").as_bytes()]), Claim::Refused);
    }

    #[test]
    fn cookies_of_others_pass_as_they_came(field in cookies()) {
        let mut out = Vec::new();
        message_cookie::write_others(&field, b"seat", &mut out);
        let others: Vec<_> =
            message_cookie::pairs(&field).filter(|(name, _)| name != b"seat").collect();
        prop_assert_eq!(message_cookie::pairs(&out).collect::<Vec<_>>(), others);
        // Nothing is new in it, and what has no cookie of ours is the same.
        prop_assert!(out.len() <= field.len());
        if !field.windows(4).any(|part| part == b"seat") {
            prop_assert_eq!(out, field.trim_ascii_start());
        }
    }

    #[test]
    fn each_session_is_found_where_it_is_and_no_other_is(
        ids in prop::collection::hash_set(0..60_u64, 0..20),
        asked in 0..60_u64,
    ) {
        let places: Vec<u64> = ids.iter().copied().collect();
        let seats = Seats::new(places.iter().enumerate().map(|(at, id)| (SessionId(*id), at)));
        let session = Session::new(Claim::Of(SessionId(asked)), &seats);
        let found = session.seat().map(|place| places[place as usize]);
        prop_assert_eq!(found, ids.contains(&asked).then_some(asked));
    }

    #[test]
    fn a_client_is_told_unless_the_last_attempt_was_where_it_was(
        picks in prop::collection::vec(0..4_u64, 1..8),
    ) {
        let mut session = Session::new(Claim::Of(SessionId(0)), &Seats::default());
        let counted: Vec<_> =
            picks.iter().filter_map(|id| session.picked(SessionId(*id))).collect();
        prop_assert_eq!(session.is_told(), picks.last() != Some(&0));
        prop_assert_eq!(counted.first() == Some(&Outcome::Kept), picks[0] == 0);
    }
}
