//! The cookie that tells where a session is: sealed, so that clients neither learn which endpoints
//! there are nor choose one.

use fairwater_message::{HeaderId, RequestHead, cookie};
use fairwater_tls::{SealKey, SealNonce};

use super::SessionId;
use super::base64url;

/// Cookies of one name that are looked into: those of an earlier `path` or `domain` may stand
/// beside the one in force. More are somebody's who wants us to work.
const CLAIMS_MAX: usize = 4;

/// Whether browsers send the cookie over TLS alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// If it was given over TLS.
    #[default]
    Auto,
    Always,
    Never,
}

/// How the cookie of an upstream is written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCookie {
    pub name: String,
    pub secure: Secure,
    /// The other attributes, each behind `; `.
    pub attributes: String,
    /// The first one seals; all of them open. Not empty.
    pub keys: Vec<SealKey>,
    /// The name of the upstream: a cookie of another means nothing here.
    pub context: String,
}

/// What the cookies of a request say of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Claim {
    /// Nothing.
    #[default]
    None,
    /// Nothing that we have said: it is forged, broken, of another upstream, or sealed by a key
    /// that is no more.
    Refused,
    /// It is at this endpoint.
    Of(SessionId),
}

impl SessionCookie {
    /// What a request claims. A cookie that cannot be opened is as good as none.
    pub fn claim(&self, head: &RequestHead, bytes: &[u8]) -> Claim {
        let fields = head.fields.iter().filter(|field| field.id == HeaderId::Cookie);
        let ours = fields
            .flat_map(|field| cookie::pairs(field.value.of(bytes)))
            .filter(|(name, _)| *name == self.name.as_bytes());
        let mut claim = Claim::None;
        for (_, value) in ours.take(CLAIMS_MAX) {
            match self.read(value) {
                Some(id) => return Claim::Of(id),
                None => claim = Claim::Refused,
            }
        }
        claim
    }

    fn read(&self, value: &[u8]) -> Option<SessionId> {
        let sealed = base64url::decode(value)?;
        let plain = self.keys.iter().find_map(|key| key.open(sealed, &self.context))?;
        Some(SessionId(u64::from_be_bytes(plain)))
    }

    /// Appends the lines of a reply that give a client its cookie. No cache may give it to others.
    pub fn write(&self, id: SessionId, nonce: SealNonce, is_secured: bool, out: &mut Vec<u8>) {
        let plain = id.0.to_be_bytes();
        let Some(sealed) = self.keys.first().and_then(|key| key.seal(plain, &self.context, nonce))
        else {
            return;
        };
        for part in [b"set-cookie: ", self.name.as_bytes(), b"="] {
            out.extend_from_slice(part);
        }
        base64url::encode(&sealed, out);
        out.extend_from_slice(self.attributes.as_bytes());
        if self.secure == Secure::Always || (self.secure == Secure::Auto && is_secured) {
            out.extend_from_slice(b"; Secure");
        }
        out.extend_from_slice(b"\r\ncache-control: private\r\n");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use fairwater_message::{Field, Span};

    use super::*;

    pub(crate) fn cookie(secrets: &[&str], upstream: &str) -> SessionCookie {
        let key = |secret: &&str| SealKey::of(secret.as_bytes(), "test");
        SessionCookie {
            name: "seat".to_owned(),
            secure: Secure::Auto,
            attributes: "; Path=/; HttpOnly; SameSite=Lax".to_owned(),
            keys: secrets.iter().map(key).collect(),
            context: upstream.to_owned(),
        }
    }

    /// What a request with these `Cookie` fields claims.
    pub(crate) fn claim(of: &SessionCookie, fields: &[&[u8]]) -> Claim {
        let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
        for value in fields {
            let start = bytes.len();
            bytes.extend_from_slice(value);
            let value = Span::new(start, bytes.len());
            head.fields.push(Field { name: Span::default(), value, id: HeaderId::Cookie });
        }
        of.claim(&head, &bytes)
    }

    pub(crate) fn written(of: &SessionCookie, id: u64, is_secured: bool) -> String {
        let mut out = Vec::new();
        of.write(SessionId(id), [9; 12], is_secured, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Name and value as a client sends them back.
    pub(crate) fn pair(of: &SessionCookie, id: u64) -> String {
        let line = written(of, id, false);
        line.strip_prefix("set-cookie: ").unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_written_as_browsers_want_it() {
        let own = cookie(&["a"], "app");
        let pair = pair(&own, 7);
        assert_eq!(pair.len(), "seat=".len() + base64url::DIGITS_LEN);
        let plain = format!(
            "set-cookie: {pair}; Path=/; HttpOnly; SameSite=Lax\r\ncache-control: private\r\n"
        );
        assert_eq!(written(&own, 7, false), plain);
        let secure = plain.replace("Lax", "Lax; Secure");
        assert_eq!(written(&own, 7, true), secure);
        let always = SessionCookie { secure: Secure::Always, ..own.clone() };
        assert_eq!(written(&always, 7, false), secure);
        let never = SessionCookie { secure: Secure::Never, ..own };
        assert_eq!(written(&never, 7, true), plain);
    }

    #[test]
    fn a_claim_is_found_among_other_cookies() {
        let own = cookie(&["a"], "app");
        let pair = pair(&own, 7);
        let seven = Claim::Of(SessionId(7));
        assert_eq!(claim(&own, &[]), Claim::None);
        assert_eq!(claim(&own, &[b"a=b; Seat=1; seats=2"]), Claim::None);
        assert_eq!(claim(&own, &[format!("a=b; {pair}; c=d").as_bytes()]), seven);
        assert_eq!(claim(&own, &[b"a=b", pair.as_bytes()]), seven);
        assert_eq!(claim(&own, &[format!("seat=old; {pair}").as_bytes()]), seven);
        let many = format!("{}{pair}", "seat=x; ".repeat(CLAIMS_MAX));
        assert_eq!(claim(&own, &[many.as_bytes()]), Claim::Refused);
    }

    #[test]
    fn cookies_of_others_are_refused() {
        let own = cookie(&["a"], "app");
        let refused = |pair: &str| assert_eq!(claim(&own, &[pair.as_bytes()]), Claim::Refused);
        refused(&pair(&cookie(&["a"], "web"), 7));
        refused(&pair(&cookie(&["b"], "app"), 7));
        refused("seat=");
        refused("seat=127.0.0.1:9001");
        refused(&format!("seat={}", "A".repeat(base64url::DIGITS_LEN)));
        // Each character counts, and nothing may stand around them.
        let good = pair(&own, 7);
        for at in "seat=".len()..good.len() {
            let other = if &good[at..=at] == "A" { "B" } else { "A" };
            refused(&format!("{}{other}{}", &good[..at], &good[at + 1..]));
        }
        refused(&good.replace('=', "=\""));
    }

    #[test]
    fn a_secret_is_replaced_without_losing_sessions() {
        let (old, both) = (cookie(&["a"], "app"), cookie(&["b", "a"], "app"));
        let seven = Claim::Of(SessionId(7));
        assert_eq!(claim(&both, &[pair(&old, 7).as_bytes()]), seven);
        assert_eq!(claim(&cookie(&["b"], "app"), &[pair(&both, 7).as_bytes()]), seven);
        assert_eq!(claim(&old, &[pair(&both, 7).as_bytes()]), Claim::Refused);
    }
}
