//! Secrets in targets and in other texts with parameters: left out before anybody can read them.

use fairwater_message::secret::{Name, SecretNames};

use crate::escape::{
    Bytes, ONES, Odd, VALUE_BYTES_MAX, escape_until, has_any, mark_byte, mark_unquotable,
};

/// What stands in place of a secret.
const MARK: &[u8] = b"***";

/// What a text is, which says where names of parameters may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A target or another URL: behind its path, and behind `;` in it.
    Url,
    /// The value of a header: at its beginning too.
    Header,
}

/// What a URL must not have to be written as it is: what is odd, and what every parameter and every
/// user of an authority is marked by.
struct OddInUrl;

impl Bytes for OddInUrl {
    #[inline(always)]
    fn has(byte: u8) -> bool {
        Odd::has(byte) || matches!(byte, b'?' | b';' | b'@' | b'#')
    }

    #[inline(always)]
    fn mark(word: u64) -> u64 {
        // Each two are one bit apart.
        let query_or_semicolon = mark_byte(word | (ONES * u64::from(b'?' ^ b';')), b'?');
        let quote_or_hash = mark_byte(word | (ONES * u64::from(b'"' ^ b'#')), b'#');
        let at = mark_byte(word, b'@');
        mark_unquotable(word) | quote_or_hash | query_or_semicolon | at
    }
}

/// Writes a URL, escaped and without its secrets.
#[inline]
pub(crate) fn write_url(out: &mut Vec<u8>, value: &[u8], secrets: &SecretNames, end: Option<u8>) {
    let is_plain = value.len() <= VALUE_BYTES_MAX && !has_any::<OddInUrl>(value);
    if is_plain && end.is_none_or(|end| !value.contains(&end)) {
        out.extend_from_slice(value);
    } else {
        write_hidden(out, value, secrets, Kind::Url, end);
    }
}

/// Writes the value of a header, escaped and without its secrets.
pub(crate) fn write_header(
    out: &mut Vec<u8>,
    value: &[u8],
    secrets: &SecretNames,
    end: Option<u8>,
) {
    if value.iter().any(|byte| matches!(byte, b'=' | b'%' | b'@')) {
        write_hidden(out, value, secrets, Kind::Header, end);
    } else {
        escape_until(out, value, end);
    }
}

fn write_hidden(
    out: &mut Vec<u8>,
    value: &[u8],
    secrets: &SecretNames,
    kind: Kind,
    end: Option<u8>,
) {
    let mut room = VALUE_BYTES_MAX;
    Hider::new(value, secrets, kind).run(|piece| {
        let piece = &piece[..piece.len().min(room)];
        room -= piece.len();
        escape_until(out, piece, end);
    });
}

/// One pass over a text. Escapes are decoded, however often they were made, so that neither
/// `%74oken=` nor a URL within a parameter hides a name from us. Where it is in doubt what a server
/// would read, more is hidden rather than less.
struct Hider<'a> {
    value: &'a [u8],
    secrets: &'a SecretNames,
    kind: Kind,
    /// The next byte to look at.
    at: usize,
    /// What is before is told or hidden.
    told: usize,
    name: Name,
    /// The sign before that name.
    sign: u8,
    has_query: bool,
}

impl<'a> Hider<'a> {
    fn new(value: &'a [u8], secrets: &'a SecretNames, kind: Kind) -> Self {
        let name = Name::default();
        Self { value, secrets, kind, at: 0, told: 0, name, sign: b'&', has_query: false }
    }

