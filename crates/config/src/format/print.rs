//! Items to text: what stands on one line, and where comments stand behind it.

use super::tree::{Brackets, Item, List, Value};
use crate::syntax::FILE_BYTES_MAX;

/// An array that would end behind this column is broken, as the lines of the source are.
const LINE_CHARS_MAX: usize = 100;

/// Comments behind longer lines are not aligned: they would push those of their neighbours out of
/// sight.
const ALIGNED_CHARS_MAX: usize = 60;

const INDENT: &str = "    ";
const BEFORE_COMMENT: &str = "  ";

/// The text; `None` if it is larger than what is read of a file. Nested lists of a hostile file
/// would grow to gigabytes.
pub(super) fn print(items: &[Item<'_>]) -> Option<String> {
    let mut printer = Printer { lines: Vec::new(), current: String::new(), chars: 0, bytes: 0 };
    for item in items {
        printer.item(item, 0);
    }
    if printer.bytes > FILE_BYTES_MAX {
        return None;
    }
    let text = join(&printer.lines);
    (text.len() <= FILE_BYTES_MAX).then_some(text)
}

struct Line<'a> {
    text: String,
    comment: Option<&'a str>,
    depth: usize,
    /// How far it reaches; `None` if the comment behind it is not aligned with its neighbours'.
    chars: Option<usize>,
}

struct Printer<'a> {
    lines: Vec<Line<'a>>,
    /// What the line after them has so far.
    current: String,
    /// Characters of `current`, behind the last line end of a string in it.
    chars: usize,
    /// Of all lines, also of those that are not kept.
    bytes: usize,
}

impl<'a> Printer<'a> {
    fn item(&mut self, item: &Item<'a>, depth: usize) {
        match item {
            Item::Blank => self.end_line(None, depth),
            Item::Comment(comment) => {
                self.indent(depth);
                self.push(comment);
                self.end_line(None, depth);
            }
            Item::Header { text, comment } => {
                self.push(text);
                self.end_line(*comment, depth);
                self.leave_unaligned();
            }
            Item::Entry { key, value, comment } => {
                let comma = if depth > 0 { "," } else { "" };
                let lines_before = self.lines.len();
                self.indent(depth);
                self.entry(key.as_deref(), value, depth, comma.len());
                self.push(comma);
                self.end_line(*comment, depth);
                if self.lines.len() > lines_before + 1 {
                    self.leave_unaligned();
                }
            }
        }
    }

    /// `behind` is how many characters follow on the line that it ends on.
    fn entry(&mut self, key: Option<&str>, value: &Value<'a>, depth: usize, behind: usize) {
        if let Some(key) = key {
            self.push(key);
            self.push(" = ");
        }
        match value {
            Value::Scalar(text) => self.push(text),
            Value::List(list) if list.items.is_empty() => self.push(match list.brackets {
                Brackets::Square => "[]",
                Brackets::Curly => "{}",
            }),
            Value::List(list) if self.is_broken(list, behind) => self.broken(list, depth),
            Value::List(list) => self.flat(list, depth, behind),
        }
    }

    /// Within a list that fits, all others do.
    fn is_broken(&self, list: &List<'_>, behind: usize) -> bool {
        let fits = |chars| self.chars + chars + behind <= LINE_CHARS_MAX;
        match list.brackets {
            Brackets::Square => !list.flat_chars.is_some_and(fits),
            // Before TOML 1.1 inline tables were on one line, however long.
            Brackets::Curly => list.has_lines,
        }
    }

    fn broken(&mut self, list: &List<'a>, depth: usize) {
        let (open, close) = match list.brackets {
            Brackets::Square => ("[", "]"),
            Brackets::Curly => ("{", "}"),
        };
        self.push(open);
        self.end_line(None, depth);
        for item in &list.items {
            self.item(item, depth + 1);
        }
        self.indent(depth);
        self.push(close);
    }

    /// On one line, but for arrays in tables that cannot be. Such a list has no comments.
    fn flat(&mut self, list: &List<'a>, depth: usize, behind: usize) {
        let (open, close) = list.brackets.flat();
        self.push(open);
        let is_entry = |item: &&Item<'a>| matches!(item, Item::Entry { .. });
        let mut entries = list.items.iter().filter(is_entry).peekable();
        while let Some(item) = entries.next() {
            let is_last = entries.peek().is_none();
            let (end, behind) = if is_last { (close, close.len() + behind) } else { (", ", 1) };
            if let Item::Entry { key, value, .. } = item {
                self.entry(key.as_deref(), value, depth, behind);
            }
            self.push(end);
        }
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.push(INDENT);
        }
    }

    fn push(&mut self, text: &str) {
        self.chars = match text.rsplit_once('\n') {
            Some((_, last)) => last.chars().count(),
            None => self.chars + text.chars().count(),
        };
        self.current.push_str(text);
    }

    fn end_line(&mut self, comment: Option<&'a str>, depth: usize) {
        let text = std::mem::take(&mut self.current);
        let chars = Some(std::mem::take(&mut self.chars));
        let is_aligned = |chars: &usize| *chars <= ALIGNED_CHARS_MAX && !text.contains('\n');
        let chars = chars.filter(is_aligned);
        self.bytes += text.len() + 1;
        if self.bytes <= FILE_BYTES_MAX {
            self.lines.push(Line { text, comment, depth, chars });
        }
    }

    /// A header, or the end of a list: its comment is about more than the line.
    fn leave_unaligned(&mut self) {
        if let Some(line) = self.lines.last_mut() {
            line.chars = None;
        }
    }
}

/// The lines as one text; the comments of lines below each other begin at one column.
fn join(lines: &[Line<'_>]) -> String {
    let is_one_block = |above: &Line<'_>, below: &Line<'_>| {
        let is_aligned = |line: &Line<'_>| line.comment.is_some() && line.chars.is_some();
        is_aligned(above) && is_aligned(below) && above.depth == below.depth
    };
    let mut out = String::new();
    for block in lines.chunk_by(is_one_block) {
        let chars_max = block.iter().filter_map(|line| line.chars).max().unwrap_or(0);
        for line in block {
            out.push_str(&line.text);
            if let Some(comment) = line.comment {
                let missing = line.chars.map_or(0, |chars| chars_max - chars);
                out.extend(std::iter::repeat_n(' ', missing));
                out.push_str(BEFORE_COMMENT);
                out.push_str(comment);
            }
            out.push('\n');
        }
    }
    out
}
