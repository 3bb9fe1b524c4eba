//! What a process leaves to one in its place: sections of text, each with a name, a version and a
//! length. Who reads takes those that it understands, and no other is harmed.

use std::fmt::Write;

/// A section of one who writes, or reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub text: &'a str,
}

const MARK: &str = "section ";

pub(crate) fn render(sections: &[Section<'_>]) -> String {
    let mut out = String::new();
    for Section { name, version, text } in sections {
        // Writing to a String cannot fail.
        writeln!(out, "{MARK}{name} {version} {}", text.len()).unwrap_or(());
        out.push_str(text);
        out.push('\n');
    }
    out
}

/// The sections of a text, up to the first that is broken.
pub(crate) fn parse(mut text: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    while let Some((section, rest)) = next(text) {
        sections.push(section);
        text = rest;
    }
    sections
}

fn next(text: &str) -> Option<(Section<'_>, &str)> {
    let (line, rest) = text.strip_prefix(MARK)?.split_once('\n')?;
    let mut words = line.split(' ');
    let (name, version, len) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    let (text, rest) = rest.split_at_checked(len)?;
    Some((Section { name, version, text }, rest.strip_prefix('\n')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section<'a>(name: &'a str, text: &'a str) -> Section<'a> {
        Section { name, version: "1", text }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let sections =
            [section("a", "one\n\nsection b 1 3\nx"), section("b", ""), section("c", "ü")];
        assert_eq!(parse(&render(&sections)), sections);
    }

    #[test]
    fn what_is_broken_ends_it() {
        let whole = render(&[section("a", "one"), section("b", "two")]);
        for len in 0..whole.len() {
            let found = parse(&whole[..len]);
            assert!(found.len() < 2 && found.iter().all(|one| one.text == "one"), "{len}");
        }
        for text in ["", "x", "section a 1\n", "section a 1 x\n", "section a 1 99\nx\n"] {
            assert!(parse(text).is_empty(), "{text}");
        }
    }
}
