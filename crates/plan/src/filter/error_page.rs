//! What a client is shown instead of a bare status: pages from files, with a few variables.

use std::sync::Arc;

/// The pages of a route, those that come first before the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    pub entries: Vec<ErrorEntry>,
    /// They stand for the errors of endpoints as well.
    pub intercepts: bool,
}

/// The pages for some statuses, in as many formats as there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    pub statuses: Statuses,
    pub pages: Vec<Arc<ErrorPage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    One(u16),
    /// All that begin with this digit.
    Class(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    Html,
    Json,
    Text,
}

/// A page with what is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    format: PageFormat,
    parts: Vec<PagePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PagePart {
    Text(String),
    Status,
    StatusText,
    RequestId,
}

/// Whatever else stands in braces is text: pages are full of them.
const VARIABLES: [(&str, PagePart); 3] = [
    ("{status}", PagePart::Status),
    ("{status_text}", PagePart::StatusText),
    ("{request_id}", PagePart::RequestId),
];

/// What fills a page.
#[derive(Clone, Copy, Debug)]
pub struct PageValues<'a> {
    pub status: u16,
    pub status_text: &'a str,
    pub request_id: &'a str,
}

impl ErrorPages {
    /// The page for an error, in JSON for who prefers that; such a client gets no other.
    pub fn find(&self, status: u16, prefers_json: bool) -> Option<&ErrorPage> {
        let entries = self.entries.iter().filter(|entry| entry.statuses.have(status));
        let fits = |entry: &'_ ErrorEntry| {
            let json = |page: &&Arc<ErrorPage>| page.format == PageFormat::Json;
            match prefers_json {
                true => entry.pages.iter().position(|page| json(&page)),
                // Where there is only JSON, everybody reads it.
                false => {
                    let other = entry.pages.iter().position(|page| !json(&page));
                    other.or((!entry.pages.is_empty()).then_some(0))
                }
            }
        };
        entries.into_iter().find_map(|entry| fits(entry).map(|at| &*entry.pages[at]))
    }
}

impl Statuses {
    fn have(self, status: u16) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(digit) => digit == status / 100,
        }
    }
}

impl PageFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

impl ErrorPage {
    pub fn new(format: PageFormat, text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let first = |rest: &str| {
            let found = VARIABLES.iter().filter_map(|(name, part)| {
                rest.find(name).map(|at| (at, name.len(), part.clone()))
            });
            found.min_by_key(|(at, ..)| *at)
        };
        while let Some((at, len, part)) = first(rest) {
            parts.push(PagePart::Text(rest[..at].to_owned()));
            parts.push(part);
            rest = &rest[at + len..];
        }
        parts.push(PagePart::Text(rest.to_owned()));
        Self { format, parts }
    }

    pub fn content_type(&self) -> &'static str {
        self.format.content_type()
    }

    /// The page as one client gets it.
    pub fn filled_in(&self, values: PageValues<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                PagePart::Text(text) => out.extend_from_slice(text.as_bytes()),
                PagePart::Status => self.write(&values.status.to_string(), &mut out),
                PagePart::StatusText => self.write(values.status_text, &mut out),
                PagePart::RequestId => self.write(values.request_id, &mut out),
            }
        }
        out
    }

    /// Writes a value so that it stays text, also between quotes.
    fn write(&self, value: &str, out: &mut Vec<u8>) {
        let mut own = [0; 4];
        for c in value.chars() {
            let escaped = match (self.format, c) {
                (PageFormat::Html, '&') => "&amp;",
                (PageFormat::Html, '<') => "&lt;",
                (PageFormat::Html, '>') => "&gt;",
                (PageFormat::Html, '"') => "&quot;",
                (PageFormat::Html, '\'') => "&#39;",
                (PageFormat::Json, '"') => "\\\"",
                (PageFormat::Json, '\\') => "\\\\",
                (PageFormat::Json, c) if c.is_control() => "",
                (_, c) => c.encode_utf8(&mut own),
            };
            out.extend_from_slice(escaped.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(statuses: Statuses, pages: &[(PageFormat, &str)]) -> ErrorEntry {
        let page = |(format, text): &(PageFormat, &str)| Arc::new(ErrorPage::new(*format, text));
        ErrorEntry { statuses, pages: pages.iter().map(page).collect() }
    }

    fn text(page: &ErrorPage, request_id: &str) -> String {
        let values = PageValues { status: 502, status_text: "Bad Gateway", request_id };
        String::from_utf8(page.filled_in(values)).unwrap()
    }

    #[test]
    fn the_first_page_that_fits_is_taken() {
        use PageFormat::{Html, Json};
        let pages = ErrorPages {
            entries: vec![
                entry(Statuses::One(404), &[(Html, "404 html")]),
                entry(Statuses::One(503), &[(Json, "503 json"), (Html, "503 html")]),
                entry(Statuses::Class(4), &[(Json, "4xx json")]),
            ],
            intercepts: false,
        };
        for (status, prefers_json, expected) in [
            (404, false, Some("404 html")),
            (404, true, Some("4xx json")),
            (403, false, Some("4xx json")),
            (503, false, Some("503 html")),
            (503, true, Some("503 json")),
            (502, false, None),
        ] {
            let found = pages.find(status, prefers_json).map(|page| text(page, ""));
            assert_eq!(found.as_deref(), expected, "{status} {prefers_json}");
        }
    }

    #[test]
    fn values_are_filled_in_as_text() {
        use PageFormat::{Html, Json, Text};
        let id = "<a href=\"x\">'&\\\n";
        for (format, page, expected) in [
            (Html, "", ""),
            (Html, "a { b: {c} } {{status}} {statu}", "a { b: {c} } {502} {statu}"),
            (Html, "{status}{status_text}!", "502Bad Gateway!"),
            (Html, "{request_id}", "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\\\n"),
            (Json, "{\"id\":\"{request_id}\"}", "{\"id\":\"<a href=\\\"x\\\">'&\\\\\"}"),
            (Text, "{request_id}", id),
        ] {
            assert_eq!(text(&ErrorPage::new(format, page), id), expected, "{page}");
        }
    }
}
