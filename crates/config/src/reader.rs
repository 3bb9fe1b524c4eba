//! A typed view of the TOML tree. Each read that fails reports why and gives nothing, and the
//! caller goes on, so that one pass finds every problem of a file.

use std::borrow::Cow;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::code;
use crate::declare::{self, Kind, Setting};
use crate::foreign;
use crate::include::Surroundings;
use crate::quantity;
use crate::report::Report;
use crate::span::{Span, Spanned};
use crate::suggest::nearest;
use crate::unknown;
use crate::variable;

/// What holds for all of a file.
#[derive(Clone, Copy)]
pub(crate) struct File<'t> {
    /// For spans.
    pub(crate) number: u16,
    /// As it is shown.
    pub(crate) name: &'t str,
    pub(crate) around: &'t dyn Surroundings,
}

/// A value that belongs to a setting: the whole of it, or one element of its list.
#[derive(Clone, Copy)]
pub(crate) struct Node<'t> {
    file: File<'t>,
    setting: &'static Setting,
    kind: &'static Kind,
    pub(crate) span: Span,
    value: &'t DeValue<'t>,
}

/// A table of which every key is declared.
pub(crate) struct Table<'t> {
    /// As it is written: `[listeners.web]`.
    title: String,
    span: Span,
    declared: &'static declare::Table,
    file: File<'t>,
    entries: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    /// Reports the keys that are not declared.
    pub(crate) fn open(
        title: String,
        span: Span,
        file: File<'t>,
        entries: &'t DeTable<'t>,
        declared: &'static declare::Table,
        report: &mut Report,
    ) -> Self {
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if declared.setting(name).is_some() {
                continue;
            }
            let help = unknown::help(name, &title, declared);
            let message = format!("{title} has no setting `{name}`");
            let span = Span::new(file.number, key.span());
            report.add(&code::UNKNOWN_KEY, span, message, "not known here", help);
        }
        Self { title, span, declared, file, entries }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Node<'t>> {
        Self::get_of(self.declared, self.entries, self.file, name)
    }

    /// As `get`, of a table that is not looked at otherwise.
    pub(crate) fn get_of(
        declared: &'static declare::Table,
        entries: &'t DeTable<'t>,
        file: File<'t>,
        name: &str,
    ) -> Option<Node<'t>> {
        // The readers name only what is declared, whatever the file holds; any test that reads the
        // table reaches this.
        let setting = declared.setting(name).expect("a reader asks for a declared setting");
        let value = entries.get(name)?;
        let span = Span::new(file.number, value.span());
        Some(Node { file, setting, kind: &setting.kind, span, value: value.get_ref() })
    }

    /// As `get`, and reports an absent setting at the head of the table.
    pub(crate) fn require(&self, name: &str, report: &mut Report) -> Option<Node<'t>> {
        let node = self.get(name);
        if node.is_none() {
            let message = format!("{} needs `{name}`", self.title);
            let example = self.declared.setting(name).map_or("", |setting| setting.example);
            let help = format!("add it, as in `{example}`");
            report.add(&code::MISSING_KEY, self.span, message, format!("no `{name}` here"), help);
        }
        node
    }

    /// Where the name of a setting stands, for a diagnostic about its being there at all.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        let (key, _) = self.entries.get_key_value(name)?;
        Some(Span::new(self.file.number, key.span()))
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }
}

