//! What no log may tell: which parameters of queries and which headers carry secrets.

/// Parameters that are hidden unless the configuration says otherwise. `*` stands for any
/// beginning, where a word says "secret" whatever stands before it; the others are names that are
/// common for other things when they are only the end of a longer one.
pub const SECRET_PARAMETERS: &[&str] = &[
    // access_token, id_token, refresh_token, csrf_token, X-Amz-Security-Token
    "*token",
    "*password",
    "*passwd",
    "*passphrase",
    "*pwd",
    "pass",
    "pw",
    "otp",
    "pin",
    // client_secret
    "*secret",
    // api_key, and `key` as maps and many others call it
    "*api_key",
    "*access_key",
    "*private_key",
    "key",
    // X-Amz-Signature, X-Goog-Signature; `sig` of Azure
    "*signature",
    "sig",
    "hmac",
    // X-Amz-Credential, X-Goog-Credential
    "*credential",
    "auth",
    "*authorization",
    "*jwt",
    "assertion",
    "samlresponse",
    // Of OAuth, worth a token to whoever is faster
    "code",
    "oauth_verifier",
    "session",
    "sid",
    // jsessionid, also in paths; phpsessid; asp.net_sessionid
    "*session_id",
    "*sessid",
];

/// The longest word of a name that is compared. Nobody has a longer one, so it is hidden.
pub const SECRET_WORD_BYTES_MAX: usize = 64;

/// Names of parameters, as they are compared: see [`SecretNames::add`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNames {
    /// In the order of their last letters, each in folded form and not empty.
    ends: Vec<End>,
    is_everything: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    last: u8,
    text: Vec<u8>,
    is_whole: bool,
}

impl Default for SecretNames {
    fn default() -> Self {
        let mut names = Self::none();
        names.add_default();
        names
    }
}

impl SecretNames {
    pub const fn none() -> Self {
        Self { ends: Vec::new(), is_everything: false }
    }

    pub fn add_default(&mut self) {
        for name in SECRET_PARAMETERS {
            self.add(name);
        }
    }

    /// Adds `name`, or every name that ends with it for `*name`, or every name for `*`. Neither
    /// case nor `-` and `_` make a difference: `access_token`, `Access-Token` and `accessToken` are
    /// one. Returns whether any parameter can have this name, see [`Name`].
    pub fn add(&mut self, name: &str) -> bool {
        let (is_whole, name) = match name.strip_prefix('*') {
            Some("") => {
                self.is_everything = true;
                return true;
            }
            Some(end) => (false, end),
            None => (true, name),
        };
        let text: Vec<u8> = name.bytes().map(folded).filter(|&letter| letter != NOTHING).collect();
        let Some(&last) = text.last() else { return false };
        if text.contains(&END) || text.len() > SECRET_WORD_BYTES_MAX {
            return false;
        }
        let end = End { last, text, is_whole };
        if !self.ends.contains(&end) {
            let place = self.ends.partition_point(|other| other.last <= last);
            self.ends.insert(place, end);
        }
        true
    }

    /// Whether the values of a parameter are hidden.
    pub fn is_secret(&self, name: &str) -> bool {
        let mut read = Name::default();
        name.bytes().for_each(|byte| read.push(byte, self));
        read.is_secret(self)
    }

    fn has(&self, word: &[u8]) -> bool {
        let Some(&last) = word.last() else { return false };
        let place = self.ends.partition_point(|end| end.last < last);
        let mut ends = self.ends[place..].iter().take_while(|end| end.last == last);
        let is_it = |end: &End| {
            word.ends_with(&end.text) && (!end.is_whole || word.len() == end.text.len())
        };
        self.is_everything || ends.any(is_it)
    }
}

/// A name of a parameter that is read byte by byte, in decoded form. It is secret if one of its
/// words is: `user[password]` and `login.password` have two.
#[derive(Debug)]
pub struct Name {
    word: [u8; SECRET_WORD_BYTES_MAX],
    len: usize,
    is_secret: bool,
}

impl Default for Name {
    fn default() -> Self {
        Self { word: [0; SECRET_WORD_BYTES_MAX], len: 0, is_secret: false }
    }
}

impl Name {
    /// Forgets what was read.
    pub fn clear(&mut self) {
        (self.len, self.is_secret) = (0, false);
    }

    #[inline]
    pub fn push(&mut self, byte: u8, names: &SecretNames) {
        match folded(byte) {
            NOTHING => {}
            END => self.end_word(names),
            letter => match self.word.get_mut(self.len) {
                Some(place) => (*place, self.len) = (letter, self.len + 1),
                None => self.is_secret = true,
            },
        }
    }

    fn end_word(&mut self, names: &SecretNames) {
        self.is_secret |= names.has(&self.word[..self.len]);
        self.len = 0;
    }

    /// Whether the name that ends here is secret.
    pub fn is_secret(&mut self, names: &SecretNames) -> bool {
        self.end_word(names);
        self.is_secret
    }
}

