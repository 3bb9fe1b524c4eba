//! The template of the access log: from text to parts, with every mistake in it.

use std::borrow::Cow;
use std::ops::Range;

use fairwater_message::HeaderId;
use fairwater_message::log::{HeaderName, LogField, Part, Source, Template};
use fairwater_message::secret::is_secret_header;

use crate::code::{self, Code};
use crate::foreign;
use crate::read::header::is_token;
use crate::read::text;
use crate::reader::Node;
use crate::report::Report;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;

/// Long enough for every field and many headers.
const TEMPLATE_BYTES_MAX: usize = 4096;

/// What is wrong with a field.
struct Problem {
    code: &'static Code,
    message: String,
    help: String,
}

impl Problem {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: &code::BAD_LOG_TEMPLATE, message: message.into(), help: help.into() }
    }
}

/// What can be read of the template; the rest is reported.
pub(super) fn read(node: Node<'_>, report: &mut Report) -> Template {
    let Some(text) = text::bounded(node, TEMPLATE_BYTES_MAX, report) else {
        return Template::default();
    };
    let mut template = Template::default();
    let mut is_whole = true;
    let mut add = |range: Range<usize>, Problem { code, message, help }| {
        is_whole = false;
        report.add(code, span_of(&text, range), message, "", help);
    };
    for (range, piece) in pieces(&text.value) {
        let source = match piece {
            Ok(Piece::Text(text)) => {
                add_text(&mut template, text);
                continue;
            }
            Ok(Piece::Field(name)) => source(name, &mut template.replies),
            Err(problem) => Err(problem),
        };
        match source {
            Ok(source) => template.parts.push(Part::Value { source, end: None }),
            Err(problem) => add(range, problem),
        }
    }
    let whole = 0..text.value.len();
    control_character(&text.value).into_iter().for_each(|problem| add(whole.clone(), problem));
    if is_whole && let Some(problem) = no_field(&text.value, &template) {
        report.add(problem.code, text.span, problem.message, "", problem.help);
    }
    set_ends(&mut template.parts);
    template
}

/// Where a part of a text stands: the whole of it, where escapes or variables are in the way.
fn span_of(text: &Spanned<Cow<'_, str>>, range: Range<usize>) -> Span {
    let Span { file, start, end } = text.span;
    let is_as_written =
        matches!(text.value, Cow::Borrowed(_)) && end - start == text.value.len() + 2;
    match is_as_written {
        true => Span::new(file, start + 1 + range.start..start + 1 + range.end),
        false => text.span,
    }
}

enum Piece<'t> {
    Text(&'t str),
    Field(&'t str),
}

/// Cuts a template at its braces, and says where each piece stands. Ends with the first brace that
/// has no partner.
fn pieces(text: &str) -> Vec<(Range<usize>, Result<Piece<'_>, Problem>)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(len) = text[at..].find(['{', '}']) {
        let brace = at + len;
        pieces.push((at..brace, Ok(Piece::Text(&text[at..brace]))));
        let from = &text[brace..];
        if from.starts_with("{{") || from.starts_with("}}") {
            at = brace + 2;
            pieces.push((brace..at, Ok(Piece::Text(&from[..1]))));
            continue;
        }
        let inner = &from[1..];
        let end = inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}'));
        let Some(end) = end.filter(|_| from.starts_with('{')) else {
            pieces.push((brace..brace + 1, Err(lone_brace(&from[..1]))));
            return pieces;
        };
        at = brace + end + 2;
        pieces.push((brace..at, Ok(Piece::Field(&inner[..end]))));
    }
    pieces.push((at..text.len(), Ok(Piece::Text(&text[at..]))));
    pieces
}

fn lone_brace(sign: &str) -> Problem {
    let what = match sign {
        "{" => "does not end with `}`",
        _ => "has no `{` before it",
    };
    let help = format!("write a field as `{{client}}`, and `{sign}{sign}` for the sign itself");
    Problem::new(format!("a `{sign}` of the template {what}"), help)
}

fn add_text(template: &mut Template, text: &str) {
    match template.parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.push_str(text),
        _ => template.parts.push(Part::Text(text.to_owned())),
    }
}

/// What a field stands for. `replies` are the headers of replies so far.
fn source(name: &str, replies: &mut Vec<HeaderName>) -> Result<Source, Problem> {
    if let Some(field) = LogField::ALL.iter().find(|field| field.name() == name) {
        return Ok(Source::Field(*field));
    }
    if let Some(header) = name.strip_prefix("request.") {
        return header_name(header, "request").map(Source::Request);
    }
    if let Some(header) = name.strip_prefix("response.") {
        let header = header_name(header, "response")?;
        let place = replies.iter().position(|other| *other == header).unwrap_or(replies.len());
        if place == replies.len() {
            replies.push(header);
        }
        return Ok(Source::Reply(place));
    }
    let names = || LogField::ALL.iter().map(|field| field.name());
    let known = foreign::field(name).or_else(|| nearest(name, names()).map(str::to_owned));
    let meant =
        known.map_or_else(|| "the".to_owned(), |known| format!("did you mean `{{{known}}}`? The"));
    // Units of time go without saying, once there is one of each.
    let is_other_unit =
        |name: &str| name.ends_with("_ms") || name.ends_with("_s") || name == "time_us";
    let names: Vec<_> = names().filter(|name| !is_other_unit(name)).collect();
    let help = format!(
        "{meant} fields are {}; times in `_ms` and `_s` too; `request.NAME` and \
         `response.NAME` for headers",
        names.join(", ")
    );
    Err(Problem::new(format!("the template has an unknown field `{{{name}}}`"), help))
}

fn header_name(name: &str, of: &str) -> Result<HeaderName, Problem> {
    if !is_token(name) {
        let message = format!("`{{{of}.{name}}}` has no name of a header");
        let help = format!("write it as in `{{{of}.x-team}}`");
        return Err(Problem::new(message, help));
    }
    if is_secret_header(name) {
        return Err(Problem {
            code: &code::SECRET_FIELD,
            message: format!("the header `{name}` carries secrets, which no log may hold"),
            help: format!("remove `{{{of}.{name}}}` from the template"),
        });
    }
    match HeaderId::aliased(name.as_bytes()) {
        HeaderId::Other => Ok(HeaderName::new(name)),
        known => {
            let message = format!("`{{{of}.{name}}}` is written with `_` for `-`");
            let help = format!("write `{{{of}.{}}}`", known.name());
            Err(Problem::new(message, help))
        }
    }
}

fn control_character(text: &str) -> Option<Problem> {
    let control = text.chars().find(|c| c.is_control() && *c != '\t')?;
    let message = format!("the template has the control character {control:?}");
    Some(Problem::new(message, "remove it: a line is one line, and its end is added"))
}

fn no_field(text: &str, template: &Template) -> Option<Problem> {
    if template.parts.iter().any(|part| matches!(part, Part::Value { .. })) {
        return None;
    }
    let help = match text.contains(['$', '%']) {
        true => "write fields in braces, as in `{client} {method} {target} {status}`",
        false => "add one, as in `{client} {method} {target} {status}`",
    };
    Some(Problem::new("the template has no field", help))
}

/// Tells each value which sign ends it, so that no client can shift what comes behind it. Quotes
/// are never in a value, and a letter or a digit is nobody's separator.
fn set_ends(parts: &mut [Part]) {
    let mut behind = None;
    for part in parts.iter_mut().rev() {
        match part {
            Part::Text(text) => behind = text.bytes().next(),
            Part::Value { end, .. } => {
                *end = behind.filter(|sign| b" ,;|')]}>".contains(sign));
                behind = None;
            }
        }
    }
}
