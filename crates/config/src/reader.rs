//! A typed view of the TOML tree. Each read that fails reports why and gives nothing, and the
//! caller goes on, so that one pass finds every problem of a file.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use crate::code;
use crate::report::Report;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;

/// A setting of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// A line that sets it, for the help texts.
    pub(crate) example: &'static str,
}

/// The settings that a table has: its one declaration.
pub(crate) type Keys = &'static [Key];

/// A value that belongs to a setting: the whole of it, or one element of its list.
#[derive(Clone, Copy)]
pub(crate) struct Node<'t> {
    key: &'static Key,
    pub(crate) span: Span,
    value: &'t DeValue<'t>,
}

/// A table of which every key is declared.
pub(crate) struct Table<'t> {
    /// As it is written: `[listeners.web]`.
    title: String,
    span: Span,
    keys: Keys,
    entries: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    /// Reports the keys that are not declared.
    pub(crate) fn open(
        title: String,
        span: Span,
        entries: &'t DeTable<'t>,
        keys: Keys,
        report: &mut Report<'_>,
    ) -> Self {
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if keys.iter().any(|known| known.name == name) {
                continue;
            }
            let help = match nearest(name, keys.iter().map(|known| known.name)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => {
                    format!("the settings of {title} are {}", listed(keys.iter().map(|k| k.name)))
                }
            };
            let message = format!("{title} has no setting `{name}`");
            report.add(&code::UNKNOWN_KEY, key.span().into(), message, "not known here", help);
        }
        Self { title, span, keys, entries }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Node<'t>> {
        let key = self.key(name);
        let value = self.entries.get(name)?;
        Some(Node { key, span: value.span().into(), value: value.get_ref() })
    }

    /// As `get`, and reports an absent setting at the head of the table.
    pub(crate) fn require(&self, name: &str, report: &mut Report<'_>) -> Option<Node<'t>> {
        let node = self.get(name);
        if node.is_none() {
            let message = format!("{} needs `{name}`", self.title);
            let help = format!("add it, as in `{}`", self.key(name).example);
            report.add(&code::MISSING_KEY, self.span, message, format!("no `{name}` here"), help);
        }
        node
    }

    /// Where the name of a setting stands, for a diagnostic about its being there at all.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        self.entries.get_key_value(name).map(|(key, _)| key.span().into())
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    fn key(&self, name: &str) -> &'static Key {
        // The readers name only what they have declared next to themselves, whatever the file
        // holds; any test that reads the table reaches this.
        self.keys.iter().find(|key| key.name == name).expect("a reader asks for a declared key")
    }
}

impl<'t> Node<'t> {
    pub(crate) fn string(&self, report: &mut Report<'_>) -> Option<Spanned<&'t str>> {
        match self.value {
            DeValue::String(text) => Some(Spanned::new(text.as_ref(), self.span)),
            _ => self.wrong_type("a string", report),
        }
    }

    pub(crate) fn boolean(&self, report: &mut Report<'_>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false", report),
        }
    }

    pub(crate) fn integer(
        &self,
        range: RangeInclusive<u32>,
        report: &mut Report<'_>,
    ) -> Option<Spanned<u32>> {
        let DeValue::Integer(integer) = self.value else {
            return self.wrong_type("a whole number", report);
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Some(Spanned::new(value, self.span)),
            _ => {
                let message = format!("`{}` cannot be {integer}", self.key.name);
                let help = format!("write a number from {} to {}", range.start(), range.end());
                report.add(&code::OUT_OF_RANGE, self.span, message, "", help);
                None
            }
        }
    }

    pub(crate) fn choice<T: Copy>(
        &self,
        choices: &[(&'static str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let text = self.string(report)?.value;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names = || choices.iter().map(|(name, _)| *name);
        let help = match nearest(text, names()) {
            Some(name) => format!("did you mean `{name}`? The choices are {}", listed(names())),
            None => format!("the choices are {}", listed(names())),
        };
        let message = format!("`{}` cannot be `{text}`", self.key.name);
        report.add(&code::UNKNOWN_CHOICE, self.span, message, "", help);
        None
    }

    /// The elements of a list, which must not be empty.
    pub(crate) fn elements(&self, report: &mut Report<'_>) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type("a list", report);
        };
        if array.is_empty() {
            let message = format!("`{}` is empty", self.key.name);
            let help = format!("add at least one element, as in `{}`", self.key.example);
            report.add(&code::EMPTY_LIST, self.span, message, "", help);
            return None;
        }
        let element = |value: &'t toml::Spanned<DeValue<'t>>| Self {
            key: self.key,
            span: value.span().into(),
            value: value.get_ref(),
        };
        Some(array.iter().map(element).collect())
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(crate) fn one_or_more(&self, report: &mut Report<'_>) -> Option<Vec<Self>> {
        if self.value.is_array() { self.elements(report) } else { Some(vec![*self]) }
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn table(
        &self,
        title: String,
        keys: Keys,
        report: &mut Report<'_>,
    ) -> Option<Table<'t>> {
        match self.value {
            DeValue::Table(entries) => Some(Table::open(title, self.span, entries, keys, report)),
            _ => self.wrong_type("a table", report),
        }
    }

    /// The entries of a table whose keys are names of the user's choice, in the order of the file.
    pub(crate) fn named(&self, report: &mut Report<'_>) -> Option<Vec<(Spanned<&'t str>, Self)>> {
        let DeValue::Table(entries) = self.value else {
            return self.wrong_type("a table of tables", report);
        };
        let mut named: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let node =
                    Self { key: self.key, span: value.span().into(), value: value.get_ref() };
                (Spanned::new(name.get_ref().as_ref(), name.span()), node)
            })
            .collect();
        named.sort_by_key(|(name, _)| name.span.start);
        Some(named)
    }

    fn wrong_type<T>(&self, expected: &str, report: &mut Report<'_>) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` takes {expected}, and this is {found}", self.key.name);
        let help = format!("write it as in `{}`", self.key.example);
        report.add(&code::WRONG_TYPE, self.span, message, "", help);
        None
    }
}

/// "`a`, `b` and `c`".
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
