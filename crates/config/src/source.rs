//! The text of a file, and where in it something stands: line, column and excerpt.

use std::fmt;
use std::sync::Arc;

use crate::span::Span;

/// A file's text with an index of its lines.
#[derive(Debug, Clone)]
pub struct Source {
    file: String,
    text: String,
    line_starts: Vec<usize>,
}

/// Where a value stands, with what is needed to show it; independent of the [`Source`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line as it is shown: tabs expanded, control characters replaced, long lines cut.
    pub excerpt: String,
    /// Terminal cells of the excerpt before the carets.
    pub caret_indent: usize,
    /// Terminal cells that the carets take; at least 1.
    pub caret_width: usize,
}

/// A shown line is cut to this many cells: it fits a usual terminal, gutter included.
const EXCERPT_CELLS_MAX: usize = 110;

/// What of a cut line is shown before the carets.
const EXCERPT_CELLS_BEFORE: usize = 40;

const TAB: &str = "    ";

/// The texts of all files of a configuration.
#[derive(Clone, Default)]
pub struct Sources(pub(crate) Vec<Arc<Source>>);

impl Sources {
    /// Where something stands; nothing for what no file holds.
    pub fn locate(&self, span: Span) -> Option<Location> {
        self.0.get(usize::from(span.file))?.locate(span)
    }
}

/// Short: the texts are long.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|source| source.file())).finish()
    }
}

impl Source {
    /// Takes any bytes: a byte order mark is left out, and what is not UTF-8 replaced.
    pub fn new(file: &str, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(without_byte_order_mark(text)).into_owned();
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file: file.to_owned(), text, line_starts }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line, from 1, on which the span starts.
    pub fn line(&self, span: Span) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// Absent for [`Span::NONE`]. A span of several lines is shown to the end of its first.
    pub fn locate(&self, span: Span) -> Option<Location> {
        if span.is_none() {
            return None;
        }
        let line = self.line(span);
        let line_start = self.line_starts[line - 1];
        let line_end = self.line_starts.get(line).map_or(self.text.len(), |next| next - 1);
        let text = &self.text[line_start..line_end];
        let text = text.strip_suffix('\r').unwrap_or(text);
        let start = text.floor_char_boundary(span.start - line_start);
        let end = text.ceil_char_boundary(span.end.saturating_sub(line_start).max(start));
        let column = text[..start].chars().count() + 1;
        let (excerpt, caret_indent, caret_width) = excerpt(text, start, end);
        Some(Location {
            file: self.file.clone(),
            line,
            column,
            excerpt,
            caret_indent,
            caret_width: caret_width.max(1),
        })
    }
}

pub(crate) fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Gives what is shown of `text`, the cells before `start` and the cells from there to `end`.
fn excerpt(text: &str, start: usize, end: usize) -> (String, usize, usize) {
    let mut shown = String::new();
    let mut cells_shown = 0;
    // Walked backwards from the carets, so that a line of megabytes costs no more than its window.
    let is_short = text.len() <= EXCERPT_CELLS_MAX;
    let before_max = if is_short { usize::MAX } else { EXCERPT_CELLS_BEFORE };
    let mut from = start;
    for (at, c) in text[..start].char_indices().rev() {
        let cells = cells_of(c);
        if cells_shown + cells > before_max {
            break;
        }
        cells_shown += cells;
        from = at;
    }
    if from > 0 {
        shown.push_str("...");
        cells_shown += "...".len();
    }
    text[from..start].chars().for_each(|c| push_visible(&mut shown, c));
    let caret_indent = cells_shown;
    let mut caret_width = 0;
    for (at, c) in text[start..].char_indices() {
        if !is_short && cells_shown + cells_of(c) > EXCERPT_CELLS_MAX {
            shown.push_str("...");
            break;
        }
        push_visible(&mut shown, c);
        cells_shown += cells_of(c);
        if start + at < end {
            caret_width += cells_of(c);
        }
    }
    (shown, caret_indent, caret_width)
}

fn push_visible(shown: &mut String, c: char) {
    match c {
        '\t' => shown.push_str(TAB),
        c => shown.push(visible(c)),
    }
}

/// Replaces what would steer a terminal or hide text: control characters, and those that change
/// the direction of writing or take no room.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => '\u{fffd}',
        '\u{feff}' | '\u{ad}' | '\u{61c}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// How many cells a terminal gives to a character, from the East Asian Width ranges (UAX 11) and
/// the blocks of combining marks. A mistake shifts a caret and nothing else.
fn cells_of(c: char) -> usize {
    match c {
        '\t' => TAB.len(),
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' => 0,
        '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' => 2,
        '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' => 2,
        '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' => 2,
        '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1faff}' => 2,
        '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The span of `needle` in `text`, shown as `line:column`, the excerpt and the carets.
    fn check(text: &str, needle: &str, expected: &str) {
        let start = text.find(needle).unwrap();
        let span = Span::new(0, start..start + needle.len());
        let at = Source::new("f", text.as_bytes()).locate(span).unwrap();
        let carets = format!("{}{}", " ".repeat(at.caret_indent), "^".repeat(at.caret_width));
        let shown = format!("{}:{}\n{}\n{carets}", at.line, at.column, at.excerpt);
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn lines_and_columns_start_at_1_and_count_characters() {
        check("abc", "abc", "1:1\nabc\n^^^");
        check("a\r\nbüc\r\n", "c", "2:3\nbüc\n  ^");
        check("a\nb", "b", "2:1\nb\n^");
    }

    #[test]
    fn tabs_and_wide_and_combining_characters_keep_the_carets_in_place() {
        check("\ta\tb", "b", "1:4\n    a    b\n         ^");
        check("漢字 = x", "x", "1:6\n漢字 = x\n       ^");
        check("a = 漢字", "漢字", "1:5\na = 漢字\n    ^^^^");
        check("e\u{301} x", "x", "1:4\ne\u{301} x\n  ^");
    }

    #[test]
    fn what_would_steer_a_terminal_is_replaced() {
        check("a\u{1b}[31m\0 x", "x", "1:9\na\u{fffd}[31m\u{fffd} x\n        ^");
        check("\u{202e} x", "x", "1:3\n\u{fffd} x\n  ^");
    }

    #[test]
    fn long_lines_are_cut_around_the_carets() {
        let text = format!("{}x{}", "a".repeat(1000), "b".repeat(1000));
        let shown = format!("...{}x{}...", "a".repeat(40), "b".repeat(66));
        check(&text, "x", &format!("1:1001\n{shown}\n{}^", " ".repeat(43)));
    }

    #[test]
    fn a_span_of_several_lines_is_underlined_on_its_first() {
        check("a = [\n  1,\n]", "[\n  1,\n]", "1:5\na = [\n    ^");
    }

    #[test]
    fn any_span_can_be_located() {
        for text in ["", "\n", "ü\r\n", "\r"] {
            let source = Source::new("f", text.as_bytes());
            for start in 0..=text.len() + 2 {
                for end in 0..=text.len() + 2 {
                    assert!(
                        source.locate(Span::new(0, start..end)).is_some(),
                        "{text:?} {start} {end}"
                    );
                }
            }
        }
    }
}
