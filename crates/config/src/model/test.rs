//! Requests of which the configuration itself says what becomes of them.

use std::net::IpAddr;

use crate::span::{Span, Spanned};

/// One `[[tests]]`.
#[derive(Debug, Clone)]
pub struct RoutingTest {
    pub request: Spanned<TestRequest>,
    /// Absent if the request says it: by its port, or because there is only one.
    pub listener: Option<Spanned<String>>,
    /// Beside `Host`.
    pub headers: Vec<(String, String)>,
    pub client: Option<IpAddr>,
    pub expect: Expectation,
}

/// `GET http://example.com:8080/x?y`, in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    pub method: String,
    pub is_https: bool,
    /// Host and port, as they are written.
    pub authority: String,
    /// From the first slash on.
    pub target: String,
}

/// All that is there must hold; something is.
#[derive(Debug, Clone)]
pub struct Expectation {
    pub span: Span,
    pub upstream: Option<Spanned<String>>,
    /// Of a reply that is made here.
    pub status: Option<u16>,
    pub location: Option<String>,
    /// That the endpoint gets.
    pub path: Option<String>,
}

impl TestRequest {
    /// Reads `GET http://host/path`, or a URL alone.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        let problem = |what: &str, remedy| Err((format!("`{text}` {what}"), remedy));
        let (method, url) = text.split_once(' ').unwrap_or(("GET", text));
        let (is_https, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return problem("is not a request", "write it as `GET http://example.com/path`"),
        };
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            return problem("has no method", "write it as `GET http://example.com/path`");
        }
        if url.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return problem("has a character that no URL has", "escape it, as in `/a%20b`");
        }
        if url.contains('#') {
            return problem("has a fragment, which is never sent", "remove it");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if !fairwater_message::target::authority_is_valid(authority.as_bytes()) {
            return problem("has no host", "write it as `GET http://example.com/path`");
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            method: method.to_owned(),
            is_https,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }

    /// The port that it is for.
    pub fn port(&self) -> u16 {
        let usual = if self.is_https { 443 } else { 80 };
        let after = self.authority.rsplit_once(':').filter(|_| !self.authority.ends_with(']'));
        after.and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_a_method_and_a_url() {
        for (text, expected) in [
            ("GET http://a/x?y", Ok(("GET", "a", "/x?y", 80))),
            ("http://a:8080", Ok(("GET", "a:8080", "/", 8080))),
            ("POST https://[::1]?q", Ok(("POST", "[::1]", "/?q", 443))),
            ("https://[::1]:8443/", Ok(("GET", "[::1]:8443", "/", 8443))),
            ("GET /x", Err("is not a request")),
            ("get http://a/", Err("has no method")),
            ("GET  http://a/", Err("is not a request")),
            ("GET http://a/b c", Err("has a character that no URL has")),
            ("GET http:///x", Err("has no host")),
            ("GET http://user@a/", Err("has no host")),
            ("GET http://a/#b", Err("has a fragment, which is never sent")),
            ("", Err("is not a request")),
        ] {
            let found = TestRequest::parse(text);
            let shown = found.as_ref().map(|one| {
                (one.method.as_str(), one.authority.as_str(), one.target.as_str(), one.port())
            });
            let shown = shown.map_err(|(message, _)| message.split_once("` ").unwrap().1);
            assert_eq!(shown, expected, "{text}");
        }
    }
}
