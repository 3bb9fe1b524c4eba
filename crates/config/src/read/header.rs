//! Names and values of headers.

use std::borrow::Cow;

use crate::code;
use crate::reader::Node;
use crate::report::Report;
use crate::span::Spanned;

/// Whether this is the name of a header; reports it if not.
pub(super) fn is_name(name: &Spanned<&str>, report: &mut Report) -> bool {
    let is_name = is_token(name.value);
    if !is_name {
        let message = format!("`{}` is not the name of a header", name.value);
        let help = "names of headers have letters, digits, `-` and `_`";
        report.add(&code::BAD_HEADER, name.span, message, "", help);
    }
    is_name
}

/// Whether this may be the value of a header; reports it if not.
pub(super) fn is_value(text: &Spanned<Cow<'_, str>>, report: &mut Report) -> bool {
    let wrong = text.value.chars().find(|c| c.is_control() && *c != '\t');
    if let Some(wrong) = wrong {
        let message = format!("{wrong:?} cannot be in the value of a header");
        report.add(
            &code::BAD_HEADER,
            text.span,
            message,
            "",
            "write it on one line, as plain text",
        );
    }
    wrong.is_none()
}

pub(super) fn value(node: Node<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let text = node.string(report)?;
    is_value(&text, report).then(|| text.map(Cow::into_owned))
}

/// RFC 9110, section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_char)
}