    fn run(mut self, mut tell: impl FnMut(&'a [u8])) {
        if self.value.starts_with(b"//") {
            self.at = 2;
            self.hide_user(&mut tell);
        } else if self.kind == Kind::Url && !self.value.starts_with(b"/") {
            // `user:password@host:80`, as CONNECT has it.
            self.hide_user(&mut tell);
        }
        if self.kind == Kind::Header {
            self.pass_name(&mut tell);
        }
        while self.pass_text() {
            let (byte, len) = decoded(&self.value[self.at..]);
            self.at += len;
            match byte {
                b':' => self.pass_slashes(&mut tell),
                b'?' | b'&' | b';' | b'#' => {
                    self.sign = byte;
                    self.has_query |= byte == b'?';
                    self.pass_name(&mut tell);
                }
                _ => {}
            }
        }
        tell(&self.value[self.told..]);
    }

    /// Goes on to the next byte that may mean something outside of names. Returns whether there is
    /// one.
    fn pass_text(&mut self) -> bool {
        let rest = &self.value[self.at..];
        let may_mean = |byte: &u8| matches!(byte, b'?' | b'&' | b';' | b'#' | b':' | b'%');
        self.at += rest.iter().position(may_mean).unwrap_or(rest.len());
        self.at < self.value.len()
    }

    /// Goes on behind what may be a name, and hides its value.
    fn pass_name(&mut self, tell: &mut impl FnMut(&'a [u8])) {
        self.name.clear();
        while let Some(&first) = self.value.get(self.at) {
            let (byte, len) = match first {
                b'%' => decoded(&self.value[self.at..]),
                byte => (byte, 1),
            };
            match byte {
                b'=' => {
                    self.at += len;
                    if self.name.is_secret(self.secrets) {
                        let end = self.at + self.secret_len();
                        self.hide_until(end, tell);
                    }
                    return;
                }
                // What comes next looks at them.
                b'?' | b'&' | b';' | b'#' => return,
                byte => self.name.push(byte, self.secrets),
            }
            self.at += len;
            if byte == b':' {
                self.pass_slashes(tell);
            }
        }
    }

    /// An authority may begin behind each slash that follows a colon.
    fn pass_slashes(&mut self, tell: &mut impl FnMut(&'a [u8])) {
        while self.at < self.value.len()
            && let (b'/' | b'\\', len) = decoded(&self.value[self.at..])
        {
            self.at += len;
            self.hide_user(tell);
        }
    }

    fn hide_until(&mut self, end: usize, tell: &mut impl FnMut(&'a [u8])) {
        tell(&self.value[self.told..self.at]);
        tell(MARK);
        (self.told, self.at) = (end, end);
    }

    /// A parameter of the path ends with its segment; one of the query ends at `&`, since some
    /// servers take `;` and `#` for parts of it.
    fn secret_len(&self) -> usize {
        let rest = &self.value[self.at..];
        let is_of_path = self.kind == Kind::Url && self.sign == b';' && !self.has_query;
        let ends = |byte: &u8| match byte {
            b'&' => true,
            b'/' | b'?' | b';' => is_of_path,
            _ => false,
        };
        rest.iter().position(ends).unwrap_or(rest.len())
    }

    /// Hides what stands before the last `@` of an authority that begins here.
    fn hide_user(&mut self, tell: &mut impl FnMut(&'a [u8])) {
        let mut end = self.at;
        let mut user_end = self.at;
        while end < self.value.len() {
            let (byte, len) = decoded(&self.value[end..]);
            match byte {
                b'/' | b'\\' | b'?' | b'#' | b' ' | b'"' => break,
                b'@' => user_end = end,
                _ => {}
            }
            end += len;
        }
        if user_end > self.at {
            self.hide_until(user_end, tell);
        }
    }
}

/// The byte that stands at the beginning of `rest`, which is not empty, and how long it is written.
fn decoded(rest: &[u8]) -> (u8, usize) {
    let (mut byte, mut len) = (rest[0], 1);
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    while byte == b'%'
        && let Some([high, low]) = rest.get(len..len + 2)
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        (byte, len) = (high << 4 | low, len + 2);
    }
    (byte, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, cases: &[(&str, &str)]) {
        let secrets = SecretNames::default();
        for (value, expected) in cases {
            let mut out = Vec::new();
            match kind {
                Kind::Url => write_url(&mut out, value.as_bytes(), &secrets, None),
                Kind::Header => write_header(&mut out, value.as_bytes(), &secrets, None),
            }
            assert_eq!(str::from_utf8(&out).unwrap(), *expected, "{value}");
        }
    }

    #[test]
    fn values_of_secret_parameters_are_hidden() {
        check(
            Kind::Url,
            &[
                ("/", "/"),
                ("/a?b=c&d", "/a?b=c&d"),
                ("/?token=abc", "/?token=***"),
                ("/?token=", "/?token=***"),
                ("/?token", "/?token"),
                ("/?a=1&Access_Token=abc&b=2", "/?a=1&Access_Token=***&b=2"),
                ("/?a=1;token=abc", "/?a=1;token=***"),
                ("/?token=a;b=c&d=e", "/?token=***&d=e"),
                ("/?token=a=b?c#d&d=e", "/?token=***&d=e"),
                ("/?token=a&token=b", "/?token=***&token=***"),
                ("/?user[password]=x&user[name]=y", "/?user[password]=***&user[name]=y"),
                ("/?q=token=x", "/?q=token=x"),
                ("/?form:token=x&http://token=y", "/?form:token=***&http://token=***"),
                ("/token=abc", "/token=abc"),
                ("/?&&=&token==x", "/?&&=&token=***"),
                ("*", "*"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn escapes_hide_no_name() {
        check(
            Kind::Url,
            &[
                ("/?%74oken=abc", "/?%74oken=***"),
                ("/?%54%4f%4B%45%4e=abc", "/?%54%4f%4B%45%4e=***"),
                ("/?%2574oken=abc", "/?%2574oken=***"),
                ("/?+token=abc", "/?+token=***"),
                ("/?token%3Dabc&a=1", "/?token%3D***&a=1"),
                ("/?to=%2Fb%3Fcode%3Dabc%26c%3Dd&e=f", "/?to=%2Fb%3Fcode%3D***&e=f"),
                ("/?to=%252Fb%253Fcode%253Dabc", "/?to=%252Fb%253Fcode%253D***"),
                ("/?a=%26token=x", "/?a=%26token=***"),
                ("/?%=%2&%zz=1&token%=x", "/?%=%2&%zz=1&token%=***"),
            ],
        );
    }

    #[test]
    fn sessions_in_paths_are_hidden_and_the_rest_is_kept() {
        check(
            Kind::Url,
            &[
                ("/a;jsessionid=AB12/b", "/a;jsessionid=***/b"),
                ("/a;jsessionid=AB12?b=c", "/a;jsessionid=***?b=c"),
                ("/a;jsessionid=A;v=1?token=x", "/a;jsessionid=***;v=1?token=***"),
                ("/a%3Bjsessionid=AB?b", "/a%3Bjsessionid=***?b"),
                ("/a;v=1/b", "/a;v=1/b"),
            ],
        );
    }

    #[test]
    fn users_of_an_authority_are_hidden() {
        check(
            Kind::Url,
            &[
                ("http://me:secret@host/a", "http://***@host/a"),
                ("http://me@host", "http://***@host"),
                ("http://a@b@host?c", "http://***@host?c"),
                ("http://@host/", "http://@host/"),
                ("HTTPS://me%3Asecret%40host/?", "HTTPS://***%40host/?"),
                ("//me:secret@host/", "//***@host/"),
                ("http:/me:secret@host/", "http:/***@host/"),
                ("me:secret@host:80", "***@host:80"),
                ("/?u=http://me:se&cret@host/", "/?u=http://***@host/"),
                ("/?u=http%3A%2F%2Fme:s%40host%2Fa&b", "/?u=http%3A%2F%2F***%40host%2Fa&b"),
                ("/x/http://me:secret@host/", "/x/http://***@host/"),
                ("http://a:b@c/?token=d@e", "http://***@c/?token=***"),
                ("/@scope/name@1.2", "/@scope/name@1.2"),
                ("/me@example.com", "/me@example.com"),
                ("http://host/me@example.com", "http://host/me@example.com"),
            ],
        );
    }

    #[test]
    fn headers_may_begin_with_a_name() {
        check(
            Kind::Header,
            &[
                ("text/html; charset=utf-8", "text/html; charset=utf-8"),
                ("token=abc", "token=***"),
                ("a=1; token=ab/c;d", "a=1; token=***"),
                ("token%3Dabc", "token%3D***"),
                ("/cb#access_token=x&token_type=y", "/cb#access_token=***&token_type=y"),
                ("https://me:secret@host/", "https://***@host/"),
                ("//me:secret@host/?token=x", "//***@host/?token=***"),
                ("Team <team@example.com>", "Team <team@example.com>"),
                ("1, 2", "1, 2"),
            ],
        );
    }

    #[test]
    fn a_long_value_is_cut_behind_what_is_hidden() {
        let secrets = SecretNames::default();
        let mut out = Vec::new();
        let long = "a".repeat(VALUE_BYTES_MAX);
        write_url(&mut out, format!("http://{long}@host/").as_bytes(), &secrets, None);
        assert_eq!(out, b"http://***@host/");
        out.clear();
        write_url(&mut out, format!("/?a={long}&token=b").as_bytes(), &secrets, None);
        assert_eq!(out.len(), VALUE_BYTES_MAX);
    }
}