impl<'t> Node<'t> {
    /// A text, with the values of the variables in it.
    pub(crate) fn string(&self, report: &mut Report) -> Option<Spanned<Cow<'t, str>>> {
        let DeValue::String(text) = self.value else {
            return self.wrong_type("a string", report);
        };
        match variable::substitute(text, &|name| self.file.around.variable(name)) {
            Ok(text) => Some(Spanned::new(text, self.span)),
            Err((message, help)) => {
                report.add(&code::BAD_VARIABLE, self.span, message, "", help);
                None
            }
        }
    }

    /// The bytes of the file that a path of this configuration names: at most so many and one more.
    pub(crate) fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.read_found(&self.find(path)?, bytes_max)
    }

    /// The name of the one file of a path, relative to the file that has the setting.
    pub(crate) fn find(&self, path: &str) -> Result<String, String> {
        if path.contains('*') {
            return Err("`*` stands for no file here".to_owned());
        }
        let names = self.find_all(path)?;
        names.into_iter().next().ok_or_else(|| "there is no such file".to_owned())
    }

    /// The names of the files that a pattern stands for, sorted.
    pub(crate) fn find_all(&self, pattern: &str) -> Result<Vec<String>, String> {
        self.file.around.expand(pattern, self.file.name)
    }

    /// As [`Self::read`], of a file that was found.
    pub(crate) fn read_found(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.file.around.read(name, bytes_max)
    }

    pub(crate) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false", report),
        }
    }

    /// A number within the declared bounds.
    pub(crate) fn integer(&self, report: &mut Report) -> Option<Spanned<u32>> {
        let (min, max) = match self.kind {
            Kind::Integer { min, max } => (*min, *max),
            _ => (0, u32::MAX),
        };
        let DeValue::Integer(integer) = self.value else {
            return self.wrong_type("a whole number", report);
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if (min..=max).contains(&value) => Some(Spanned::new(value, self.span)),
            _ => {
                let message = format!("`{}` cannot be {integer}", self.setting.name);
                let help = format!("write a number from {min} to {max}");
                report.add(&code::OUT_OF_RANGE, self.span, message, "", help);
                None
            }
        }
    }

    /// A time within the declared bounds.
    pub(crate) fn duration(&self, report: &mut Report) -> Option<Duration> {
        let example = &self.setting.example;
        if let DeValue::Integer(number) = self.value {
            let message = format!("`{}` takes a duration, and this is a number", self.setting.name);
            let help = quantity::with_units(number.as_str(), "\"").unwrap_or_else(|| {
                format!("write a text of a number and its unit, as in `{example}`")
            });
            report.add(&code::BAD_DURATION, self.span, message, "", help);
            return None;
        }
        let text = self.string(report)?.value;
        let duration = match quantity::duration(&text) {
            Ok(duration) => duration,
            Err((message, help)) => {
                report.add(&code::BAD_DURATION, self.span, message, "", help);
                return None;
            }
        };
        let ms = duration.as_millis();
        match self.kind {
            Kind::Duration { min_ms, max_ms }
                if ms < u128::from(*min_ms) || ms > u128::from(*max_ms) =>
            {
                let (min, max) = (quantity::shown_ms(*min_ms), quantity::shown_ms(*max_ms));
                let message = format!("`{}` cannot be {text}", self.setting.name);
                let help = format!("write a duration from {min} to {max}, as in `{example}`");
                report.add(&code::OUT_OF_RANGE, self.span, message, "", help);
                None
            }
            _ => Some(duration),
        }
    }

    /// A number of bytes.
    pub(crate) fn size(&self, report: &mut Report) -> Option<u64> {
        let (message, help) = if let DeValue::Integer(number) = self.value {
            let message = format!("`{}` takes a size, and this is a number", self.setting.name);
            let number = number.as_str();
            (
                message,
                format!("write it with its unit, as in `\"{number}B\"`, or in KiB, MiB or GiB"),
            )
        } else {
            match quantity::size(&self.string(report)?.value) {
                Ok(size) => return self.within(size, report),
                Err(problem) => problem,
            }
        };
        report.add(&code::BAD_SIZE, self.span, message, "", help);
        None
    }

    fn within(&self, size: u64, report: &mut Report) -> Option<u64> {
        match self.kind {
            Kind::Size { min, max } if size < *min || size > *max => {
                let shown = quantity::shown_bytes;
                let message = format!("`{}` cannot be {}", self.setting.name, shown(size));
                let help = format!("write a size from {} to {}", shown(*min), shown(*max));
                report.add(&code::OUT_OF_RANGE, self.span, message, "", help);
                None
            }
            _ => Some(size),
        }
    }

    pub(crate) fn choice<T: Clone>(
        &self,
        choices: &[(&'static str, T)],
        report: &mut Report,
    ) -> Option<T> {
        let text = self.string(report)?.value;
        let text = &*text;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(value.clone());
        }
        debug_assert!(
            self.kind.words().iter().map(|word| word.word).eq(choices.iter().map(|one| one.0)),
            "the words of `{}` are declared as they are read",
            self.setting.name
        );
        let names = || self.kind.words().iter().map(|word| word.word);
        let note = foreign::note(self.setting.name, text);
        let help = match foreign::word(text, names()).or_else(|| nearest(text, names())) {
            _ if note.is_some() => note.unwrap_or_default().to_owned(),
            Some(name) => format!("did you mean `{name}`? The choices are {}", listed(names())),
            None => format!("the choices are {}", listed(names())),
        };
        let message = format!("`{}` cannot be `{text}`", self.setting.name);
        report.add(&code::UNKNOWN_CHOICE, self.span, message, "", help);
        None
    }

    /// The elements of a list, which must not be empty.
    pub(crate) fn elements(&self, report: &mut Report) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type("a list", report);
        };
        if array.is_empty() {
            let message = format!("`{}` is empty", self.setting.name);
            let help = format!("add at least one element, as in `{}`", self.setting.example);
            report.add(&code::EMPTY_LIST, self.span, message, "", help);
            return None;
        }
        let element = |value: &'t toml::Spanned<DeValue<'t>>| Self {
            kind: self.kind.of_elements(),
            span: Span::new(self.file.number, value.span()),
            value: value.get_ref(),
            ..*self
        };
        Some(array.iter().map(element).collect())
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(crate) fn one_or_more(&self, report: &mut Report) -> Option<Vec<Self>> {
        if self.value.is_array() {
            return self.elements(report);
        }
        Some(vec![Self { kind: self.kind.of_elements(), ..*self }])
    }

    /// The same value, taken for one of two kinds.
    pub(crate) fn of_kind(self, kind: &'static Kind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn is_boolean(&self) -> bool {
        self.value.is_bool()
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// As [`Table::key_span`], of a table that is not opened.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        let (key, _) = self.value.as_table()?.get_key_value(name)?;
        Some(Span::new(self.file.number, key.span()))
    }

    pub(crate) fn table(
        &self,
        title: String,
        declared: &'static declare::Table,
        report: &mut Report,
    ) -> Option<Table<'t>> {
        match self.value {
            DeValue::Table(entries) => {
                Some(Table::open(title, self.span, self.file, entries, declared, report))
            }
            _ => self.wrong_type("a table", report),
        }
    }

    /// The entries of a table whose keys are names of the user's choice, in the order of the file.
    pub(crate) fn named(&self, report: &mut Report) -> Option<Vec<(Spanned<&'t str>, Self)>> {
        let DeValue::Table(entries) = self.value else {
            let of_values = matches!(self.kind, Kind::Map(_));
            let expected = if of_values { "a table" } else { "a table of tables" };
            return self.wrong_type(expected, report);
        };
        let mut named: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let at = |range| Span::new(self.file.number, range);
                let (span, value) = (at(value.span()), value.get_ref());
                let node = Self { kind: self.kind.of_elements(), span, value, ..*self };
                (Spanned::new(name.get_ref().as_ref(), at(name.span())), node)
            })
            .collect();
        named.sort_by_key(|(name, _)| name.span.start);
        Some(named)
    }

    /// True or false, if a text that stands for it in other programs is where one of them may be.
    fn meant_boolean(&self) -> Option<bool> {
        let is_possible = matches!(self.kind, Kind::Boolean | Kind::Either(Kind::Boolean, _));
        let DeValue::String(text) = self.value else { return None };
        match &*text.to_ascii_lowercase() {
            "on" | "yes" | "true" | "enabled" => Some(true),
            "off" | "no" | "false" | "none" | "disabled" => Some(false),
            _ => None,
        }
        .filter(|_| is_possible)
    }

    fn wrong_type<T>(&self, expected: &str, report: &mut Report) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` takes {expected}, and this is {found}", self.setting.name);
        let help = match self.meant_boolean() {
            Some(value) => format!("write `{} = {value}`, without quotes", self.setting.name),
            None => format!("write it as in `{}`", self.setting.example),
        };
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
