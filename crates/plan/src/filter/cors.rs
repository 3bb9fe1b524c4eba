//! Which pages of other origins may read replies (the CORS protocol of Fetch,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use fairwater_message::{HeaderId, Method, RequestHead};

use crate::HeaderEdits;

/// What a route lets pages of other origins do. It decides alone: what endpoints say is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    /// Field lines of each reply to an origin that may read it.
    reply_lines: String,
    /// Further ones of the reply to a preflight.
    preflight_lines: String,
}

/// What is allowed, with every name as it goes out.
#[derive(Clone, Debug, Default)]
pub struct CorsRules {
    pub credentials: bool,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub expose: Vec<String>,
    pub max_age_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Whoever asks.
    Any,
    These(Vec<OriginPattern>),
}

/// Origins as browsers write them: in lower case, without a default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    Exact(String),
    /// All hosts below one: `https://` and `.example.com`.
    Below {
        start: String,
        end: String,
    },
}

/// All that a server says in this protocol.
const ANSWERS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
];

impl Cors {
    pub fn new(origins: Origins, rules: &CorsRules) -> Self {
        let mut cors = Self { origins, reply_lines: String::new(), preflight_lines: String::new() };
        if rules.credentials {
            cors.reply_lines.push_str("access-control-allow-credentials: true\r\n");
        }
        let line = |name: &str, values: &[String]| match values {
            [] => String::new(),
            values => format!("{name}: {}\r\n", values.join(", ")),
        };
        cors.reply_lines += &line("access-control-expose-headers", &rules.expose);
        cors.preflight_lines += &line("access-control-allow-methods", &rules.methods);
        cors.preflight_lines += &line("access-control-allow-headers", &rules.headers);
        cors.preflight_lines += &format!("access-control-max-age: {}\r\n", rules.max_age_s);
        cors
    }

    /// Takes out of replies what this decides, whoever has put it there.
    pub fn take_over(edits: &mut HeaderEdits) {
        ANSWERS.iter().for_each(|name| edits.remove(name));
    }

    /// Writes the field lines of a reply. Returns whether the client may read it.
    pub fn write(&self, head: &RequestHead, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let origin: &[u8] = match &self.origins {
            // Whoever asks gets the same.
            Origins::Any => b"*",
            Origins::These(patterns) => {
                // Said to others as well: a cache must not give them what this one gets.
                out.extend_from_slice(b"vary: Origin\r\n");
                let Some(origin) = only(b"origin", head, bytes) else { return false };
                if !patterns.iter().any(|pattern| pattern.takes(origin)) {
                    return false;
                }
                origin
            }
        };
        for part in [b"access-control-allow-origin: ", origin, b"\r\n", self.reply_lines.as_bytes()]
        {
            out.extend_from_slice(part);
        }
        true
    }

    /// Writes what the reply to a preflight says beside.
    pub fn write_preflight(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.preflight_lines.as_bytes());
    }
}

impl OriginPattern {
    /// What takes an origin has looked at each of its bytes, so that it may be sent back.
    fn takes(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(known) => known.as_bytes() == origin,
            Self::Below { start, end } => {
                let rest = origin.strip_prefix(start.as_bytes());
                let labels = rest.and_then(|rest| rest.strip_suffix(end.as_bytes()));
                let is_letter = |b: &u8| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_')
                };
                let is_label = |label: &[u8]| !label.is_empty() && label.iter().all(is_letter);
                labels.is_some_and(|labels| labels.split(|&b| b == b'.').all(is_label))
            }
        }
    }
}

/// The method that a browser asks about before it sends a request, if this is such a question.
pub(crate) fn preflight<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    if head.method != Method::Options {
        return None;
    }
    only(b"origin", head, bytes)?;
    only(b"access-control-request-method", head, bytes)
}

/// Whether a browser asks whether it may send a request.
pub fn is_preflight(head: &RequestHead, bytes: &[u8]) -> bool {
    preflight(head, bytes).is_some()
}

/// The value of a field that is there once.
fn only<'a>(name: &[u8], head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut found = head.fields.iter().filter(|field| {
        field.id == HeaderId::Other && field.name.of(bytes).eq_ignore_ascii_case(name)
    });
    let field = found.next()?;
    found.next().is_none().then(|| field.value.of(bytes))
}

#[cfg(test)]
mod tests {
    use fairwater_message::{Field, HeaderName, Span};

    use super::*;