/// Stands for what counts for nothing in a word: `-`, `_`, blanks, and what some servers strip.
const NOTHING: u8 = 0;
/// Stands for what ends a word: other punctuation.
const END: u8 = 1;

/// The form in which letters are compared, or one of the two above.
#[inline]
fn folded(byte: u8) -> u8 {
    const FOLDED: [u8; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < table.len() {
            table[byte] = match byte as u8 {
                b'-' | b'_' | 0..=b' ' | 0x7f => NOTHING,
                sign if sign.is_ascii_punctuation() => END,
                letter => letter.to_ascii_lowercase(),
            };
            byte += 1;
        }
        table
    };
    FOLDED[usize::from(byte)]
}

/// Words that make a header secret wherever they stand between dashes.
const SECRET_WORDS: &[&str] = &[
    "authorization",
    "authentication",
    "authenticate",
    "cookie",
    "cookie2",
    "credential",
    "credentials",
    "dpop",
    "jwt",
    "oidc",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "session",
    "sessionid",
    "signature",
    "token",
];

/// How the name of a secret header ends, dashes left out.
const SECRET_ENDS: &[&str] = &[
    "token",
    "password",
    "secret",
    "accesskey",
    "apikey",
    "authkey",
    "functionskey",
    "privatekey",
    "secretkey",
    "sharedkey",
    "subscriptionkey",
    // Browsers can set no other header for a WebSocket, so that it is where tokens are put.
    "secwebsocketprotocol",
];

/// Whether a header carries what opens doors: credentials, sessions, keys. In whatever case, and
/// with `_` for `-`, as some servers read it.
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let bare = name.replace('-', "");
    name.split('-').any(|word| SECRET_WORDS.contains(&word))
        || SECRET_ENDS.iter().any(|end| bare.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret_are_secret() {
        let names = SecretNames::default();
        for name in [
            "token",
            "TOKEN",
            "access_token",
            "accessToken",
            "Access-Token",
            "id_token",
            "refresh_token",
            "X-Amz-Security-Token",
            "password",
            "user[password]",
            "a.b.passwd",
            "ctl00$Main$Password",
            "pwd",
            "client_secret",
            "api_key",
            "apikey",
            "x-api-key",
            "key",
            "sig",
            "X-Amz-Signature",
            "X-Goog-Signature",
            "auth",
            "code",
            "jwt",
            "session",
            "sid",
            "JSESSIONID",
            "PHPSESSID",
            "ASP.NET_SessionId",
            "token[]",
            "token[0]",
            " token",
            "SAMLResponse",
            "tok\0en",
            "key]",
        ] {
            assert!(names.is_secret(name), "{name}");
        }
        for name in [
            "",
            "q",
            "page",
            "tokens",
            "tokenizer",
            "sort_key",
            "zip_code",
            "keyword",
            "coder",
            "passage",
            "sidebar",
            "author",
            "design",
            "k\u{e9}y",
        ] {
            assert!(!names.is_secret(name), "{name}");
        }
        assert!(names.is_secret(&"a".repeat(65)), "nobody has such a name");
    }

    #[test]
    fn names_are_whole_or_ends() {
        let mut names = SecretNames::none();
        for (name, is_one) in [
            ("Team_Name", true),
            ("*id", true),
            ("", false),
            ("-", false),
            ("a=b", false),
            ("a*", false),
            ("user[x]", false),
            ("%74oken", false),
            ("a.b", false),
        ] {
            assert_eq!(names.add(name), is_one, "{name}");
        }
        assert!(!names.add(&"a".repeat(65)));
        for (name, expected) in [
            ("teamname", true),
            ("team-name", true),
            ("my_team_name", false),
            ("id", true),
            ("user_id", true),
            ("ids", false),
            ("token", false),
        ] {
            assert_eq!(names.is_secret(name), expected, "{name}");
        }
        names.add("*");
        assert!(names.is_secret("q"));
    }

    #[test]
    fn the_default_is_made_of_names() {
        let mut names = SecretNames::none();
        for name in SECRET_PARAMETERS {
            assert!(names.add(name), "{name}");
        }
        assert_eq!(names.ends.len(), SECRET_PARAMETERS.len(), "one is there twice");
    }

    #[test]
    fn headers_that_open_doors_are_secret() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "Set_Cookie",
            "WWW-Authenticate",
            "authentication-info",
            "x-api-key",
            "apikey",
            "X-Auth-Token",
            "x-amz-security-token",
            "x-amzn-oidc-data",
            "x-amzn-oidc-accesstoken",
            "cf-access-jwt-assertion",
            "x-csrf-token",
            "sec-websocket-protocol",
            "dpop",
            "ocp-apim-subscription-key",
            "x-hub-signature-256",
            "private-token",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in [
            "host",
            "accept",
            "user-agent",
            "x-team",
            "x-request-id",
            "sec-websocket-key",
            "idempotency-key",
            "x-forwarded-for",
            "etag",
            "server-timing",
            "x-ratelimit-tokens",
            "authority",
            "x-cache-key",
        ] {
            assert!(!is_secret_header(name), "{name}");
        }
    }
}
