//! A text that is TOML to what it consists of, blank lines and comments included.

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

/// What stands on lines of its own, in a file or in a list.
pub(super) enum Item<'a> {
    /// One blank line or more, between two others.
    Blank,
    Comment(&'a str),
    /// `[a.b]` or `[[a.b]]`.
    Header {
        text: String,
        comment: Option<&'a str>,
    },
    /// A value, with a key unless it is an element of an array.
    Entry {
        key: Option<String>,
        value: Value<'a>,
        comment: Option<&'a str>,
    },
}

pub(super) enum Value<'a> {
    /// As it is written.
    Scalar(&'a str),
    List(List<'a>),
}

/// An array or an inline table.
pub(super) struct List<'a> {
    pub(super) brackets: Brackets,
    /// No headers.
    pub(super) items: Vec<Item<'a>>,
    /// Whether lines end in it, outside of its values.
    pub(super) has_lines: bool,
    /// The characters that it takes on one line; `None` if it cannot be on one.
    pub(super) flat_chars: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    Square,
    Curly,
}

pub(super) fn read(text: &str) -> Vec<Item<'_>> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events = Vec::with_capacity(tokens.len());
    parse_document(&tokens, &mut events, &mut ());
    drop(tokens);
    Reader { source, events: events.into_iter() }.items(Line::Empty).0
}

/// What the current line has so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    /// Something that a comment behind it does not belong to.
    Used,
    /// The end of the last item, which a comment behind it belongs to.
    Item,
}

struct Reader<'a> {
    source: Source<'a>,
    events: std::vec::IntoIter<Event>,
}

impl<'a> Reader<'a> {
    /// The items up to the end of the list or of the text, and whether lines end between them.
    fn items(&mut self, mut line: Line) -> (Vec<Item<'a>>, bool) {
        let mut items: Vec<Item<'a>> = Vec::new();
        let mut has_lines = false;
        while let Some(event) = self.events.next() {
            match event.kind() {
                EventKind::Newline => {
                    let is_between = !matches!(items.last(), None | Some(Item::Blank));
                    if line == Line::Empty && is_between {
                        items.push(Item::Blank);
                    }
                    (line, has_lines) = (Line::Empty, true);
                }
                EventKind::Comment => {
                    let comment = self.comment(&event);
                    match items.last_mut().and_then(Item::comment_mut) {
                        Some(place) if line == Line::Item => *place = Some(comment),
                        _ => items.push(Item::Comment(comment)),
                    }
                    line = Line::Used;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    items.push(self.header(&event));
                    line = Line::Item;
                }
                EventKind::SimpleKey => {
                    has_lines |= self.keyed(&event, &mut items);
                    line = Line::Item;
                }
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    let value = self.value(&event);
                    items.push(Item::Entry { key: None, value, comment: None });
                    line = Line::Item;
                }
                EventKind::ArrayClose | EventKind::InlineTableClose => break,
                EventKind::ValueSep if line == Line::Empty => line = Line::Used,
                _ => {}
            }
        }
        if matches!(items.last(), Some(Item::Blank)) {
            items.pop();
        }
        (items, has_lines)
    }

    fn header(&mut self, open: &Event) -> Item<'a> {
        let is_array = open.kind() == EventKind::ArrayTableOpen;
        let mut text = if is_array { "[[" } else { "[" }.to_owned();
        for event in self.events.by_ref() {
            match event.kind() {
                EventKind::SimpleKey => text.push_str(&key(self.source, &event)),
                EventKind::KeySep => text.push('.'),
                EventKind::StdTableClose | EventKind::ArrayTableClose => break,
                _ => {}
            }
        }
        text.push_str(if is_array { "]]" } else { "]" });
        Item::Header { text, comment: None }
    }

    /// Adds an entry, of which the first part of the key is read. The parser takes line ends and
    /// comments between a key of an inline table and its value: the comments come before it. Gives
    /// whether there were any.
    fn keyed(&mut self, first: &Event, items: &mut Vec<Item<'a>>) -> bool {
        let mut path = key(self.source, first);
        let mut has_lines = false;
        while let Some(event) = self.events.next() {
            match event.kind() {
                EventKind::SimpleKey => path.push_str(&key(self.source, &event)),
                EventKind::KeySep => path.push('.'),
                EventKind::Comment => items.push(Item::Comment(self.comment(&event))),
                EventKind::Newline => has_lines = true,
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    let value = self.value(&event);
                    items.push(Item::Entry { key: Some(path), value, comment: None });
                    break;
                }
                _ => {}
            }
        }
        has_lines
    }

    /// Nests as deep as the parser allows, which has read the text before.
    fn value(&mut self, event: &Event) -> Value<'a> {
        let brackets = match event.kind() {
            EventKind::ArrayOpen => Brackets::Square,
            EventKind::InlineTableOpen => Brackets::Curly,
            _ => return Value::Scalar(text(self.source, event)),
        };
        let (items, has_lines) = self.items(Line::Used);
        let flat_chars = flat_chars(brackets, &items, has_lines);
        Value::List(List { brackets, items, has_lines, flat_chars })
    }

    fn comment(&self, event: &Event) -> &'a str {
        text(self.source, event).trim_end_matches([' ', '\t'])
    }
}

impl<'a> Item<'a> {
    /// The comment behind it, for what may have one.
    fn comment_mut(&mut self) -> Option<&mut Option<&'a str>> {
        match self {
            Item::Header { comment, .. } | Item::Entry { comment, .. } => Some(comment),
            Item::Blank | Item::Comment(_) => None,
        }
    }
}

impl Brackets {
    pub(super) fn flat(self) -> (&'static str, &'static str) {
        match self {
            Self::Square => ("[", "]"),
            Self::Curly => ("{ ", " }"),
        }
    }
}

/// A part of a key: bare if it can be, else as it is written.
fn key(source: Source<'_>, event: &Event) -> String {
    let written = text(source, event);
    let mut meant = String::new();
    if let Some(raw) = source.get(event) {
        raw.decode_key(&mut meant, &mut ());
    }
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !meant.is_empty() && meant.chars().all(is_bare) { meant } else { written.to_owned() }
}

fn text<'a>(source: Source<'a>, event: &Event) -> &'a str {
    // The lexer cuts the text that it is given, and only where a character begins.
    source.get(event).expect("an event is a part of the text").as_str()
}

fn flat_chars(brackets: Brackets, items: &[Item<'_>], has_lines: bool) -> Option<usize> {
    if items.is_empty() {
        return Some("[]".len());
    }
    if brackets == Brackets::Curly && has_lines {
        return None;
    }
    let (open, close) = brackets.flat();
    let mut chars = open.len() + close.len();
    let mut is_first = true;
    for item in items {
        let (key, value) = match item {
            Item::Blank => continue,
            Item::Entry { key, value, comment: None } => (key, value),
            Item::Entry { .. } | Item::Comment(_) | Item::Header { .. } => return None,
        };
        let key_chars = key.as_ref().map_or(0, |key| key.chars().count() + " = ".len());
        let separator = if is_first { 0 } else { ", ".len() };
        is_first = false;
        chars += separator + key_chars + value.flat_chars()?;
    }
    Some(chars)
}

impl Value<'_> {
    fn flat_chars(&self) -> Option<usize> {
        match self {
            Value::Scalar(text) if text.contains('\n') => None,
            Value::Scalar(text) => Some(text.chars().count()),
            Value::List(list) => list.flat_chars,
        }
    }
}