    fn below(start: &str, end: &str) -> OriginPattern {
        OriginPattern::Below { start: start.to_owned(), end: end.to_owned() }
    }

    fn with_fields<T>(
        method: Method,
        fields: &[(&str, &str)],
        check: impl FnOnce(&RequestHead, &[u8]) -> T,
    ) -> T {
        let mut bytes = Vec::new();
        let mut head = RequestHead { method, ..RequestHead::default() };
        for (name, value) in fields {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_bytes());
            let middle = bytes.len();
            bytes.extend_from_slice(value.as_bytes());
            let (name, value) = (Span::new(start, middle), Span::new(middle, bytes.len()));
            head.fields.push(Field { name, value, id: HeaderId::Other });
        }
        check(&head, &bytes)
    }

    #[test]
    fn origins_are_whole() {
        let patterns = [
            OriginPattern::Exact("https://app.example".to_owned()),
            below("https://", ".example.com"),
            below("http://", ".local:8080"),
        ];
        for (origin, expected) in [
            ("https://app.example", true),
            ("https://app.example:443", false),
            ("http://app.example", false),
            ("https://app.example.evil.example", false),
            ("https://APP.example", false),
            ("https://a.example.com", true),
            ("https://a.b-c.example.com", true),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://a..example.com", false),
            ("https://evil.example/.example.com", false),
            ("https://evil.example:1#.example.com", false),
            ("https://evil.example\r\nx: y.example.com", false),
            ("https://evil@a.example.com", false),
            ("https://a.example.com ", false),
            ("https://aexample.com", false),
            ("http://x.local:8080", true),
            ("http://x.local", false),
            ("null", false),
            ("", false),
        ] {
            let is_taken = patterns.iter().any(|pattern| pattern.takes(origin.as_bytes()));
            assert_eq!(is_taken, expected, "{origin:?}");
        }
    }

    #[test]
    fn preflights_name_an_origin_and_a_method() {
        let origin = ("Origin", "https://a");
        let method = ("access-control-REQUEST-method", "PUT");
        for (of, fields, expected) in [
            (Method::Options, &[origin, method][..], Some(&b"PUT"[..])),
            (Method::Get, &[origin, method], None),
            (Method::Options, &[origin], None),
            (Method::Options, &[method], None),
            (Method::Options, &[origin, origin, method], None),
            (Method::Options, &[origin, method, method], None),
        ] {
            let found =
                with_fields(of, fields, |head, bytes| preflight(head, bytes).map(<[u8]>::to_vec));
            assert_eq!(found.as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn replies_tell_an_origin_what_it_may_do() {
        let rules = CorsRules {
            credentials: true,
            methods: vec!["GET".to_owned(), "PUT".to_owned()],
            headers: Vec::new(),
            expose: vec!["x-total".to_owned()],
            max_age_s: 600,
        };
        let exact = OriginPattern::Exact("https://a".to_owned());
        let cors = Cors::new(Origins::These(vec![exact]), &rules);
        let written = |cors: &Cors, fields: &[(&str, &str)]| {
            with_fields(Method::Get, fields, |head, bytes| {
                let mut out = Vec::new();
                let is_read = cors.write(head, bytes, &mut out);
                (is_read, String::from_utf8(out).unwrap())
            })
        };
        let lines = "vary: Origin\r\naccess-control-allow-origin: https://a\r\n\
                     access-control-allow-credentials: true\r\n\
                     access-control-expose-headers: x-total\r\n";
        assert_eq!(written(&cors, &[("origin", "https://a")]), (true, lines.to_owned()));
        for fields in [&[][..], &[("origin", "https://b")], &[("origin", "https://a"); 2]] {
            assert_eq!(written(&cors, fields), (false, "vary: Origin\r\n".to_owned()));
        }
        let mut out = Vec::new();
        cors.write_preflight(&mut out);
        let lines = "access-control-allow-methods: GET, PUT\r\naccess-control-max-age: 600\r\n";
        assert_eq!(out, lines.as_bytes());
        let any = Cors::new(Origins::Any, &CorsRules::default());
        assert_eq!(written(&any, &[]), (true, "access-control-allow-origin: *\r\n".to_owned()));
    }

    #[test]
    fn what_others_say_is_taken_out() {
        let mut edits = HeaderEdits::default();
        Cors::take_over(&mut edits);
        assert!(edits.removed.contains(&HeaderName::new("Access-Control-Allow-Origin")));
    }
}
