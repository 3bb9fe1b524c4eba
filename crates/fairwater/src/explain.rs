//! `fairwater explain` and `fairwater schema`: what the program knows about its own configuration.

use std::process::ExitCode;

use fairwater_config::CODES;

use crate::arguments::ExplainArguments;
use crate::{fail, print, way};

/// The document with a row for each reason why a request fails.
const FAULTS: &str = include_str!("../../../docs/faults.md");

pub(crate) fn run(arguments: &ExplainArguments) -> ExitCode {
    let subject = arguments.subject.join(" ");
    let subject = with_host(&subject).unwrap_or(subject);
    if subject.contains("://") {
        return match way::of(&subject, arguments) {
            Ok(text) => print(text),
            Err(code) => code,
        };
    }
    if let Some(code) = fairwater_config::explain(&subject) {
        return print(format!("{}: {}\n", code.id, code.explanation));
    }
    match fault(&subject) {
        Some(text) => print(text),
        None => fail(unknown(&subject)),
    }
}

/// A request for a path alone, as one for this machine: it is for the only listener, or for the one
/// that is named.
fn with_host(subject: &str) -> Option<String> {
    let start = subject.rfind(' ').map_or(0, |blank| blank + 1);
    let (method, path) = subject.split_at(start);
    path.starts_with('/').then(|| format!("{method}http://localhost{path}"))
}

/// What stands in the row of a reason of the access log.
fn fault(reason: &str) -> Option<String> {
    let name = format!("`{}`", reason.to_ascii_lowercase());
    let cells = |line: &'static str| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let cells: Vec<&str> = line.splitn(5, " | ").collect();
        <[&str; 5]>::try_from(cells).ok().filter(|cells| cells[0] == name)
    };
    let [_, status, party, phase, words] = FAULTS.lines().find_map(cells)?;
    let words = without_links(words);
    let reason = reason.to_ascii_lowercase();
    Some(format!("{reason}: {words}\nstatus {status}, party {party}, phase {phase}\n"))
}

/// The text of a row, with the words of a link alone.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        out.push_str(&before.replacen('[', "", 1));
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// What was probably meant, where nothing is known by that name.
fn unknown(subject: &str) -> String {
    let upper = subject.to_ascii_uppercase();
    let digits = upper.strip_prefix(['E', 'W']).unwrap_or("");
    if digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let group = |id: &str| id[1..3] == digits[..2];
        let codes: Vec<_> = CODES.iter().map(|code| code.id).filter(|id| group(id)).collect();
        return match codes.is_empty() {
            true => format!(
                "no diagnostic has the code {upper}: it stands in brackets, as in error[E0104]"
            ),
            false => format!(
                "no diagnostic has the code {upper}; of its group there are {}",
                codes.join(", ")
            ),
        };
    }
    let words: Vec<&str> = subject.split(' ').collect();
    let (last, method) = words.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
    if last.contains(['.', ':', '/']) {
        let request = [method, &[&*format!("http://{last}")]].concat().join(" ");
        return format!("a URL begins with http:// or https://: `fairwater explain {request}`");
    }
    format!(
        "`{subject}` is neither the code of a diagnostic, such as E0104 or W0101, nor a reason of the \
         access log, such as no_endpoint, nor a URL, such as http://example.com/path"
    )
}

pub(crate) fn schema() -> ExitCode {
    print(fairwater_config::schema())
}

#[cfg(test)]
mod tests {
    use fairwater_message::FaultKind;

    use super::*;

    #[test]
    fn every_reason_is_explained() {
        for kind in FaultKind::ALL {
            let text = fault(kind.reason()).unwrap_or_else(|| panic!("{}", kind.reason()));
            assert!(!text.contains("]("), "{text}");
        }
        assert_eq!(fault("nonsense"), None);
        assert_eq!(without_links("a [b c](d#e), [f](g)."), "a b c, f.");
    }

    /// And what is said of requests does not stand there as if it were all.
    #[test]
    fn what_happens_to_messages_is_told_of_messages() {
        for reason in [
            "bad_frame",
            "frame_timeout",
            "no_route",
            "upstream_full",
            "upstream_connect_timeout",
            "upstream_connect_failed",
            "upstream_empty_reply",
            "upstream_reset",
            "upstream_bad_reply",
            "upstream_response_timeout",
            "upstream_upload_stalled",
            "upstream_body_truncated",
            "upstream_body_timeout",
            "upstream_excess_bytes",
            "client_aborted",
            "client_stalled",
            "idle_timeout",
        ] {
            let text = fault(reason).unwrap();
            assert!(text.to_ascii_lowercase().contains("message"), "{text}");
        }
    }

    #[test]
    fn a_path_is_a_request_for_this_machine() {
        for (subject, expected) in [
            ("/x?y", Some("http://localhost/x?y")),
            ("POST /x", Some("POST http://localhost/x")),
            ("a/x", None),
            ("http://a/x", None),
            ("no_endpoint", None),
        ] {
            assert_eq!(with_host(subject).as_deref(), expected, "{subject}");
        }
    }

    #[test]
    fn what_is_not_known_is_answered() {
        for (subject, words) in [
            ("localhost:8080/", "`fairwater explain http://localhost:8080/`"),
            ("POST a.example/x", "`fairwater explain POST http://a.example/x`"),
            ("E9999", "no diagnostic has the code E9999: it stands in brackets"),
            ("e0199", "no diagnostic has the code E0199; of its group there are E0101, "),
            ("nonsense", "neither the code of a diagnostic"),
            ("", "neither the code of a diagnostic"),
        ] {
            assert!(unknown(subject).contains(words), "{subject}: {}", unknown(subject));
        }
    }
}
