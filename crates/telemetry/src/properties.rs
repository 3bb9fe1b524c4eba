//! What holds for every line, whatever a client sends: it is one line of printable ASCII, its
//! columns can be told apart, and no secret is in it.

use fairwater_message::log::{LogField, Part, Source, Template};
use fairwater_message::secret::{SECRET_PARAMETERS, SecretNames};
use proptest::prelude::*;
use proptest::sample::select;

use crate::escape::escape;
use crate::hide::{write_header, write_url};
use crate::line::tests::entry;
use crate::line::{Entry, write_combined, write_json};
use crate::template::{Dates, write_template};

/// Fields that a client has a say in and that nothing is hidden in.
const FREE: [LogField; 3] = [LogField::Method, LogField::Host, LogField::UserAgent];

/// What may stand behind a value, and ends it: a quote stands before it too.
const ENDS: [&str; 6] = [" ", ",", "|", "] ", "\" ", "\t"];

fn value(field: LogField, end: &str) -> Part {
    let end = end.bytes().next().filter(|sign| !b"\"\t".contains(sign));
    Part::Value { source: Source::Field(field), end }
}

/// Bytes of whatever kind, and often such as mean something to somebody.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let sign = select(&b" \t\r\n\"\\,|]-;'\x1b\x7f\x80\xffa"[..]);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(sign, 0..20)
    ]
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\u00") {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.push(u8::from_str_radix(&rest[at + 4..at + 6], 16).unwrap());
        rest = &rest[at + 6..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn is_one_line(line: &[u8]) -> bool {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    line.split_last().is_some_and(|(end, line)| *end == b'\n' && line.iter().all(is_printable))
}

proptest! {
    #[test]
    fn columns_of_a_template_can_be_told_apart(
        values in [bytes(), bytes(), bytes()],
        ends in [select(&ENDS[..]), select(&ENDS[..]), select(&ENDS[..])],
    ) {
        let mut parts = Vec::new();
        for (field, end) in FREE.into_iter().zip(ends) {
            parts.extend(end.starts_with('"').then(|| Part::Text("\"".to_owned())));
            parts.push(value(field, end));
            parts.push(Part::Text(end.to_owned()));
        }
        let template = Template { parts, replies: Vec::new() };
        let [method, host, user_agent] = &values;
        let entry = Entry { method, host, user_agent, ..entry() };
        let mut out = Vec::new();
        write_template(&mut out, &mut Dates::new(), &SecretNames::default(), &template, &entry);
        prop_assert!(is_one_line(&out));
        let mut line = str::from_utf8(&out).unwrap();
        for (value, end) in values.iter().zip(ends) {
            line = line.strip_prefix(if end.starts_with('"') { "\"" } else { "" }).unwrap();
            let (column, rest) = line.split_once(&end[..1]).unwrap();
            let expected = if value.is_empty() { b"-" } else { &value[..] };
            prop_assert_eq!(unescaped(column), expected);
            line = rest.strip_prefix(&end[1..]).unwrap();
        }
        prop_assert_eq!(line, "\n");
    }

    #[test]
    fn every_line_is_one_line_of_ascii(values in [bytes(), bytes(), bytes(), bytes(), bytes()]) {
        let [method, host, target, referer, user_agent] = &values;
        let entry = Entry { method, host, target, referer, user_agent, ..entry() };
        let secrets = SecretNames::default();
        let mut dates = Dates::new();
        let parts = LogField::ALL.iter().map(|field| value(*field, " ")).collect();
        let template = Template { parts, replies: Vec::new() };
        for format in 0..3 {
            let mut out = Vec::new();
            match format {
                0 => write_json(&mut out, &mut dates.iso, &secrets, &entry),
                1 => write_combined(&mut out, &mut dates.common, &secrets, &entry),
                _ => write_template(&mut out, &mut dates, &secrets, &template, &entry),
            }
            prop_assert!(is_one_line(&out), "{}", out.escape_ascii());
            prop_assert!(!out.contains(&b'\t'));
        }
    }

    #[test]
    fn a_text_without_parameters_and_users_is_only_escaped(
        mut value in proptest::collection::vec(any::<u8>(), 0..60)
    ) {
        value.retain(|byte| !b"=@%".contains(byte));
        let secrets = SecretNames::default();
        let [mut url, mut header, mut expected] = [vec![], vec![], vec![]];
        write_url(&mut url, &value, &secrets, None);
        write_header(&mut header, &value, &secrets, None);
        escape(&mut expected, &value);
        prop_assert_eq!(&url, &expected);
        prop_assert_eq!(&header, &expected);
    }

    #[test]
    fn no_text_is_too_odd(value in proptest::collection::vec(select(&b"/?&;#=:@%25aF\\ token"[..]), 0..60)) {
        let secrets = SecretNames::default();
        let mut out = Vec::new();
        write_url(&mut out, &value, &secrets, None);
        write_header(&mut out, &value, &secrets, None);
        prop_assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~')));
    }

    #[test]
    fn no_spelling_shows_a_secret(
        parameters in proptest::collection::vec(parameter(), 1..6),
        path in "[a-z/]{0,8}",
        begin in select(&["/", "http://host/", "http://me:zQ9@host/", "//me:zQ9@host/"][..]),
    ) {
        let query: Vec<_> = parameters.iter().map(|parameter| &*parameter.text).collect();
        let secrets = SecretNames::default();
        for sign in ["&", ";"] {
            let url = format!("{begin}{path}?{}", query.join(sign));
            let mut out = Vec::new();
            write_url(&mut out, url.as_bytes(), &secrets, None);
            let told = String::from_utf8(out).unwrap();
            prop_assert!(!told.contains("zQ9"), "{url} {told}");
            let shown = parameters.iter().filter(|parameter| !parameter.is_secret);
            for shown in shown.filter(|_| sign == "&") {
                prop_assert!(told.contains(&shown.text), "{url} {told}");
            }
            let mut out = Vec::new();
            write_header(&mut out, query.join(sign).as_bytes(), &secrets, None);
            prop_assert!(!String::from_utf8(out).unwrap().contains("zQ9"), "{url}");
        }
    }
}

/// One `name=value` of a query.
#[derive(Clone, Debug)]
struct Parameter {
    text: String,
    is_secret: bool,
}

/// A secret one has a sign in its value that nothing else has.
fn parameter() -> impl Strategy<Value = Parameter> {
    let harmless = ("[a-z]{0,3}", "[a-z0-9/+.]{0,8}").prop_map(|(name, value)| Parameter {
        text: format!("q_{name}x={value}"),
        is_secret: false,
    });
    let spelling = proptest::collection::vec(0..6_u8, 40);
    let secret = (select(SECRET_PARAMETERS), "[a-z]{0,4}", spelling, "[ -%'-:<-~]{0,8}");
    let secret = secret.prop_map(|(name, before, spelling, value)| {
        let name = name.replace('*', &before);
        let spelt = name.chars().zip(spelling).map(|(letter, way)| match way {
            0 => letter.to_ascii_uppercase().to_string(),
            1 => format!("%{:02x}", letter as u8),
            2 => format!("%25{:02X}", letter as u8),
            3 if letter == '_' => "-".to_owned(),
            _ => letter.to_string(),
        });
        Parameter { text: format!("{}=zQ9{value}", spelt.collect::<String>()), is_secret: true }
    });
    prop_oneof![harmless, secret]
}
