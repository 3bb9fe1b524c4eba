//! Texts with variables, such as `https://{host}{target}`: read once, filled in for each request.

use std::fmt;

/// Text in which `{name}` stands for something of a request, and `{{` and `}}` for braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Variable(Variable),
}

/// What a text may take from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The address of the client.
    Client,
    /// `http` or `https`.
    Scheme,
    /// The host that the request is for, without port.
    Host,
    Method,
    /// The path as the client wrote it.
    Path,
    /// The query without its question mark.
    Query,
    /// Path and query.
    Target,
    RequestId,
    /// What stands for the `*` at the end of a route's path, without the slash before it.
    Rest,
    /// Who the client is, by its name and password.
    User,
    /// What TLS with the client says; nothing without it.
    Tls(TlsVariable),
    /// The first value of a header of the request.
    Header(String),
    /// A capture of the route's path.
    Capture(String),
}

/// What was agreed on, and the certificate that the client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVariable {
    Version,
    Cipher,
    ServerName,
    Subject,
    Issuer,
    Serial,
    Fingerprint,
    Names,
}

const NAMED: [(&str, Variable); 18] = [
    ("client", Variable::Client),
    ("scheme", Variable::Scheme),
    ("host", Variable::Host),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("target", Variable::Target),
    ("request_id", Variable::RequestId),
    ("rest", Variable::Rest),
    ("user", Variable::User),
    ("tls_version", Variable::Tls(TlsVariable::Version)),
    ("tls_cipher", Variable::Tls(TlsVariable::Cipher)),
    ("tls_server_name", Variable::Tls(TlsVariable::ServerName)),
    ("client_subject", Variable::Tls(TlsVariable::Subject)),
    ("client_issuer", Variable::Tls(TlsVariable::Issuer)),
    ("client_serial", Variable::Tls(TlsVariable::Serial)),
    ("client_fingerprint", Variable::Tls(TlsVariable::Fingerprint)),
    ("client_names", Variable::Tls(TlsVariable::Names)),
];

/// Before the name of a header.
const HEADER: &str = "header.";

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError<'t> {
    /// A brace that nothing closes or opens.
    Unbalanced,
    /// There is no variable of this name.
    Unknown(&'t str),
}

impl Template {
    /// Reads a text; `captures` are the names that the path of the route has.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse<'t>(text: &'t str, captures: &[&str]) -> Result<Self, TemplateError<'t>> {
        let mut template = Self::default();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = behind;
                continue;
            }
            let end =
                rest.find(['{', '}']).filter(|&end| brace == "{" && rest[end..].starts_with('}'));
            let end = end.ok_or(TemplateError::Unbalanced)?;
            let variable = variable(&rest[..end], captures);
            template.push_text(&mut literal);
            template
                .parts
                .push(Part::Variable(variable.ok_or(TemplateError::Unknown(&rest[..end]))?));
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        template.push_text(&mut literal);
        Ok(template)
    }

    fn push_text(&mut self, literal: &mut String) {
        if !literal.is_empty() {
            self.parts.push(Part::Text(std::mem::take(literal)));
        }
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// The text before the first variable.
    pub fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }
}

impl From<Variable> for Template {
    fn from(variable: Variable) -> Self {
        Self { parts: vec![Part::Variable(variable)] }
    }
}

/// The names of all variables but those of captures and headers.
pub fn variable_names() -> impl Iterator<Item = &'static str> + use<> {
    NAMED.iter().map(|(name, _)| *name)
}

fn variable(name: &str, captures: &[&str]) -> Option<Variable> {
    if captures.contains(&name) {
        return Some(Variable::Capture(name.to_owned()));
    }
    if let Some(header) = name.strip_prefix(HEADER).filter(|header| !header.is_empty()) {
        return Some(Variable::Header(header.to_ascii_lowercase()));
    }
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone())
}

/// As it would be written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Variable(Variable::Capture(name)) => write!(f, "{{{name}}}")?,
                Part::Variable(Variable::Header(name)) => write!(f, "{{{HEADER}{name}}}")?,
                Part::Variable(variable) => {
                    let known = NAMED.iter().find(|(_, known)| known == variable);
                    write!(f, "{{{}}}", known.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_they_are_written() {
        for text in
            ["", "plain", "https://{host}{target}", "{{{path}}}", "a{id}b{rest}", "{header.x-a}"]
        {
            assert_eq!(Template::parse(text, &["id"]).unwrap().to_string(), text);
        }
    }

    #[test]
    fn braces_are_balanced_and_names_known() {
        for (text, expected) in [
            ("{", TemplateError::Unbalanced),
            ("}", TemplateError::Unbalanced),
            ("a{b", TemplateError::Unbalanced),
            ("a}b", TemplateError::Unbalanced),
            ("{a{b}", TemplateError::Unbalanced),
            ("{}", TemplateError::Unknown("")),
            ("{id}", TemplateError::Unknown("id")),
            ("{header.}", TemplateError::Unknown("header.")),
            ("{Host}", TemplateError::Unknown("Host")),
        ] {
            assert_eq!(Template::parse(text, &[]), Err(expected), "{text}");
        }
    }

    #[test]
    fn captures_come_before_what_is_always_there() {
        let template = Template::parse("{host}", &["host"]).unwrap();
        assert_eq!(template.parts(), [Part::Variable(Variable::Capture("host".to_owned()))]);
    }
}
